//! Columns that need no contexts: what they keep is what set-based SQL computes, and merges in any order.
//!
//! What must always hold here: taking events one by one, and merging the states of two disjoint sets of events, give one and the same state.

use super::event::{FoldValue, Operation};
use super::mark::Mark;
use super::{Fold, FoldError};
use crate::bytes::{DecodeError, DecodeProblem, Reader, put_text, put_varint};
use crate::crdt::{Crdt, Mismatch};
use crate::datum::Datum;
use crate::decimal::Decimal;

/// What a column keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plain {
    /// `count`
    Count(u64),
    /// `sum avg`: the exact sum, and of how many.
    Sum { sum: Decimal, count: u64 },
    /// `min max`
    Extreme(Option<Datum>),
    /// `lww fww`
    Written(Option<Written>),
    /// `merge`
    Merged(Option<Crdt>),
}

/// A write that stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Written {
    by: Option<Datum>,
    mark: Mark,
    value: Option<Datum>,
}

impl Written {
    fn order(&self) -> (&Option<Datum>, Mark) {
        (&self.by, self.mark)
    }
}

impl Plain {
    /// What a column keeps before its first event; None for folds that need contexts.
    pub(super) fn empty(fold: Fold) -> Option<Plain> {
        match fold {
            Fold::Count => Some(Plain::Count(0)),
            Fold::Sum | Fold::Avg => Some(Plain::Sum { sum: Decimal::zero(), count: 0 }),
            Fold::Min | Fold::Max => Some(Plain::Extreme(None)),
            Fold::Lww | Fold::Fww => Some(Plain::Written(None)),
            Fold::Merge => Some(Plain::Merged(None)),
            _ => None,
        }
    }

    /// Takes one operation of the event at a mark.
    pub(super) fn take(
        &mut self,
        fold: Fold,
        operation: &Operation,
        mark: Mark,
        column: usize,
    ) -> Result<(), FoldError> {
        let own = match operation {
            Operation::Count => Plain::Count(1),
            Operation::Give(datum) => match (fold, datum) {
                (Fold::Min | Fold::Max, datum) => Plain::Extreme(Some(datum.clone())),
                (Fold::Sum | Fold::Avg, Datum::Numeric(number)) => Plain::Sum { sum: number.clone(), count: 1 },
                (Fold::Sum | Fold::Avg, Datum::Bigint(number)) => Plain::Sum { sum: Decimal::from(*number), count: 1 },
                _ => return Err(FoldError::Operation { column }),
            },
            Operation::Write { by, value } => {
                Plain::Written(Some(Written { by: by.clone(), mark, value: value.clone() }))
            }
            Operation::Merge(value) => Plain::Merged(Some(value.clone())),
            _ => return Err(FoldError::Operation { column }),
        };
        self.merge(fold, own, column)
    }

    /// Takes in what another set of events left.
    pub(super) fn merge(&mut self, fold: Fold, other: Plain, column: usize) -> Result<(), FoldError> {
        match (self, other) {
            (Plain::Count(own), Plain::Count(other)) => *own = own.saturating_add(other),
            (Plain::Sum { sum, count }, Plain::Sum { sum: other, count: others }) => {
                *sum = sum.plus(&other);
                *count = count.saturating_add(others);
            }
            (Plain::Extreme(own), Plain::Extreme(other)) => {
                *own = pick(own.take(), other, |own, other| (other < own) == (fold == Fold::Min));
            }
            (Plain::Written(own), Plain::Written(other)) => {
                *own = pick(own.take(), other, |own, other| (other.order() < own.order()) == (fold == Fold::Fww));
            }
            (Plain::Merged(own), Plain::Merged(other)) => match (own.as_mut(), other) {
                (Some(own), Some(other)) => {
                    let merged = own.merge(&other);
                    merged.map_err(|mismatch: Mismatch| FoldError::Merge { column, mismatch })?;
                }
                (None, other) => *own = other,
                (Some(_), None) => {}
            },
            _ => return Err(FoldError::Operation { column }),
        }
        Ok(())
    }

