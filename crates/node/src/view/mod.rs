//! Views: rows of current state, a key each, folded from a stream's events as `gundb_core` says.
//!
//! What must always hold here: a row is what [`folding::refold`] makes of its key's events; maintenance is an optimisation of that. An event that a view cannot
//! fold harms only itself: it is left out, with its reason; of a strict view, this site refuses to append it.
//!
//! | file | one noun |
//! |---|---|
//! | `reading` | what an event is to a view |
//! | `folding` | a key's events, and the state that they give |
//! | `maintain` | what new events change |
//! | `making` | views made, dropped, built anew |
//! | `past` | rows now and then; what one went through; what is not as it should be |
//! | `revert` | events that take others out |
//! | `text` | values as PostgreSQL prints them; the digest |

mod folding;
mod maintain;
mod making;
mod past;
mod reading;
mod revert;
mod text;

use gundb_core::StreamId;
use gundb_core::fold::Shape;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

pub use maintain::maintain;
pub use past::{Change, Row, key_values, shown};

/// A view's definition, in the words of `gundb.create_view`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Definition {
    /// The name of its stream.
    pub stream: String,
    /// What its events are grouped by.
    pub key: String,
    /// Its columns, as JSON: their order and spelling are kept.
    pub columns: String,
    /// Which types it takes; None: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<Vec<String>>,
    /// Which events it takes, besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Which types delete a row.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub delete: Vec<String>,
    /// Whether an append that it cannot fold is refused, rather than left out of it. What comes from elsewhere never is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub strict: bool,
}

/// A view.
#[derive(Debug)]
pub struct View {
    pub name: String,
    /// By which its rows are found.
    pub group: u32,
    pub stream: StreamId,
    pub definition: Definition,
    pub parsed: gundb_core::view::View,
    pub shape: Shape,
}

/// A definition as it is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    group: u32,
    #[serde(flatten)]
    definition: Definition,
}

impl View {
    /// Reads a definition as it is kept.
    pub fn read(name: String, kept: &[u8]) -> Result<View> {
        let Kept { group, definition } = serde_json::from_slice(kept).map_err(Error::damaged)?;
        View::new(name, group, definition).map_err(Error::damaged)
    }

    /// A view that is kept elsewhere. Where its rows are made otherwise than its columns say, `columns` are what they are.
    pub fn described(name: String, definition: Definition, columns: Option<gundb_core::view::Columns>) -> Result<View> {
        let Some(columns) = columns else { return View::new(name, 0, definition) };
        let text = "{\"state\": {\"fold\": \"lww\", \"value\": \"state\"}}".to_owned();
        let view = View::new(name, 0, Definition { columns: text, ..definition })?;
        Ok(View { parsed: gundb_core::view::View { columns, ..view.parsed }, ..view })
    }

    fn new(name: String, group: u32, definition: Definition) -> Result<View> {
        let parsed = parse(&definition)?;
        let shape = parsed.shape();
        let stream = StreamId::of_name(&definition.stream);
        Ok(View { name, group, stream, definition, parsed, shape })
    }

    fn kept(&self) -> Result<Vec<u8>> {
        let kept = Kept { group: self.group, definition: self.definition.clone() };
        serde_json::to_vec(&kept).map_err(|why| Error::new(Kind::Invalid, why.to_string()))
    }
}

fn parse(definition: &Definition) -> Result<gundb_core::view::View> {
    let invalid = |what: &str, why: String| {
        Error::new(Kind::Invalid, format!("the view's {what}: {why}")).hint("docs/folds.md tells what a view can say.")
    };
    Ok(gundb_core::view::View {
        key: definition.key.parse().map_err(|why: gundb_core::view::LanguageError| invalid("key", why.to_string()))?,
        filter: definition
            .filter
            .as_deref()
            .map(|filter| {
                filter.parse().map_err(|why: gundb_core::view::LanguageError| invalid("filter", why.to_string()))
            })
            .transpose()?,
        types: definition.types.clone(),
        deletes: definition.delete.clone(),
        columns: definition
            .columns
            .parse()
            .map_err(|why: gundb_core::view::ColumnsError| invalid("columns", why.to_string()))?,
    })
}
