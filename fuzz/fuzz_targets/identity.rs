//! Names and numbers of what there is: whatever is read is printed as something that reads the same.
#![no_main]

use std::fmt::{Debug, Display};
use std::str::FromStr;

use gundb_core::crdt::Replica;
use gundb_core::*;
use libfuzzer_sys::fuzz_target;

fn text<T: FromStr + Display + PartialEq + Debug>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string().parse().ok().as_ref(), Some(&value));
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(dot) = Dot::from_bytes(bytes) {
        assert_eq!(dot.to_bytes(), bytes);
        text::<Dot>(&dot.to_string());
    }
    if let Ok(bits) = bytes.try_into().map(u64::from_be_bytes) {
        if let Some(hlc) = Hlc::from_bits(bits) {
            assert_eq!((hlc.to_bits(), hlc.to_string().parse()), (bits, Ok(hlc)));
        }
        if let Some(lane) = Lane::from_bits(bits) {
            assert_eq!((lane.to_bits(), lane.to_string().parse()), (bits, Ok(lane)));
        }
    }
    let Ok(string) = str::from_utf8(bytes) else { return };
    text::<Dot>(string);
    text::<Hlc>(string);
    text::<Lane>(string);
    text::<Run>(string);
    text::<SiteId>(string);
    text::<StreamId>(string);
    text::<Chain>(string);
    text::<Replica>(string);
    if let Ok(name) = string.parse::<StreamName>() {
        assert_eq!((name.as_str(), name.id()), (string, StreamId::of_name(string)));
    }
});
