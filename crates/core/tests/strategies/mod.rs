//! Random values for the property tests, from few sites, streams and lanes, so that they collide.

#![allow(dead_code, reason = "each test binary uses some of them")]

pub mod wire;

use std::hash::{BuildHasher, RandomState};

use gundb_core::{Clock, Dot, Hlc, Lane, Run, SiteId, StreamId};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use uuid::Uuid;

/// A configuration of so many cases (times `GUNDB_CASES_TIMES`) whose seed is printed, and is taken from
/// `PROPTEST_RNG_SEED` where that is set.
pub fn cases(cases: u32) -> ProptestConfig {
    let given = std::env::var("PROPTEST_RNG_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(cases));
    println!("PROPTEST_RNG_SEED={seed}");
    let times = std::env::var("GUNDB_CASES_TIMES").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    let cases = cases.saturating_mul(times);
    ProptestConfig { cases, rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..ProptestConfig::default() }
}

pub fn site(number: u8) -> SiteId {
    SiteId(Uuid::from_u128(u128::from(number) << 120 | 0x51))
}

pub fn stream(number: u8) -> StreamId {
    StreamId(Uuid::from_u128(u128::from(number) << 112 | 0x57))
}

pub fn lane(run: u64, number: u16) -> Lane {
    Lane::new(Run::new(run).unwrap(), number)
}

pub fn any_site() -> impl Strategy<Value = SiteId> {
    prop_oneof![4 => (0..3u8).prop_map(site), 1 => any::<u128>().prop_map(|bits| SiteId(Uuid::from_u128(bits)))]
}

pub fn any_stream() -> impl Strategy<Value = StreamId> {
    prop_oneof![4 => (0..3u8).prop_map(stream), 1 => any::<u128>().prop_map(|bits| StreamId(Uuid::from_u128(bits)))]
}

pub fn any_lane() -> impl Strategy<Value = Lane> {
    let run = prop_oneof![4 => 1..4u64, 1 => 1..=Run::MAX.number()];
    let number = prop_oneof![4 => 0..4u16, 1 => any::<u16>(), 1 => Just(u16::MAX)];
    (run, number).prop_map(|(run, number)| lane(run, number))
}

pub fn any_seq() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 1..5u64, 1 => 1..=gundb_core::SEQ_MAX, 1 => Just(gundb_core::SEQ_MAX)]
}

pub fn any_dot() -> impl Strategy<Value = Dot> {
    (any_site(), any_stream(), any_lane(), any_seq()).prop_map(|(site, stream, lane, seq)| Dot {
        site,
        stream,
        lane,
        seq,
    })
}

pub fn any_clock() -> impl Strategy<Value = Clock> {
    proptest::collection::vec(any_dot(), 0..12).prop_map(Clock::from_iter)
}

pub fn any_hlc() -> impl Strategy<Value = Hlc> {
    let millis = prop_oneof![0..5u64, 1_700_000_000_000..1_800_000_000_000u64, 0..=Hlc::MAX.millis()];
    (millis, prop_oneof![0..3u16, any::<u16>()]).prop_map(|(millis, counter)| Hlc::new(millis, counter).unwrap())
}
