//! A column's value, from the JSON that PostgreSQL makes of it: so it is printed by the code that prints an edge store's.

use gundb_core::crdt::Crdt;
use gundb_core::fold::{Fold, FoldValue};
use gundb_core::view::{Column, ColumnType};
use gundb_core::{Datum, DatumType, Json, Limits};

use crate::error::Result;
use crate::site::postgres::connection::rubbish;

/// JSON from its text; None: NULL.
pub fn json(text: Option<&str>) -> Result<Json> {
    let limits = Limits { depth: Limits::DEPTH_MAX, bytes: usize::MAX };
    text.map_or(Ok(Json::Null), |text| Json::parse(text, limits)).map_err(rubbish)
}

/// A value of a type that always has one, as keys have.
pub fn datum(datum_type: DatumType, json: &Json) -> Result<Datum> {
    maybe(datum_type, json)?.ok_or_else(|| rubbish("a key is NULL"))
}

fn maybe(datum_type: DatumType, json: &Json) -> Result<Option<Datum>> {
    datum_type.cast(json).map_err(rubbish)
}

/// A column's value.
pub fn value(column: &Column, json: &Json) -> Result<FoldValue> {
    let datum_type = match column.column_type {
        ColumnType::Crdt(_) => {
            let value = match json {
                Json::Null => None,
                // A type of gundb's is a string in JSON: its text.
                Json::String(text) => Some(Crdt::from_json(&self::json(Some(text))?).map_err(rubbish)?),
                other => Some(Crdt::from_json(other).map_err(rubbish)?),
            };
            return Ok(FoldValue::Crdt(value));
        }
        ColumnType::Datum(datum_type) => datum_type,
    };
    Ok(match (column.fold, json) {
        (Fold::Mv | Fold::Set | Fold::RwSet, Json::Array(elements)) => {
            FoldValue::Array(elements.iter().map(|element| maybe(datum_type, element)).collect::<Result<_>>()?)
        }
        (Fold::Map, Json::Object(object)) => {
            let entry = |(key, value): &(String, Json)| {
                let value = Datum::Jsonb(value.to_string());
                Ok((Datum::Text(key.clone()), value))
            };
            let mut entries = object.entries().iter().map(entry).collect::<Result<Vec<_>>>()?;
            entries.sort();
            FoldValue::Entries(entries)
        }
        (_, json) => FoldValue::Datum(maybe(datum_type, json)?),
    })
}