    /// What the column is worth.
    pub(super) fn value(&self, fold: Fold, column: usize) -> Result<FoldValue, FoldError> {
        let checked = |sum: Decimal| sum.checked().map_err(|overflow| FoldError::Overflow { column, overflow });
        let datum = match self {
            Plain::Count(count) => Some(Datum::Bigint(i64::try_from(*count).unwrap_or(i64::MAX))),
            Plain::Sum { count: 0, .. } => None,
            Plain::Sum { sum, count } if fold == Fold::Avg => {
                sum.average(*count).map(checked).transpose()?.map(Datum::Numeric)
            }
            Plain::Sum { sum, .. } => Some(Datum::Numeric(checked(sum.clone())?)),
            Plain::Extreme(datum) => datum.clone(),
            Plain::Written(written) => written.as_ref().and_then(|written| written.value.clone()),
            Plain::Merged(value) => return Ok(FoldValue::Crdt(value.clone())),
        };
        Ok(FoldValue::Datum(datum))
    }

    pub(super) fn encode(&self, bytes: &mut Vec<u8>) {
        match self {
            Plain::Count(count) => put_varint(bytes, *count),
            Plain::Sum { sum, count } => {
                put_varint(bytes, *count);
                put_text(bytes, &sum.to_string());
            }
            Plain::Extreme(datum) => put_optional(bytes, datum.as_ref()),
            Plain::Written(written) => {
                bytes.push(u8::from(written.is_some()));
                if let Some(Written { by, mark, value }) = written {
                    put_optional(bytes, by.as_ref());
                    mark.encode(bytes);
                    put_optional(bytes, value.as_ref());
                }
            }
            Plain::Merged(value) => {
                let encoded = value.as_ref().map(Crdt::encode).unwrap_or_default();
                put_varint(bytes, encoded.len() as u64);
                bytes.extend_from_slice(&encoded);
            }
        }
    }

    pub(super) fn decode(fold: Fold, reader: &mut Reader<'_>) -> Result<Option<Plain>, DecodeError> {
        let empty = Plain::empty(fold);
        Ok(Some(match empty {
            None => return Ok(None),
            Some(Plain::Count(_)) => Plain::Count(reader.events()?),
            Some(Plain::Sum { .. }) => {
                let count = reader.events()?;
                let offset = reader.offset();
                let sum = Decimal::of_canonical(reader.text()?).ok_or(Reader::error_at(offset, DecodeProblem::Text))?;
                if count == 0 && sum != Decimal::zero() {
                    return Err(Reader::error_at(offset, DecodeProblem::Impossible));
                }
                Plain::Sum { sum, count }
            }
            Some(Plain::Extreme(_)) => Plain::Extreme(optional(reader)?),
            Some(Plain::Written(_)) => Plain::Written(match reader.bool()? {
                false => None,
                true => Some(Written { by: optional(reader)?, mark: Mark::decode(reader)?, value: optional(reader)? }),
            }),
            Some(Plain::Merged(_)) => {
                let offset = reader.offset();
                let encoded = reader.counted()?;
                let value = (!encoded.is_empty()).then(|| Crdt::decode(encoded)).transpose();
                Plain::Merged(value.map_err(|error| Reader::error_at(offset, error.problem))?)
            }
        }))
    }
}

/// One of two, where there are two.
fn pick<T>(own: Option<T>, other: Option<T>, prefer_other: impl Fn(&T, &T) -> bool) -> Option<T> {
    match (own, other) {
        (Some(own), Some(other)) => Some(if prefer_other(&own, &other) { other } else { own }),
        (own, other) => own.or(other),
    }
}

pub(super) fn put_optional(bytes: &mut Vec<u8>, datum: Option<&Datum>) {
    bytes.push(u8::from(datum.is_some()));
    if let Some(datum) = datum {
        datum.encode(bytes);
    }
}

pub(super) fn optional(reader: &mut Reader<'_>) -> Result<Option<Datum>, DecodeError> {
    if reader.bool()? { Datum::decode(reader).map(Some) } else { Ok(None) }
}
