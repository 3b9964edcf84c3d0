//! An event's bytes in an edge store.
#![no_main]

use gundb_core::Dot;
use gundb_core::store::{decode_event, encode_event, hlc_of};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((dot, bytes)) = bytes.split_at_checked(Dot::BYTES) else { return };
    let Ok(dot) = Dot::from_bytes(dot) else { return };
    if let Ok(event) = decode_event(dot, bytes) {
        assert_eq!(encode_event(&event), bytes);
        assert_eq!(hlc_of(bytes), Ok(event.hlc));
    }
});
