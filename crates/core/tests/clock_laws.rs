//! Clocks form a lattice, and one clock has one encoding. Use when anything in `clock` changes.

mod strategies;

use std::cmp::Ordering;

use gundb_core::*;
use proptest::prelude::*;
use strategies::*;

/// What a clock covers among the few dots that random clocks are made of, by the definition.
fn covered(clock: &Clock, dots: &[Dot]) -> Vec<bool> {
    dots.iter().map(|dot| clock.covers(dot)).collect()
}

/// The last dots of several clocks, and their successors: if two clocks differ they differ on these.
fn probes(clocks: &[&Clock]) -> Vec<Dot> {
    let lasts = clocks.iter().flat_map(|clock| clock.iter());
    lasts.flat_map(|dot| [dot, Dot { seq: dot.seq.saturating_add(1), ..dot }]).collect()
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn join_and_meet_are_commutative_associative_idempotent_and_absorb(a in any_clock(), b in any_clock(), c in any_clock()) {
        prop_assert_eq!(a.join(&b), b.join(&a));
        prop_assert_eq!(a.meet(&b), b.meet(&a));
        prop_assert_eq!(a.join(&b).join(&c), a.join(&b.join(&c)));
        prop_assert_eq!(a.meet(&b).meet(&c), a.meet(&b.meet(&c)));
        prop_assert_eq!(&a.join(&a), &a);
        prop_assert_eq!(&a.meet(&a), &a);
        prop_assert_eq!(&a.join(&a.meet(&b)), &a);
        prop_assert_eq!(&a.meet(&a.join(&b)), &a);
        prop_assert_eq!(a.meet(&b.join(&c)), a.meet(&b).join(&a.meet(&c)));
        prop_assert_eq!(&a.join(&Clock::new()), &a);
        prop_assert!(a.meet(&Clock::new()).is_empty());
    }

    #[test]
    fn a_join_covers_what_either_covers_and_a_meet_what_both_cover(a in any_clock(), b in any_clock()) {
        for dot in probes(&[&a, &b]) {
            prop_assert_eq!(a.join(&b).covers(&dot), a.covers(&dot) || b.covers(&dot));
            prop_assert_eq!(a.meet(&b).covers(&dot), a.covers(&dot) && b.covers(&dot));
        }
    }

    #[test]
    fn compare_says_what_covers_says(a in any_clock(), b in any_clock()) {
        let dots = probes(&[&a, &b]);
        let (in_a, in_b) = (covered(&a, &dots), covered(&b, &dots));
        let a_below = in_a.iter().zip(&in_b).all(|(a, b)| a <= b);
        let b_below = in_a.iter().zip(&in_b).all(|(a, b)| a >= b);
        let expected = match (a_below, b_below) {
            (true, true) => Some(Ordering::Equal),
            (true, false) => Some(Ordering::Less),
            (false, true) => Some(Ordering::Greater),
            (false, false) => None,
        };
        prop_assert_eq!(a.compare(&b), expected);
        prop_assert_eq!(a.partial_cmp(&b), expected);
        prop_assert_eq!(a.concurrent(&b), expected.is_none());
        prop_assert_eq!(a == b, expected == Some(Ordering::Equal));
        prop_assert_eq!(a.join(&b) == b, a <= b);
    }

    #[test]
    fn a_difference_holds_just_what_is_missing(a in any_clock(), b in any_clock()) {
        let difference = a.difference(&b);
        prop_assert_eq!(difference.join(&b), a.join(&b));
        prop_assert_eq!(difference.is_empty(), a <= b);
        prop_assert!(difference.iter().all(|dot| !b.covers(&dot) && a.covers(&dot)));
    }

    #[test]
    fn advancing_covers_the_dot_and_its_predecessors_and_lowers_nothing(clock in any_clock(), dot in any_dot()) {
        let mut advanced = clock.clone();
        advanced.advance(&dot);
        prop_assert_eq!(&advanced, &clock.join(&Clock::from_iter([dot])));
        prop_assert_eq!(advanced.get(dot.site, dot.stream, dot.lane), dot.seq.max(clock.get(dot.site, dot.stream, dot.lane)));
    }

    #[test]
    fn a_restriction_keeps_the_streams_taken_and_nothing_else(clock in any_clock(), taken in any_stream()) {
        let restricted = clock.restrict_to_streams(|stream| stream == taken);
        let expected: Clock = clock.iter().filter(|dot| dot.stream == taken).collect();
        prop_assert_eq!(restricted, expected);
    }

    #[test]
    fn a_clock_comes_back_from_its_bytes_and_its_text(clock in any_clock()) {
        prop_assert_eq!(Clock::decode(&clock.encode()), Ok(clock.clone()));
        prop_assert_eq!(clock.to_string().parse(), Ok(clock));
    }

    #[test]
    fn equal_clocks_have_equal_bytes_and_digests_and_others_have_not(a in any_clock(), b in any_clock()) {
        prop_assert_eq!(a == b, a.encode() == b.encode());
        prop_assert_eq!(a == b, a.digest() == b.digest());
    }

    #[test]
    fn the_text_is_what_jsonb_would_print_but_for_the_order_of_keys(clock in any_clock()) {
        // Keys of one length sort alike; the lane numbers differ in length, so compare as values and as spacing.
        let canonical = canonical_text(&clock.to_string(), Limits::default()).unwrap();
        prop_assert_eq!(canonical.len(), clock.to_string().len());
        prop_assert_eq!(canonical.parse::<Clock>().unwrap(), clock);
    }

    #[test]
    fn a_mutated_encoding_is_refused_or_encodes_to_itself(
        clock in any_clock(),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
    ) {
        let mut bytes = clock.encode();
        for (at, byte, edit) in edits {
            match edit {
                0 => { let at = at.index(bytes.len()); bytes[at] = byte }
                1 => bytes.insert(at.index(bytes.len() + 1), byte),
                _ if bytes.len() > 1 => { bytes.remove(at.index(bytes.len())); }
                _ => {}
            }
        }
        if let Ok(decoded) = Clock::decode(&bytes) {
            prop_assert_eq!(decoded.encode(), bytes);
        }
    }

    #[test]
    fn a_truncated_or_lengthened_encoding_is_refused(clock in any_clock(), cut in any::<prop::sample::Index>(), more in any::<u8>()) {
        let bytes = clock.encode();
        prop_assert!(Clock::decode(&bytes[..cut.index(bytes.len())]).is_err());
        prop_assert!(Clock::decode(&[&bytes[..], &[more]].concat()).is_err());
    }
}

