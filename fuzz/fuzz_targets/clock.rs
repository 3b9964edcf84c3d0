//! Clocks, as bytes and as text.
#![no_main]

use std::cmp::Ordering;

use gundb_core::Clock;
use libfuzzer_sys::fuzz_target;

fn check(clock: &Clock) {
    assert_eq!(Clock::decode(&clock.encode()).as_ref(), Ok(clock));
    assert_eq!(clock.to_string().parse().as_ref(), Ok(clock));
    assert_eq!(&clock.join(clock), clock);
    assert_eq!(&clock.meet(clock), clock);
    assert_eq!(clock.compare(clock), Some(Ordering::Equal));
    assert!(clock.difference(clock).is_empty());
    assert!(clock.iter().all(|dot| clock.covers(&dot)));
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(clock) = Clock::decode(bytes) {
        assert_eq!(clock.encode(), bytes);
        check(&clock);
    }
    if let Some(clock) = str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()) {
        check(&clock);
    }
});
