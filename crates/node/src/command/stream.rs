//! `gundb stream`

use serde_json::json;

use crate::command::Context;
use crate::error::Result;
use crate::site::StreamRow;

#[derive(Debug, clap::Subcommand)]
pub enum Stream {
    /// Declare a stream
    Create {
        name: String,
        /// Take only event types that are defined
        #[arg(long)]
        closed: bool,
    },
    /// All streams
    List,
}

impl Stream {
    pub fn run(self, context: &mut Context) -> Result<()> {
        match self {
            Stream::Create { name, closed } => {
                let site = context.site()?;
                let is_new = site.create_stream(&name, closed)?;
                site.close()?;
                let line = format!("stream {name} {}", if is_new { "declared" } else { "is there already" });
                context.out.tell(json!({ "stream": name, "new": is_new }), line)
            }
            Stream::List => {
                let row = |stream: StreamRow| {
                    let StreamRow { name, events, lanes, types, closed } = stream;
                    vec![json!(name), json!(events), json!(lanes), json!(types), json!(closed)]
                };
                let rows: Vec<_> = context.read()?.streams()?.into_iter().map(row).collect();
                context.out.table(&["stream", "events", "lanes", "types", "closed"], &rows)
            }
        }
    }
}