/// Every change of one bit, and every replacement of one byte, of one clock that has all features.
#[test]
fn every_single_byte_mutation_is_refused_or_encodes_to_itself() {
    let clock: Clock =
        [(1, 1, 1, 0, 1), (1, 1, 1, 1, 300), (1, 1, 9, 65535, SEQ_MAX), (1, 2, 1, 7, 1), (2, 1, 1, 0, 128)]
            .map(|(s, t, run, number, seq)| Dot { site: site(s), stream: stream(t), lane: lane(run, number), seq })
            .into_iter()
            .collect();
    let bytes = clock.encode();
    for at in 0..bytes.len() {
        for byte in 0..=255 {
            let mut mutated = bytes.clone();
            mutated[at] = byte;
            if let Ok(decoded) = Clock::decode(&mutated) {
                assert_eq!(decoded.encode(), mutated);
            }
        }
    }
}

fn one_lane(tail: &[u8]) -> Vec<u8> {
    [&[1, 1][..], &[7; 16], &[1], &[8; 16], &[1], &[0, 0, 0, 0, 0, 9], tail].concat()
}

#[test]
fn each_other_spelling_of_a_clock_is_refused_with_its_reason() {
    use ClockDecodeError::*;
    assert!(Clock::decode(&one_lane(&[1, 0, 1])).is_ok());
    for (bytes, error) in [
        (vec![], Truncated { offset: 0 }),
        (vec![2, 0], Version { found: 2 }),
        (vec![1], Truncated { offset: 1 }),
        (vec![1, 0, 0], Trailing { offset: 2 }),
        (vec![1, 0x80, 0], Integer { offset: 1 }),
        // A count far beyond the bytes that are there.
        (vec![1, 0xff, 0xff, 0xff, 0xff, 0x7f], Truncated { offset: 6 }),
        (vec![1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], Integer { offset: 1 }),
        (one_lane(&[0]), Truncated { offset: 43 }),
        (one_lane(&[0, 0, 0]), Integer { offset: 42 }),
        // A seq of zero, a padded one, one above i64::MAX.
        (one_lane(&[1, 0, 0]), Integer { offset: 44 }),
        (one_lane(&[1, 0, 0x81, 0]), Integer { offset: 44 }),
        (one_lane(&[1, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]), Integer { offset: 44 }),
        // A lane number above 16 bits, at once and by addition.
        (one_lane(&[1, 0x80, 0x80, 4, 1]), Integer { offset: 43 }),
        (one_lane(&[2, 0xff, 0xff, 3, 1, 0, 1]), Integer { offset: 47 }),
    ] {
        assert_eq!(Clock::decode(&bytes), Err(error), "{bytes:?}");
    }
}

