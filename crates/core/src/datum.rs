//! One value of a view column or of a set: a type, the cast from JSON to it, an order, a text, bytes.
//!
//! What must always hold here: equal values have one text and one encoding; text sorts by bytes, whatever the site's locale is; times are UTC; no cast
//! depends on a setting, so that every site casts alike.

use std::fmt;
use std::str::FromStr;

use time::{Date, Duration, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};
use uuid::Uuid;

use crate::bytes::{DecodeError, DecodeProblem, Reader, put_text};
use crate::decimal::Decimal;
use crate::json::{Json, Limits};
use crate::suggest::similar;

/// The type of a view's column, by its SQL name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DatumType {
    /// Exact decimals, `trim_scale`d.
    Numeric,
    /// Integers of 64 bits.
    Bigint,
    /// Text, ordered by bytes.
    Text,
    /// `false`, then `true`.
    Boolean,
    /// Instants in microseconds, UTC, of the years 1 to 9999.
    Timestamptz,
    /// Days of the years 1 to 9999.
    Date,
    /// Uuids, ordered by bytes.
    Uuid,
    /// JSON, ordered by its canonical text.
    Jsonb,
}

/// A value. Values of one type have an order; so have types, in the order of [`DatumType`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Datum {
    /// Of [`DatumType::Numeric`].
    Numeric(Decimal),
    /// Of [`DatumType::Bigint`].
    Bigint(i64),
    /// Of [`DatumType::Text`]; without NUL.
    Text(String),
    /// Of [`DatumType::Boolean`].
    Boolean(bool),
    /// Of [`DatumType::Timestamptz`]: microseconds since 1970, UTC.
    Timestamptz(Micros),
    /// Of [`DatumType::Date`]: days since 1970.
    Date(Days),
    /// Of [`DatumType::Uuid`].
    Uuid(Uuid),
    /// Of [`DatumType::Jsonb`]: its canonical text.
    Jsonb(String),
}

/// Microseconds since 1970-01-01 UTC, within the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(i64);

/// Days since 1970-01-01, within the years 1 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Days(i32);

/// A JSON value that a type cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found} is not {wanted}")]
pub struct CastError {
    /// The value, shortened.
    pub found: String,
    /// What was wanted, in words.
    pub wanted: &'static str,
}

impl CastError {
    /// That this value is none of this type.
    pub(crate) fn of(json: &Json, datum_type: DatumType) -> CastError {
        CastError { found: excerpt(&json.to_string()), wanted: datum_type.wanted() }
    }
}

const UNIX_EPOCH: PrimitiveDateTime = match Date::from_ordinal_date(1970, 1) {
    Ok(date) => PrimitiveDateTime::new(date, Time::MIDNIGHT),
    Err(_) => panic!("1970 has a first day"),
};
const EPOCH_JULIAN_DAY: i32 = UNIX_EPOCH.date().to_julian_day();

const TYPES: [(DatumType, &str); 8] = [
    (DatumType::Numeric, "numeric"),
    (DatumType::Bigint, "bigint"),
    (DatumType::Text, "text"),
    (DatumType::Boolean, "boolean"),
    (DatumType::Timestamptz, "timestamptz"),
    (DatumType::Date, "date"),
    (DatumType::Uuid, "uuid"),
    (DatumType::Jsonb, "jsonb"),
];

impl DatumType {
    /// All types.
    pub fn all() -> impl Iterator<Item = DatumType> {
        TYPES.into_iter().map(|(datum_type, _)| datum_type)
    }

