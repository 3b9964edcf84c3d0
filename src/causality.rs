//! What an event's author had seen, and what this site knew when: `context`, `happened_before`, `concurrent`, `causal_sort`,
//! `clock_at`, digests, and dots with names.

use crate::call::{Call, ret};
use crate::catalog::{self, StreamTable};
use crate::error::{Error, Result, internal, state};
use crate::scan::{As, Head, Scan, sixteen, stored_lane};
use crate::types::MICROSECONDS_1970_TO_2000;
use crate::{admin, heads, sql_function, stream};
use gundb_core::{Clock, Dot, Hlc, Lane, Seen, SiteId, StreamId};
use pgrx::pg_sys::{self, Datum};
use std::collections::HashMap;
use uuid::Uuid;

/// Runs `f` with a scan of a stream's table.
fn with_scan<T>(table: &StreamTable, f: impl FnOnce(&mut Scan) -> T) -> Result<T> {
    // SAFETY: the relation is open for as long as the scan.
    unsafe {
        let relation = pg_sys::relation_open(table.table, pg_sys::AccessShareLock as i32);
        let known = stream::of_relation(relation)?;
        let value = f(&mut Scan::begin(relation, known.primary_key, As::OfSnapshot));
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        Ok(value)
    }
}

/// That no event of this dot is here.
pub fn no_event(dot: &Dot) -> Error {
    Error::new(state::UNDEFINED_OBJECT, format!("this site does not hold the event {dot}"))
        .hint("Wait until it has arrived; gundb.site_clock() says what is held.")
}

/// The event that a dot names, if the caller may read its stream.
fn find(dot: &Dot) -> Result<Head> {
    let streams = catalog::streams()?;
    let missing = || no_event(dot);
    let table = streams.iter().find(|stream| stream.stream == dot.stream).ok_or_else(missing)?;
    if !catalog::has_privilege(table.table, "SELECT")? {
        return Err(Error::new(state::PRIVILEGE, format!("permission denied for stream \"{}\"", table.name)).into());
    }
    let found = with_scan(table, |scan| unsafe { scan.event(&dot.site, dot.lane, dot.seq) })?;
    Ok(found.ok_or_else(missing)?)
}

/// The dot of an event that is given as a dot, as a row of a stream's table, or as a row of gundb.event.
pub fn dot_of(call: Call, i: usize) -> Result<Dot> {
    let datum = call.required(call.arg(i), "event")?;
    let given = call.arg_type(i);
    if given == catalog::extension()?.dot_type {
        let dot = call.dot(i)?;
        return call.required(dot, "event");
    }
    // SAFETY: the declared type is anyelement; that the value is a row is checked first.
    unsafe {
        if pg_sys::get_typtype(given) != pg_sys::TYPTYPE_COMPOSITE as core::ffi::c_char {
            return Err(not_an_event().into());
        }
        let tuple = pg_sys::pg_detoast_datum(datum.cast_mut_ptr()).cast::<pg_sys::HeapTupleHeaderData>();
        let relation = pg_sys::get_typ_typrelid((*tuple).t_choice.t_datum.datum_typeid);
        let column = |name: &core::ffi::CStr| -> Result<Datum> {
            let mut null = false;
            let number = pg_sys::get_attnum(relation, name.as_ptr());
            if number <= 0 {
                return Err(not_an_event().into());
            }
            let value = pg_sys::GetAttributeByNum(tuple, number, &mut null);
            if null { Err(not_an_event().into()) } else { Ok(value) }
        };
        let site = SiteId(Uuid::from_bytes(sixteen(column(c"site")?)));
        let lane = stored_lane(column(c"lane")?.value() as i64);
        let seq = column(c"seq")?.value() as u64;
        let chain = sixteen(column(c"chain")?);
        let streams = catalog::streams()?;
        // A row of gundb.event does not say its stream; the one that holds this very event does.
        let candidates = streams.iter().filter(|s| s.table == relation || relation == catalog::extension_event());
        for table in candidates {
            let found = with_scan(table, |scan| scan.event(&site, lane, seq))?;
            if found.is_some_and(|found| found.chain.0 == chain) {
                return Ok(Dot { site, stream: table.stream, lane, seq });
            }
        }
        Err(Error::new(state::UNDEFINED_OBJECT, "this site does not hold the event").into())
    }
}

