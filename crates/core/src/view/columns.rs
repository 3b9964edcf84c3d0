//! A view's columns, from JSON: `{"on_hand": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}}, …}`.
//!
//! What must always hold here: columns keep the order in which they were written; what stands twice, is unknown or is missing is refused, with its place.

use std::str::FromStr;

use super::key::NAME_BYTES_MAX;
use super::language::{LanguageError, LanguageProblem};
use super::path::Path;
use crate::crdt::{Kind, UnknownKind};
use crate::datum::{DatumType, UnknownType, did_you_mean, excerpt};
use crate::fold::{Fold, UnknownFold};
use crate::json::{Json, JsonError, JsonProblem, Limits, Scanner, Token};
use crate::suggest::similar;

/// Columns, properties, values by type: and one more, so that what is too deep is told what it should be.
const DEPTH_MAX: usize = 4;
/// Most bytes of a view's columns as text.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Most columns; a table has at most 1600.
const COLUMNS_MAX: usize = 1000;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// From a place in the event.
    Path(Path),
    /// It is always this: a number, true, false or null.
    Constant(Json),
}

/// Where a value comes from, by the event's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// From the same place for every type.
    Any(Source),
    /// From these places for these types, and for others from none.
    ByType(Vec<(String, Source)>),
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// A value of this type, or for `mv set rw_set` an array of them.
    Datum(DatumType),
    /// A CRDT value, for `merge`.
    Crdt(Kind),
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// How it combines events.
    pub fold: Fold,
    /// What it holds.
    pub column_type: ColumnType,
    /// What an event gives: the value, or for `set rw_set` what it adds. None for a `count` of all events.
    pub value: Option<Selector>,
    /// What `lww fww` compare first.
    pub by: Option<Selector>,
    /// What `set rw_set map` take out.
    pub remove: Option<Selector>,
    /// Which entry a `map` writes.
    pub key: Option<Selector>,
}

/// The columns of a view, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns(pub Vec<Column>);

/// Why a text does not define columns, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}, at byte {offset}")]
pub struct ColumnsError {
    /// Where, in bytes from 0.
    pub offset: usize,
    /// What is wrong there.
    pub problem: ColumnsProblem,
}

