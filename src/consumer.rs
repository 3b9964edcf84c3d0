//! Consumers: named, durable, transactional readers.
//!
//! A consumer's position is a clock that moves in the caller's transaction, so what the caller writes beside it
//! happens exactly once. It never skips: an event that becomes visible late stands in its lane behind the position,
//! wherever its stamp is. Two callers never get one event twice: the second waits for the first.

use crate::error::{Error, Result, state};
use crate::scan::As;
use crate::{catalog, heads, read, run, spi, sql_function};
use gundb_core::Clock;
use pgrx::pg_sys;

/// How long a waiting consumer sleeps at most before it looks by itself, in case no worker wakes it.
const LOOK_EVERY_MS: i64 = 1_000;

/// The position that `start` and `after` ask for.
fn position(start: Option<&str>, after: Option<Clock>, stream: Option<&str>) -> Result<Clock> {
    if let Some(after) = after {
        return Ok(after);
    }
    match start {
        None | Some("beginning") => Ok(Clock::new()),
        Some("end") => {
            let mut clock = Clock::new();
            for table in read::streams(stream)? {
                clock = clock.join(&heads::clock(Some(&table), As::OfSnapshot)?);
            }
            Ok(clock)
        }
        Some(other) => Err(Error::new(state::INVALID_PARAMETER, format!("start cannot be \"{other}\""))
            .hint("It is 'beginning' or 'end'; to start elsewhere, give a clock: after => ….")
            .into()),
    }
}

sql_function! {
    /// `create_consumer(name, stream, types, start, after)`
    fn gundb_create_consumer(call) {
        let name = call.required(call.text(0), "name")?;
        if name.is_empty() || name.len() > 63 {
            return Err(Error::new(state::INVALID_NAME, "a consumer's name has 1 to 63 bytes").into());
        }
        let stream = call.text(1);
        read::streams(stream)?;
        let position = position(call.text(3), call.clock(4)?, stream)?;
        catalog::create_consumer(name, stream, call.text_array(2)?.as_deref(), &position)?;
        Ok(call.void())
    }
}

sql_function! {
    /// `seek_consumer(name, start, after)`
    fn gundb_seek_consumer(call) {
        let name = call.required(call.text(0), "name")?;
        let consumer = catalog::lock_consumer(name)?;
        let position = position(call.text(1), call.clock(2)?, consumer.stream.as_deref())?;
        catalog::move_consumer(name, &position)?;
        Ok(call.void())
    }
}

sql_function! {
    /// `drop_consumer(name)`
    fn gundb_drop_consumer(call) {
        let name = call.required(call.text(0), "name")?;
        catalog::lock_consumer(name)?;
        catalog::drop_consumer(name)?;
        Ok(call.void())
    }
}

sql_function! {
    /// `consume(name, max, wait)`
    fn gundb_consume(call) {
        let name = call.required(call.text(0), "name")?;
        let rows_max = read::rows_max(Some(call.int4(1).unwrap_or(100)))?;
        let mut wait_ms = interval_ms(call.arg(2), "wait")?;
        let rows = call.rows();
        let consumer = catalog::lock_consumer(name)?;
        let query = read::Query {
            streams: read::streams(consumer.stream.as_deref())?,
            after: consumer.position,
            rows_max,
            types: consumer.types,
            key: None,
        };
        // SAFETY: reads a setting of the transaction.
        let sees_new = unsafe { pg_sys::XactIsoLevel } <= pg_sys::XACT_READ_COMMITTED as i32;
        let waiters = run::database()?.waiters();
        let mut found = 0;
        let position = loop {
            // Prepared before looking, so that news between the look and the sleep is not missed.
            // SAFETY: a condition variable in shared memory; cancelled below, or by abort.
            unsafe { pg_sys::ConditionVariablePrepareToSleep(waiters) };
            let mut look = || {
                read::page(&query, |event| {
                    found += 1;
                    rows.push_all(event.values, event.nulls);
                    Ok(())
                })
            };
            let position = if sees_new { spi::with_latest_snapshot(look)? } else { look()? };
            if found > 0 || wait_ms <= 0 || !sees_new {
                break position;
            }
            let started = run::now_ms();
            let nap = wait_ms.min(LOOK_EVERY_MS);
            spi::sleep(waiters, nap)?;
            wait_ms -= (run::now_ms().saturating_sub(started) as i64).max(1);
        };
        // SAFETY: pairs with the preparation above.
        unsafe { pg_sys::ConditionVariableCancelSleep() };
        if position != query.after {
            catalog::move_consumer(name, &position)?;
        }
        Ok(rows.done())
    }
}

/// An interval argument in milliseconds; months count as 30 days.
pub fn interval_ms(datum: Option<pg_sys::Datum>, name: &str) -> Result<i64> {
    let Some(datum) = datum else { return Ok(0) };
    // SAFETY: declared as interval.
    let interval = unsafe { &*datum.cast_mut_ptr::<pg_sys::Interval>() };
    let days = i64::from(interval.month) * 30 + i64::from(interval.day);
    let ms = days.saturating_mul(86_400_000).saturating_add(interval.time / 1000);
    if ms < 0 {
        return Err(Error::new(state::INVALID_PARAMETER, format!("{name} must not be negative")).into());
    }
    Ok(ms)
}
