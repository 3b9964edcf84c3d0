//! Messages between sites that were damaged, cut off, or made to do harm. Use when a decoder in `bundle` changes.

mod strategies;

use gundb_core::bundle::*;
use gundb_core::{Clock, Run};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use strategies::cases;
use strategies::wire::*;

type Decoder = fn(&[u8]) -> Option<WireError>;

const DECODERS: [(u8, Decoder); 3] = [
    (1, |bytes| decode_bundle(bytes, &WireLimits::default()).err()),
    (2, |bytes| decode_hello(bytes, &WireLimits::default()).err()),
    (3, |bytes| decode_receipt(bytes, &WireLimits::default()).err()),
];

fn sample<S: Strategy>(strategy: S) -> S::Value {
    strategy.new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

/// One of each kind, the bundle also compressed; with what reads it.
fn samples() -> Vec<(Vec<u8>, Decoder)> {
    let mut bundle = sample(any_bundle());
    bundle.transactions[0].events[0].data = "x".repeat(1_000);
    let [(_, of_bundle), (_, of_hello), (_, of_receipt)] = DECODERS;
    vec![
        (encode_bundle(&bundle, 0), of_bundle),
        (encode_bundle(&bundle, 1), of_bundle),
        (encode_hello(&sample(any_hello())), of_hello),
        (encode_receipt(&sample(any_receipt())), of_receipt),
    ]
}

fn leb128(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A frame around what may be anything; `declared` where it is compressed.
fn frame(version: u8, kind: u8, flags: u8, payload: &[u8], declared: Option<u64>) -> Vec<u8> {
    let mut frame = [b"gunb".as_slice(), &[version, kind, flags], &leb128(payload.len() as u64)].concat();
    frame.extend(declared.map(leb128).unwrap_or_default());
    frame.extend_from_slice(payload);
    let checksum = blake3::hash(&frame);
    frame.extend_from_slice(&checksum.as_bytes()[..16]);
    frame
}

fn plain(kind: u8, message: &[u8]) -> Vec<u8> {
    frame(1, kind, 0, message, None)
}

/// A field of this number and these bytes.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [leb128(number << 3 | 2), leb128(bytes.len() as u64), bytes.to_vec()].concat()
}

#[test]
fn every_truncation_is_told_as_one() {
    for (bytes, decode) in samples() {
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), Some(WireError::Truncated), "{length} of {} bytes", bytes.len());
        }
        assert_eq!(decode(&[bytes.as_slice(), &[0]].concat()), Some(WireError::Trailing { bytes: 1 }));
        assert_eq!(decode(&bytes), None);
    }
}

#[test]
fn every_flipped_bit_is_noticed() {
    for (bytes, decode) in samples() {
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_some(), "bit {bit}");
        }
    }
}

#[test]
fn what_this_software_does_not_read_is_told_before_the_checksum() {
    let message = encode_receipt(&sample(any_receipt()));
    let wrong = |at: usize, byte: u8| {
        let mut bytes = message.clone();
        bytes[at] = byte;
        DECODERS[2].1(&bytes)
    };
    assert_eq!(wrong(0, b'G'), Some(WireError::Magic));
    assert_eq!(wrong(4, 2), Some(WireError::Version { found: 2 }));
    assert_eq!(wrong(5, 9), Some(WireError::UnknownKind { found: 9 }));
    assert_eq!(wrong(5, 1), Some(WireError::Kind { expected: Kind::Receipt, found: Kind::Bundle }));
    assert_eq!(wrong(6, 0x82), Some(WireError::Flags { found: 0x82 }));
    assert_eq!(DECODERS[0].1(b"not from here"), Some(WireError::Magic));
    let told = wrong(4, 2).map(|error| error.to_string());
    assert_eq!(told.as_deref(), Some("the message is of version 2 of the format, and this software reads version 1"));
}

#[test]
fn fields_of_later_versions_are_skipped() {
    let bundle = sample(any_bundle());
    let bytes = encode_bundle(&bundle, 0);
    let header = bytes.len() - 16 - Frame::read(&bytes).unwrap().bytes as usize;
    let message = &bytes[header..bytes.len() - 16];
    let later = [field(16, b"a signature"), field(99, &[0xff; 40]), leb128(77 << 3), leb128(u64::MAX)].concat();
    let extended = plain(1, &[message, &later].concat());
    assert_eq!(decode_bundle(&extended, &WireLimits::default()), Ok(bundle));
}

#[test]
fn a_bomb_goes_no_further_than_it_says_and_says_no_more_than_is_allowed() {
    let zeros = zstd::bulk::compress(&vec![0; 96 << 20], 1).unwrap();
    assert!(zeros.len() < 100_000);
    for (kind, decode) in DECODERS {
        let bomb = |declared| decode(&frame(1, kind, 1, &zeros, Some(declared)));
        assert!(matches!(bomb(1 << 20), Some(WireError::Compression { .. })));
        assert!(matches!(bomb(70 << 20), Some(WireError::Compression { .. })));
        assert!(matches!(bomb(96 << 20), Some(WireError::TooLarge { .. })));
        assert!(matches!(bomb(u64::MAX), Some(WireError::TooLarge { .. })));
        // Longer than what it stands for.
        assert!(matches!(bomb(10), Some(WireError::TooLarge { .. })));
        // Shorter than it says, and no zstd at all.
        let short = zstd::bulk::compress(&[0; 1_000], 1).unwrap();
        assert!(matches!(decode(&frame(1, kind, 1, &short, Some(2_000))), Some(WireError::Compression { .. })));
        assert!(matches!(decode(&frame(1, kind, 1, &[7; 50], Some(2_000))), Some(WireError::Compression { .. })));
        // A payload that is said to be longer than the bytes.
        let mut long = [b"gunb".as_slice(), &[1, kind, 0], &leb128(u64::MAX)].concat();
        long.extend_from_slice(&[0; 100]);
        assert_eq!(decode(&long), Some(WireError::Truncated));
    }
}

