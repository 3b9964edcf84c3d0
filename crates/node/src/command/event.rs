//! `gundb event`

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::command::{Context, text_of};
use crate::error::{Error, Kind, Result};
use crate::site::EventType;

#[derive(Debug, clap::Subcommand)]
pub enum Event {
    /// Define an event type, or a new version of it
    Define {
        stream: String,
        #[arg(value_name = "TYPE")]
        kind: String,
        /// The JSON Schema (draft 2020-12) of its data; without one any data fits
        #[arg(long, conflicts_with = "schema_file")]
        schema: Option<String>,
        /// The file with the schema; - is standard input
        #[arg(long, value_name = "FILE")]
        schema_file: Option<PathBuf>,
    },
    /// An event type: its version and schema; without a type all of the stream's
    Show {
        stream: String,
        #[arg(value_name = "TYPE")]
        kind: Option<String>,
    },
}

impl Event {
    pub fn run(self, context: &mut Context) -> Result<()> {
        match self {
            Event::Define { stream, kind, schema, schema_file } => {
                let schema =
                    schema.map_or_else(|| schema_file.map(|file| text_of(&file)).transpose(), |text| Ok(Some(text)))?;
                let site = context.site()?;
                let version = site.define_event(&stream, &kind, schema.as_deref())?;
                site.close()?;
                let line = format!("{kind}, version {version}");
                context.out.tell(json!({ "stream": stream, "type": kind, "version": version }), line)
            }
            Event::Show { stream, kind } => {
                let types = context.read()?.event_types(&stream)?;
                if let Some(kind) = kind.as_ref().filter(|kind| types.iter().all(|known| known.name != **kind)) {
                    return Err(Error::new(
                        Kind::NotFound,
                        format!("stream \"{stream}\" has no event type \"{kind}\""),
                    ));
                }
                let shown_types = types.iter().filter(|known| kind.as_ref().is_none_or(|kind| *kind == known.name));
                let row = |known: &EventType| {
                    let schema = known.schema.as_deref().and_then(|schema| serde_json::from_str::<Value>(schema).ok());
                    vec![json!(known.name), json!(known.version), schema.unwrap_or(Value::Null)]
                };
                context.out.table(&["type", "version", "schema"], &shown_types.map(row).collect::<Vec<_>>())
            }
        }
    }
}