fn not_an_event() -> Error {
    Error::new(b"42804", "the argument is not an event").hint("Pass a row of a stream's table, or a dot.")
}

/// The clock of the epoch that an event refers to.
fn epoch_clock(dot: &Dot, event: &Head) -> Result<Clock> {
    catalog::epoch_clock(&dot.site, dot.lane.run(), event.epoch)?.ok_or_else(|| {
        internal(format!("epoch {} of run {} of site {} is missing", event.epoch, dot.lane.run(), dot.site.0))
    })
}

/// All that the event's author had seen: its epoch's clock, and of its own run every event with a smaller stamp.
fn context(dot: &Dot) -> Result<Clock> {
    let event = find(dot)?;
    let mut clock = epoch_clock(dot, &event)?;
    for table in catalog::streams()? {
        let mut lanes: Vec<Lane> = Vec::new();
        heads::each(Some(&table), As::OfSnapshot, |_, site, lane, _| {
            if site == dot.site && lane.run() == dot.lane.run() {
                lanes.push(lane);
            }
        })?;
        for lane in lanes {
            // SAFETY: within `with_scan`.
            let before = with_scan(&table, |scan| unsafe { scan.last_before(&dot.site, lane, event.hlc) })?;
            if let Some(before) = before {
                clock.advance(&Dot { site: dot.site, stream: table.stream, lane, seq: before.seq });
            }
        }
    }
    Ok(clock)
}

sql_function! {
    /// `context(event)`
    fn gundb_context(call) { Ok(ret::clock(&context(&dot_of(call, 0)?)?)) }
}

/// What this site knew at a time (in PostgreSQL's microseconds), as far as it still holds it.
///
/// Of its own runs every event with a stamp not after it; of what came from others, and of its runs before it was
/// restored or copied, what the last epoch says that had begun by then. From now on: all that it holds.
pub fn clock_at(at: i64) -> Result<Clock> {
    let held = heads::clock(None, As::OfSnapshot)?;
    // SAFETY: reads the time at which the statement began.
    if at >= unsafe { pg_sys::GetCurrentStatementStartTimestamp() } {
        return Ok(held);
    }
    let Some(before) = stamp_after(at) else { return Ok(Clock::new()) };
    let mut clock = catalog::epoch_clock_before(before)?.unwrap_or_default();
    let own = catalog::own_runs()?;
    let streams = catalog::streams()?;
    for table in &streams {
        let mut halved = Vec::new();
        heads::each(Some(table), As::OfSnapshot, |_, site, lane, head| {
            if own.contains(&(site, lane.run())) {
                halved.push((site, lane, head));
            }
        })?;
        for (site, lane, head) in halved {
            let last = match head.hlc < before {
                true => Some(head),
                // SAFETY: within `with_scan`.
                false => with_scan(table, |scan| unsafe { scan.last_before(&site, lane, before) })?,
            };
            if let Some(last) = last {
                clock.advance(&Dot { site, stream: table.stream, lane, seq: last.seq });
            }
        }
    }
    Ok(clock.meet(&held))
}

/// The least stamp that is after a time; None before 1970.
fn stamp_after(at: i64) -> Option<Hlc> {
    let micros = at.checked_add(MICROSECONDS_1970_TO_2000).and_then(|micros| u64::try_from(micros).ok())?;
    Some(Hlc::new(micros / 1_000 + 1, 0).unwrap_or(Hlc::MAX))
}

sql_function! {
    /// `clock_at(at)`
    fn gundb_clock_at(call) {
        match call.int8(0) {
            Some(at) => Ok(ret::clock(&clock_at(at)?)),
            None => Ok(call.null()),
        }
    }
}

