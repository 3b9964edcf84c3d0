//! Dots, lanes and stamps: bytes and texts round trip, and keep the order. Use when `id.rs` or `hlc.rs` changes.

mod strategies;

use gundb_core::*;
use proptest::prelude::*;
use strategies::*;

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn a_dot_comes_back_from_its_bytes_and_its_text(dot in any_dot()) {
        prop_assert_eq!(Dot::from_bytes(&dot.to_bytes()), Ok(dot));
        prop_assert_eq!(dot.to_string().parse(), Ok(dot));
        prop_assert_eq!(dot.to_string().to_uppercase().parse(), Ok(dot));
    }

    #[test]
    fn the_order_of_dots_is_the_order_of_their_bytes(a in any_dot(), b in any_dot()) {
        prop_assert_eq!(a.cmp(&b), a.to_bytes().cmp(&b.to_bytes()));
    }

    #[test]
    fn any_48_bytes_are_refused_or_are_the_encoding_of_what_they_decode_to(bytes in any::<[[u8; 16]; 3]>()) {
        let bytes = bytes.concat();
        if let Ok(dot) = Dot::from_bytes(&bytes) {
            prop_assert_eq!(dot.to_bytes().to_vec(), bytes);
        }
    }

    #[test]
    fn a_lane_comes_back_from_its_bits_and_its_text(lane in any_lane()) {
        prop_assert_eq!(Lane::from_bits(lane.to_bits()), Some(lane));
        prop_assert_eq!(Lane::new(lane.run(), lane.number()), lane);
        prop_assert_eq!(lane.to_string().parse(), Ok(lane));
    }

    #[test]
    fn a_stamp_comes_back_from_its_bits_and_its_text(hlc in any_hlc()) {
        prop_assert_eq!(Hlc::from_bits(hlc.to_bits()), Some(hlc));
        prop_assert_eq!(hlc.to_string().parse(), Ok(hlc));
        prop_assert_eq!(hlc.to_string().len(), 29);
    }

    #[test]
    fn the_order_of_stamps_is_the_order_of_their_texts(a in any_hlc(), b in any_hlc()) {
        prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
    }

    #[test]
    fn a_tick_is_later_than_the_last_and_not_before_the_wall_clock(last in any_hlc(), now_ms in 0..=Hlc::MAX.millis()) {
        match Hlc::tick(last, now_ms) {
            Some(next) => {
                prop_assert!(next > last && next.millis() >= now_ms);
                prop_assert!(next.to_bits() == last.to_bits() + 1 || next == Hlc::new(now_ms, 0).unwrap());
            }
            None => prop_assert_eq!(last, Hlc::MAX),
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in "\\PC{0,60}") {
        let _ = (text.parse::<Dot>(), text.parse::<Lane>(), text.parse::<Hlc>(), text.parse::<Run>(), text.parse::<Chain>());
        let _ = (text.parse::<SiteId>(), text.parse::<StreamName>(), text.parse::<Clock>());
    }
}

#[test]
fn a_full_counter_borrows_from_the_next_millisecond() {
    let last = Hlc::new(1000, 0xffff).unwrap();
    assert_eq!(Hlc::tick(last, 1000), Hlc::new(1001, 0));
    assert_eq!(Hlc::tick(last, 5), Hlc::new(1001, 0));
}

#[test]
fn no_stamp_is_past_the_year_9999() {
    assert_eq!(Hlc::MAX.to_string(), "9999-12-31T23:59:59.999Z-ffff");
    assert_eq!(Hlc::tick(Hlc::MAX, 0), None);
    assert_eq!(Hlc::tick(Hlc::MIN, Hlc::MAX.millis() + 1), None);
    assert_eq!(Hlc::tick(Hlc::MIN, u64::MAX), None);
    assert_eq!(Hlc::from_bits(Hlc::MAX.to_bits() + 1), None);
    assert_eq!(Hlc::new(u64::MAX, 0), None);
}

#[test]
fn a_stamp_may_be_written_without_its_counter() {
    let hlc = "2026-11-23T00:41:07.123Z".parse::<Hlc>().unwrap();
    assert_eq!(hlc.to_string(), "2026-11-23T00:41:07.123Z-0000");
    assert_eq!(Hlc::MIN.to_string(), "1970-01-01T00:00:00.000Z-0000");
}

