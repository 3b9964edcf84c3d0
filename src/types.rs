//! The SQL types hlc, lane, chain, dot and clock: text and binary forms, comparisons, casts. Thin: the meaning of
//! each is in `gundb-core`.
//!
//! Malformed text is 22P02, malformed binary 22P03, never NULL and never a panic.

use crate::aggregate::{self, pass, state_or_new};
use crate::call::{Call, ret};
use crate::error::{Error, Result, state};
use crate::sql_function;
use core::cmp::Ordering;
use core::str::FromStr;
use gundb_core::{Chain, Clock, Dot, Hlc, Lane, SiteId, StreamId, StreamName};
use pgrx::pg_sys::{self, Datum};
use uuid::Uuid;

/// What is not the text of a type.
pub fn malformed(type_name: &str, text: &str, why: impl core::fmt::Display) -> Error {
    // A literal of a million entries is not repeated in full.
    let shown: String = text.chars().take(100).collect();
    let dots = if shown.len() < text.len() { "…" } else { "" };
    Error::new(state::INVALID_TEXT, format!("invalid input syntax for type gundb.{type_name}: \"{shown}{dots}\""))
        .detail(why.to_string())
}

/// What is not the binary form of a type.
pub fn malformed_binary(type_name: &str, why: impl core::fmt::Display) -> Error {
    Error::new(state::INVALID_BINARY, format!("invalid binary value of type gundb.{type_name}")).detail(why.to_string())
}

fn parse<T: FromStr>(call: Call, type_name: &str) -> Result<T>
where
    T::Err: core::fmt::Display,
{
    let text = call.required(call.c_string(0), "value")?;
    T::from_str(text.trim_ascii()).map_err(|why| malformed(type_name, text, why).into())
}

/// All bytes of the message that is being received.
pub fn received<'a>(call: Call) -> Result<&'a [u8]> {
    let buffer = call.required(call.arg(0), "value")?.cast_mut_ptr::<pg_sys::StringInfoData>();
    // SAFETY: a receive function is given a StringInfo; reading moves its cursor to the end, as PostgreSQL expects.
    unsafe {
        let (start, len) = ((*buffer).cursor as usize, (*buffer).len as usize);
        (*buffer).cursor = (*buffer).len;
        Ok(core::slice::from_raw_parts((*buffer).data.cast::<u8>().add(start), len - start))
    }
}

fn word(call: Call, type_name: &str) -> Result<u64> {
    let bytes = received(call)?;
    <[u8; 8]>::try_from(bytes)
        .map(u64::from_be_bytes)
        .map_err(|_| malformed_binary(type_name, format!("it takes 8 bytes, not {}", bytes.len())).into())
}

// ---------------------------------------------------------------------------------------------------------------
// hlc
// ---------------------------------------------------------------------------------------------------------------

sql_function! {
    /// `hlc_in`
    fn gundb_hlc_in(call) { Ok(ret::hlc(parse::<Hlc>(call, "hlc")?)) }
}
sql_function! {
    /// `hlc_out`
    fn gundb_hlc_out(call) { ret::c_string(&call.required(call.hlc(0), "value")?.to_string()) }
}
sql_function! {
    /// `hlc_recv`
    fn gundb_hlc_recv(call) {
        let hlc = Hlc::from_bits(word(call, "hlc")?)
            .ok_or_else(|| malformed_binary("hlc", "a stamp cannot lie beyond year 9999"))?;
        Ok(ret::hlc(hlc))
    }
}
sql_function! {
    /// `hlc_send`
    fn gundb_hlc_send(call) {
        Ok(crate::spi::varlena(&call.required(call.hlc(0), "value")?.to_bits().to_be_bytes()))
    }
}

/// PostgreSQL counts from 2000, stamps from 1970.
pub const MICROSECONDS_1970_TO_2000: i64 = 946_684_800_000_000;

