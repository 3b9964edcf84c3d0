//! CRDT values as bytes: one encoding each, and all that can be done with whatever has been read.
#![no_main]

use gundb_core::crdt::{Crdt, Merger, Replica};
use gundb_core::{Limits, SiteId};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

/// A value that differs in one bit, where that is one.
fn neighbour(bytes: &[u8]) -> Option<Crdt> {
    let mut bytes = bytes.to_vec();
    let at = bytes.iter().map(|byte| usize::from(*byte)).sum::<usize>() % bytes.len();
    bytes[at] ^= 1 << (bytes.len() % 8);
    Crdt::decode(&bytes).ok()
}

fn merged(one: &Crdt, other: &Crdt) -> Option<Crdt> {
    let mut merged = one.clone();
    merged.merge(other).ok()?;
    Some(merged)
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = Crdt::decode(bytes) else { return };
    assert_eq!(value.encode(), bytes);
    assert_eq!(value.to_string().parse().as_ref(), Ok(&value));
    let _ = value.value().to_json(Limits::default().bytes);
    assert_eq!(value.inspect().bytes, bytes.len());
    for other in [&value, &Crdt::empty(value.kind())] {
        assert_eq!(merged(&value, other).as_ref(), Some(&value));
        assert_eq!(merged(other, &value).as_ref(), Some(&value));
    }
    if let Some(other) = neighbour(bytes) {
        let all = merged(&value, &other);
        assert_eq!(all, merged(&other, &value));
        if let Some(all) = all {
            assert_eq!(merged(&all, &value).as_ref(), Some(&all));
            assert_eq!(Crdt::decode(&all.encode()).as_ref(), Ok(&all));
        }
    }
    let mut merger = Merger::default();
    merger.absorb(bytes).unwrap();
    merger.absorb(bytes).unwrap();
    assert_eq!(merger.value(), Some(&value));
    let database = Replica { site: SiteId(Uuid::from_u128(1)), incarnation: 0 };
    if let Ok(reissued) = value.reissue(value.acting(database)) {
        assert_eq!(Crdt::decode(&reissued.encode()).as_ref(), Ok(&reissued));
    }
});
