//! JSON Schema, draft 2020-12, for the data of events.
//!
//! What must always hold here: nothing is fetched (a `$ref` out of the document is an error when the schema is compiled), a schema, a pattern and a
//! check cost a bounded amount, and a message never repeats the data that it complains about. Validity is checked at the author's site only, so a
//! change of the library can never make two sites differ.

mod steps;

use std::fmt;
use std::sync::Arc;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, PatternOptions, Retrieve, Uri, ValidationError, Validator};
use serde_json::Value;

use crate::json::{Json, JsonError, Limits};
pub use steps::Stop;
use steps::{KEYWORD, Step, Steps};

/// What a schema may cost to read.
const SCHEMA_LIMITS: Limits = Limits { depth: 100, bytes: 1 << 20 };
/// References followed to find out whether data fits: about a second at worst.
pub const STEPS_MAX: u32 = 1_000_000;
/// References followed to find out where data does not fit: each failing way is remembered, in about a kilobyte.
const EXPLAIN_STEPS_MAX: u32 = 10_000;
/// Steps of backtracking for one match of one pattern: a few milliseconds.
const BACKTRACK_STEPS_MAX: usize = 100_000;
/// Bytes of a compiled pattern, and of its lazily built automaton.
const PATTERN_BYTES_MAX: usize = 4 << 20;
/// Characters of a message: a schema's own texts can be long.
const MESSAGE_CHARACTERS_MAX: usize = 500;

const DRAFT_2020_12: &str = "https://json-schema.org/draft/2020-12/schema";

/// A compiled schema.
pub struct Schema {
    validator: Validator,
    steps: Arc<Steps>,
}

/// Why a text is not a schema that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Not JSON, or too large (1 MB) or too deep (100 levels) for a schema.
    #[error("the schema is not JSON that can be read: {0}")]
    Json(#[from] JsonError),
    /// `$schema` names something else.
    #[error("the schema declares {found}, and only draft 2020-12 ({DRAFT_2020_12}) is understood")]
    OtherDraft {
        /// What it names.
        found: String,
    },
    /// A reference to another document.
    #[error("the schema refers to {uri}, and nothing outside of the schema is fetched: copy it into $defs")]
    OutsideReference {
        /// Where it points.
        uri: String,
    },
    /// A reference that leads nowhere.
    #[error("a reference in the schema leads nowhere: {message}")]
    DanglingReference {
        /// What the reference was.
        message: String,
    },
    /// A reference into a value that is not a schema.
    #[error("a reference in the schema leads into a value of \"const\" or \"enum\": {reference}")]
    ReferenceIntoValue {
        /// What the reference was.
        reference: String,
    },
    /// JSON, and no schema.
    #[error("not a JSON Schema: {message} (at {path:?})")]
    Invalid {
        /// Where in the schema, a JSON Pointer.
        path: String,
        /// What is wrong there.
        message: String,
    },
}

/// Why data was not found valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// The data breaks its schema.
    #[error("{message} (at {path:?})")]
    Violation {
        /// Where in the data, a JSON Pointer (RFC 6901): empty for the whole.
        path: String,
        /// What is wrong there; speaks of "value", never repeats it.
        message: String,
    },
    /// Whether the data fits was not found out. Of [`Stop::TooManySteps`], the number is [`STEPS_MAX`].
    #[error("checking the data was given up: {0:?}")]
    GivenUp(Stop),
}

/// What is asked for a document that is not there.
struct NothingOutside;

impl Retrieve for NothingOutside {
    fn retrieve(&self, _: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        Err("nothing outside of the schema is fetched".into())
    }
}

impl Schema {
    /// Compiles a schema. Milliseconds: once for each definition and backend.
    pub fn compile(text: &str) -> Result<Schema, SchemaError> {
        Schema::compile_with(text, || None)
    }

    /// Compiles a schema whose checks ask, at each reference they follow, whether they may go on.
    pub fn compile_with(text: &str, objection: fn() -> Option<Stop>) -> Result<Schema, SchemaError> {
        let mut schema = Value::from(&Json::parse(text, SCHEMA_LIMITS)?);
        let declared =
            schema.get("$schema").map(|declared| declared.as_str().unwrap_or_default().trim_end_matches('#'));
        if let Some(found) = declared.filter(|declared| *declared != DRAFT_2020_12) {
            return Err(SchemaError::OtherDraft { found: shorten(found) });
        }
        // First as it is, so that an error's path is the author's.
        build(&schema, None)?;
        steps::count(&mut schema)
            .map_err(|reference| SchemaError::ReferenceIntoValue { reference: shorten(&reference) })?;
        let steps = Arc::new(Steps::new(objection));
        Ok(Schema { validator: build(&schema, Some(steps.clone()))?, steps })
    }

    /// Checks data; the first violation found, if any. About 0.4 µs for ten plain properties.
    ///
    /// Numbers must be spelt without exponents, as jsonb prints them (`Value::from(&Json)` does): `1e1000000000` would be computed.
    pub fn validate(&self, data: &Value) -> Result<(), CheckError> {
        // Whether data fits is found fast even where a schema recurses, since the library remembers; why not, is not.
        match self.steps.limit(STEPS_MAX, || self.validator.is_valid(data)) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(stop) => return Err(CheckError::GivenUp(stop)),
        }
        match self.steps.limit(EXPLAIN_STEPS_MAX, || self.validator.validate(data)) {
            Ok(Err(error)) => {
                Err(CheckError::Violation { path: error.instance_path().to_string(), message: message(&error) })
            }
            Ok(Ok(())) | Err(Stop::TooManySteps | Stop::TooDeep) => Err(CheckError::Violation {
                path: String::new(),
                message: "value does not fit, and to find out where would cost too much".to_owned(),
            }),
            Err(Stop::Interrupted) => Err(CheckError::GivenUp(Stop::Interrupted)),
        }
    }
}

fn build(schema: &Value, steps: Option<Arc<Steps>>) -> Result<Validator, SchemaError> {
    let patterns = PatternOptions::fancy_regex()
        .backtrack_limit(BACKTRACK_STEPS_MAX)
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_BYTES_MAX);
    let options = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .with_retriever(NothingOutside)
        .with_pattern_options(patterns);
    let options = match steps {
        Some(steps) => options.with_keyword(KEYWORD, move |_, _, _| Ok(Box::new(Step(steps.clone())))),
        None => options,
    };
    options.build(schema).map_err(|error| schema_error(&error))
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Schema")
    }
}

fn schema_error(error: &ValidationError<'_>) -> SchemaError {
    match error.kind() {
        ValidationErrorKind::Referencing(jsonschema::ReferencingError::Unretrievable { uri, .. }) => {
            SchemaError::OutsideReference { uri: shorten(uri) }
        }
        ValidationErrorKind::Referencing(other) => {
            SchemaError::DanglingReference { message: shorten(&other.to_string()) }
        }
        _ => SchemaError::Invalid { path: error.instance_path().to_string(), message: message(error) },
    }
}

fn message(error: &ValidationError<'_>) -> String {
    shorten(&error.masked().to_string())
}

fn shorten(text: &str) -> String {
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(MESSAGE_CHARACTERS_MAX).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}
