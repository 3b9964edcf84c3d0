//! Exact decimals that can be added, compared and averaged, as PostgreSQL's `numeric` does it.
//!
//! What must always hold here: a decimal has one form, without trailing zeros after the point (`trim_scale`), so that equal numbers are equal here, in
//! bytes and in text; nothing is rounded but an average, and that as `numeric` rounds it; nothing grows past what `numeric` holds.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use num_bigint::{BigInt, Sign};

use crate::json::{Json, Limits, Number};

/// Most digits before the point that `numeric` holds.
const INTEGER_DIGITS_MAX: usize = 131_072;
/// Most digits after the point that `numeric` holds.
const SCALE_MAX: u32 = 16_383;

/// An exact decimal: `digits / 10^scale`, the scale as small as it can be.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Decimal {
    digits: BigInt,
    scale: u32,
}

/// A result that `numeric` cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the result overflows numeric (131072 digits before the point, 16383 after it)")]
pub struct DecimalOverflow;

/// Why a text is not a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number that numeric holds, written as in JSON")]
pub struct DecimalTextError;

impl Decimal {
    /// Zero.
    pub fn zero() -> Decimal {
        Decimal { digits: BigInt::ZERO, scale: 0 }
    }

    /// The number, where `numeric` can hold it. A sum on its way may not fit, and fit again at its end: so that the order of adding never matters.
    pub fn checked(self) -> Result<Decimal, DecimalOverflow> {
        // A digit is more than 3.32 bits, so only numbers near the limit need to be printed to be counted.
        let may_overflow = self.digits.bits() > 435_000;
        let digits_max = INTEGER_DIGITS_MAX + self.scale as usize;
        if may_overflow && self.digits.magnitude().to_string().len() > digits_max {
            return Err(DecimalOverflow);
        }
        Ok(self)
    }

    /// The sum. O(digits).
    pub fn plus(&self, other: &Decimal) -> Decimal {
        let scale = self.scale.max(other.scale);
        trimmed(self.digits_at(scale) + other.digits_at(scale), scale)
    }

    /// Reads what printing gives, also of sums that `numeric` cannot hold, and nothing else.
    pub(crate) fn of_canonical(text: &str) -> Option<Decimal> {
        let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits: BigInt = [integer, fraction].concat().parse().ok()?;
        let scale = u32::try_from(fraction.len()).ok().filter(|scale| *scale <= SCALE_MAX)?;
        let decimal = trimmed(digits, scale);
        (decimal.to_string() == text).then_some(decimal)
    }

    /// The number with its sign turned.
    pub fn negated(&self) -> Decimal {
        Decimal { digits: -self.digits.clone(), scale: self.scale }
    }

    /// What `trim_scale(sum / count)` is in SQL: rounded half away from zero, at the scale that `numeric` chooses for a quotient. None for a count of 0.
    pub fn average(&self, count: u64) -> Option<Decimal> {
        if count == 0 {
            return None;
        }
        let divisor = Decimal { digits: BigInt::from(count), scale: 0 };
        let scale = quotient_scale(self, &divisor);
        // Twice the quotient and one digit of sign: half away from zero without a remainder.
        let raised = &self.digits * power_of_ten(scale.saturating_sub(self.scale));
        let lowered = &divisor.digits * power_of_ten(self.scale.saturating_sub(scale));
        let twice: BigInt = raised * 2 / lowered;
        let away = match twice.sign() {
            Sign::Minus => twice - 1,
            _ => twice + 1,
        };
        Some(trimmed(away / 2, scale))
    }

    /// The number as an integer of 64 bits, where it is one.
    pub fn to_i64(&self) -> Option<i64> {
        if self.scale == 0 { i64::try_from(&self.digits).ok() } else { None }
    }

    fn digits_at(&self, scale: u32) -> BigInt {
        match scale.saturating_sub(self.scale) {
            0 => self.digits.clone(),
            more => &self.digits * power_of_ten(more),
        }
    }

    /// The weight (in groups of four digits before the point, from 0) and the value of the first group that is not zero, as `numeric` keeps a number.
    fn first_group(&self) -> (i64, i64) {
        let text = self.digits.magnitude().to_string();
        if text == "0" {
            return (0, 0);
        }
        let integer_digits = text.len() as i64 - i64::from(self.scale);
        let weight = (integer_digits + 3).div_euclid(4) - 1;
        // The first group takes the digits above the power of 10^4 that it counts.
        let taken = integer_digits - weight * 4;
        let group: String = text.chars().take(taken as usize).collect();
        let padding = (taken as usize).saturating_sub(text.len());
        let group = group.parse::<i64>().unwrap_or(0) * 10i64.pow(padding as u32);
        (weight, group)
    }
}

/// `select_div_scale` of PostgreSQL's `numeric.c`: 16 significant digits at least, in groups of four.
fn quotient_scale(dividend: &Decimal, divisor: &Decimal) -> u32 {
    const SIGNIFICANT_DIGITS_MIN: i64 = 16;
    const GROUP_DIGITS: i64 = 4;
    const DISPLAY_SCALE_MAX: i64 = 1000;
    let ((weight, first), (divisor_weight, divisor_first)) = (dividend.first_group(), divisor.first_group());
    let quotient_weight = weight - divisor_weight - i64::from(first <= divisor_first);
    let scale = SIGNIFICANT_DIGITS_MIN - quotient_weight * GROUP_DIGITS;
    scale.max(i64::from(dividend.scale)).clamp(0, DISPLAY_SCALE_MAX) as u32
}

