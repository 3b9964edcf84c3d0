//! `gundb compact`

use serde_json::json;

use crate::command::Context;
use crate::command::progress::Counted;
use crate::error::{Error, Kind, Result};
use crate::store::Edge;

#[derive(Debug, clap::Args)]
pub struct Compact {}

impl Compact {
    pub fn run(self, context: &mut Context) -> Result<()> {
        if context.url().is_some() {
            return Err(Error::new(
                Kind::Usage,
                "a PostgreSQL site gives back by itself what its tables no longer use",
            )
            .hint("Where autovacuum is not enough: VACUUM, or VACUUM FULL."));
        }
        let (before, after) = context
            .watched("compacting", Counted::Unknown, |context, _| Edge::compact(&context.store, context.options))?;
        let line = format!("{before} bytes before, {after} after");
        context.out.tell(json!({ "bytes_before": before, "bytes_after": after }), line)
    }
}
