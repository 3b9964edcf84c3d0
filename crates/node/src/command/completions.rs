//! `gundb completions`

use clap::CommandFactory;

use crate::command::{Arguments, Context};
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub struct Completions {
    /// The shell
    #[arg(value_enum)]
    shell: clap_complete::Shell,
}

impl Completions {
    pub fn run(self, context: &mut Context) -> Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "gundb", &mut script);
        context.out.bytes(&script)
    }
}
