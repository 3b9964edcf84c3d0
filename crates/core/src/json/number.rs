//! Exact decimals, as PostgreSQL's `numeric` reads and prints them.
//!
//! What must always hold here: no number passes through a float, the scale is kept (`1.50` stays `1.50`), and nothing is allocated before the length of
//! what will be printed is known to fit.

use std::fmt;

/// Most digits before the point: 32,768 groups of four.
const INTEGER_DIGITS_MAX: i64 = 131_072;
/// Most digits after the point.
const SCALE_MAX: i64 = 16_383;
/// PostgreSQL refuses exponents from `INT_MAX / 2`, even of zero.
const EXPONENT_LIMIT: i64 = (i32::MAX / 2) as i64;

/// A decimal in the one text that `numeric` prints for it: no exponent, no superfluous zeros in front, no sign of zero.
///
/// Two numbers that differ in scale only (`1.5`, `1.50`) differ here, as their texts do.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Number(Box<str>);

/// Why `numeric` cannot hold a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the number overflows numeric (131072 digits before the point, 16383 after it)")]
pub struct NumberError;

/// Why a number was not read.
pub(super) enum ParseNumberError {
    Overflow(NumberError),
    TooLarge,
}

impl Number {
    /// The canonical text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads a token of JSON's number grammar (the scanner has checked that), whose canonical text must not exceed a limit.
    pub(super) fn from_token(token: &str, limit_bytes: usize) -> Result<Number, ParseNumberError> {
        if is_canonical_integer(token) && token.len() <= limit_bytes {
            return Ok(Number(token.into()));
        }
        let decimal = Decimal::of_token(token).map_err(ParseNumberError::Overflow)?;
        if decimal.text_length() > limit_bytes {
            return Err(ParseNumberError::TooLarge);
        }
        Ok(Number(decimal.to_text().into()))
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Number({self})")
    }
}

/// Most numbers are integers that print as they were written.
fn is_canonical_integer(token: &str) -> bool {
    let digits = token.strip_prefix('-').unwrap_or(token);
    token != "-0" && digits.len() < 1000 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number taken apart: the digits before and after the point as written, and where the point stands once the exponent has moved it.
struct Decimal<'a> {
    negative: bool,
    integer: &'a [u8],
    fraction: &'a [u8],
    /// Digits of the written ones that stand before the point; may lie outside of them.
    point: i64,
    /// Digits printed after the point.
    scale: i64,
    /// The written digits before the first that is not zero.
    leading_zeros: i64,
}

impl<'a> Decimal<'a> {
    fn of_token(token: &'a str) -> Result<Decimal<'a>, NumberError> {
        let (sign, unsigned) = match token.strip_prefix('-') {
            Some(unsigned) => (true, unsigned),
            None => (false, token),
        };
        let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
        let (integer, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let exponent = read_exponent(exponent)?;
        let (integer, fraction) = (integer.as_bytes(), fraction.as_bytes());
        let written = integer.len() + fraction.len();
        let leading_zeros = integer.iter().chain(fraction).take_while(|digit| **digit == b'0').count();
        let decimal = Decimal {
            negative: sign && leading_zeros < written,
            integer,
            fraction,
            point: integer.len() as i64 + exponent,
            scale: (fraction.len() as i64 - exponent).max(0),
            leading_zeros: leading_zeros as i64,
        };
        let fits = decimal.scale <= SCALE_MAX && decimal.integer_digits() <= INTEGER_DIGITS_MAX;
        if fits { Ok(decimal) } else { Err(NumberError) }
    }

    /// Digits before the point that are not leading zeros.
    fn integer_digits(&self) -> i64 {
        let is_zero = self.leading_zeros == (self.integer.len() + self.fraction.len()) as i64;
        if is_zero { 0 } else { (self.point - self.leading_zeros).max(0) }
    }

    fn text_length(&self) -> usize {
        let point = i64::from(self.scale > 0);
        (i64::from(self.negative) + self.integer_digits().max(1) + point + self.scale) as usize
    }

    fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.text_length());
        if self.negative {
            text.push('-');
        }
        match self.integer_digits() {
            0 => text.push('0'),
            digits => self.push_digits(&mut text, self.point - digits, digits),
        }
        if self.scale > 0 {
            text.push('.');
            self.push_digits(&mut text, self.point, self.scale);
        }
        text
    }

    fn push_digits(&self, text: &mut String, from: i64, count: i64) {
        let digit_at = |at: i64| {
            let at = usize::try_from(at).ok()?;
            self.integer.get(at).or_else(|| self.fraction.get(at - self.integer.len()))
        };
        text.extend((from..from + count).map(|at| char::from(*digit_at(at).unwrap_or(&b'0'))));
    }
}

fn read_exponent(text: &str) -> Result<i64, NumberError> {
    // Whatever does not fit 64 bits is out of range in either direction.
    let exponent: i64 = text.parse().map_err(|_| NumberError)?;
    if exponent.abs() >= EXPONENT_LIMIT { Err(NumberError) } else { Ok(exponent) }
}
