//! Merging two values, and the aggregates `merge` and `sum`: each keeps its state in Rust memory and takes encoded values
//! in as they are, so that a row costs what it brings and not what was gathered before.

use super::form::{numeric, total};
use super::{damaged, misdeclared, stored, value, within_limit};
use crate::aggregate::{self, pass, state_or_new};
use crate::call::Call;
use crate::error::{Error, Result, state};
use crate::spi::varlena;
use crate::sql_function;
use gundb_core::crdt::{Crdt, Merger};
use pgrx::pg_sys::Datum;

sql_function! {
    /// `merge(a, b)`, `||`
    fn gundb_crdt_merge(call) {
        let (mut merged, other) = (value(call, 0)?, value(call, 1)?);
        merged.merge(&other).map_err(|_| misdeclared(&other))?;
        stored(&merged)
    }
}

sql_function! {
    /// Step of `merge`.
    fn gundb_crdt_merge_step(call) {
        let Some(bytes) = call.bytes(1) else { return unchanged(call) };
        let (merger, datum) = state_or_new::<Merger>(call)?;
        merger.absorb(bytes).map_err(damaged)?;
        Ok(datum)
    }
}
sql_function! {
    /// Combines two states of `merge`.
    fn gundb_crdt_merge_combine(call) {
        let Some(other) = aggregate::state::<Merger>(call, 1) else { return unchanged(call) };
        let (merger, datum) = state_or_new::<Merger>(call)?;
        merger.combine(other).map_err(damaged)?;
        Ok(datum)
    }
}
sql_function! {
    /// Serializes a state of `merge`: as the value that it stands for.
    fn gundb_crdt_merge_serial(call) {
        let merged = aggregate::state::<Merger>(call, 0).and_then(Merger::value);
        Ok(varlena(&merged.map_or(Ok(Vec::new()), |merged| within_limit(merged.encode()))?))
    }
}
sql_function! {
    /// Reads a serialized state of `merge`.
    fn gundb_crdt_merge_deserial(call) {
        let mut merger = Merger::default();
        match call.required(call.bytes(0), "state")? {
            [] => {}
            bytes => merger.absorb(bytes).map_err(damaged)?,
        }
        Ok(pass(merger))
    }
}
sql_function! {
    /// Result of `merge`.
    fn gundb_crdt_merge_final(call) {
        match aggregate::state::<Merger>(call, 0).and_then(Merger::value) {
            Some(merged) => stored(merged),
            None => Ok(call.null()),
        }
    }
}

sql_function! {
    /// Step of `sum`.
    fn gundb_crdt_sum_step(call) {
        let Some(bytes) = call.bytes(1) else { return unchanged(call) };
        add_to_sum(call, total(&Crdt::decode(bytes).map_err(damaged)?)?)
    }
}
sql_function! {
    /// Combines two states of `sum`.
    fn gundb_crdt_sum_combine(call) {
        match aggregate::state::<i128>(call, 1) {
            Some(other) => add_to_sum(call, *other),
            None => unchanged(call),
        }
    }
}
sql_function! {
    /// Serializes a state of `sum`.
    fn gundb_crdt_sum_serial(call) {
        let sum = aggregate::state::<i128>(call, 0).map_or(0, |sum| *sum);
        Ok(varlena(&sum.to_be_bytes()))
    }
}
sql_function! {
    /// Reads a serialized state of `sum`.
    fn gundb_crdt_sum_deserial(call) {
        let bytes = call.required(call.bytes(0), "state")?;
        <[u8; 16]>::try_from(bytes).map(|bytes| pass(i128::from_be_bytes(bytes))).map_err(damaged)
    }
}
sql_function! {
    /// Result of `sum`.
    fn gundb_crdt_sum_final(call) {
        match aggregate::state::<i128>(call, 0) {
            Some(sum) => numeric(*sum),
            None => Ok(call.null()),
        }
    }
}

fn add_to_sum(call: Call, more: i128) -> Result<Datum> {
    let (sum, datum) = state_or_new::<i128>(call)?;
    *sum = sum.checked_add(more).ok_or_else(|| Error::new(state::OUT_OF_RANGE, "the sum is out of range"))?;
    Ok(datum)
}

/// The state as it was.
fn unchanged(call: Call) -> Result<Datum> {
    Ok(call.arg(0).unwrap_or_else(|| call.null()))
}
