//! gundb's values as arguments of statements.

use crate::catalog::extension;
use crate::error::Result;
use crate::scan::to_stored;
use crate::spi::{self, arg};
use gundb_core::{Clock, Hlc, Lane};
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
