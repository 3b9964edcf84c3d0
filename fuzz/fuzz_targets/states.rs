//! What views keep of a key: the state of its row, of its reducer, and its own values. What has been read goes on.
#![no_main]

use std::convert::Infallible;

use gundb_core::fold::{Contexts, Effect, FoldEvent, Mark, Outcome, Placed, Reduce, Reduction, RowState};
use gundb_core::view::{decode_key, encode_key};
use gundb_core::{DecodeProblem, Hlc, Lane, SiteId, StreamId};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

/// Keeps the last event.
struct Last;

impl Reduce for Last {
    type Event = u64;
    type Refusal = Infallible;
    type Failure = Infallible;

    fn reduce(&mut self, _: &str, event: &u64) -> Result<Result<String, Infallible>, Infallible> {
        Ok(Ok(event.to_string()))
    }
}

fn mark() -> Mark {
    let (hlc, lane) = (Hlc::new(1_800_000_000_000, 0).unwrap(), Lane::from_bits(1 << 16).unwrap());
    Mark { hlc, site: SiteId(Uuid::from_u128(1)), lane, seq: 1, epoch: 0 }
}

fn row(state: &RowState) {
    let values = state.values();
    let _ = state.combine(state);
    let nothing = values.ok().flatten().map(|values| Effect::Fold(vec![Vec::new(); values.len()]));
    for effect in nothing.into_iter().chain([Effect::Delete]) {
        let contexts = Contexts::new(StreamId::of_name("s"));
        if let Ok(Outcome::Merged(merged)) = state.merge(&[FoldEvent::new(mark(), effect)], &contexts) {
            match RowState::decode(&merged.encode()) {
                Ok(again) => assert_eq!(again, merged),
                // One event more than can be.
                Err(error) => assert_eq!(error.problem, DecodeProblem::Impossible),
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(state) = RowState::decode(bytes) {
        assert_eq!(state.encode(), bytes);
        row(&state);
    }
    if let Ok(mut reduction) = Reduction::decode(bytes) {
        assert_eq!(reduction.encode(), bytes);
        let Ok(_) = reduction.merge("", vec![Placed { mark: mark(), event: 1 }], &mut Last, |_| Ok(Vec::new()));
        match Reduction::decode(&reduction.encode()) {
            Ok(again) => assert_eq!(again, reduction),
            Err(error) => assert_eq!(error.problem, DecodeProblem::Impossible),
        }
    }
    if let Ok(key) = decode_key(bytes) {
        assert_eq!(encode_key(&key), bytes);
    }
});
