//! A bound on what one check costs, whatever the schema.
//!
//! Without references a check looks at each piece of data once for each piece of schema. With them the ways through a schema can double at each
//! level: of the data, where a schema refers to itself; of the schema, where each definition refers to the next one twice. So what is counted is the
//! references followed. The checking library has no such bound, but takes keywords of others: each reference gets one that counts, and that leaves
//! the library by unwinding when there were too many. Data is descended into by references too, so that is where the stack is looked at.
//!
//! What must always hold here: the counter stands before what it counts, and JSON Pointers into the schema still lead where they led.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use jsonschema::{Keyword, ValidationError};
use serde_json::{Map, Value, json};

/// The keyword that counts.
pub const KEYWORD: &str = "gundb:step";

/// What is left of the check under way, and whom to ask whether it may go on.
pub struct Steps {
    left: AtomicU32,
    objection: fn() -> Option<Stop>,
}

/// Why a check is left before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It has taken all its steps.
    TooManySteps,
    /// The stack has grown as far as it may.
    TooDeep,
    /// Somebody does not want to wait for it.
    Interrupted,
}

impl Steps {
    pub fn new(objection: fn() -> Option<Stop>) -> Steps {
        Steps { left: AtomicU32::new(0), objection }
    }

    /// Runs a check of at most so many steps.
    pub fn limit<T>(&self, steps_max: u32, check: impl FnOnce() -> T) -> Result<T, Stop> {
        self.left.store(steps_max, Relaxed);
        // The library keeps what it remembers of a check on the stack, so nothing half-done stays behind.
        catch_unwind(AssertUnwindSafe(check)).map_err(|payload| match payload.downcast::<Stop>() {
            Ok(stop) => *stop,
            Err(other) => resume_unwind(other),
        })
    }

    fn step(&self) {
        let left = self.left.load(Relaxed);
        let stop = if left == 0 { Some(Stop::TooManySteps) } else { (self.objection)() };
        if let Some(stop) = stop {
            resume_unwind(Box::new(stop));
        }
        self.left.store(left - 1, Relaxed);
    }
}

/// The keyword: it holds for all data, and counts.
pub struct Step(pub Arc<Steps>);

impl<'i> Keyword<'i> for Step {
    fn validate(&self, _: &'i Value) -> Result<(), ValidationError<'i>> {
        self.0.step();
        Ok(())
    }

    fn is_valid(&self, _: &'i Value) -> bool {
        self.0.step();
        true
    }
}

/// Sets a counter before each reference of a schema. Err: a reference that no counter could stand before.
///
/// `{"$ref": X, …}` becomes `{…, "allOf": […, {"gundb:step": true}, {"$ref": X}]}`, which means the same: "allOf" is checked in order, and what stood
/// in it keeps its place. Values that are not schemas stay as they are.
pub fn count(schema: &mut Value) -> Result<(), String> {
    match schema {
        Value::Array(elements) => elements.iter_mut().try_for_each(count),
        Value::Object(object) => {
            for (name, value) in object.iter_mut() {
                match name.as_str() {
                    "const" | "enum" => {}
                    // Names of the author's, so that "const" is one too.
                    "properties" | "patternProperties" | "dependentSchemas" | "$defs" | "definitions" => {
                        value.as_object_mut().into_iter().flat_map(Map::values_mut).try_for_each(count)?;
                    }
                    _ => count(value)?,
                }
            }
            count_references(object)
        }
        _ => Ok(()),
    }
}

fn count_references(object: &mut Map<String, Value>) -> Result<(), String> {
    // A property may be called "allOf": outside of schemas nothing is checked, so nothing needs a counter.
    if !matches!(object.get("allOf"), None | Some(Value::Array(_))) {
        return Ok(());
    }
    for keyword in ["$ref", "$dynamicRef"] {
        let Some(Value::String(reference)) = object.get(keyword) else { continue };
        if leads_into_value(reference) {
            return Err(reference.clone());
        }
        let reference = object.remove(keyword);
        let all_of = object.entry("allOf").or_insert_with(|| json!([]));
        if let Value::Array(all_of) = all_of {
            all_of.push(json!({ KEYWORD: true }));
            all_of.push(json!({ keyword: reference }));
        }
    }
    Ok(())
}

/// Whether a JSON Pointer passes through the value of a "const" or "enum", where schemas are none and get no counter.
fn leads_into_value(reference: &str) -> bool {
    let pointer = reference.split_once('#').map_or("", |(_, pointer)| pointer);
    let mut names_follow = false;
    for segment in pointer.split('/').skip(1) {
        // A segment spelt with escapes is none of these words, or is somebody's trick.
        if !names_follow && (matches!(segment, "const" | "enum") || segment.contains('%')) {
            return true;
        }
        names_follow = !names_follow
            && matches!(segment, "properties" | "patternProperties" | "dependentSchemas" | "$defs" | "definitions");
    }
    false
}
