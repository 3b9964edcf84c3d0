//! What a view is: its key, its filter, its columns; read from their texts, and applied to events.
//!
//! What must always hold here: a string is always a path, never SQL; nothing depends on a setting or a locale, so that every site reads an event alike; and
//! every refusal says where, what was expected, and what was perhaps meant.
//!
//! | file | one noun |
//! |---|---|
//! | `language` | the characters of paths, keys and filters |
//! | `path` | where in an event a value stands |
//! | `key` | what events are grouped by |
//! | `filter` | which events count |
//! | `columns` | the columns, from JSON |
//! | `definition` | all of them, and what an event does to a row |
//! | `alteration` | columns with some dropped, changed and added |

mod alteration;
mod columns;
mod definition;
mod filter;
mod key;
mod language;
mod path;

pub use alteration::{Alteration, AlterationError};
pub use columns::{Column, ColumnType, Columns, ColumnsError, ColumnsProblem, Selector, Source};
pub use definition::{ReadError, Reading, View};
pub use filter::{Condition, Filter, Literal, Test};
pub use key::{Key, KeyPart, decode_key, encode_key};
pub use language::{LanguageError, LanguageProblem};
pub use path::{Document, EventView, Path, Root, Step};
