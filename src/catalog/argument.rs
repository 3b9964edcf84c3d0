//! gundb's values as arguments of statements.

use crate::catalog::extension;
use crate::error::Result;
use crate::scan::to_stored;
use crate::spi::{self, arg};
use gundb_core::{Chain, Clock, Dot, Hlc, Lane};
use pgrx::pg_sys::{self, Datum};

/// A clock as an argument.
pub fn clock_arg(clock: &Clock) -> Result<spi::Arg> {
    Ok(arg::of(extension()?.clock_type, Some(spi::varlena(&clock.encode()))))
}

/// A lane as an argument.
pub fn lane_arg(lane: Lane) -> Result<spi::Arg> {
    Ok(arg::of(extension()?.lane_type, Some(Datum::from(to_stored(lane.to_bits())))))
}

/// An array of texts as an argument.
pub fn text_array_arg(texts: Option<&[String]>) -> spi::Arg {
    arg::of(pg_sys::TEXTARRAYOID, texts.map(spi::text_array))
}

/// A stamp as an argument.
pub fn hlc_arg(hlc: Hlc) -> Result<spi::Arg> {
    Ok(arg::of(extension()?.hlc_type, Some(Datum::from(to_stored(hlc.to_bits())))))
}

// Arrays, one element a row of a delivery.

pub(super) fn uuids<'a>(all: impl Iterator<Item = &'a [u8; 16]>) -> spi::Arg {
    arg::array(pg_sys::UUIDOID, all.map(|bytes| Some(spi::fixed(bytes))))
}

pub(super) fn int8s(all: impl Iterator<Item = u64>) -> spi::Arg {
    arg::array(pg_sys::INT8OID, all.map(|number| Some(Datum::from(number as i64))))
}

pub(super) fn texts<'a>(all: impl Iterator<Item = Option<&'a str>>) -> spi::Arg {
    arg::array(pg_sys::TEXTOID, all.map(|text| text.map(|text| spi::varlena(text.as_bytes()))))
}

pub(super) fn hlcs(all: impl Iterator<Item = Option<Hlc>>) -> Result<spi::Arg> {
    Ok(arg::array(extension()?.hlc_type, all.map(|hlc| Some(Datum::from(to_stored(hlc?.to_bits()))))))
}

pub(super) fn dots<'a>(all: impl Iterator<Item = &'a Dot>) -> Result<spi::Arg> {
    Ok(arg::array(extension()?.dot_type, all.map(|dot| Some(crate::call::ret::dot(dot)))))
}

pub(super) fn chains<'a>(all: impl Iterator<Item = &'a Chain>) -> Result<spi::Arg> {
    Ok(arg::array(extension()?.chain_type, all.map(|chain| Some(spi::fixed(&chain.0)))))
}
