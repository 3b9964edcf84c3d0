//! The hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", 2014): wall time where it moves, a counter where it does not.
//!
//! What must always hold here: a tick is greater than what it came from, the order of stamps is the order of their bits and of their texts, and no stamp
//! is later than the year 9999. This file knows no clock: the caller says what time it is.

use std::fmt;
use std::str::FromStr;

use time::{Date, Duration, Month, PrimitiveDateTime, Time};

/// A stamp: 48 bits of unix milliseconds high, 16 bits of counter low.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(u64);

const COUNTER_BITS: u32 = 16;
const DAY_MS: u64 = 86_400_000;

const UNIX_EPOCH: PrimitiveDateTime = match Date::from_ordinal_date(1970, 1) {
    Ok(date) => PrimitiveDateTime::new(date, Time::MIDNIGHT),
    Err(_) => panic!("1970 has a first day"),
};

impl Hlc {
    /// Before every stamp that an event can have.
    pub const MIN: Hlc = Hlc(0);

    /// The last stamp of the year 9999: `9999-12-31T23:59:59.999Z-ffff`.
    pub const MAX: Hlc = Hlc((2_932_897 * DAY_MS - 1) << COUNTER_BITS | 0xffff);

    /// A stamp from milliseconds since 1970 (UTC) and a counter; None past the year 9999.
    pub const fn new(millis: u64, counter: u16) -> Option<Hlc> {
        if millis > Hlc::MAX.millis() { None } else { Some(Hlc(millis << COUNTER_BITS | counter as u64)) }
    }

    /// Milliseconds since 1970, UTC.
    pub const fn millis(self) -> u64 {
        self.0 >> COUNTER_BITS
    }

    /// What tells apart the stamps of one millisecond.
    pub const fn counter(self) -> u16 {
        (self.0 & 0xffff) as u16
    }

    /// The 64 bits. From the year 6429 on the top one is set: kept in a signed column they must be compared as unsigned.
    pub const fn to_bits(self) -> u64 {
        self.0
    }

    /// A stamp from its bits; None past [`Hlc::MAX`].
    pub const fn from_bits(bits: u64) -> Option<Hlc> {
        if bits > Hlc::MAX.0 { None } else { Some(Hlc(bits)) }
    }

    /// The stamp after `last`, at `now_ms` by the wall clock: the greater of `last + 1` and the wall clock. None past [`Hlc::MAX`].
    ///
    /// A wall clock that stands still or goes back borrows from the counter, and a full counter from the next millisecond.
    pub const fn tick(last: Hlc, now_ms: u64) -> Option<Hlc> {
        if now_ms > Hlc::MAX.millis() {
            return None;
        }
        let (next, now) = (last.0 + 1, now_ms << COUNTER_BITS);
        Hlc::from_bits(if next > now { next } else { now })
    }
}

impl fmt::Display for Hlc {
    /// `2026-11-23T00:41:07.123Z-0005`: fixed width, so that texts sort as stamps do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = UNIX_EPOCH.saturating_add(Duration::milliseconds(self.millis() as i64));
        let (hour, minute, second, millisecond) = at.as_hms_milli();
        let (month, day) = (u8::from(at.month()), at.day());
        // By hand: each append prints one, and the formatter's numbers of fixed width are slow.
        let mut text = *b"0000-00-00T00:00:00.000Z-0000";
        let mut put = |last: usize, digits: usize, base: u32, mut value: u32| {
            for place in text.iter_mut().take(last + 1).rev().take(digits) {
                *place = char::from_digit(value % base, base).map_or(b'?', |digit| digit as u8);
                value /= base;
            }
        };
        put(3, 4, 10, at.year().unsigned_abs());
        put(6, 2, 10, month.into());
        put(9, 2, 10, day.into());
        put(12, 2, 10, hour.into());
        put(15, 2, 10, minute.into());
        put(18, 2, 10, second.into());
        put(22, 3, 10, millisecond.into());
        put(28, 4, 16, self.counter().into());
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hlc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hlc({self})")
    }
}

/// Why a text is not a stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HlcTextError {
    /// The text has another shape.
    #[error("a stamp looks like 2026-11-23T00:41:07.123Z-0005 (the counter may be left out)")]
    Shape,
    /// The shape is right, and there is no such day or time of day.
    #[error("there is no such day or time of day")]
    NoSuchTime,
    /// A stamp counts from 1970.
    #[error("a stamp is not before 1970")]
    Before1970,
}

impl FromStr for Hlc {
    type Err = HlcTextError;

    fn from_str(text: &str) -> Result<Hlc, HlcTextError> {
        let (instant, counter) = match text.split_once('Z').ok_or(HlcTextError::Shape)? {
            (instant, "") => (instant, 0),
            (instant, counter) => (instant, parse_counter(counter).ok_or(HlcTextError::Shape)?),
        };
        let fields = instant_fields(instant).ok_or(HlcTextError::Shape)?;
        let at = instant_of(fields).ok_or(HlcTextError::NoSuchTime)?;
        let millis = u64::try_from((at - UNIX_EPOCH).whole_milliseconds()).map_err(|_| HlcTextError::Before1970)?;
        Hlc::new(millis, counter).ok_or(HlcTextError::NoSuchTime)
    }
}

fn parse_counter(text: &str) -> Option<u16> {
    let digits = text.strip_prefix('-')?;
    let well_formed = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if well_formed { u16::from_str_radix(digits, 16).ok() } else { None }
}

/// Year, month, day, hour, minute, second, millisecond of `2026-11-23T00:41:07.123`, digits only.
fn instant_fields(text: &str) -> Option<[u16; 7]> {
    const SHAPE: &[u8] = b"0000-11-22T33:44:55.666";
    let mut fields = [0u16; 7];
    if text.len() != SHAPE.len() {
        return None;
    }
    for (found, expected) in text.bytes().zip(SHAPE) {
        match fields.get_mut(usize::from(expected.wrapping_sub(b'0'))) {
            Some(field) if found.is_ascii_digit() => *field = *field * 10 + u16::from(found - b'0'),
            Some(_) => return None,
            None if found == *expected => {}
            None => return None,
        }
    }
    Some(fields)
}

fn instant_of([year, month, day, hour, minute, second, millisecond]: [u16; 7]) -> Option<PrimitiveDateTime> {
    let byte = |field: u16| u8::try_from(field).ok();
    let month = Month::try_from(byte(month)?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, byte(day)?).ok()?;
    let time = Time::from_hms_milli(byte(hour)?, byte(minute)?, byte(second)?, millisecond).ok()?;
    Some(PrimitiveDateTime::new(date, time))
}