sql_function! {
    /// `hlc(timestamptz)`
    fn gundb_hlc_from_timestamptz(call) {
        let time = call.required(call.int8(0), "time")?;
        // infinity and -infinity are the ends of the range and fall outside like any other.
        let ms = time.checked_add(MICROSECONDS_1970_TO_2000).filter(|&us| us >= 0).map(|us| us as u64 / 1000);
        let hlc = ms.and_then(|ms| Hlc::new(ms, 0)).ok_or_else(|| {
            Error::new(b"22008", "time is out of range for type gundb.hlc").detail("The range is 1970 to 9999.")
        })?;
        Ok(ret::hlc(hlc))
    }
}
sql_function! {
    /// `timestamptz(hlc)`
    fn gundb_hlc_to_timestamptz(call) {
        let ms = call.required(call.hlc(0), "hlc")?.millis() as i64;
        Ok(ret::int8(ms * 1000 - MICROSECONDS_1970_TO_2000))
    }
}

// ---------------------------------------------------------------------------------------------------------------
// lane
// ---------------------------------------------------------------------------------------------------------------

fn lane_arg(call: Call) -> Result<Lane> {
    call.required(call.lane(0), "value")
}

sql_function! {
    /// `lane_in`
    fn gundb_lane_in(call) { Ok(ret::lane(parse::<Lane>(call, "lane")?)) }
}
sql_function! {
    /// `lane_out`
    fn gundb_lane_out(call) { ret::c_string(&lane_arg(call)?.to_string()) }
}
sql_function! {
    /// `lane_recv`
    fn gundb_lane_recv(call) {
        let lane = Lane::from_bits(word(call, "lane")?)
            .ok_or_else(|| malformed_binary("lane", "a lane's run cannot be zero"))?;
        Ok(ret::lane(lane))
    }
}
sql_function! {
    /// `lane_send`
    fn gundb_lane_send(call) { Ok(crate::spi::varlena(&lane_arg(call)?.to_bits().to_be_bytes())) }
}

// ---------------------------------------------------------------------------------------------------------------
// chain
// ---------------------------------------------------------------------------------------------------------------

sql_function! {
    /// `chain_in`
    fn gundb_chain_in(call) { Ok(ret::uuid(&parse::<Chain>(call, "chain")?.0)) }
}
sql_function! {
    /// `chain_out`
    fn gundb_chain_out(call) { ret::c_string(&Chain(call.required(call.uuid(0), "value")?).to_string()) }
}
sql_function! {
    /// `chain_recv`
    fn gundb_chain_recv(call) {
        let bytes = received(call)?;
        let chain = <[u8; 16]>::try_from(bytes)
            .map_err(|_| malformed_binary("chain", format!("it takes 16 bytes, not {}", bytes.len())))?;
        Ok(ret::uuid(&chain))
    }
}
sql_function! {
    /// `chain_send`
    fn gundb_chain_send(call) { Ok(crate::spi::varlena(&call.required(call.uuid(0), "value")?)) }
}

// ---------------------------------------------------------------------------------------------------------------
// dot
// ---------------------------------------------------------------------------------------------------------------

fn dot_arg(call: Call, i: usize) -> Result<Dot> {
    let dot = call.dot(i)?;
    call.required(dot, "dot")
}

sql_function! {
    /// `dot_in`
    fn gundb_dot_in(call) { Ok(ret::dot(&parse::<Dot>(call, "dot")?)) }
}
sql_function! {
    /// `dot_out`
    fn gundb_dot_out(call) { ret::c_string(&dot_arg(call, 0)?.to_string()) }
}
sql_function! {
    /// `dot_recv`
    fn gundb_dot_recv(call) {
        let dot = Dot::from_bytes(received(call)?).map_err(|why| malformed_binary("dot", why))?;
        Ok(ret::dot(&dot))
    }
}
sql_function! {
    /// `dot_send`
    fn gundb_dot_send(call) { Ok(crate::spi::varlena(&dot_arg(call, 0)?.to_bytes())) }
}

/// Dots are compared as bytes: their encoding keeps their order.
fn compare_dots(call: Call) -> Result<Ordering> {
    let bytes = |i| {
        call.required(call.arg(i), "dot").map(|datum| {
            // SAFETY: declared as gundb.dot, 48 bytes.
            unsafe { *datum.cast_mut_ptr::<[u8; Dot::BYTES]>() }
        })
    };
    Ok(bytes(0)?.cmp(&bytes(1)?))
}

