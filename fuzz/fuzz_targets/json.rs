//! JSON: canonical text reads as the value that it was printed from, and prints as itself.
#![no_main]

use gundb_core::{Json, Limits, canonical_text};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let limits = Limits::default();
    let Ok(value) = Json::parse(text, limits) else { return };
    let canonical = canonical_text(text, limits).unwrap();
    assert_eq!(Json::parse(&canonical, limits).as_ref(), Ok(&value));
    assert_eq!(value.to_string(), canonical);
    // What serde_json reads there is the same again.
    let value = serde_json::Value::from(&value);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&canonical).unwrap(), value);
});
