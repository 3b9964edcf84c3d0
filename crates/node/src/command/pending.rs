//! `gundb pending`

use serde_json::json;

use crate::command::Context;
use crate::error::Result;

#[derive(Debug, clap::Args)]
pub struct Pending {
    /// Try what waits again
    #[arg(long)]
    retry: bool,
    /// Take what waits for its time, however far ahead its stamps are
    #[arg(long)]
    accept: bool,
}

impl Pending {
    pub fn run(self, context: &mut Context) -> Result<()> {
        if self.retry || self.accept {
            let site = context.site()?;
            let taken = site.retry_pending(self.accept)?;
            site.close()?;
            return context.out.tell(json!({ "taken": taken }), format!("{taken} transactions wait no longer"));
        }
        let row = |waiting: crate::site::Pending| {
            let crate::site::Pending { kind, view, key, dot, reason } = waiting;
            vec![json!(kind), json!(view), json!(key), json!(dot.map(|dot| dot.to_string())), json!(reason)]
        };
        let rows: Vec<_> = context.read()?.pending()?.into_iter().map(row).collect();
        context.out.table(&["kind", "view", "key", "dot", "reason"], &rows)
    }
}
