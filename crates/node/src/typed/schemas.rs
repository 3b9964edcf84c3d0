//! The event types of an enum, and their schemas.
//!
//! What must always hold here: a schema stands by itself: what the enum's refers to goes along with each type that needs it.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::error::{Error, Kind, Result};
use crate::typed::Events;

/// Where a schema keeps what it refers to.
const DEFINITIONS: &str = "$defs";

/// The event types of an enum by name, each with the schema of its data; None: there is none.
pub fn schemas<E: Events>() -> Result<BTreeMap<String, Option<String>>> {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None);
    let schema = settings.into_generator().into_root_schema_for::<E>().to_value();
    let not_variants = || {
        Error::new(Kind::Invalid, format!("{} is no enum of event types", E::schema_name())).hint(
            "Its variants are the event types: leave #[serde(tag)], #[serde(untagged)] and #[serde(transparent)] away.",
        )
    };
    let definitions = schema.get(DEFINITIONS).and_then(Value::as_object).cloned().unwrap_or_default();
    let mut types = BTreeMap::new();
    // An enum whose variants all hold nothing is one schema.
    let whole = std::slice::from_ref(&schema);
    for variant in schema.get("oneOf").and_then(Value::as_array).map_or(whole, Vec::as_slice) {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let Some(name) = variant.get("const") {
            types.insert(text(name).ok_or_else(not_variants)?, None);
        } else if let Some(names) = variant.get("enum").and_then(Value::as_array) {
            for name in names {
                types.insert(text(name).ok_or_else(not_variants)?, None);
            }
        } else {
            let (name, data) = only_property(variant).ok_or_else(not_variants)?;
            types.insert(name.to_owned(), Some(standing(data, variant, &definitions).to_string()));
        }
    }
    Ok(types)
}

/// The property that a variant is written as.
fn only_property(variant: &Value) -> Option<(&str, &Value)> {
    let (properties, required) = (variant.get("properties")?.as_object()?, variant.get("required")?.as_array()?);
    let (name, data) = properties.iter().next()?;
    let is_only =
        properties.len() == 1 && required.len() == 1 && variant.get("additionalProperties") == Some(&json!(false));
    is_only.then_some((name, data))
}

/// The schema of a variant's data, with what it says of the variant, and with all that it refers to.
fn standing(data: &Value, variant: &Value, definitions: &Map<String, Value>) -> Value {
    let mut schema = data.clone();
    let Some(object) = schema.as_object_mut() else { return schema };
    if let Some(description) = variant.get("description") {
        object.entry("description").or_insert_with(|| description.clone());
    }
    let mut needed = Map::new();
    let mut looked_at = vec![Value::Object(object.clone())];
    while let Some(value) = looked_at.pop() {
        for name in referred(&value) {
            if let Some(definition) = definitions.get(&name).filter(|_| !needed.contains_key(&name)) {
                needed.insert(name, definition.clone());
                looked_at.push(definition.clone());
            }
        }
    }
    if !needed.is_empty() {
        object.insert(DEFINITIONS.to_owned(), Value::Object(needed));
    }
    schema
}

/// The definitions that a schema refers to.
fn referred(schema: &Value) -> Vec<String> {
    match schema {
        Value::Array(values) => values.iter().flat_map(referred).collect(),
        Value::Object(object) => {
            let own = object.get("$ref").and_then(Value::as_str).and_then(|of| of.strip_prefix("#/$defs/"));
            let unescaped = own.map(|name| name.replace("~1", "/").replace("~0", "~"));
            unescaped.into_iter().chain(object.values().flat_map(referred)).collect()
        }
        _ => Vec::new(),
    }
}
