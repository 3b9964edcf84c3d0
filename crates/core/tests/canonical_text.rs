//! Canonical text by rule and example. `examples/canonical_text.rs` compares it with a server; use this one without.

mod strategies;

use gundb_core::json::NumberError;
use gundb_core::*;
use proptest::prelude::*;
use strategies::*;

fn canonical(text: &str) -> Result<String, JsonProblem> {
    canonical_text(text, Limits::default()).map_err(|error| error.problem)
}

/// Each right side is what `SELECT left::jsonb::text` printed on PostgreSQL 15.
#[test]
fn texts_print_as_jsonb_prints_them() {
    for (text, expected) in [
        ("null", "null"),
        (" true ", "true"),
        ("{}", "{}"),
        ("[ ]", "[]"),
        ("[1,2 ,[],{}]", "[1, 2, [], {}]"),
        (r#"{"b":1,"a":2}"#, r#"{"a": 2, "b": 1}"#),
        (r#"{"bb":1,"a":2,"":3,"é":4,"z":5}"#, r#"{"": 3, "a": 2, "z": 5, "bb": 1, "é": 4}"#),
        (r#"{"a":1,"b":2,"a":{"x":[]}}"#, r#"{"a": {"x": []}, "b": 2}"#),
        (r#"{"a":1,"a":2,"a":3}"#, r#"{"a": 3}"#),
        (r#""\u0041\/\b\f\n\r\t\"\\\u0001\u001f""#, "\"A/\\b\\f\\n\\r\\t\\\"\\\\\\u0001\\u001f\""),
        (r#""\ud83d\ude00 😀 \u00e9""#, "\"😀 😀 é\""),
        ("\"\u{7f}\u{80}\u{2028}\u{10ffff}\"", "\"\u{7f}\u{80}\u{2028}\u{10ffff}\""),
        ("0", "0"),
        ("-0", "0"),
        ("-0.00", "0.00"),
        ("-0e5", "0"),
        ("1e5", "100000"),
        ("1E-5", "0.00001"),
        ("1.50", "1.50"),
        ("1.50e1", "15.0"),
        ("1.50e2", "150"),
        ("100e-1", "10.0"),
        ("-12.34e-3", "-0.01234"),
        ("0.000e10", "0"),
        ("0e-3", "0.000"),
        ("1e0000000003", "1000"),
        ("123456789012345678901234567890.0987654321", "123456789012345678901234567890.0987654321"),
    ] {
        assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn numbers_are_refused_exactly_where_numeric_overflows() {
    assert_eq!(canonical("1e131071").map(|text| text.len()), Ok(131_072));
    assert_eq!(canonical("-9.99e131071").map(|text| text.len()), Ok(131_073));
    assert_eq!(canonical("1e-16383").map(|text| text.len()), Ok(16_385));
    assert_eq!(canonical("0e1073741822").as_deref(), Ok("0"));
    for text in
        ["1e131072", "1e-16384", "0e-16384", "0e1073741823", "1e99999999999999999999", "1e-99999999999999999999"]
    {
        assert_eq!(canonical(text), Err(JsonProblem::Number(NumberError)), "{text}");
    }
    let long = "9".repeat(131_073);
    assert_eq!(canonical(&long), Err(JsonProblem::Number(NumberError)));
    assert_eq!(canonical(&long[1..]).as_deref(), Ok(&long[1..]));
    assert_eq!(canonical(&format!("0.{}", "0".repeat(16_384))), Err(JsonProblem::Number(NumberError)));
}

#[test]
fn what_is_no_json_is_refused_with_the_place_and_the_reason() {
    let error = |text: &str| canonical_text(text, Limits::default()).unwrap_err().to_string();
    for (text, expected) in [
        ("", "the JSON text ends too early: expected a value, at byte 0"),
        ("  ", "the JSON text ends too early: expected a value, at byte 2"),
        ("nul", "expected a value, found 'n', at byte 0"),
        ("nullx", "expected a value, found 'n', at byte 0"),
        ("True", "expected a value, found 'T', at byte 0"),
        ("1 2", "expected the end of the text, found '2', at byte 2"),
        ("[1,]", "expected a value, found ']', at byte 3"),
        ("[1 2]", "expected , or ], found '2', at byte 3"),
        ("[1}", "expected , or ], found '}', at byte 2"),
        ("{\"a\":1,}", "expected a key, found '}', at byte 7"),
        ("{\"a\" 1}", "expected :, found '1', at byte 5"),
        ("{1:2}", "expected a key or }, found '1', at byte 1"),
        ("{\"a\":1]", "expected , or }, found ']', at byte 6"),
        ("[", "the JSON text ends too early: expected a value or ], at byte 1"),
        ("\"abc", "the JSON text ends too early: expected the end of a string, at byte 4"),
        ("01", "not a JSON number, at byte 0"),
        ("-", "not a JSON number, at byte 0"),
        ("1.", "not a JSON number, at byte 0"),
        ("1e", "not a JSON number, at byte 0"),
        ("1e+", "not a JSON number, at byte 0"),
        ("1x", "not a JSON number, at byte 0"),
        ("+1", "expected a value, found '+', at byte 0"),
        (".5", "expected a value, found '.', at byte 0"),
        ("NaN", "expected a value, found 'N', at byte 0"),
        ("\"\n\"", "the control character '\\n' must be escaped in a string, at byte 1"),
        (r#""\x""#, "not an escape that JSON knows, at byte 1"),
        (r#""\u12g4""#, "not an escape that JSON knows, at byte 1"),
        (r#""\u+123""#, "not an escape that JSON knows, at byte 1"),
        (r#""\u0000""#, "\\u0000 cannot be held in a jsonb string, at byte 1"),
        (r#""\ud800""#, "a surrogate without its other half, at byte 1"),
        (r#""\udc00""#, "a surrogate without its other half, at byte 1"),
        (r#""\ud800\u0041""#, "a surrogate without its other half, at byte 1"),
        (r#""\ud800\ud800""#, "a surrogate without its other half, at byte 1"),
        ("\u{feff}1", "expected a value, found '\\u{feff}', at byte 0"),
        ("\u{a0}1", "expected a value, found '\\u{a0}', at byte 0"),
    ] {
        assert_eq!(error(text), expected, "{text:?}");
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(canonical(&nested(1000)), Ok(nested(1000)));
    assert_eq!(canonical(&nested(1001)), Err(JsonProblem::TooDeep { depth_max: 1000 }));
    let boundless = Limits { depth: usize::MAX, bytes: usize::MAX };
    assert!(canonical_text(&nested(Limits::DEPTH_MAX), boundless).is_ok());
    assert!(canonical_text(&nested(100_000), boundless).is_err());
    assert!(canonical_text(&"[".repeat(10_000_000), boundless).is_err());

    // 700 bytes that would print as nine megabytes.
    let bomb = format!("[{}0]", "1e131071,".repeat(70));
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    assert_eq!(
        canonical_text(&bomb, limits).unwrap_err().problem,
        JsonProblem::TooLarge(TooLarge { limit_bytes: 1 << 20 })
    );
    assert_eq!(canonical(&bomb).map(|text| text.len()), Ok(70 * (131_072 + 2) + 3));
    let exact = Limits { bytes: 6, ..Limits::default() };
    assert_eq!(canonical_text("[1,2]", exact).as_deref(), Ok("[1, 2]"));
    assert!(canonical_text("[1,23]", exact).is_err());
}

fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        "[^\0]{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            proptest::collection::hash_map("[^\0]{0,4}", inner, 0..6)
                .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn canonical_text_is_its_own_canonical_text_and_means_the_same(value in any_json()) {
        let text = canonical(&value.to_string()).unwrap();
        prop_assert_eq!(canonical(&text), Ok(text.clone()));
        prop_assert_eq!(&serde_json::from_str::<serde_json::Value>(&text).unwrap(), &value);
        let parsed = Json::parse(&text, Limits::default()).unwrap();
        prop_assert_eq!(serde_json::Value::from(&parsed), value);
        prop_assert_eq!(parsed.to_string(), text);
    }

    #[test]
    fn spelling_does_not_matter(value in any_json()) {
        let pretty = serde_json::to_string_pretty(&value).unwrap();
        prop_assert_eq!(canonical(&pretty), canonical(&value.to_string()));
    }

    #[test]
    fn what_one_parser_refuses_the_other_refuses(text in "[\\[\\]{},: \"\\\\ntrulefas0-9.eE+-]{0,12}") {
        // serde_json holds any number's text, numeric does not; short exponents are alike.
        let ours = canonical(&text);
        if !matches!(ours, Err(JsonProblem::Number(_))) {
            prop_assert_eq!(ours.is_ok(), serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }
    }
}
