//! JSON Schema: whatever is compiled checks data, its own text among it.
#![no_main]

use gundb_core::{Json, Limits, Schema};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

fuzz_target!(|text: &str| {
    let Ok(schema) = Schema::compile(text) else { return };
    let own = Value::from(&Json::parse(text, Limits::default()).unwrap());
    for data in [own, json!({"a": [1, "x", null]}), json!("2026-11-23"), json!(-1.5), Value::Null] {
        let _ = schema.validate(&data);
    }
});