#[test]
fn what_is_no_stamp_is_refused_with_the_reason() {
    for (text, error) in [
        ("", HlcTextError::Shape),
        ("2026-11-23T00:41:07Z", HlcTextError::Shape),
        ("2026-11-23T00:41:07.123", HlcTextError::Shape),
        ("2026-11-23 00:41:07.123Z", HlcTextError::Shape),
        ("2026-11-23T00:41:07.123Z-005", HlcTextError::Shape),
        ("2026-11-23T00:41:07.123Z-+005", HlcTextError::Shape),
        ("2026-11-23T00:41:07.123Z-00050", HlcTextError::Shape),
        ("2026-02-29T00:41:07.123Z", HlcTextError::NoSuchTime),
        ("2026-13-01T00:41:07.123Z", HlcTextError::NoSuchTime),
        ("2026-11-23T24:00:00.000Z", HlcTextError::NoSuchTime),
        ("2026-11-23T23:59:60.000Z", HlcTextError::NoSuchTime),
        ("1969-12-31T23:59:59.999Z", HlcTextError::Before1970),
    ] {
        assert_eq!(text.parse::<Hlc>(), Err(error), "{text}");
    }
}

#[test]
fn a_run_is_48_bits_and_never_zero() {
    assert_eq!(Run::new(0), None);
    assert_eq!(Run::new(1 << 48), None);
    assert_eq!(Run::new(0x9f3c_01ab_77e2).unwrap().to_string(), "9f3c01ab77e2");
    assert_eq!(Lane::from_bits(0xffff), None);
    assert_eq!("000000000000".parse::<Run>(), Err(RunTextError::Zero));
    assert!(matches!("9f3c01ab77e".parse::<Run>(), Err(RunTextError::NotTwelveDigits { .. })));
}

#[test]
fn what_is_no_dot_is_refused_with_the_part_that_is_wrong() {
    let uuid = "0d9f7a5c-6d1e-4f9b-8f0e-2f6f3a7a9b10";
    let parse = |text: &str| text.parse::<Dot>();
    assert!(parse(&format!("{uuid}/{uuid}/9f3c01ab77e2-3/1")).is_ok());
    assert_eq!(parse(""), Err(DotTextError::Parts { found: 1 }));
    assert_eq!(parse("a/b/c/d/e"), Err(DotTextError::Parts { found: 5 }));
    assert!(matches!(parse(&format!("paris/{uuid}/9f3c01ab77e2-3/1")), Err(DotTextError::Site(_))));
    assert!(matches!(parse(&format!("{{{uuid}}}/{uuid}/9f3c01ab77e2-3/1")), Err(DotTextError::Site(_))));
    assert!(matches!(parse(&format!("{uuid}/orders/9f3c01ab77e2-3/1")), Err(DotTextError::Stream(_))));
    for lane in ["9f3c01ab77e2", "9f3c01ab77e2-", "9f3c01ab77e2-65536", "9f3c01ab77e2-03", "9f3c01ab77e2--3", "-3"] {
        assert!(matches!(parse(&format!("{uuid}/{uuid}/{lane}/1")), Err(DotTextError::Lane(_))), "{lane}");
    }
    for seq in ["", "0", "-1", "+1", "01", "1.0", "9223372036854775808", "99999999999999999999", " 1", "٣"] {
        assert!(
            matches!(parse(&format!("{uuid}/{uuid}/9f3c01ab77e2-3/{seq}")), Err(DotTextError::Seq { .. })),
            "{seq}"
        );
    }
}

#[test]
fn bytes_that_are_no_dot_are_refused_with_the_reason() {
    let dot = Dot::new(site(1), stream(1), lane(1, 1), 1).unwrap();
    let mut bytes = dot.to_bytes();
    assert_eq!(Dot::from_bytes(&bytes[..47]), Err(DotDecodeError::Length { found: 47 }));
    assert_eq!(Dot::from_bytes(&[bytes.as_slice(), &[0]].concat()), Err(DotDecodeError::Length { found: 49 }));
    bytes[47] = 0;
    assert_eq!(Dot::from_bytes(&bytes), Err(DotDecodeError::SeqOutOfRange { seq: 0 }));
    bytes[40] = 0x80;
    assert_eq!(Dot::from_bytes(&bytes), Err(DotDecodeError::SeqOutOfRange { seq: 1 << 63 }));
    bytes[32..38].fill(0);
    assert_eq!(Dot::from_bytes(&bytes), Err(DotDecodeError::RunZero));
}

#[test]
fn an_error_stays_short_whatever_was_read() {
    let error = "x".repeat(1 << 20).parse::<SiteId>().unwrap_err().to_string();
    assert!(error.len() < 200, "{}", error.len());
}