#[test]
fn entries_that_do_not_ascend_are_refused() {
    let site = |id: u8, run: u8| [&[id; 16][..], &[1], &[8; 16], &[1], &[0, 0, 0, 0, 0, run, 1, 0, 1]].concat();
    let clock = |sites: &[Vec<u8>]| [&[1, sites.len() as u8][..], &sites.concat()].concat();
    assert!(Clock::decode(&clock(&[site(1, 1), site(2, 1)])).is_ok());
    assert_eq!(Clock::decode(&clock(&[site(1, 1), site(1, 2)])), Err(ClockDecodeError::Order { offset: 45 }));
    assert_eq!(Clock::decode(&clock(&[site(2, 1), site(1, 1)])), Err(ClockDecodeError::Order { offset: 45 }));
    assert_eq!(Clock::decode(&clock(&[site(1, 0)])), Err(ClockDecodeError::Integer { offset: 36 }));
}

#[test]
fn a_clock_reads_any_order_and_white_space_and_skips_empty_objects() {
    let (a, b) = ("00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b");
    let text = format!(
        " {{\"{b}\":{{\"{a}\":{{\"000000000001-1\":1,\n\"000000000001-0\":2}}, \"{b}\": {{}} }},\t\"{a}\":{{}} , \"{a}\": {{\"{a}\": {{\"000000000001-0\": 9}}}}}} "
    );
    let clock: Clock = text.parse().unwrap();
    assert_eq!(
        clock.to_string(),
        format!(
            "{{\"{a}\": {{\"{a}\": {{\"000000000001-0\": 9}}}}, \"{b}\": {{\"{a}\": {{\"000000000001-0\": 2, \"000000000001-1\": 1}}}}}}"
        )
    );
    assert_eq!("{}".parse(), Ok(Clock::new()));
    assert_eq!(Clock::new().to_string(), "{}");
}

#[test]
fn what_is_no_clock_is_refused_with_the_place_and_the_reason() {
    let id = "00000000-0000-0000-0000-00000000000a";
    let lane = |seq: &str| format!("{{\"{id}\": {{\"{id}\": {{\"000000000001-0\": {seq}}}}}}}");
    let error = |text: &str| text.parse::<Clock>().unwrap_err().to_string();
    for (text, expected) in [
        ("", "the JSON text ends too early: expected a value, at byte 0"),
        ("[]", "a clock looks like {\"site uuid\": {\"stream uuid\": {\"9f3c01ab77e2-3\": 17}}}, at byte 0"),
        ("{} {}", "expected the end of the text, found '{', at byte 3"),
        (
            "{\"paris\": {}}",
            "the site of a clock: \"paris\" is not a uuid of the form xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, at byte 1",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
    assert!(error(&format!("{{\"{id}\": 1}}")).starts_with("a clock looks like"));
    assert!(error(&format!("{{\"{id}\": {{\"orders\": {{}}}}}}")).starts_with("the stream of a clock: \"orders\""));
    assert!(
        error(&format!("{{\"{id}\": {{\"{id}\": {{\"1\": 2}}}}}}")).starts_with("the lane of a clock: a lane is a run")
    );
    for seq in ["0", "-1", "1.0", "1e1", "9223372036854775808", "\"1\"", "null", "true", "[1]", "{}", "1e999999999"] {
        assert_eq!(error(&lane(seq)), "a seq is an integer from 1 to 9223372036854775807, at byte 101", "{seq}");
    }
    let twice = lane("1, \"000000000001-0\": 2");
    assert_eq!(error(&twice), "the lane 000000000001-0 stands twice in the clock, at byte 122");
    let deep = "{\"a\":".repeat(100_000);
    assert!(deep.parse::<Clock>().is_err());
}

#[test]
fn a_clock_of_a_million_lanes_is_read_in_linear_time() {
    let clock: Clock = (0..1_000_000u64)
        .map(|n| Dot { site: site(1), stream: stream(1), lane: lane(1 + n / 1000, (n % 1000) as u16), seq: 1 + n })
        .collect();
    let text = clock.to_string();
    let started = std::time::Instant::now();
    assert_eq!(text.parse::<Clock>().as_ref(), Ok(&clock));
    let bytes = clock.encode();
    assert_eq!(Clock::decode(&bytes).as_ref(), Ok(&clock));
    println!("text of {} bytes, encoding of {} bytes, read in {:?}", text.len(), bytes.len(), started.elapsed());
    // Seconds in a debug build on a slow machine; quadratic would be hours.
    assert!(started.elapsed().as_secs() < 60);
}
