//! CRDT values as bytes: one encoding each, and all that can be done with whatever has been read.
#![no_main]

use gundb_core::crdt::{Crdt, Merger, Replica};
use gundb_core::{Limits, SiteId};
use libfuzzer_sys::fuzz_target;
use uuid::Uuid;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = Crdt::decode(bytes) else { return };
    assert_eq!(value.encode(), bytes);
    assert_eq!(value.to_string().parse().as_ref(), Ok(&value));
    let _ = value.value().to_json(Limits::default().bytes);
    assert_eq!(value.inspect().bytes, bytes.len());
    for other in [&value, &Crdt::empty(value.kind())] {
        let (mut one, mut two) = (value.clone(), other.clone());
        one.merge(other).unwrap();
        two.merge(&value).unwrap();
        assert_eq!((&one, &two), (&value, &value));
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
