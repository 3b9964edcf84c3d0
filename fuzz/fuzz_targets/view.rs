//! The language of views: what is read as a path, a key, a filter or columns reads an event, and a path prints as itself.
#![no_main]

use gundb_core::view::{Alteration, Columns, EventView, Filter, Key, Path};
use gundb_core::{Hlc, Json, Limits, SiteId};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

fuzz_target!(|text: &str| {
    let data = r#"{"a": {"b": [1, "x", null, {"c": true}]}, "qty": 3, "": "2026-11-23T00:41:07Z"}"#;
    let data = Json::parse(data, Limits::default()).unwrap();
    let (id, site, hlc) = (Uuid::from_u128(1), SiteId(Uuid::from_u128(2)), Hlc::MIN);
    let event = EventView { key: Some("k"), kind: "a", id, site, hlc, data: &data, meta: &data };
    if let Ok(path) = text.parse::<Path>() {
        assert_eq!(path.to_string().parse().as_ref(), Ok(&path));
        let _ = path.find(&event);
    }
    if let Ok(key) = text.parse::<Key>() {
        let _ = key.of(&event);
    }
    if let Ok(filter) = text.parse::<Filter>() {
        let _ = filter.takes(&event);
    }
    if let Ok(columns) = text.parse::<Columns>() {
        for column in &columns.0 {
            let _ = column.operations(&event);
        }
        let alter = |alteration: Alteration, text: &str| alteration.of(text).unwrap().parse::<Columns>().unwrap();
        assert_eq!(alter(Alteration::default(), text), columns);
        let all = || Some(text.to_owned());
        assert_eq!(alter(Alteration { change: all(), ..Alteration::default() }, text), columns);
        let drop = columns.0.iter().map(|column| column.name.clone()).collect();
        assert_eq!(alter(Alteration { drop, add: all(), ..Alteration::default() }, text), columns);
    }
});