macro_rules! dot_comparison {
    ($name:ident, $test:expr) => {
        sql_function! {
            /// A comparison of two dots.
            fn $name(call) { Ok(ret::bool($test(compare_dots(call)?))) }
        }
    };
}
dot_comparison!(gundb_dot_eq, Ordering::is_eq);
dot_comparison!(gundb_dot_ne, Ordering::is_ne);
dot_comparison!(gundb_dot_lt, Ordering::is_lt);
dot_comparison!(gundb_dot_le, Ordering::is_le);
dot_comparison!(gundb_dot_gt, Ordering::is_gt);
dot_comparison!(gundb_dot_ge, Ordering::is_ge);

sql_function! {
    /// `dot_cmp`
    fn gundb_dot_cmp(call) { Ok(Datum::from(compare_dots(call)? as i32)) }
}
// PostgreSQL's own, which pgrx does not bind.
unsafe extern "C-unwind" {
    fn hash_bytes(bytes: *const u8, length: i32) -> u32;
}

sql_function! {
    /// `dot_hash`
    fn gundb_dot_hash(call) {
        let bytes = dot_arg(call, 0)?.to_bytes();
        // SAFETY: hashes the given bytes.
        Ok(Datum::from(unsafe { hash_bytes(bytes.as_ptr(), bytes.len() as i32) }))
    }
}
sql_function! {
    /// `dot(site, stream, lane, seq)`
    fn gundb_dot_make(call) {
        let site = SiteId(Uuid::from_bytes(call.required(call.uuid(0), "site")?));
        let stream = StreamId(Uuid::from_bytes(call.required(call.uuid(1), "stream")?));
        let lane = call.required(call.lane(2), "lane")?;
        let seq = call.required(call.int8(3), "seq")?;
        let dot = u64::try_from(seq).ok().and_then(|seq| Dot::new(site, stream, lane, seq)).ok_or_else(|| {
            Error::new(state::INVALID_PARAMETER, format!("seq must be at least 1, not {seq}"))
        })?;
        Ok(ret::dot(&dot))
    }
}
sql_function! {
    /// `site_of(dot)`
    fn gundb_dot_site(call) { Ok(ret::uuid(dot_arg(call, 0)?.site.0.as_bytes())) }
}
sql_function! {
    /// `stream_of(dot)`
    fn gundb_dot_stream(call) { Ok(ret::uuid(dot_arg(call, 0)?.stream.0.as_bytes())) }
}
sql_function! {
    /// `lane_of(dot)`
    fn gundb_dot_lane(call) { Ok(ret::lane(dot_arg(call, 0)?.lane)) }
}
sql_function! {
    /// `seq_of(dot)`
    fn gundb_dot_seq(call) { Ok(ret::int8(dot_arg(call, 0)?.seq as i64)) }
}
sql_function! {
    /// `stream_id(name)`
    fn gundb_stream_id(call) {
        let name = stream_name(call.required(call.text(0), "name")?)?;
        Ok(ret::uuid(StreamId::of_name(name.as_str()).0.as_bytes()))
    }
}

/// A stream's name, checked.
pub fn stream_name(name: &str) -> Result<StreamName> {
    name.parse::<StreamName>().map_err(|why| {
        let code = if name.len() > StreamName::BYTES_MAX { state::NAME_TOO_LONG } else { state::INVALID_NAME };
        Error::new(code, format!("\"{name}\" cannot name a stream"))
            .detail(why.to_string())
            .hint("A stream's name has 1 to 57 bytes, no control characters, no * and no ! in front.")
            .into()
    })
}

// ---------------------------------------------------------------------------------------------------------------
// clock
// ---------------------------------------------------------------------------------------------------------------

fn clock_arg(call: Call, i: usize) -> Result<Clock> {
    let clock = call.clock(i)?;
    call.required(clock, "clock")
}

sql_function! {
    /// `clock_in`
    fn gundb_clock_in(call) { Ok(ret::clock(&parse::<Clock>(call, "clock")?)) }
}
sql_function! {
    /// `clock_out`
    fn gundb_clock_out(call) { ret::c_string(&clock_arg(call, 0)?.to_string()) }
}
sql_function! {
    /// `clock_recv`
    fn gundb_clock_recv(call) {
        let clock = Clock::decode(received(call)?).map_err(|why| malformed_binary("clock", why))?;
        Ok(ret::clock(&clock))
    }
}
sql_function! {
    /// `clock_send`
    fn gundb_clock_send(call) { Ok(crate::spi::varlena(&clock_arg(call, 0)?.encode())) }
}

