//! JSON Schema as gundb takes it: what is refused, what is said, what it may cost. Use when `schema.rs` or the library's version changes.

use gundb_core::schema::Stop;
use gundb_core::*;
use serde_json::{Value, json};

fn data(text: &str) -> Value {
    Value::from(&Json::parse(text, Limits::default()).unwrap())
}

fn violated(error: CheckError) -> (String, String) {
    let CheckError::Violation { path, message } = error else { panic!("{error}") };
    (path, message)
}

fn violation(schema: Value, data: Value) -> (String, String) {
    violated(Schema::compile(&schema.to_string()).unwrap().validate(&data).unwrap_err())
}

#[test]
fn a_violation_names_the_path_and_the_rule_and_never_the_data() {
    let schema = json!({
        "type": "object",
        "required": ["sku", "qty"],
        "properties": {"sku": {"type": "string", "pattern": "^[A-Z]-[0-9]+$"}, "qty": {"type": "integer", "minimum": 1},
                       "lines": {"items": {"properties": {"a/b": {"maxLength": 3}}}}},
        "additionalProperties": false
    });
    let check = |data: Value| violation(schema.clone(), data);
    let says = |path: &str, message: &str| (path.to_owned(), message.to_owned());
    assert_eq!(check(json!({"sku": "A-1"})), says("", "\"qty\" is a required property"));
    assert_eq!(check(json!({"sku": "A-1", "qty": "secret"})), says("/qty", "value is not of type \"integer\""));
    assert_eq!(check(json!({"sku": "secret", "qty": 1})), says("/sku", "value does not match \"^[A-Z]-[0-9]+$\""));
    assert_eq!(check(json!({"sku": "A-1", "qty": 0})), says("/qty", "value is less than the minimum of 1"));
    assert_eq!(
        check(json!({"sku": "A-1", "qty": 1, "lines": [{}, {"a/b": "secret"}]})),
        says("/lines/1/a~1b", "value is longer than 3 characters")
    );
    assert_eq!(check(json!({"sku": "A-1", "qty": 1, "x": 2})).0, "");
    assert_eq!(check(json!([])).1, "value is not of type \"object\"");
}

