//! States of aggregates that are Rust values: kept in PostgreSQL's memory contexts, and dropped with them.
//!
//! Unsafe: pointers in datums of type `internal`, which only the executor hands on. Must hold: a state function asks for
//! the type that its aggregate's step function keeps.

use crate::call::Call;
use crate::error::{Error, Result, state};
use pgrx::PgMemoryContexts;
use pgrx::pg_sys::{self, Datum};

/// The state in argument `i`; None before the first row.
pub fn state<T>(call: Call, i: usize) -> Option<&'static mut T> {
    // SAFETY: made by `keep` or `pass` of the same aggregate, whose context outlives the call.
    call.arg(i).map(|datum| unsafe { &mut *datum.cast_mut_ptr::<T>() })
}

/// The state in argument 0 and its datum, made anew where there is none.
pub fn state_or_new<T: Default>(call: Call) -> Result<(&'static mut T, Datum)> {
    let datum = match call.arg(0) {
        Some(datum) => datum,
        None => keep(call, T::default())?,
    };
    // SAFETY: as in `state`.
    Ok((unsafe { &mut *datum.cast_mut_ptr::<T>() }, datum))
}

/// Keeps a state for as long as the aggregation lasts.
pub fn keep<T>(call: Call, value: T) -> Result<Datum> {
    let mut context = core::ptr::null_mut();
    // SAFETY: fcinfo is valid.
    if unsafe { pg_sys::AggCheckCallContext(call.fcinfo(), &mut context) } == 0 {
        return Err(Error::new(state::WRONG_OBJECT, "this function can only be called by an aggregate").into());
    }
    Ok(Datum::from(PgMemoryContexts::For(context).leak_and_drop_on_delete(value)))
}

/// Keeps a state that came from another process until it is combined: as long as what a function returns.
pub fn pass<T>(value: T) -> Datum {
    Datum::from(PgMemoryContexts::CurrentMemoryContext.leak_and_drop_on_delete(value))
}
