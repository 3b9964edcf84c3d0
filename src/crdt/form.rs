//! What a value looks like from outside: text and binary, what it is worth in SQL's types, what it is made of.

use super::{damaged, misdeclared, stored, too_large, value};
use crate::call::{Call, ret};
use crate::error::{Error, Result, state};
use crate::spi::{text_array, varlena};
use crate::sql_function;
use crate::types::{malformed, malformed_binary, received};
use gundb_core::crdt::{Crdt, CrdtTextError, CrdtValue, Kind};
use gundb_core::{DecodeProblem, JsonProblem};
use pgrx::pg_sys::{self, Datum};

/// PostgreSQL makes no text of a gigabyte.
const TEXT_BYTES_MAX: usize = (1 << 30) - 2;

fn read_text(call: Call, kind: Kind) -> Result<Datum> {
    let text = call.required(call.c_string(0), "value")?;
    let value = Crdt::parse_as(text, kind).map_err(|why| match &why {
        CrdtTextError::Json(json) if matches!(json.problem, JsonProblem::TooLarge(_) | JsonProblem::TooDeep { .. }) => {
            too_large(format!("{why}."))
        }
        _ => malformed(kind.name(), text, why)
            .hint(format!("'{{}}' is an empty {}; others come from gundb's functions.", kind.name()))
            .into(),
    })?;
    stored(&value)
}

fn receive(call: Call, kind: Kind) -> Result<Datum> {
    let bytes = received(call)?;
    match Crdt::decode_as(bytes, kind) {
        Ok(_) => Ok(varlena(bytes)),
        Err(why) if matches!(why.problem, DecodeProblem::TooLarge { .. }) => Err(too_large(format!("{why}."))),
        Err(why) => Err(malformed_binary(kind.name(), why).into()),
    }
}

macro_rules! read_from_outside {
    ($($kind:ident: $text:ident, $binary:ident;)+) => {$(
        sql_function! {
            /// Reads the text form.
            fn $text(call) { read_text(call, Kind::$kind) }
        }
        sql_function! {
            /// Reads the binary form.
            fn $binary(call) { receive(call, Kind::$kind) }
        }
    )+};
}
read_from_outside! {
    Gcounter: gundb_gcounter_in, gundb_gcounter_recv;
    Pncounter: gundb_pncounter_in, gundb_pncounter_recv;
    Bcounter: gundb_bcounter_in, gundb_bcounter_recv;
    Lww: gundb_lww_in, gundb_lww_recv;
    Mv: gundb_mv_in, gundb_mv_recv;
    Gset: gundb_gset_in, gundb_gset_recv;
    Set: gundb_set_in, gundb_set_recv;
    RwSet: gundb_rw_set_in, gundb_rw_set_recv;
    Flag: gundb_flag_in, gundb_flag_recv;
    DwFlag: gundb_dw_flag_in, gundb_dw_flag_recv;
    Map: gundb_map_in, gundb_map_recv;
}

sql_function! {
    /// The text form of any kind.
    fn gundb_crdt_out(call) {
        let text = value(call, 0)?.to_text(TEXT_BYTES_MAX).map_err(|why| too_large(format!("{why}.")))?;
        ret::c_string(&text)
    }
}

// What a value is worth.

sql_function! {
    /// `value`, and the cast to numeric, of counters.
    fn gundb_crdt_numeric(call) { total(&value(call, 0)?).and_then(numeric) }
}
sql_function! {
    /// The cast to bigint of counters.
    fn gundb_crdt_int8(call) {
        let total = total(&value(call, 0)?)?;
        i64::try_from(total).map(ret::int8).map_err(|_| Error::new(state::OUT_OF_RANGE, "bigint out of range").into())
    }
}
sql_function! {
    /// `value`, and the cast to boolean, of flags.
    fn gundb_crdt_boolean(call) {
        let value = value(call, 0)?;
        match value.value() {
            CrdtValue::Boolean(on) => Ok(ret::bool(on)),
            _ => Err(misdeclared(&value)),
        }
    }
}
sql_function! {
    /// `value`, and the cast to text[], of sets.
    fn gundb_crdt_texts(call) {
        let value = value(call, 0)?;
        match value.value() {
            CrdtValue::Texts(texts) => Ok(text_array(&texts)),
            _ => Err(misdeclared(&value)),
        }
    }
}
sql_function! {
    /// The cast to jsonb of any kind; `value` of lww, mv and map. NULL of a register that was never written.
    fn gundb_crdt_jsonb(call) {
        let json = value(call, 0)?.value().to_json(TEXT_BYTES_MAX).map_err(|why| too_large(format!("{why}.")))?;
        let Some(json) = json else { return Ok(call.null()) };
        let text = ret::c_string(&json)?;
        // SAFETY: jsonb's own input function, with its one argument.
        let jsonb = unsafe { pgrx::direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(text)]) };
        jsonb.ok_or_else(|| damaged("its JSON is none"))
    }
}
sql_function! {
    /// `contains`, `@>` of sets.
    fn gundb_crdt_contains(call) {
        let (value, element) = (value(call, 0)?, call.required(call.text(1), "element")?);
        Ok(ret::bool(match &value {
            Crdt::Gset(set) => set.contains(element),
            Crdt::Set(set) => set.contains(element),
            Crdt::RwSet(set) => set.contains(element),
            other => return Err(misdeclared(other)),
        }))
    }
}
sql_function! {
    /// `inspect(value)`
    fn gundb_crdt_inspect(call) {
        let inspection = value(call, 0)?.inspect();
        let count = |number: usize| Some(ret::int8(number as i64));
        call.row(&[
            Some(ret::text(inspection.kind.name())),
            count(inspection.bytes),
            count(inspection.replicas),
            count(inspection.ranges),
            count(inspection.entries),
        ])
    }
}

/// What a counter has counted.
pub(super) fn total(value: &Crdt) -> Result<i128> {
    match value.value() {
        CrdtValue::Integer(total) => Ok(total),
        _ => Err(misdeclared(value)),
    }
}

/// An integer as numeric.
pub(super) fn numeric(total: i128) -> Result<Datum> {
    if let Ok(total) = i64::try_from(total) {
        // SAFETY: makes a numeric in the current memory context.
        return Ok(Datum::from(unsafe { pg_sys::int64_to_numeric(total) }));
    }
    let arguments = [Some(ret::c_string(&total.to_string())?), Some(Datum::from(0)), Some(Datum::from(-1))];
    // SAFETY: numeric's own input function: text, no type, no precision.
    let numeric = unsafe { pgrx::direct_function_call_as_datum(pg_sys::numeric_in, &arguments) };
    numeric.ok_or_else(|| damaged("its sum is no number"))
}