/// What can be wrong with columns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsProblem {
    /// Not JSON.
    #[error(transparent)]
    Json(#[from] JsonProblem),
    /// Another shape.
    #[error("expected {expected}")]
    Shape {
        /// What was expected.
        expected: &'static str,
    },
    /// A name stands twice.
    #[error("{name:?} stands twice")]
    Twice {
        /// The name.
        name: String,
    },
    /// A name that SQL would cut.
    #[error("the name of a column is 1 to 63 bytes long")]
    NameLength,
    /// More columns than a view can have.
    #[error("more than {columns_max} columns")]
    TooMany {
        /// The limit.
        columns_max: usize,
    },
    /// No such fold.
    #[error(transparent)]
    Fold(#[from] UnknownFold),
    /// No such type.
    #[error(transparent)]
    Type(#[from] UnknownType),
    /// No such CRDT value.
    #[error(transparent)]
    Kind(#[from] UnknownKind),
    /// A property that the fold does not have.
    #[error("{fold} has no property {name:?}{}", did_you_mean(.suggestion))]
    UnknownProperty {
        /// The fold.
        fold: &'static str,
        /// The property.
        name: String,
        /// One that it resembles.
        suggestion: Option<&'static str>,
    },
    /// A property that the fold must have.
    #[error("{fold} needs the property {name:?}")]
    MissingProperty {
        /// The fold.
        fold: &'static str,
        /// The property.
        name: &'static str,
    },
    /// A type that the fold cannot have.
    #[error("{fold} cannot be of type {datum_type}")]
    TypeOfFold {
        /// The fold.
        fold: &'static str,
        /// The type.
        datum_type: &'static str,
    },
    /// A `-` before a path that leads to no number.
    #[error("only numbers can be negative: leave the '-' out")]
    Negative,
    /// Not a path.
    #[error("not a path: {problem}, in {path:?} at its byte {offset}")]
    Path {
        /// The text.
        path: String,
        /// Where in it.
        offset: usize,
        /// What is wrong there.
        problem: LanguageProblem,
    },
}

/// A value in the text, with its place; objects keep their order.
struct Node {
    offset: usize,
    value: NodeValue,
}

enum NodeValue {
    Object(Vec<Entry>),
    Array,
    Scalar(Json),
}

struct Entry {
    name: String,
    offset: usize,
    node: Node,
}

fn at(offset: usize, problem: impl Into<ColumnsProblem>) -> ColumnsError {
    ColumnsError { offset, problem: problem.into() }
}

impl From<JsonError> for ColumnsError {
    fn from(error: JsonError) -> ColumnsError {
        at(error.offset, error.problem)
    }
}

/// The next value. Recurses as deep as the scanner lets it, which is [`DEPTH_MAX`].
fn node(scanner: &mut Scanner<'_>) -> Result<Option<Node>, ColumnsError> {
    let token = scanner.next_token()?;
    let offset = scanner.token_offset();
    let scalar = |json| Some(NodeValue::Scalar(json));
    let value = match token {
        Some(Token::BeginObject) => Some(NodeValue::Object(entries(scanner)?)),
        Some(Token::BeginArray) => {
            while node(scanner)?.is_some() {}
            Some(NodeValue::Array)
        }
        Some(Token::Null) => scalar(Json::Null),
        Some(Token::Bool(value)) => scalar(Json::Bool(value)),
        Some(Token::String(text)) => scalar(Json::String(text.into_owned())),
        Some(Token::Number(number)) => scalar(Json::parse(number, Limits::default())?),
        Some(Token::EndArray | Token::EndObject | Token::Key(_)) | None => None,
    };
    Ok(value.map(|value| Node { offset, value }))
}

fn entries(scanner: &mut Scanner<'_>) -> Result<Vec<Entry>, ColumnsError> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut names = std::collections::BTreeSet::new();
    while let Some(Token::Key(name)) = scanner.next_token()? {
        let offset = scanner.token_offset();
        let name = name.into_owned();
        if !names.insert(name.clone()) {
            return Err(at(offset, ColumnsProblem::Twice { name }));
        }
        if let Some(node) = node(scanner)? {
            entries.push(Entry { name, offset, node });
        }
    }
    Ok(entries)
}

impl Columns {
    /// The one column of a view that a reducer makes: of an event nothing is read for it.
    pub fn reduced() -> Columns {
        let column_type = ColumnType::Datum(DatumType::Jsonb);
        Columns(vec![Column {
            name: "state".to_owned(),
            fold: Fold::Lww,
            column_type,
            value: None,
            by: None,
            remove: None,
            key: None,
        }])
    }
}

impl FromStr for Columns {
    type Err = ColumnsError;

    fn from_str(text: &str) -> Result<Columns, ColumnsError> {
        let shape = |offset| {
            at(
                offset,
                ColumnsProblem::Shape {
                    expected: "an object of columns, as in {\"on_hand\": {\"fold\": \"sum\", \"value\": \"qty\"}}",
                },
            )
        };
        if text.len() > TEXT_BYTES_MAX {
            let limit_bytes = TEXT_BYTES_MAX;
            return Err(at(0, JsonProblem::TooLarge(crate::json::TooLarge { limit_bytes })));
        }
        let mut scanner = Scanner::new(text, DEPTH_MAX);
        let whole = node(&mut scanner)?.ok_or(shape(0))?;
        scanner.next_token()?;
        let NodeValue::Object(entries) = whole.value else {
            return Err(shape(whole.offset));
        };
        if entries.len() > COLUMNS_MAX {
            let columns_max = COLUMNS_MAX;
            return Err(at(whole.offset, ColumnsProblem::TooMany { columns_max }));
        }
        entries.into_iter().map(column).collect::<Result<_, _>>().map(Columns)
    }
}

/// The properties that a fold has besides `fold`, and whether it must.
fn properties(fold: Fold) -> &'static [(&'static str, bool)] {
    match fold {
        Fold::Count => &[("value", false)],
        Fold::Sum | Fold::Avg | Fold::Min | Fold::Max | Fold::Mv => &[("value", true), ("type", false)],
        Fold::Lww | Fold::Fww => &[("value", true), ("type", false), ("by", false)],
        Fold::Set | Fold::RwSet => &[("add", true), ("remove", false), ("type", false)],
        Fold::Flag | Fold::DwFlag => &[("value", true)],
        Fold::Map => &[("key", true), ("value", true), ("remove", false)],
        Fold::Merge => &[("value", true), ("type", true)],
    }
}

/// The type of a fold's column unless said otherwise.
fn default_type(fold: Fold) -> DatumType {
    match fold {
        Fold::Sum | Fold::Avg | Fold::Min | Fold::Max => DatumType::Numeric,
        Fold::Count => DatumType::Bigint,
        Fold::Flag | Fold::DwFlag => DatumType::Boolean,
        Fold::Map => DatumType::Jsonb,
        Fold::Lww | Fold::Fww | Fold::Mv | Fold::Set | Fold::RwSet | Fold::Merge => DatumType::Text,
    }
}

fn column(entry: Entry) -> Result<Column, ColumnsError> {
    let Entry { name, offset, node } = entry;
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(at(offset, ColumnsProblem::NameLength));
    }
    let NodeValue::Object(given) = node.value else {
        let expected = "an object with a fold, as in {\"fold\": \"sum\", \"value\": \"qty\"}";
        return Err(at(node.offset, ColumnsProblem::Shape { expected }));
    };
    let fold_entry = given.iter().find(|entry| entry.name == "fold");
    let fold_node = fold_entry.map(|entry| &entry.node).ok_or_else(|| {
        let expected = "a column with the property \"fold\"";
        at(node.offset, ColumnsProblem::Shape { expected })
    })?;
    let fold: Fold = string(fold_node)?.parse().map_err(|unknown: UnknownFold| at(fold_node.offset, unknown))?;
    let known = properties(fold);
    for entry in &given {
        if entry.name != "fold" && !known.iter().any(|(name, _)| *name == entry.name) {
            let names = known.iter().map(|(name, _)| *name).chain(["fold"]);
            let problem = ColumnsProblem::UnknownProperty {
                fold: fold.name(),
                name: excerpt(&entry.name),
                suggestion: similar(&entry.name, names),
            };
            return Err(at(entry.offset, problem));
        }
    }
    for (name, needed) in known {
        if *needed && !given.iter().any(|entry| entry.name == *name) {
            let fold = fold.name();
            return Err(at(node.offset, ColumnsProblem::MissingProperty { fold, name }));
        }
    }
    let property = |name: &str| given.iter().find(|entry| entry.name == name).map(|entry| &entry.node);
    let column_type = column_type(fold, property("type"))?;
    let numeric = matches!(column_type, ColumnType::Datum(DatumType::Numeric | DatumType::Bigint));
    let numeric = numeric && fold != Fold::Count;
    let read = |name: &str, numeric: bool| property(name).map(|node| selector(node, numeric)).transpose();
    let value = if matches!(fold, Fold::Set | Fold::RwSet) { "add" } else { "value" };
    Ok(Column {
        fold,
        column_type,
        value: read(value, numeric)?,
        by: read("by", true)?,
        remove: read("remove", numeric)?,
        key: read("key", false)?,
        name,
    })
}

