//! Values of columns: decimals, times, days, and the casts from JSON.
#![no_main]

use gundb_core::view::{decode_key, encode_key};
use gundb_core::{Datum, DatumType, Decimal, Json, Limits};
use libfuzzer_sys::fuzz_target;

fn check(json: &Json) {
    for datum_type in DatumType::all() {
        let Ok(Some(datum)) = datum_type.cast(json) else { continue };
        assert_eq!(datum.datum_type(), datum_type);
        let printed = Json::parse(&datum.json_text(), Limits::default()).unwrap();
        assert_eq!(datum_type.cast(&printed).unwrap().as_ref(), Some(&datum));
        let key = [datum];
        assert_eq!(decode_key(&encode_key(&key)).unwrap(), key);
        if let [Datum::Numeric(number)] = &key {
            arithmetic(number);
        }
    }
}

fn arithmetic(number: &Decimal) {
    assert_eq!(number.to_string().parse().as_ref(), Ok(number));
    assert_eq!(number.plus(&number.negated()), Decimal::zero());
    let _ = number.average(3);
    let _ = number.clone().checked();
}

fuzz_target!(|text: &str| {
    let _ = text.parse::<DatumType>();
    // No JSON has a NUL.
    if !text.contains('\0') {
        check(&Json::String(text.to_owned()));
    }
    if let Ok(json) = Json::parse(text, Limits::default()) {
        check(&json);
    }
});
