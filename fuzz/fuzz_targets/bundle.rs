//! Bundles, hellos, receipts, questions and answers: as they come, and with a frame whose checksum fits, so that what is in it is reached.
#![no_main]

use gundb_core::bundle::{
    Summary, WireLimits, decode_answer, decode_bundle, decode_hello, decode_question, decode_receipt, encode_answer,
    encode_bundle, encode_hello, encode_question, encode_receipt, inspect,
};
use libfuzzer_sys::fuzz_target;

/// Bytes before the message: magic, version, kind, flags.
const HEADER_BYTES: usize = 7;

/// The frame that the bytes would be in, if its lengths and its checksum were right.
fn framed(bytes: &[u8]) -> Option<Vec<u8>> {
    let (header, payload) = bytes.split_at_checked(HEADER_BYTES)?;
    let mut frame = header.to_vec();
    let mut length = payload.len();
    while length >= 0x80 {
        frame.push(length as u8 | 0x80);
        length >>= 7;
    }
    frame.push(length as u8);
    // Of a compressed one, what it is before: enough.
    if header[HEADER_BYTES - 1] & 1 != 0 {
        frame.extend_from_slice(&[0x80, 0x80, 0x04]);
    }
    frame.extend_from_slice(payload);
    let checksum = blake3::hash(&frame);
    frame.extend_from_slice(&checksum.as_bytes()[..16]);
    Some(frame)
}

fn check(bytes: &[u8]) {
    let limits = WireLimits { bytes_max: 1 << 20, ..WireLimits::default() };
    let again = WireLimits::default();
    if let Ok(question) = decode_question(bytes, &limits) {
        assert_eq!(decode_question(&encode_question(&question), &again), Ok(question));
    }
    if let Ok(answer) = decode_answer(bytes, &limits) {
        assert_eq!(decode_answer(&encode_answer(&answer), &again), Ok(answer));
    }
    if let Ok(bundle) = decode_bundle(bytes, &limits) {
        for level in [0, 1] {
            assert_eq!(decode_bundle(&encode_bundle(&bundle, level), &again).as_ref(), Ok(&bundle));
        }
        let _ = Summary::of(&bundle).to_json();
    }
    if let Ok(hello) = decode_hello(bytes, &limits) {
        assert_eq!(decode_hello(&encode_hello(&hello), &again).as_ref(), Ok(&hello));
    }
    if let Ok(receipt) = decode_receipt(bytes, &limits) {
        assert_eq!(decode_receipt(&encode_receipt(&receipt), &again).as_ref(), Ok(&receipt));
    }
    let _ = inspect(bytes, &limits).map_err(|error| error.to_string());
}

fuzz_target!(|bytes: &[u8]| {
    check(bytes);
    if let Some(frame) = framed(bytes) {
        check(&frame);
    }
});