fn string(node: &Node) -> Result<&str, ColumnsError> {
    match &node.value {
        NodeValue::Scalar(Json::String(text)) => Ok(text),
        _ => Err(at(node.offset, ColumnsProblem::Shape { expected: "a string" })),
    }
}

fn column_type(fold: Fold, given: Option<&Node>) -> Result<ColumnType, ColumnsError> {
    let Some(node) = given else {
        return Ok(ColumnType::Datum(default_type(fold)));
    };
    let name = string(node)?;
    if fold == Fold::Merge {
        let kind: Kind = name.parse().map_err(|unknown: UnknownKind| at(node.offset, unknown))?;
        return Ok(ColumnType::Crdt(kind));
    }
    let datum_type: DatumType = name.parse().map_err(|unknown: UnknownType| at(node.offset, unknown))?;
    let fits = match fold {
        Fold::Sum => matches!(datum_type, DatumType::Numeric | DatumType::Bigint),
        Fold::Avg => datum_type == DatumType::Numeric,
        _ => true,
    };
    if fits {
        return Ok(ColumnType::Datum(datum_type));
    }
    let problem = ColumnsProblem::TypeOfFold { fold: fold.name(), datum_type: datum_type.name() };
    Err(at(node.offset, problem))
}

fn selector(node: &Node, numeric: bool) -> Result<Selector, ColumnsError> {
    match &node.value {
        NodeValue::Object(entries) => {
            let by_type = entries.iter().map(|entry| Ok((entry.name.clone(), source(&entry.node, numeric)?)));
            by_type.collect::<Result<_, _>>().map(Selector::ByType)
        }
        _ => source(node, numeric).map(Selector::Any),
    }
}

fn source(node: &Node, numeric: bool) -> Result<Source, ColumnsError> {
    match &node.value {
        NodeValue::Scalar(Json::String(text)) => {
            let path: Path = text.parse().map_err(|LanguageError { offset, problem }| {
                let path = excerpt(text);
                at(node.offset, ColumnsProblem::Path { path, offset, problem })
            })?;
            if path.negated && !numeric {
                return Err(at(node.offset, ColumnsProblem::Negative));
            }
            Ok(Source::Path(path))
        }
        NodeValue::Scalar(constant) => Ok(Source::Constant(constant.clone())),
        NodeValue::Object(_) | NodeValue::Array => {
            let expected = "a path, a number, true, false or null (or an object of them by event type)";
            Err(at(node.offset, ColumnsProblem::Shape { expected }))
        }
    }
}

impl Selector {
    /// The source for events of a type.
    pub fn of(&self, kind: &str) -> Option<&Source> {
        match self {
            Selector::Any(source) => Some(source),
            Selector::ByType(sources) => sources.iter().find(|(name, _)| name == kind).map(|(_, source)| source),
        }
    }
}
