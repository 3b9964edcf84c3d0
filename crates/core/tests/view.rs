//! The language of views: paths, keys, filters, columns, and what an event does to a row. Use when anything in `view` changes.

mod strategies;

use gundb_core::fold::*;
use gundb_core::view::Step;
use gundb_core::view::*;
use gundb_core::*;
use proptest::prelude::*;
use strategies::{cases, site};
use uuid::Uuid;

fn json(text: &str) -> Json {
    Json::parse(text, Limits::default()).unwrap()
}

fn event<'a>(kind: &'a str, key: Option<&'a str>, data: &'a Json, meta: &'a Json) -> EventView<'a> {
    EventView { key, kind, id: Uuid::from_u128(7), site: site(1), hlc: Hlc::new(1000, 5).unwrap(), data, meta }
}

fn columns_error(text: &str) -> String {
    text.parse::<Columns>().unwrap_err().to_string()
}

#[test]
fn a_path_leads_to_one_place_or_to_none() {
    let (data, meta) = (
        json(r#"{"qty": 3, "order": {"lines": [{"sku": "A"}, {"sku": null}]}, "odd name": true, "": 1, "a-b": 2}"#),
        json(r#"{"who": "ann"}"#),
    );
    let event = event("Sold", Some("k"), &data, &meta);
    for (path, found) in [
        ("qty", Some("3")),
        ("order.lines[0].sku", Some("\"A\"")),
        ("order.lines[1].sku", Some("null")),
        ("order.lines[2].sku", None),
        ("order.lines.sku", None),
        ("qty[0]", None),
        ("qty.x", None),
        (" \"odd name\" ", Some("true")),
        ("\"\"", Some("1")),
        ("a-b", Some("2")),
        ("@key", Some("\"k\"")),
        ("@type", Some("\"Sold\"")),
        ("@id", Some("\"00000000-0000-0000-0000-000000000007\"")),
        ("@hlc", Some("\"1970-01-01T00:00:01.000Z-0005\"")),
        ("@meta.who", Some("\"ann\"")),
        ("@meta", Some("{\"who\": \"ann\"}")),
        ("@meta.when", None),
    ] {
        let path: Path = path.parse().unwrap();
        assert_eq!(path.find(&event).map(|json| json.to_string()).as_deref(), found, "{path}");
        assert_eq!(path.to_string().parse(), Ok(path));
    }
}

#[test]
fn what_is_no_path_is_refused_with_the_place_and_perhaps_the_remedy() {
    for (text, expected) in [
        ("", "expected a path, as in place or order.lines[0].sku, found the end, at byte 0"),
        ("qty.", "expected a path, as in place or order.lines[0].sku, found the end, at byte 4"),
        ("a b", "expected '.', '[' or the end of the path, found 'b', at byte 2"),
        ("$.qty", "a path begins with a name: qty, not $.qty (a property that is called $ is quoted), at byte 0"),
        ("lines[*]", "an index is a number from 0 to 2147483647, at byte 6"),
        ("lines[0", "expected ']', found the end, at byte 7"),
        ("@kye", "an event has no field @kye (did you mean \"key\"?), at byte 0"),
        ("@key.x", "@key has no parts, at byte 4"),
        ("\"open", "a quoted text that is not well formed, at byte 0"),
        ("qty + 1", "expected '.', '[' or the end of the path, found '+', at byte 4"),
        ("lower(name)", "expected '.', '[' or the end of the path, found '(', at byte 5"),
    ] {
        assert_eq!(text.parse::<Path>().unwrap_err().to_string(), expected, "{text}");
    }
    assert!("a.".repeat(100_000).parse::<Path>().unwrap_err().to_string().starts_with("longer than 65536 bytes"));
}

#[test]
fn a_key_has_parts_with_types_and_names() {
    let key: Key = "shop, sku::bigint as sku_no, \"a b\" AS x".parse().unwrap();
    let parts: Vec<_> = key.0.iter().map(|part| (part.name.as_str(), part.datum_type)).collect();
    assert_eq!(parts, [("shop", DatumType::Text), ("sku_no", DatumType::Bigint), ("x", DatumType::Text)]);
    assert_eq!("@key".parse::<Key>().unwrap().0[0].name, "key");
    let of = |data: &str| {
        let (data, meta) = (json(data), Json::Null);
        let key = key.of(&event("Sold", None, &data, &meta));
        key.map(|key| key.map(|values| values.iter().map(Datum::to_string).collect::<Vec<_>>().join("|")))
            .map_err(|(part, error)| format!("{}: {error}", part.name))
    };
    assert_eq!(of(r#"{"shop": 1, "sku": "7", "a b": "c"}"#), Ok(Some("1|7|c".into())));
    assert_eq!(of(r#"{"shop": 1, "sku": null, "a b": "c"}"#), Ok(None));
    assert_eq!(of(r#"{"shop": 1, "a b": "c"}"#), Ok(None));
    assert_eq!(of(r#"{"shop": 1, "sku": "x", "a b": "c"}"#), Err("sku_no: \"x\" is not an integer of 64 bits".into()));
    for (text, expected) in [
        ("shop, shop", "the name \"shop\" stands twice: say which is which with 'as', at byte 6"),
        ("-shop", "a key cannot be negative: leave the '-' out, at byte 0"),
        ("sku::bigin", "no type of a view's column is called \"bigin\" (did you mean \"bigint\"?), at byte 5"),
        ("lines[0]", "expected 'as' and a name, found the end, at byte 8"),
        ("shop as", "expected a name, found the end, at byte 7"),
        ("shop sku", "expected '::', 'as', ',' or the end of the key, found 's', at byte 5"),
    ] {
        assert_eq!(text.parse::<Key>().unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn a_filter_takes_what_meets_all_its_conditions() {
    let (data, meta) = (json(r#"{"qty": 1.50, "place": "it's", "gone": null, "ok": true}"#), Json::Null);
    let event = event("Sold", None, &data, &meta);
    for (filter, takes) in [
        ("qty = 1.5", true),
        ("-qty = -1.5", true),
        ("qty = '1.50'", false),
        ("qty <> 1.5", false),
        ("qty <> 'x'", true),
        ("place = 'it''s' and ok = true", true),
        ("place = 'it''s' AND ok = false", false),
        ("place in ('a', 'it''s', 3)", true),
        ("place in ('a')", false),
        ("gone is null", true),
        ("missing IS NULL", true),
        ("gone <> 1", false),
        ("missing = 1", false),
        ("place is not null", true),
        ("@type = 'Sold'", true),
        ("@key is null", true),
    ] {
        assert_eq!(filter.parse::<Filter>().unwrap().takes(&event), takes, "{filter}");
    }
    for (text, expected) in [
        ("qty", "expected =, <>, in or is null, found the end, at byte 3"),
        ("qty > 1", "expected =, <>, in or is null, found '>', at byte 4"),
        ("qty = \"x\"", "expected a value: 'text', a number, true or false, found '\"', at byte 6"),
        ("qty = 1 or ok = true", "expected 'and' or the end of the filter, found 'o', at byte 8"),
        ("qty = 1e", "not a number, at byte 6"),
        ("qty in 1", "expected '(' and the values, found ' ', at byte 6"),
        ("qty = 'x", "a quoted text that is not well formed, at byte 6"),
    ] {
        assert_eq!(text.parse::<Filter>().unwrap_err().to_string(), expected, "{text}");
    }
}

#[test]
fn columns_keep_their_order_and_have_their_defaults() {
    let columns: Columns = r#"{
        "on_hand": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty"}},
        "place":   {"fold": "lww", "value": "place", "by": "@meta.at"},
        "a":       {"fold": "count"},
        "labels":  {"fold": "set", "add": {"Labelled": "label"}, "remove": {"Unlabelled": "label"}},
        "hits":    {"fold": "merge", "type": "gcounter", "value": "hits"}}"#
        .parse()
        .unwrap();
    let names: Vec<_> = columns.0.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["on_hand", "place", "a", "labels", "hits"]);
    let types: Vec<_> = columns.0.iter().map(|column| column.column_type).collect();
    use ColumnType::*;
    assert_eq!(
        types,
        [
            Datum(DatumType::Numeric),
            Datum(DatumType::Text),
            Datum(DatumType::Bigint),
            Datum(DatumType::Text),
            Crdt(crdt::Kind::Gcounter)
        ]
    );
}

#[test]
fn what_defines_no_columns_is_refused_with_the_place_and_perhaps_the_remedy() {
    for (text, expected) in [
        ("", "the JSON text ends too early: expected a value, at byte 0"),
        (
            "[]",
            "expected an object of columns, as in {\"on_hand\": {\"fold\": \"sum\", \"value\": \"qty\"}}, at byte 0",
        ),
        (r#"{"a": 1}"#, "expected an object with a fold, as in {\"fold\": \"sum\", \"value\": \"qty\"}, at byte 6"),
        (r#"{"a": {}}"#, "expected a column with the property \"fold\", at byte 6"),
        (r#"{"a": {"fold": "sun"}}"#, "no fold is called \"sun\" (did you mean \"sum\"?), at byte 15"),
        (r#"{"a": {"fold": "sum"}}"#, "sum needs the property \"value\", at byte 6"),
        (
            r#"{"a": {"fold": "sum", "valu": "qty"}}"#,
            "sum has no property \"valu\" (did you mean \"value\"?), at byte 22",
        ),
        (r#"{"a": {"fold": "sum", "value": "q", "by": "t"}}"#, "sum has no property \"by\", at byte 36"),
        (r#"{"a": {"fold": "count"}, "a": {"fold": "count"}}"#, "\"a\" stands twice, at byte 25"),
        (r#"{"": {"fold": "count"}}"#, "the name of a column is 1 to 63 bytes long, at byte 1"),
        (
            r#"{"a": {"fold": "min", "value": "q", "type": "numric"}}"#,
            "no type of a view's column is called \"numric\" (did you mean \"numeric\"?), at byte 44",
        ),
        (r#"{"a": {"fold": "sum", "value": "q", "type": "text"}}"#, "sum cannot be of type text, at byte 44"),
        (r#"{"a": {"fold": "lww", "value": "-q"}}"#, "only numbers can be negative: leave the '-' out, at byte 31"),
        (
            r#"{"a": {"fold": "lww", "value": "q["}}"#,
            "not a path: an index is a number from 0 to 2147483647, in \"q[\" at its byte 2, at byte 31",
        ),
        (
            r#"{"a": {"fold": "lww", "value": {"T": {"U": "q"}}}}"#,
            "expected a path, a number, true, false or null (or an object of them by event type), at byte 37",
        ),
        (
            r#"{"a": {"fold": "merge", "value": "q", "type": "gconter"}}"#,
            "no CRDT value is called \"gconter\" (did you mean \"gcounter\"?), at byte 46",
        ),
    ] {
        assert_eq!(columns_error(text), expected, "{text}");
    }
}

fn view(columns: &str) -> View {
    View {
        key: "@key".parse().unwrap(),
        filter: None,
        types: None,
        deletes: vec!["Gone".into()],
        columns: columns.parse().unwrap(),
    }
}

fn operations(columns: &str, kind: &str, data: &str) -> Result<Vec<Operation>, String> {
    let (data, meta) = (json(data), json(r#"{"at": 5}"#));
    match view(columns).read(&event(kind, Some("k"), &data, &meta)) {
        Ok(Reading::Event { effect: Effect::Fold(mut columns), .. }) => Ok(columns.remove(0)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn an_event_does_to_a_column_what_its_properties_say() {
    let number = |text: &str| Datum::Numeric(text.parse().unwrap());
    let text = |text: &str| Datum::Text(text.into());
    let sum = r#"{"a": {"fold": "sum", "value": {"Received": "qty", "Sold": "-qty", "One": 1}}}"#;
    assert_eq!(operations(sum, "Received", r#"{"qty": 1.50}"#), Ok(vec![Operation::Give(number("1.5"))]));
    assert_eq!(operations(sum, "Sold", r#"{"qty": "2"}"#), Ok(vec![Operation::Give(number("-2"))]));
    assert_eq!(operations(sum, "One", "{}"), Ok(vec![Operation::Give(number("1"))]));
    for nothing in [r#"{"qty": null}"#, "{}", "[]"] {
        assert_eq!(operations(sum, "Sold", nothing), Ok(vec![]));
    }
    assert_eq!(operations(sum, "Other", r#"{"qty": 1}"#), Ok(vec![]));
    assert_eq!(
        operations(sum, "Sold", r#"{"qty": "two"}"#),
        Err("column \"a\", path -qty: \"two\" is not a number".into())
    );
    let lww = r#"{"a": {"fold": "lww", "value": {"Moved": "place", "Lost": null}, "by": "@meta.at"}}"#;
    let by = Some(number("5"));
    let write = |value| Ok(vec![Operation::Write { by: by.clone(), value }]);
    assert_eq!(operations(lww, "Moved", r#"{"place": "x"}"#), write(Some(text("x"))));
    assert_eq!(operations(lww, "Moved", r#"{"place": null}"#), write(None));
    assert_eq!(operations(lww, "Lost", "{}"), write(None));
    assert_eq!(operations(lww, "Moved", "{}"), Ok(vec![]));
    let undated = r#"{"a": {"fold": "lww", "value": "place", "by": "@meta.when"}}"#;
    assert_eq!(operations(undated, "Moved", r#"{"place": "x"}"#), Ok(vec![]));
    let set = r#"{"a": {"fold": "set", "add": {"L": "l"}, "remove": {"U": "l"}}}"#;
    assert_eq!(operations(set, "L", r#"{"l": 1.50}"#), Ok(vec![Operation::Add(text("1.50"))]));
    assert_eq!(operations(set, "U", r#"{"l": "x"}"#), Ok(vec![Operation::Remove(text("x"))]));
    let flag = r#"{"a": {"fold": "flag", "value": {"On": true, "Off": false, "Set": "v"}}}"#;
    assert_eq!(operations(flag, "On", "{}"), Ok(vec![Operation::Enable]));
    assert_eq!(operations(flag, "Off", "{}"), Ok(vec![Operation::Disable]));
    assert_eq!(operations(flag, "Set", r#"{"v": 1}"#), Err("column \"a\", path v: 1 is not true or false".into()));
    let map = r#"{"a": {"fold": "map", "key": "k", "value": "v", "remove": {"Drop": "d"}}}"#;
    let put = Operation::Put { key: text("x"), value: Datum::Jsonb("[1]".into()) };
    assert_eq!(operations(map, "T", r#"{"k": "x", "v": [1]}"#), Ok(vec![put]));
    assert_eq!(operations(map, "T", r#"{"k": "x", "v": null}"#), Ok(vec![]));
    assert_eq!(operations(map, "Drop", r#"{"d": "x"}"#), Ok(vec![Operation::Drop { key: text("x") }]));
    let count = r#"{"a": {"fold": "count", "value": "v"}}"#;
    assert_eq!(operations(count, "T", r#"{"v": 0}"#), Ok(vec![Operation::Count]));
    assert_eq!(operations(count, "T", r#"{"v": null}"#), Ok(vec![]));
    assert_eq!(operations(r#"{"a": {"fold": "count"}}"#, "T", "{}"), Ok(vec![Operation::Count]));
    let merge = r#"{"a": {"fold": "merge", "type": "gset", "value": "v"}}"#;
    let gset: crdt::Crdt = r#"{"gset": ["x"]}"#.parse().unwrap();
    assert_eq!(operations(merge, "T", r#"{"v": {"gset": ["x"]}}"#), Ok(vec![Operation::Merge(gset.clone())]));
    assert_eq!(operations(merge, "T", r#"{"v": "{\"gset\": [\"x\"]}"}"#), Ok(vec![Operation::Merge(gset)]));
    assert_eq!(
        operations(merge, "T", r#"{"v": {"set": {"live": [], "seen": {}}}}"#),
        Err("column \"a\", path v: the value is a set, not a gset".into())
    );
}

#[test]
fn types_filter_key_and_deletes_decide_what_an_event_is() {
    let (data, meta) = (json(r#"{"qty": 1}"#), Json::Null);
    let mut view = view(r#"{"n": {"fold": "count"}}"#);
    let read = |view: &View, kind, key| view.read(&event(kind, key, &data, &meta)).unwrap();
    let key = vec![Datum::Text("k".into())];
    assert_eq!(read(&view, "Gone", Some("k")), Reading::Event { key: key.clone(), effect: Effect::Delete });
    assert_eq!(read(&view, "Sold", None), Reading::NoKey);
    view.types = Some(vec!["Sold".into()]);
    assert_eq!(read(&view, "Moved", Some("k")), Reading::NotTaken);
    assert_eq!(read(&view, "Gone", Some("k")), Reading::Event { key, effect: Effect::Delete });
    view.filter = Some("qty = 2".parse().unwrap());
    assert_eq!(read(&view, "Sold", Some("k")), Reading::NotTaken);
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn no_text_makes_a_parser_panic(text in "[a-z@.\\[\\]0-9\"' ,:=<>()-]{0,30}|\\PC{0,20}") {
        let _ = (text.parse::<Key>(), text.parse::<Filter>(), text.parse::<Columns>());
        let column = format!("{{\"a\": {{\"fold\": \"lww\", \"value\": {}}}}}", Json::String(text.clone()));
        prop_assert_eq!(column.parse::<Columns>().is_ok(), text.parse::<Path>().is_ok_and(|path| !path.negated));
    }

    #[test]
    fn a_path_comes_back_from_its_text(names in proptest::collection::vec("[a-z]{0,3}|\\PC{0,4}", 1..4), index in any::<u16>(), negated in any::<bool>()) {
        let mut steps: Vec<Step> = names.into_iter().map(Step::Name).collect();
        steps.insert(1, Step::Index(index.into()));
        for root in [Root::Data, Root::Meta] {
            let path = Path { negated, root, steps: steps.clone() };
            prop_assert_eq!(path.to_string().parse::<Path>(), Ok(path));
        }
    }
}
