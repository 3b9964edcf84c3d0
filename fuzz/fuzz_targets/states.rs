//! What views keep of a key: the state of its row, of its reducer, and its own values.
#![no_main]

use gundb_core::fold::{Reduction, RowState};
use gundb_core::view::{decode_key, encode_key};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(state) = RowState::decode(bytes) {
        assert_eq!(state.encode(), bytes);
        let _ = state.values();
        let _ = state.combine(&state);
    }
    if let Ok(reduction) = Reduction::decode(bytes) {
        assert_eq!(reduction.encode(), bytes);
    }
    if let Ok(key) = decode_key(bytes) {
        assert_eq!(encode_key(&key), bytes);
    }
});