#[test]
fn valid_data_passes() {
    let schema = Schema::compile(r##"{"type": "object", "required": ["qty"], "properties": {"qty": {"$ref": "#/$defs/count"}}, "$defs": {"count": {"type": "integer"}}}"##).unwrap();
    assert_eq!(schema.validate(&json!({"qty": 3, "more": null})), Ok(()));
    assert_eq!(Schema::compile("true").unwrap().validate(&json!(1)), Ok(()));
    assert_eq!(Schema::compile("{}").unwrap().validate(&json!(1)), Ok(()));
    assert!(Schema::compile("false").unwrap().validate(&json!(1)).is_err());
}

#[test]
fn nothing_outside_of_the_schema_is_fetched() {
    for uri in
        ["https://example.com/other.json", "http://localhost:1/x", "file:///etc/passwd", "other.json", "urn:example:x"]
    {
        for schema in
            [json!({"$ref": uri}), json!({"properties": {"a": {"items": {"$ref": uri}}}}), json!({"$dynamicRef": uri})]
        {
            let error = Schema::compile(&schema.to_string()).unwrap_err();
            assert!(matches!(&error, SchemaError::OutsideReference { .. }), "{schema}: {error}");
            assert!(error.to_string().contains("copy it into $defs"));
        }
    }
}

#[test]
fn a_schema_may_refer_to_itself_and_to_its_own_parts_by_id() {
    let schema = json!({"$id": "https://example.com/order", "$defs": {"line": {"$id": "line", "type": "integer"}}, "items": {"$ref": "line"}});
    let schema = Schema::compile(&schema.to_string()).unwrap();
    assert!(schema.validate(&json!([1, 2])).is_ok() && schema.validate(&json!([1, "a"])).is_err());
    let tree = Schema::compile(r##"{"properties": {"child": {"$ref": "#"}}, "required": ["name"]}"##).unwrap();
    assert_eq!(violated(tree.validate(&json!({"name": 1, "child": {"child": {}}})).unwrap_err()).0, "/child");
}

#[test]
fn what_is_no_schema_is_refused_with_the_reason() {
    let compile = |text: &str| Schema::compile(text).unwrap_err();
    assert!(matches!(compile("{"), SchemaError::Json(_)));
    assert!(matches!(compile("[]"), SchemaError::Invalid { .. }));
    assert!(matches!(compile("1"), SchemaError::Invalid { .. }));
    assert!(
        matches!(compile(r#"{"properties": {"a": {"type": "nonsense"}}}"#), SchemaError::Invalid { path, .. } if path == "/properties/a/type")
    );
    assert!(matches!(compile(r#"{"minLength": -1}"#), SchemaError::Invalid { path, .. } if path == "/minLength"));
    assert!(matches!(compile(r#"{"pattern": "("}"#), SchemaError::Invalid { .. }));
    assert!(matches!(compile(r##"{"$ref": "#/$defs/missing"}"##), SchemaError::DanglingReference { .. }));
    assert!(matches!(compile(r##"{"$ref": "#missing"}"##), SchemaError::DanglingReference { .. }));
    assert!(
        matches!(compile(r#"{"$schema": "http://json-schema.org/draft-07/schema#"}"#), SchemaError::OtherDraft { found } if found == "http://json-schema.org/draft-07/schema")
    );
    assert!(matches!(compile(r#"{"$schema": 1}"#), SchemaError::OtherDraft { .. }));
    assert!(Schema::compile(r#"{"$schema": "https://json-schema.org/draft/2020-12/schema"}"#).is_ok());
    assert!(matches!(compile(&("[".repeat(100_000))), SchemaError::Json(_)));
    assert!(matches!(compile(&format!("{{\"const\": \"{}\"}}", "x".repeat(1 << 20))), SchemaError::Json(_)));
}

#[test]
fn numbers_are_compared_exactly() {
    let schema = Schema::compile(r#"{"maximum": 9007199254740993, "multipleOf": 0.01}"#).unwrap();
    assert!(schema.validate(&data("9007199254740993")).is_ok());
    assert!(schema.validate(&data("9007199254740993.01")).is_err());
    assert!(schema.validate(&data("9007199254740994")).is_err());
    assert!(schema.validate(&data("0.07")).is_ok());
    assert!(schema.validate(&data("0.071")).is_err());
    let small = Schema::compile(r#"{"minimum": 0.1, "multipleOf": 3}"#).unwrap();
    let started = std::time::Instant::now();
    assert!(small.validate(&data("1e131071")).is_err());
    assert!(small.validate(&data("1e-16383")).is_err());
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn a_pattern_that_backtracks_for_ever_is_stopped() {
    let schema = Schema::compile(r#"{"pattern": "^(?=(a+)+$)(a|aa)+\\1$"}"#).unwrap();
    let started = std::time::Instant::now();
    assert!(schema.validate(&json!("a".repeat(5000) + "b")).is_err());
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn a_pattern_that_compiles_to_too_much_is_refused() {
    assert!(matches!(Schema::compile(r#"{"pattern": "((\\w{100}){100}){100}"}"#), Err(SchemaError::Invalid { .. })));
}

thread_local! {
    static STACK_BASE: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

fn stack_address() -> usize {
    let here = 0u8;
    &raw const here as usize
}

/// As a server does: most of a small stack may be used, and a rest must be left.
fn stack_is_too_deep() -> Option<Stop> {
    (STACK_BASE.get() - stack_address() > 1 << 20).then_some(Stop::TooDeep)
}

#[test]
fn data_as_deep_as_is_taken_is_checked_by_a_schema_that_recurses_within_the_stack_there_is() {
    let check = |schema: Value, stack_bytes: usize| {
        let check = move || {
            STACK_BASE.set(stack_address());
            let schema = Schema::compile_with(&schema.to_string(), stack_is_too_deep).unwrap();
            let deep = "{\"a\":".repeat(1000) + "1" + &"}".repeat(1000);
            schema.validate(&data(&deep)).unwrap_err()
        };
        std::thread::Builder::new().stack_size(stack_bytes).spawn(check).unwrap().join().unwrap()
    };
    let mut wide = json!({"properties": {"a": {"$ref": "#"}}});
    for _ in 0..40 {
        wide = json!({"allOf": [wide]});
    }
    assert_eq!(check(wide, 2 << 20), CheckError::GivenUp(Stop::TooDeep));
    let narrow = json!({"type": "object", "additionalProperties": {"$ref": "#"}});
    assert!(matches!(check(narrow, 2 << 20), CheckError::GivenUp(Stop::TooDeep) | CheckError::Violation { .. }));
}

#[test]
fn a_message_stays_short_whatever_the_schema_and_the_data_say() {
    let options: Vec<String> = (0..1000).map(|n| format!("option {n}")).collect();
    let (_, message) = violation(json!({"enum": options}), json!("x".repeat(1 << 20)));
    assert!(message.len() < 600, "{}", message.len());
    let (_, message) = violation(json!({"additionalProperties": false}), json!({"x".repeat(1 << 20): 1}));
    assert!(message.len() < 600, "{}", message.len());
}

/// Two ways a level: 2^60 of them.
fn fork(keyword: &str) -> Schema {
    let branch = |required| json!({"properties": {"a": {"$ref": "#"}}, "required": [required]});
    Schema::compile(&json!({keyword: [branch("b"), branch("c")]}).to_string()).unwrap()
}

fn nested(levels: usize) -> Value {
    data(&("{\"a\": ".repeat(levels) + "{}" + &"}".repeat(levels)))
}

#[test]
fn a_schema_that_refers_to_itself_twice_is_checked_in_bounded_time() {
    for keyword in ["anyOf", "allOf", "oneOf"] {
        let (path, message) = violated(fork(keyword).validate(&nested(60)).unwrap_err());
        assert!(message.len() < 600, "{path}: {message}");
    }
}

#[test]
fn definitions_that_refer_to_the_next_one_twice_are_checked_in_bounded_time() {
    let mut definitions = serde_json::Map::new();
    for level in 0..60 {
        let next = json!({"$ref": format!("#/$defs/{}", level + 1)});
        definitions.insert(level.to_string(), json!({"allOf": [next, next]}));
    }
    definitions.insert("60".to_owned(), json!({"type": "object"}));
    let schema = json!({"$defs": definitions, "$ref": "#/$defs/0"});
    assert_eq!(
        Schema::compile(&schema.to_string()).unwrap().validate(&json!({})),
        Err(CheckError::GivenUp(Stop::TooManySteps))
    );
}

#[test]
fn a_check_that_takes_long_can_be_interrupted() {
    let schema =
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"type": "integer"}}});
    let schema = Schema::compile_with(&schema.to_string(), || Some(Stop::Interrupted)).unwrap();
    let numbers: Vec<_> = (0..5_000).collect();
    assert_eq!(schema.validate(&json!(numbers)), Err(CheckError::GivenUp(Stop::Interrupted)));
}

/// What the counter of steps does to a schema must not change what it means.
#[test]
fn a_reference_beside_other_keywords_means_what_it_meant() {
    let schema = json!({
        "$ref": "#/$defs/named", "allOf": [{"required": ["b"]}], "unevaluatedProperties": false,
        "properties": {"b": {"$ref": "#/allOf/0/required", "x": 1}, "$ref": {"type": "string"}, "allOf": {"const": {"$ref": "kept"}}},
        "$defs": {"named": {"properties": {"name": {"type": "string"}}, "required": ["name"]}}
    });
    assert!(matches!(Schema::compile(&schema.to_string()), Err(SchemaError::Invalid { .. })));
    let mut schema = schema;
    schema["properties"]["b"] = json!({"$ref": "#/allOf/0"});
    let schema = Schema::compile(&schema.to_string()).unwrap();
    let fits = |data: Value| schema.validate(&data).is_ok();
    assert!(fits(json!({"name": "a", "b": {"b": 1}, "$ref": "x", "allOf": {"$ref": "kept"}})));
    assert!(!fits(json!({"name": "a", "b": {}})));
    assert!(!fits(json!({"b": {"b": 1}})));
    assert!(!fits(json!({"name": 1, "b": {"b": 1}})));
    assert!(!fits(json!({"name": "a", "b": {"b": 1}, "other": 1})));
    assert!(!fits(json!({"name": "a", "b": {"b": 1}, "allOf": {"$ref": "other"}})));
}

#[test]
fn a_reference_into_a_value_that_is_no_schema_is_refused() {
    let schema = json!({"properties": {"a": {"$ref": "#/const"}}, "const": {"type": "integer"}});
    assert!(matches!(Schema::compile(&schema.to_string()), Err(SchemaError::ReferenceIntoValue { .. })));
    let schema = json!({"properties": {"const": {"type": "integer"}, "a": {"$ref": "#/properties/const"}}});
    assert!(Schema::compile(&schema.to_string()).unwrap().validate(&json!({"a": 1})).is_ok());
}
