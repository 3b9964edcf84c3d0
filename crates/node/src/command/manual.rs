//! `gundb manual`

use std::path::PathBuf;

use clap::CommandFactory;

use crate::command::{Arguments, Context};
use crate::error::{Error, Kind, Result};

#[derive(Debug, clap::Args)]
pub struct Manual {
    /// Where they go, as in ~/.local/share/man/man1: it must be there
    directory: PathBuf,
}

impl Manual {
    pub fn run(self, _: &mut Context) -> Result<()> {
        clap_mangen::generate_to(Arguments::command(), &self.directory)
            .map_err(|error| Error::new(Kind::Storage, format!("{}: {error}", self.directory.display())))
    }
}