macro_rules! clock_comparison {
    ($name:ident, $test:expr) => {
        sql_function! {
            /// A comparison of two clocks; of concurrent ones none is true but <>.
            fn $name(call) {
                let order = clock_arg(call, 0)?.compare(&clock_arg(call, 1)?);
                Ok(ret::bool($test(order)))
            }
        }
    };
}
clock_comparison!(gundb_clock_eq, |order: Option<Ordering>| order == Some(Ordering::Equal));
clock_comparison!(gundb_clock_ne, |order: Option<Ordering>| order != Some(Ordering::Equal));
clock_comparison!(gundb_clock_lt, |order: Option<Ordering>| order.is_some_and(Ordering::is_lt));
clock_comparison!(gundb_clock_le, |order: Option<Ordering>| order.is_some_and(Ordering::is_le));
clock_comparison!(gundb_clock_gt, |order: Option<Ordering>| order.is_some_and(Ordering::is_gt));
clock_comparison!(gundb_clock_ge, |order: Option<Ordering>| order.is_some_and(Ordering::is_ge));
clock_comparison!(gundb_clock_concurrent, |order: Option<Ordering>| order.is_none());

sql_function! {
    /// `clock_join`, `||`
    fn gundb_clock_join(call) { Ok(ret::clock(&clock_arg(call, 0)?.join(&clock_arg(call, 1)?))) }
}
sql_function! {
    /// `clock_meet`
    fn gundb_clock_meet(call) { Ok(ret::clock(&clock_arg(call, 0)?.meet(&clock_arg(call, 1)?))) }
}
sql_function! {
    /// `clock_difference`
    fn gundb_clock_difference(call) { Ok(ret::clock(&clock_arg(call, 0)?.difference(&clock_arg(call, 1)?))) }
}
sql_function! {
    /// `clock_covers`, `@>`
    fn gundb_clock_covers(call) { Ok(ret::bool(clock_arg(call, 0)?.covers(&dot_arg(call, 1)?))) }
}
sql_function! {
    /// `clock_digest`
    fn gundb_clock_digest(call) { Ok(ret::uuid(&clock_arg(call, 0)?.digest())) }
}
sql_function! {
    /// `clock_entries`
    fn gundb_clock_entries(call) {
        let rows = call.rows();
        for dot in clock_arg(call, 0)?.iter() {
            rows.push(&[
                Some(ret::uuid(dot.site.0.as_bytes())),
                Some(ret::uuid(dot.stream.0.as_bytes())),
                Some(ret::lane(dot.lane)),
                Some(ret::int8(dot.seq as i64)),
            ]);
        }
        Ok(rows.done())
    }
}

// The aggregate clock_of.

sql_function! {
    /// `clock_of_add`
    fn gundb_clock_of_add(call) {
        let (clock, datum) = state_or_new::<Clock>(call)?;
        if let Some(dot) = call.dot(1)? {
            clock.advance(&dot);
        }
        Ok(datum)
    }
}
sql_function! {
    /// `clock_of_combine`
    fn gundb_clock_of_combine(call) {
        let (clock, datum) = state_or_new::<Clock>(call)?;
        if let Some(other) = aggregate::state::<Clock>(call, 1) {
            *clock = clock.join(other);
        }
        Ok(datum)
    }
}
sql_function! {
    /// `clock_of_serial`
    fn gundb_clock_of_serial(call) {
        match aggregate::state::<Clock>(call, 0) {
            Some(clock) => Ok(ret::clock(clock)),
            None => Ok(call.null()),
        }
    }
}
sql_function! {
    /// `clock_of_deserial`
    fn gundb_clock_of_deserial(call) {
        let bytes = call.required(call.bytes(0), "state")?;
        Ok(pass(Clock::decode(bytes).map_err(|why| malformed_binary("clock", why))?))
    }
}
sql_function! {
    /// `clock_of_final`
    fn gundb_clock_of_final(call) {
        Ok(match aggregate::state::<Clock>(call, 0) {
            Some(clock) => ret::clock(clock),
            None => ret::clock(&Clock::new()),
        })
    }
}