    /// The SQL name.
    pub fn name(self) -> &'static str {
        TYPES.into_iter().find_map(|(candidate, name)| (candidate == self).then_some(name)).unwrap_or_default()
    }

    /// What a value must be, in words.
    fn wanted(self) -> &'static str {
        match self {
            DatumType::Numeric => "a number",
            DatumType::Bigint => "an integer of 64 bits",
            DatumType::Text => "text",
            DatumType::Boolean => "true or false",
            DatumType::Timestamptz => "a time with its offset, as in 2026-11-23T00:41:07Z",
            DatumType::Date => "a day, as in 2026-11-23",
            DatumType::Uuid => "a uuid",
            DatumType::Jsonb => "JSON",
        }
    }

    /// The value that a JSON value has in this type; JSON null has none.
    ///
    /// A string is read as the type's text. As text, a number, a boolean, an array or an object is its canonical text, as `->>` has it.
    pub fn cast(self, json: &Json) -> Result<Option<Datum>, CastError> {
        if *json == Json::Null {
            return Ok(None);
        }
        self.read(json).map(Some).ok_or_else(|| CastError::of(json, self))
    }

    fn read(self, json: &Json) -> Option<Datum> {
        let text = match json {
            Json::String(text) => Some(text.as_str()),
            _ => None,
        };
        match self {
            DatumType::Numeric => decimal(json).map(Datum::Numeric),
            DatumType::Bigint => decimal(json)?.to_i64().map(Datum::Bigint),
            DatumType::Text => Some(Datum::Text(text.map_or_else(|| json.to_string(), str::to_owned))),
            DatumType::Boolean => match (json, text) {
                (Json::Bool(value), _) => Some(Datum::Boolean(*value)),
                (_, Some("true")) => Some(Datum::Boolean(true)),
                (_, Some("false")) => Some(Datum::Boolean(false)),
                _ => None,
            },
            DatumType::Timestamptz => text?.parse().ok().map(Datum::Timestamptz),
            DatumType::Date => text?.parse().ok().map(Datum::Date),
            DatumType::Uuid => text.filter(|text| text.len() == 36)?.parse().ok().map(Datum::Uuid),
            DatumType::Jsonb => Some(Datum::Jsonb(json.to_string())),
        }
    }
}