/// Runs `f` with both events as contexts see them.
fn both(call: Call, f: impl FnOnce(&Seen, &Seen) -> bool) -> Result<Datum> {
    let (a, b) = (dot_of(call, 0)?, dot_of(call, 1)?);
    let (event_a, event_b) = (find(&a)?, find(&b)?);
    let (clock_a, clock_b) = (epoch_clock(&a, &event_a)?, epoch_clock(&b, &event_b)?);
    let a = Seen { dot: a, hlc: event_a.hlc, epoch_clock: &clock_a };
    let b = Seen { dot: b, hlc: event_b.hlc, epoch_clock: &clock_b };
    Ok(ret::bool(f(&a, &b)))
}

sql_function! {
    /// `happened_before(a, b)`
    fn gundb_happened_before(call) { both(call, |a, b| a.is_before(b)) }
}
sql_function! {
    /// `concurrent(a, b)` of events
    fn gundb_concurrent(call) { both(call, gundb_core::concurrent) }
}

sql_function! {
    /// `causal_sort(dots, contexts)`
    fn gundb_causal_sort(call) {
        let dots = call.required(call.arg(0), "dots")?;
        let extension = catalog::extension()?;
        // SAFETY: declared as gundb.dot[].
        let dots = unsafe { crate::call::array_elements(dots, extension.dot_type) }
            .into_iter()
            .map(|datum| {
                let datum = datum.ok_or_else(|| Error::new(state::INVALID_PARAMETER, "a dot must not be null"))?;
                // SAFETY: 48 bytes.
                let bytes = unsafe { *datum.cast_mut_ptr::<[u8; Dot::BYTES]>() };
                Dot::from_bytes(&bytes).map_err(|error| internal(error.to_string()))
            })
            .collect::<Result<Vec<_>>>()?;
        let contexts = match call.arg(1) {
            None => dots.iter().map(context).collect::<Result<Vec<_>>>()?,
            // SAFETY: declared as gundb.clock[].
            Some(datum) => unsafe { crate::call::array_elements(datum, extension.clock_type) }
                .into_iter()
                .map(|datum| match datum {
                    // SAFETY: a clock is a varlena.
                    Some(datum) => Clock::decode(unsafe { crate::spi::bytes_of(datum) })
                        .map_err(|error| internal(error.to_string())),
                    None => Ok(Clock::new()),
                })
                .collect::<Result<Vec<_>>>()?,
        };
        if contexts.len() != dots.len() {
            return Err(Error::new(
                b"2202E",
                format!("{} dots need as many contexts, not {}", dots.len(), contexts.len()),
            )
            .into());
        }
        let events = dots.into_iter().zip(contexts).collect::<Vec<_>>();
        let order = gundb_core::causal_sort(&events).map_err(|cycle| {
            Error::new(state::CAUSAL_CYCLE, "the contexts given form a cycle")
                .detail(cycle.to_string())
                .hint("Of two events at most one can have seen the other; correct the clocks.")
        })?;
        let rows = call.rows();
        for (place, index) in order.into_iter().enumerate() {
            rows.push(&[Some(ret::int8(place as i64 + 1)), Some(ret::dot(&events[index].0))]);
        }
        Ok(rows.done())
    }
}

sql_function! {
    /// `dot_name(dot)`
    fn gundb_dot_name(call) {
        let dot = call.dot(0)?;
        let dot = call.required(dot, "dot")?;
        let site = match catalog::site_name(&dot.site)? {
            Some(name) => one_site(&name).map(|_| name)?,
            None => dot.site.0.to_string(),
        };
        let streams = catalog::streams()?;
        let stream = streams.iter().find(|stream| stream.stream == dot.stream);
        let stream = stream.map_or_else(|| dot.stream.0.to_string(), |stream| stream.name.clone());
        Ok(ret::text(&format!("{site}/{stream}/{}/{}", dot.lane, dot.seq)))
    }
}