fn power_of_ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

fn trimmed(digits: BigInt, scale: u32) -> Decimal {
    let ten = BigInt::from(10);
    if scale == 0 || &digits % &ten != BigInt::ZERO {
        return Decimal { digits, scale };
    }
    // Counted on the text, since dividing a long number by ten again and again is quadratic.
    let text = digits.magnitude().to_string();
    let zeros = text.len() - text.trim_end_matches('0').len();
    let cut = if digits == BigInt::ZERO { scale } else { scale.min(zeros as u32) };
    Decimal { digits: digits / power_of_ten(cut), scale: scale - cut }
}

impl From<i64> for Decimal {
    fn from(value: i64) -> Decimal {
        Decimal { digits: value.into(), scale: 0 }
    }
}

impl From<i128> for Decimal {
    fn from(value: i128) -> Decimal {
        Decimal { digits: value.into(), scale: 0 }
    }
}

impl From<&Number> for Decimal {
    fn from(number: &Number) -> Decimal {
        let text = number.as_str();
        let (integer, fraction) = text.split_once('.').unwrap_or((text, ""));
        let fraction = fraction.trim_end_matches('0');
        let digits = [integer, fraction].concat();
        Decimal {
            // Its text is digits with a sign: there is nothing that could fail.
            digits: digits.parse().unwrap_or_default(),
            scale: (fraction.len() as u32).min(SCALE_MAX),
        }
    }
}

impl FromStr for Decimal {
    type Err = DecimalTextError;

    /// Reads what JSON's grammar calls a number: so no `NaN`, no infinity, no white space.
    fn from_str(text: &str) -> Result<Decimal, DecimalTextError> {
        let limits = Limits { depth: 0, ..Limits::default() };
        let bare = text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            && text.ends_with(|last: char| last.is_ascii_digit());
        match Json::parse(text, limits) {
            Ok(Json::Number(number)) if bare => Ok(Decimal::from(&number)),
            _ => Err(DecimalTextError),
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        if self.scale == other.scale || self.digits.sign() != other.digits.sign() {
            return self.digits.cmp(&other.digits);
        }
        let scale = self.scale.max(other.scale);
        self.digits_at(scale).cmp(&other.digits_at(scale))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Decimal {
    /// As `numeric` prints it: no exponent, no superfluous zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits.magnitude().to_string();
        let scale = self.scale as usize;
        if self.digits.sign() == Sign::Minus {
            f.write_str("-")?;
        }
        if scale == 0 {
            return f.write_str(&digits);
        }
        match digits.split_at_checked(digits.len().saturating_sub(scale)) {
            Some((integer, fraction)) if !integer.is_empty() => write!(f, "{integer}.{fraction}"),
            _ => write!(f, "0.{digits:0>scale$}"),
        }
    }
}

impl fmt::Debug for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decimal({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn a_decimal_has_one_form() {
        for (text, printed) in [
            ("1.50", "1.5"),
            ("-0.0", "0"),
            ("100", "100"),
            ("1e5", "100000"),
            ("1E-5", "0.00001"),
            ("-12.3400", "-12.34"),
            ("0.05", "0.05"),
        ] {
            assert_eq!(decimal(text).to_string(), printed);
        }
        for text in ["", " 1", "1 ", "NaN", "Infinity", "+1", ".5", "5.", "1e999999", "[1]", "0x10"] {
            assert_eq!(text.parse::<Decimal>(), Err(DecimalTextError), "{text}");
        }
    }

    #[test]
    fn sums_are_exact_and_refuse_to_overflow() {
        let tenth = decimal("0.1");
        let sum = (0..10).fold(Decimal::zero(), |sum, _| sum.plus(&tenth));
        assert_eq!(sum.to_string(), "1");
        assert_eq!(decimal("1e-16383").plus(&decimal("1")).to_string().len(), 16_385);
        let greatest = decimal(&"9".repeat(131_072));
        let more = greatest.plus(&decimal("1"));
        assert_eq!(more.clone().checked(), Err(DecimalOverflow));
        assert_eq!(Decimal::of_canonical(&more.to_string()), Some(more.clone()));
        assert!(greatest.plus(&decimal("0.5")).checked().is_ok());
        assert_eq!(more.plus(&decimal("-1")), greatest);
        for text in ["01", "1.0", "-0", "+1", "1.", ".5", "", "--1", "1e5"] {
            assert_eq!(Decimal::of_canonical(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_compare_by_value() {
        let ascending = ["-10", "-9.9", "-0.01", "0", "0.0001", "0.001", "2", "10", "10.5"].map(decimal);
        for (a, b) in ascending.iter().zip(&ascending[1..]) {
            assert!(a < b, "{a} {b}");
        }
    }

    /// Answers of PostgreSQL 15 to `SELECT trim_scale(sum / count)`.
    #[test]
    fn an_average_is_what_numeric_gives() {
        for (sum, count, average) in AVERAGES {
            assert_eq!(decimal(sum).average(*count).unwrap().to_string(), *average, "{sum} / {count}");
        }
        assert_eq!(decimal("1").average(0), None);
    }

    const AVERAGES: &[(&str, u64, &str)] = &[
        ("1", 3, "0.33333333333333333333"),
        ("2", 3, "0.66666666666666666667"),
        ("-2", 3, "-0.66666666666666666667"),
        ("10", 4, "2.5"),
        ("100000", 3, "33333.333333333333"),
    ];
}