fn decimal(json: &Json) -> Option<Decimal> {
    match json {
        Json::Number(number) => Some(Decimal::from(number)),
        Json::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Not the name of a type that a column can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no type of a view's column is called {name:?}{}", did_you_mean_or_all(.suggestion))]
pub struct UnknownType {
    /// The name.
    pub name: String,
    /// One that it resembles.
    pub suggestion: Option<&'static str>,
}

/// As [`did_you_mean`], or else all that there are.
fn did_you_mean_or_all(suggestion: &Option<&'static str>) -> String {
    match suggestion {
        Some(_) => did_you_mean(suggestion),
        None => format!(": there are {}", TYPES.map(|(_, name)| name).join(", ")),
    }
}

/// ` (did you mean "…"?)`, or nothing.
pub(crate) fn did_you_mean(suggestion: &Option<&'static str>) -> String {
    suggestion.map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default()
}

impl FromStr for DatumType {
    type Err = UnknownType;

    fn from_str(name: &str) -> Result<DatumType, UnknownType> {
        let found = TYPES.into_iter().find(|(_, candidate)| *candidate == name);
        found
            .map(|(datum_type, _)| datum_type)
            .ok_or_else(|| UnknownType { name: excerpt(name), suggestion: similar(name, TYPES.map(|(_, name)| name)) })
    }
}

/// The beginning of a text, for an error message that stays a line whatever the input was.
pub(crate) fn excerpt(text: &str) -> String {
    const CHARACTERS_MAX: usize = 64;
    let mut characters = text.chars();
    let mut short: String = characters.by_ref().take(CHARACTERS_MAX).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

impl Datum {
    /// Its type.
    pub fn datum_type(&self) -> DatumType {
        match self {
            Datum::Numeric(_) => DatumType::Numeric,
            Datum::Bigint(_) => DatumType::Bigint,
            Datum::Text(_) => DatumType::Text,
            Datum::Boolean(_) => DatumType::Boolean,
            Datum::Timestamptz(_) => DatumType::Timestamptz,
            Datum::Date(_) => DatumType::Date,
            Datum::Uuid(_) => DatumType::Uuid,
            Datum::Jsonb(_) => DatumType::Jsonb,
        }
    }

    /// The value as JSON text: a number, a boolean or JSON as it is, anything else as a string.
    pub fn json_text(&self) -> String {
        match self {
            Datum::Numeric(_) | Datum::Bigint(_) | Datum::Boolean(_) | Datum::Jsonb(_) => self.to_string(),
            Datum::Text(_) | Datum::Timestamptz(_) | Datum::Date(_) | Datum::Uuid(_) => {
                Json::String(self.to_string()).to_string()
            }
        }
    }

    /// A byte for the type, then the canonical text, counted.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        let at = TYPES.iter().position(|(candidate, _)| *candidate == self.datum_type());
        bytes.push(at.unwrap_or_default() as u8);
        put_text(bytes, &self.to_string());
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Datum, DecodeError> {
        let offset = reader.offset();
        let found = reader.byte()?;
        let (datum_type, _) =
            TYPES.get(usize::from(found)).ok_or(Reader::error_at(offset, DecodeProblem::Kind { found }))?;
        let offset = reader.offset();
        let text = reader.text()?;
        let datum = match datum_type {
            DatumType::Text => return Ok(Datum::Text(text.to_owned())),
            DatumType::Jsonb => Json::parse(text, Limits::default()).ok().map(|json| Datum::Jsonb(json.to_string())),
            other => other.read(&Json::String(text.to_owned())),
        };
        // What prints otherwise was written otherwise.
        datum.filter(|datum| datum.to_string() == text).ok_or(Reader::error_at(offset, DecodeProblem::Text))
    }
}

impl fmt::Display for Datum {
    /// The canonical text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Datum::Numeric(value) => value.fmt(f),
            Datum::Bigint(value) => value.fmt(f),
            Datum::Text(value) | Datum::Jsonb(value) => f.write_str(value),
            Datum::Boolean(value) => value.fmt(f),
            Datum::Timestamptz(value) => value.fmt(f),
            Datum::Date(value) => value.fmt(f),
            Datum::Uuid(value) => value.fmt(f),
        }
    }
}

/// Not a time, or not a day, that a view takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoSuchTime;

impl Micros {
    /// Microseconds since 1970, where that is in the years 1 to 9999.
    pub fn new(micros: i64) -> Option<Micros> {
        let at = UNIX_EPOCH.checked_add(Duration::microseconds(micros))?;
        (1..=9999).contains(&at.year()).then_some(Micros(micros))
    }

    /// The number.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl Days {
    /// The number of days since 1970.
    pub fn get(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Micros {
    /// `2026-11-23T00:41:07.5Z`: no more digits of a second than there are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = UNIX_EPOCH.saturating_add(Duration::microseconds(self.0));
        let (hour, minute, second, micro) = at.as_hms_micro();
        let (year, month, day) = (at.year(), u8::from(at.month()), at.day());
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if micro > 0 {
            let fraction = format!("{micro:06}");
            write!(f, ".{}", fraction.trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}

impl FromStr for Micros {
    type Err = NoSuchTime;

    /// RFC 3339 with `T` or a space, at most six digits of a second, and an offset: without one it would depend on who reads it.
    fn from_str(text: &str) -> Result<Micros, NoSuchTime> {
        read_instant(text).ok_or(NoSuchTime)
    }
}

fn read_instant(text: &str) -> Option<Micros> {
    let (date, rest) = text.split_at_checked(10)?;
    let date = read_date(date)?;
    let rest = rest.strip_prefix(['T', ' '])?;
    let (clock, rest) = rest.split_at_checked(8)?;
    let [hour, minute, second] = read_fields::<3>(clock, ':', [2, 2, 2])?;
    let (micro, zone) = match rest.strip_prefix('.') {
        None => (0, rest),
        Some(rest) => {
            let length = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, zone) = rest.split_at_checked(length)?;
            let micro = (1..=6).contains(&length).then(|| format!("{digits:0<6}").parse::<u32>());
            (micro?.ok()?, zone)
        }
    };
    let offset = if zone == "Z" {
        UtcOffset::UTC
    } else {
        let sign = if zone.starts_with('-') { -1 } else { 1 };
        let [hours, minutes] = read_fields::<2>(zone.strip_prefix(['+', '-'])?, ':', [2, 2])?;
        let minutes_in_hour = minutes < 60;
        let hms = minutes_in_hour.then(|| UtcOffset::from_hms(sign * hours as i8, sign * minutes as i8, 0));
        hms?.ok()?
    };
    let time = Time::from_hms_micro(hour as u8, minute as u8, second as u8, micro).ok()?;
    let at = OffsetDateTime::new_in_offset(date, time, offset);
    let micros = at.unix_timestamp_nanos() / 1000;
    Micros::new(i64::try_from(micros).ok()?)
}

/// Numbers of so many digits each, between separators.
fn read_fields<const N: usize>(text: &str, separator: char, lengths: [usize; N]) -> Option<[u16; N]> {
    let mut fields = [0; N];
    let mut parts = text.split(separator);
    for (field, length) in fields.iter_mut().zip(lengths) {
        let part = parts.next().filter(|part| part.len() == length)?;
        let plain = part.bytes().all(|byte| byte.is_ascii_digit());
        *field = plain.then(|| part.parse().ok())??;
    }
    parts.next().is_none().then_some(fields)
}

fn read_date(text: &str) -> Option<Date> {
    let [year, month, day] = read_fields::<3>(text, '-', [4, 2, 2])?;
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(i32::from(year), month, u8::try_from(day).ok()?).ok()?;
    (year >= 1).then_some(date)
}

impl FromStr for Days {
    type Err = NoSuchTime;

    fn from_str(text: &str) -> Result<Days, NoSuchTime> {
        let date = read_date(text).ok_or(NoSuchTime)?;
        Ok(Days(date.to_julian_day() - EPOCH_JULIAN_DAY))
    }
}

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let date = UNIX_EPOCH.saturating_add(Duration::days(i64::from(self.0))).date();
        write!(f, "{:04}-{:02}-{:02}", date.year(), u8::from(date.month()), date.day())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cast(datum_type: DatumType, json: &str) -> Result<Option<String>, String> {
        let json = Json::parse(json, Limits::default()).unwrap();
        let datum = datum_type.cast(&json).map_err(|error| error.to_string())?;
        if let Some(datum) = &datum {
            let mut bytes = Vec::new();
            datum.encode(&mut bytes);
            assert_eq!(Datum::decode(&mut Reader::new(&bytes).unwrap()).as_ref(), Ok(datum));
        }
        Ok(datum.map(|datum| datum.to_string()))
    }

    #[test]
    fn casts_read_what_the_type_holds_and_print_one_form() {
        use DatumType::*;
        for (datum_type, json, printed) in [
            (Numeric, "1.50", "1.5"),
            (Numeric, "\"-2e3\"", "-2000"),
            (Bigint, "7.0", "7"),
            (Bigint, "\"9223372036854775807\"", "9223372036854775807"),
            (Text, "1.50", "1.50"),
            (Text, "{\"a\":[1]}", "{\"a\": [1]}"),
            (Text, "\"\"", ""),
            (Boolean, "true", "true"),
            (Boolean, "\"false\"", "false"),
            (Timestamptz, "\"2026-11-23T00:41:07.120+02:00\"", "2026-11-22T22:41:07.12Z"),
            (Timestamptz, "\"2026-11-23 00:41:07Z\"", "2026-11-23T00:41:07Z"),
            (Date, "\"2024-02-29\"", "2024-02-29"),
            (Uuid, "\"0D9F7A5C-6D1E-4F9B-8F0E-2F6F3A7A9B10\"", "0d9f7a5c-6d1e-4f9b-8f0e-2f6f3a7a9b10"),
            (Jsonb, "[1,\"x\"]", "[1, \"x\"]"),
        ] {
            assert_eq!(cast(datum_type, json), Ok(Some(printed.into())), "{json}");
            assert_eq!(cast(datum_type, "null"), Ok(None));
        }
    }

    #[test]
    fn what_a_type_cannot_hold_is_refused_with_the_value_and_the_wish() {
        use DatumType::*;
        for (datum_type, json) in [
            (Numeric, "\"three\""),
            (Numeric, "true"),
            (Bigint, "1.5"),
            (Bigint, "9223372036854775808"),
            (Boolean, "1"),
            (Boolean, "\"yes\""),
            (Timestamptz, "\"2026-11-23T00:41:07\""),
            (Timestamptz, "\"2026-02-30T00:41:07Z\""),
            (Timestamptz, "\"2026-11-23T00:41:07.1234567Z\""),
            (Timestamptz, "\"0001-01-01T00:00:00+01:00\""),
            (Timestamptz, "\"2026-11-23T24:00:00Z\""),
            (Date, "\"2026-2-3\""),
            (Date, "20260203"),
            (Uuid, "\"0d9f7a5c6d1e4f9b8f0e2f6f3a7a9b10\""),
        ] {
            assert!(cast(datum_type, json).is_err(), "{json}");
        }
        assert_eq!(cast(Numeric, "\"three\""), Err("\"three\" is not a number".into()));
    }

    #[test]
    fn an_unknown_type_is_told_what_it_resembles() {
        assert_eq!("numeric".parse(), Ok(DatumType::Numeric));
        let error = "numric".parse::<DatumType>().unwrap_err();
        assert_eq!(error.to_string(), "no type of a view's column is called \"numric\" (did you mean \"numeric\"?)");
        assert!("money".parse::<DatumType>().unwrap_err().suggestion.is_none());
    }
}