sql_function! {
    /// `dot_named(name)`
    fn gundb_dot_named(call) {
        let name = call.required(call.text(0), "name")?;
        let malformed = || {
            Error::new(state::INVALID_TEXT, format!("\"{name}\" is not the name of a dot"))
                .hint("It has the form site/stream/lane/seq, as gundb.dot_name() prints it.")
        };
        let (site, rest) = name.split_once('/').ok_or_else(malformed)?;
        let (rest, seq) = rest.rsplit_once('/').ok_or_else(malformed)?;
        let (stream, lane) = rest.rsplit_once('/').ok_or_else(malformed)?;
        let canonical = !stream.is_empty() && seq.bytes().all(|c| c.is_ascii_digit()) && !seq.starts_with('0');
        if !canonical {
            return Err(malformed().into());
        }
        let lane = lane.parse::<Lane>().map_err(|why| malformed().detail(why.to_string()))?;
        let seq = seq.parse::<u64>().map_err(|why| malformed().detail(why.to_string()))?;
        let site = match Uuid::parse_str(site) {
            Ok(site) => SiteId(site),
            Err(_) => one_site(site)?,
        };
        // A stream that is not here has no name here, so its dots are printed with its uuid.
        let named = catalog::streams()?.iter().any(|known| known.name == stream);
        let stream = match Uuid::parse_str(stream) {
            Ok(uuid) if !named => StreamId(uuid),
            _ => StreamId::of_name(stream),
        };
        let dot = Dot::new(site, stream, lane, seq).ok_or_else(malformed)?;
        Ok(ret::dot(&dot))
    }
}

/// The one site that bears a name.
fn one_site(name: &str) -> Result<SiteId> {
    let sites = catalog::sites_named(name)?;
    match sites.as_slice() {
        [site] => Ok(*site),
        [] => Err(Error::new(state::UNDEFINED_OBJECT, format!("no site is named \"{name}\"")).into()),
        several => Err(Error::new(state::AMBIGUOUS_SITE, format!("{} sites are named \"{name}\"", several.len()))
            .detail(several.iter().map(|site| site.0.to_string()).collect::<Vec<_>>().join(", "))
            .hint("Use the site's uuid instead of its name.")
            .into()),
    }
}

/// That a clock covers an event which is not here.
pub fn not_held(dot: &Dot) -> Error {
    Error::new(state::MISSING_DEPENDENCY, "the clock covers an event that this site does not hold")
        .detail(format!("Missing: {dot}"))
        .hint("Wait until it has arrived; gundb.site_clock() says what is held.")
}

/// Heads of streams, by stream, for the digest.
pub fn digest(only: Option<&StreamTable>, at: Option<&Clock>) -> Result<[u8; 16]> {
    let mut found = Vec::new();
    let Some(clock) = at else {
        heads::each(only, As::OfSnapshot, |table, site, lane, head| {
            found.push((Dot { site, stream: table.stream, lane, seq: head.seq }, head.chain));
        })?;
        return Ok(gundb_core::digest(found));
    };
    let streams: HashMap<StreamId, StreamTable> =
        catalog::streams()?.into_iter().map(|stream| (stream.stream, stream)).collect();
    for dot in clock.iter().filter(|dot| only.is_none_or(|only| only.stream == dot.stream)) {
        let event = match streams.get(&dot.stream) {
            // SAFETY: within `with_scan`.
            Some(table) => with_scan(table, |scan| unsafe { scan.event(&dot.site, dot.lane, dot.seq) })?,
            None => None,
        };
        let event = event.ok_or_else(|| not_held(&dot))?;
        found.push((dot, event.chain));
    }
    Ok(gundb_core::digest(found))
}

sql_function! {
    /// `digest(stream, clock)`
    fn gundb_digest(call) {
        let clock = call.clock(1)?;
        let stream = match call.text(0) {
            None => None,
            Some(name) => Some(StreamTable {
                table: admin::table_of(name)?,
                stream: StreamId::of_name(name),
                name: name.to_owned(),
            }),
        };
        Ok(ret::uuid(&digest(stream.as_ref(), clock.as_ref())?))
    }
}