#[test]
fn what_costs_the_reader_more_than_the_sender_is_counted_first() {
    let [(_, of_bundle), (_, of_hello), (_, of_receipt)] = DECODERS;
    let too_many = |what, limit| Some(WireError::TooMany { what, limit });
    let empty = |number: u64| field(number, &[]).repeat(2_000_000);
    assert_eq!(of_hello(&plain(2, &empty(9))), too_many("ways", 20_000));
    assert_eq!(of_hello(&plain(2, &field(9, &empty(3)))), too_many("ways", 20_000));
    assert_eq!(of_hello(&plain(2, &empty(7))), too_many("patterns", 100_000));
    assert_eq!(of_hello(&plain(2, &field(9, &field(3, &empty(2))))), too_many("patterns", 100_000));
    assert_eq!(of_receipt(&plain(3, &empty(5))), too_many("refusals", 100_000));
    // Columns in one piece, and an entry at a time.
    let column = vec![0; 2_000_000];
    assert_eq!(of_bundle(&plain(1, &field(10, &field(1, &column)))), too_many("events", 100_000));
    assert_eq!(of_bundle(&plain(1, &field(10, &[0x08, 0].repeat(1_000_000)))), too_many("events", 100_000));
    assert_eq!(of_bundle(&plain(1, &field(9, &field(1, &column)))), too_many("transactions", 100_000));
    assert_eq!(of_bundle(&plain(1, &field(8, &field(2, &column)))), too_many("entries of tables", 100_000));
    assert_eq!(of_bundle(&plain(1, &field(7, &field(4, &column)))), too_many("entries of tables", 100_000));
    // Messages that do not repeat are one, however often they come.
    let repeated = [field(7, &[]), field(8, &[]), field(9, &[]), field(10, &[])].concat().repeat(1_000_000);
    assert_eq!(
        of_bundle(&plain(1, &repeated)),
        Some(WireError::Malformed { field: "site", entry: None, why: "is of the wrong length" })
    );
    // A clock that takes a hundred times its bytes.
    let lanes = [0, 1].repeat(60_000);
    let run = |run: u8| [&[0, 0, 0, 0, 0, run][..], &leb128(60_000), &lanes].concat();
    let runs: Vec<u8> = (1..=20).flat_map(run).collect();
    let clock = [&[1, 1][..], &[0; 16], &[1], &[0; 16], &[20], &runs].concat();
    assert_eq!(Clock::decode(&clock).unwrap().len(), 1_200_000);
    let hello = [field(4, &[0; 16]), vec![0x28, 1, 0x50, 1], field(11, &clock)].concat();
    assert_eq!(of_hello(&plain(2, &hello)), too_many("entries of clocks", 1_000_000));
}

#[test]
fn groups_and_fields_that_do_not_end_are_no_message() {
    for (kind, decode) in DECODERS {
        for message in [&[0x0b][..], &[0x0f], &[0x3a, 5, 0], &[0x80], &[0x09, 0], &[0xff; 11]] {
            assert!(matches!(decode(&plain(kind, message)), Some(WireError::Protobuf { .. })), "{message:?}");
        }
    }
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn a_message_of_any_bytes_is_an_error_or_can_be_written_again(
        bundle in any_bundle(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let bytes = encode_bundle(&bundle, 0);
        let header = bytes.len() - 16 - Frame::read(&bytes).unwrap().bytes as usize;
        let mut message = bytes[header..bytes.len() - 16].to_vec();
        for (at, byte) in changes {
            let at = at.index(message.len());
            message[at] = byte;
        }
        let limits = WireLimits::default();
        if let Ok(read) = decode_bundle(&plain(1, &message), &limits) {
            prop_assert_eq!(decode_bundle(&encode_bundle(&read, 0), &limits), Ok(read));
        }
    }

    #[test]
    fn any_bytes_in_a_frame_are_an_error_or_a_message(kind in 1..4u8, message in any::<Vec<u8>>()) {
        for (_, decode) in DECODERS {
            let _ = decode(&plain(kind, &message));
        }
    }
}

#[test]
fn what_a_message_says_can_be_read_by_people() {
    let bundle = Bundle { run: Run::new(7).unwrap(), ..sample(any_bundle()) };
    let events: usize = bundle.transactions.iter().map(|transaction| transaction.events.len()).sum();
    let bytes = encode_bundle(&bundle, 1);
    let told = inspect(&bytes, &WireLimits::default()).unwrap();
    assert_eq!((&told["kind"], &told["run"]), (&"bundle".into(), &"000000000007".into()));
    assert_eq!((&told["events"], &told["bytes"]), (&events.into(), &bytes.len().into()));
    let last: Clock = told["last"].to_string().parse().unwrap();
    assert_eq!(last, Summary::of(&bundle).last);
    let hello = inspect(&encode_hello(&sample(any_hello())), &WireLimits::default()).unwrap();
    assert_eq!(hello["kind"], "hello");
    let receipt = inspect(&encode_receipt(&sample(any_receipt())), &WireLimits::default()).unwrap();
    assert_eq!(receipt["kind"], "receipt");
    assert_eq!(inspect(b"", &WireLimits::default()), Err(WireError::Truncated));
}
