//! CRDT values as text: printed and encoded, they are the same.
#![no_main]

use gundb_core::crdt::{Crdt, Kind};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for kind in Kind::ALL {
        let Ok(value) = Crdt::parse_as(text, *kind) else { continue };
        assert_eq!(value.to_string().parse().as_ref(), Ok(&value));
        assert_eq!(Crdt::decode(&value.encode()).as_ref(), Ok(&value));
        let mut merged = value.clone();
        merged.merge(&value).unwrap();
        assert_eq!(merged, value);
    }
});
