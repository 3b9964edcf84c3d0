//! `gundb revert`

use serde_json::json;
use uuid::Uuid;

use crate::command::Context;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub struct Revert {
    stream: String,
    /// The ids of the events; of a revert, to bring back what it took out
    #[arg(required = true)]
    ids: Vec<Uuid>,
}

impl Revert {
    pub fn run(self, context: &mut Context) -> Result<()> {
        let site = context.site()?;
        let reverts = site.revert(&self.stream, &self.ids)?;
        site.close()?;
        let row = |revert: &crate::site::Reverted| vec![json!(revert.id.to_string()), json!(revert.dot.to_string())];
        context.out.table(&["id", "dot"], &reverts.iter().map(row).collect::<Vec<_>>())
    }
}
