//! The chain tells apart whatever differs. Use when `chain.rs` or `event.rs` changes.

mod strategies;

use gundb_core::*;
use proptest::prelude::*;
use strategies::*;
use uuid::Uuid;

type Content = ([u8; 16], Option<String>, String, String);

fn any_content() -> impl Strategy<Value = Content> {
    (any::<bool>().prop_map(|b| [u8::from(b); 16]), proptest::option::of("[ab]{0,2}"), "[ab]{0,2}", "[ab]{0,2}")
}

fn hash((salt, key, data, meta): &Content) -> [u8; 32] {
    content_hash(salt, key.as_deref(), data, meta)
}

fn event(kind: &str, epoch: u64, hlc: Hlc, content: Content) -> Event {
    let (salt, key, data, meta) = content;
    let dot = Dot { site: site(1), stream: stream(1), lane: lane(1, 0), seq: 1 };
    let kind = kind.to_owned();
    Event { dot, hlc, xact: hlc, epoch, id: Uuid::from_u128(7), kind, key, data, meta, salt, chain: Chain([0; 16]) }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn contents_that_differ_have_different_hashes(a in any_content(), b in any_content()) {
        prop_assert_eq!(a == b, hash(&a) == hash(&b));
    }

    #[test]
    fn a_chain_is_verified_and_any_change_is_noticed(
        kind in "[a-z]{0,200}", epoch in any::<u64>(), hlc in any_hlc(), content in any_content(), previous in any::<[u8; 16]>(), which in 0..9,
    ) {
        let previous = Chain(previous);
        let mut event = event(&kind, epoch, hlc, content);
        event.chain = event.chain_after(&previous);
        prop_assert_eq!(verify_chain(&previous, &event), Ok(event.chain));
        let mut altered = event.clone();
        match which {
            0 => altered.kind.push('x'),
            1 => altered.epoch ^= 1,
            2 => altered.hlc = Hlc::from_bits(hlc.to_bits() ^ 1).unwrap_or(Hlc::MIN),
            3 => altered.xact = Hlc::from_bits(hlc.to_bits() ^ 1).unwrap_or(Hlc::MIN),
            4 => altered.id = Uuid::from_u128(8),
            5 => altered.data.push(' '),
            6 => altered.meta.push(' '),
            7 => altered.salt[3] ^= 1,
            _ => altered.key = match altered.key { None => Some(String::new()), Some(_) => None },
        }
        let mismatch = verify_chain(&previous, &altered).unwrap_err();
        prop_assert_eq!((mismatch.dot, mismatch.found), (event.dot, event.chain));
        prop_assert!(verify_chain(&Chain([0xee; 16]), &event).is_err());
    }

    /// Short inputs are gathered, long ones streamed: both must be the BLAKE3 of the layout that is documented.
    #[test]
    fn a_content_hash_is_the_blake3_of_the_documented_layout(key in proptest::option::of("[a-z]{0,300}"), data in "[a-z]{0,1500}", meta in "[a-z]{0,300}") {
        let length = |n: usize| if n < 128 { vec![n as u8] } else { vec![(n & 0x7f) as u8 | 0x80, (n >> 7) as u8] };
        let field = |text: &str| [length(text.len()), text.as_bytes().to_vec()].concat();
        let given = [u8::from(key.is_some())];
        let layout = [&[2, 1][..], &[9; 16], &given, &field(key.as_deref().unwrap_or("")), &field(&data), &field(&meta)].concat();
        prop_assert_eq!(content_hash(&[9; 16], key.as_deref(), &data, &meta), *blake3::hash(&layout).as_bytes());
    }

    #[test]
    fn a_chain_comes_back_from_its_text(bytes in any::<[u8; 16]>()) {
        prop_assert_eq!(Chain(bytes).to_string().parse(), Ok(Chain(bytes)));
    }

    #[test]
    fn the_total_order_is_by_stamp_then_by_dot(a in any_dot(), a_hlc in any_hlc(), b in any_dot(), b_hlc in any_hlc()) {
        let content = || ([0; 16], None, String::new(), String::new());
        let (mut first, mut second) = (event("A", 0, a_hlc, content()), event("A", 0, b_hlc, content()));
        (first.dot, second.dot) = (a, b);
        prop_assert_eq!(Event::cmp_total(&first, &second), (a_hlc, a).cmp(&(b_hlc, b)));
    }
}

#[test]
fn every_lane_begins_with_its_own_genesis() {
    let genesis = [
        Chain::genesis(site(1), stream(1), lane(1, 0)),
        Chain::genesis(site(2), stream(1), lane(1, 0)),
        Chain::genesis(site(1), stream(2), lane(1, 0)),
        Chain::genesis(site(1), stream(1), lane(2, 0)),
        Chain::genesis(site(1), stream(1), lane(1, 1)),
    ];
    let distinct: std::collections::BTreeSet<_> = genesis.into_iter().collect();
    assert_eq!(distinct.len(), 5);
}

#[test]
fn what_is_no_chain_is_refused() {
    for text in [
        "",
        "00",
        "0000000000000000000000000000000g",
        "+0000000000000000000000000000000",
        "000000000000000000000000000000000",
    ] {
        assert_eq!(text.parse::<Chain>(), Err(ChainTextError), "{text}");
    }
}

#[test]
fn a_transaction_is_placed_by_its_greatest_stamp() {
    let content = || ([0; 16], None, String::new(), String::new());
    let stamp = |millis| Hlc::new(millis, 0).unwrap();
    let events = vec![event("A", 0, stamp(5), content()), event("A", 0, stamp(9), content())];
    let id = events[0].transaction();
    assert_eq!(Transaction::new(id, events).greatest_stamp(), stamp(9));
    assert_eq!(Transaction::new(id, vec![]).greatest_stamp(), stamp(5));
}
