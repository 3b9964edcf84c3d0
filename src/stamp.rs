//! The stamp: the BEFORE INSERT row trigger of every stream table, which turns a row into an event.
//!
//! It gives the row its place (site, lane, seq), its time (hlc, transaction, epoch), its id and salt, and the chain
//! that binds it to everything before it in its lane. No plan and no SPI on this path but at the first append of a
//! run and when something about the stream has to be read anew.
//!
//! Must hold: a row that is stamped is inserted, or the whole statement fails, or the head is read again before the
//! next stamp. The first follows from the trigger being the last one; the last covers ON CONFLICT DO NOTHING, which
//! drops rows after their triggers ran.
//!
//! Unsafe: trigger data and tuples.

use crate::boundary::try_pg;
use crate::error::{Error, Result, internal, state};
use crate::jsonb::{self, JsonbError};
use crate::scan::{Stored, column, sixteen, to_stored};
use crate::spi::{bytes_of, text_of};
use crate::statement::{self, OnConflict};
use crate::stream::{self, Stream};
use crate::transaction::{Held, Stamped};
use crate::{apply, boundary, catalog, drops, duplicate, lane, random, restore, run, settings, transaction};
use gundb_core::chain::{Header, content_hash};
use gundb_core::fold::Mark;
use gundb_core::json::Printer;
use gundb_core::schema::{CheckError, STEPS_MAX, Stop};
use gundb_core::{Run, SiteId};
use pgrx::pg_sys::{self, Datum};
use serde::Deserialize;
use std::cell::Cell;
use std::ffi::CStr;
use uuid::Uuid;

/// Whether a trigger function was called as one, BEFORE and FOR EACH ROW.
unsafe fn trigger_data(fcinfo: pg_sys::FunctionCallInfo) -> Result<*mut pg_sys::TriggerData> {
    unsafe {
        let context = (*fcinfo).context;
        if context.is_null() || (*context).type_ != pg_sys::NodeTag::T_TriggerData {
            return Err(Error::new(state::WRONG_OBJECT, "this function can only be called as a trigger").into());
        }
        Ok(context.cast())
    }
}

crate::sql_function! {
    /// `gundb.stamp()`: the trigger.
    fn gundb_stamp(call) {
        // SAFETY: `call` holds PostgreSQL's own fcinfo.
        unsafe {
            let trigger = &*trigger_data(call.fcinfo())?;
            const STAMPS: u32 = pg_sys::TRIGGER_EVENT_INSERT | pg_sys::TRIGGER_EVENT_ROW | pg_sys::TRIGGER_EVENT_BEFORE;
            const KIND: u32 =
                pg_sys::TRIGGER_EVENT_OPMASK | pg_sys::TRIGGER_EVENT_ROW | pg_sys::TRIGGER_EVENT_TIMINGMASK;
            if trigger.tg_event & KIND != STAMPS {
                return Err(Error::new(state::WRONG_OBJECT, "gundb.stamp() is a trigger BEFORE INSERT FOR EACH ROW only")
                    .hint("gundb.create_stream() makes it; it is of no use elsewhere.")
                    .into());
            }
            stamp(trigger)
        }
    }
}

crate::sql_function! {
    /// `gundb.guard()`: refuses what would change an event.
    fn gundb_guard(call) {
        // SAFETY: as above.
        unsafe {
            let trigger = &*trigger_data(call.fcinfo())?;
            if drops::is_allowed() {
                return Ok(Datum::null());
            }
            let table = CStr::from_ptr((*(*trigger.tg_relation).rd_rel).relname.data.as_ptr()).to_string_lossy();
            let action = match trigger.tg_event & pg_sys::TRIGGER_EVENT_OPMASK {
                pg_sys::TRIGGER_EVENT_UPDATE => "UPDATE",
                pg_sys::TRIGGER_EVENT_DELETE => "DELETE from",
                pg_sys::TRIGGER_EVENT_TRUNCATE => "TRUNCATE",
                _ => return refuse_parent(),
            };
            Err(Error::new(state::IMMUTABLE, format!("cannot {action} \"{table}\": events are immutable"))
                .hint(if action == "TRUNCATE" {
                    "gundb.reset() empties every stream while no peer was ever added; gundb.drop_stream() drops one."
                } else {
                    "Append an event that says what changed."
                })
                .into())
        }
    }
}

fn refuse_parent() -> Result<Datum> {
    Err(Error::new(state::WRONG_OBJECT, "cannot insert into \"gundb.event\": it is the parent of all streams")
        .hint("Insert into a stream's own table, or use gundb.append('stream', 'Type', '{…}').")
        .into())
}

// Raw: pgrx's guarded forms set a jump point each, and this path is taken once an event.
unsafe extern "C-unwind" {
    fn heap_deform_tuple(tuple: pg_sys::HeapTuple, descriptor: pg_sys::TupleDesc, values: *mut Datum, nulls: *mut bool);
    fn heap_form_tuple(descriptor: pg_sys::TupleDesc, values: *const Datum, nulls: *const bool) -> pg_sys::HeapTuple;
}

/// Columns that a row is taken apart into without an allocation; a stream has 13 of gundb's own.
const COLUMNS_AT_HAND: usize = 24;

thread_local! {
    /// The memory of the texts of the event before: for data and for meta.
    static TEXTS: Cell<(String, String)> = const { Cell::new((String::new(), String::new())) };
}

/// Texts that grew beyond this are not kept.
const TEXT_KEPT_BYTES: usize = 64 << 10;

unsafe fn stamp(trigger: &pg_sys::TriggerData) -> Result<Datum> {
    let (mut values, mut nulls) = ([Datum::null(); COLUMNS_AT_HAND], [true; COLUMNS_AT_HAND]);
    unsafe {
        let natts = (*(*trigger.tg_relation).rd_att).natts as usize;
        if natts <= COLUMNS_AT_HAND {
            return stamp_row(trigger, &mut values[..natts], &mut nulls[..natts]);
        }
        stamp_row(trigger, &mut vec![Datum::null(); natts], &mut vec![true; natts])
    }
}

/// As [`stamp`], given the place for the row's columns.
unsafe fn stamp_row(trigger: &pg_sys::TriggerData, values: &mut [Datum], nulls: &mut [bool]) -> Result<Datum> {
    unsafe {
        let relation = trigger.tg_relation;
        let descriptor = (*relation).rd_att;
        // Raises for nothing but a damaged row.
        heap_deform_tuple(trigger.tg_trigtuple, descriptor, values.as_mut_ptr(), nulls.as_mut_ptr());
        let stream = stream::of_relation(relation)?;

        if restore::is_open() && !nulls[column::CHAIN] {
            restore::check(nulls)?;
            return Ok(Datum::from(trigger.tg_trigtuple));
        }
        if apply::is_storing(stream.table) {
            return Ok(Datum::from(trigger.tg_trigtuple));
        }
        if let Some(problem) = &stream.append_problem {
            return Err(problem.clone().into());
        }
        refuse_coordinates(nulls)?;
        let kind = required(values, nulls, column::TYPE, &stream)?;
        let kind = text_of(kind);
        if kind.is_empty() || kind.len() > TYPE_MAX_BYTES {
            return Err(Error::new(
                state::INVALID_PARAMETER,
                format!("an event's type has 1 to {TYPE_MAX_BYTES} bytes, not {}", kind.len()),
            )
            .hint("The type says what happened, as a name; what there is to tell goes into data.")
            .into());
        }
        let data = bytes_of(required(values, nulls, column::DATA, &stream)?);
        let key = (!nulls[column::KEY]).then(|| text_of(values[column::KEY]));
        if let Some(key) = key.filter(|key| key.len() > KEY_MAX_BYTES) {
            return Err(Error::new(
                state::TOO_LARGE,
                format!("an event's key has at most {KEY_MAX_BYTES} bytes, not {}", key.len()),
            )
            .hint("The key names the entity; use a name, a number or a hash, and put the rest into data.")
            .into());
        }

        let (database, running) = run::open()?;
        let (site, run) = match Run::new(running.run) {
            Some(run) => (SiteId(Uuid::from_bytes(running.site)), run),
            None => return Err(internal("a run was opened without a number")),
        };
        let now_ms = run::now_ms();

        let on_conflict = statement::on_conflict(stream.table);
        let given_id = (!nulls[column::ID]).then(|| sixteen(values[column::ID]));
        if let Some(id) = given_id
            && duplicate::exists(relation, &stream, &id)
        {
            if on_conflict == OnConflict::Skips {
                return Ok(Datum::null());
            }
            return Err(duplicate::already_there(&stream, &id));
        }

        // Both texts count against one limit.
        let limit = settings::max_event_bytes().saturating_sub(key.map_or(0, str::len));
        let (data_memory, meta_memory) = TEXTS.take();
        let data_text = print(data, limit, data_memory)?;
        let meta = if nulls[column::META] { None } else { Some(bytes_of(values[column::META])) };
        let meta = actor(meta, &mut values[column::META])?;
        let mut meta_text = meta_memory;
        match meta {
            Some(bytes) if !jsonb::is_object(bytes) => {
                return Err(Error::new(state::INVALID_PARAMETER, "meta must be a JSON object").into());
            }
            Some(bytes) if !jsonb::is_empty_object(bytes) => {
                meta_text = print(bytes, limit.saturating_sub(data_text.len()), meta_text)?;
            }
            _ => {
                meta_text.clear();
                meta_text.push_str("{}");
            }
        }
        if meta.is_none() {
            values[column::META] = Datum::from(&raw const EMPTY_OBJECT);
        }
        check_type(&stream, kind, &data_text)?;

        // From here on nothing refuses the row.
        let may_vanish = on_conflict != OnConflict::Fails;
        if may_vanish {
            transaction::with(|t| t.let_go(stream.table));
        }
        let held = lane::hold(relation, &stream, database, &site, run)?;
        let stamp = run::stamp(database, now_ms)?;
        let xact = transaction::with(|t| *t.xact.get_or_insert(stamp.hlc));
        let id = match given_id {
            Some(id) => id,
            None => random::uuid_v7(stamp.hlc)?,
        };
        let salt = random::bytes::<16>()?;
        let content = content_hash(&salt, key, &data_text, &meta_text);
        let header = Header { xact, hlc: stamp.hlc, id: uuid::Uuid::from_bytes(id), kind, epoch: stamp.epoch };
        let chain = held.chain.next(&header, &content);
        let seq = held.seq + 1;
        transaction::with(|t| {
            t.wrote(stream.table, held.lane, held.seq);
            t.was_stamped(stream.table, Stamped { lane: held.lane, seq, hlc: stamp.hlc, id });
            t.gave_ids |= given_id.is_some();
            if may_vanish {
                t.let_go(stream.table);
                return;
            }
            t.hold(stream.table, Held { lane: held.lane, seq, chain });
            if !stream.views.is_empty() {
                let mark = Mark { hlc: stamp.hlc, site, lane: held.lane, seq, epoch: stamp.epoch };
                let meta = meta.unwrap_or(EMPTY_CONTENT);
                let id = Uuid::from_bytes(id);
                t.keep(stream.table, &Stored { mark, xact, chain, salt, id, kind, key, data, meta });
            }
        });
        if data_text.capacity().max(meta_text.capacity()) <= TEXT_KEPT_BYTES {
            TEXTS.set((data_text, meta_text));
        }

        // The tuple copies what these point to.
        values[column::SITE] = Datum::from(site.0.as_bytes().as_ptr());
        values[column::LANE] = Datum::from(to_stored(held.lane.to_bits()));
        values[column::SEQ] = Datum::from(seq as i64);
        values[column::HLC] = Datum::from(to_stored(stamp.hlc.to_bits()));
        values[column::XACT] = Datum::from(to_stored(xact.to_bits()));
        values[column::EPOCH] = Datum::from(stamp.epoch as i64);
        values[column::ID] = Datum::from(id.as_ptr());
        values[column::CHAIN] = Datum::from(chain.0.as_ptr());
        values[column::SALT] = Datum::from(salt.as_ptr());
        nulls[..=column::TYPE].fill(false);
        nulls[column::META] = false;
        let (values, nulls) = (values.as_ptr(), nulls.as_ptr());
        try_pg(|| heap_form_tuple(descriptor, values, nulls)).map(Datum::from)
    }
}

/// A key fits an index entry.
pub const KEY_MAX_BYTES: usize = 2_048;

/// An event type's name is short: it is stored in each event.
pub const TYPE_MAX_BYTES: usize = 255;

/// The jsonb `{}`: a varlena of eight bytes whose container has no pairs.
#[repr(C, align(8))]
struct EmptyObject([u32; 2]);

/// What follows its header.
const EMPTY_CONTENT: &[u8] = &0x2000_0000u32.to_ne_bytes();

static EMPTY_OBJECT: EmptyObject = EmptyObject([if cfg!(target_endian = "little") { 8 << 2 } else { 8 }, 0x2000_0000]);

fn refuse_coordinates(nulls: &[bool]) -> Result<()> {
    const GIVEN_BY_GUNDB: [usize; 8] = [
        column::SITE,
        column::LANE,
        column::SEQ,
        column::HLC,
        column::XACT,
        column::EPOCH,
        column::CHAIN,
        column::SALT,
    ];
    match GIVEN_BY_GUNDB.iter().find(|&&column| !nulls[column]) {
        None => Ok(()),
        Some(&column) => Err(Error::new(
            state::COORDINATE_SUPPLIED,
            format!("column \"{}\" of a stream is given by gundb and cannot be supplied", column::NAMES[column]),
        )
        .hint("Leave it out, or give NULL. To load a dump with its coordinates, see gundb.begin_restore().")
        .into()),
    }
}

fn required(values: &[Datum], nulls: &[bool], column: usize, stream: &Stream) -> Result<Datum> {
    if nulls[column] {
        let name = column::NAMES[column];
        return Err(Error::new(
            state::NOT_NULL,
            format!("null value in column \"{name}\" of stream \"{}\" violates not-null constraint", stream.name),
        )
        .hint(if column == column::DATA { "Write '{}' for an event without data." } else { "Give the event a type." })
        .into());
    }
    Ok(values[column])
}

/// The text that jsonb prints, within the limit.
pub fn canonical(bytes: &[u8], limit: usize) -> Result<String> {
    print(bytes, limit, String::new())
}

/// As [`canonical`], into the memory of a text that is no longer needed.
fn print(bytes: &[u8], limit: usize, memory: String) -> Result<String> {
    let mut printer = Printer::reusing(memory, limit);
    match jsonb::print(bytes, &mut printer) {
        Ok(()) => Ok(printer.finish()),
        Err(JsonbError::TooLarge) => Err(Error::new(
            state::EVENT_TOO_LARGE,
            format!("the event is larger than gundb.max_event_size ({} kB)", settings::max_event_bytes() / 1024),
        )
        .detail("The size is that of key, data and meta as printed text; numbers with large exponents print long.")
        .hint("Store large content elsewhere and append a reference to it, or raise gundb.max_event_size.")
        .into()),
        Err(JsonbError::TooDeep) => Err(Error::new(
            state::TOO_LARGE,
            format!("the event's JSON is nested deeper than {} levels", jsonb::DEPTH_MAX),
        )
        .hint("Flatten the document.")
        .into()),
        Err(JsonbError::Malformed) => Err(Error::new(state::CORRUPTED, "the event's jsonb value is damaged").into()),
    }
}

/// With `gundb.stamp_actor`, puts the session user into `meta.actor`, whatever was there.
unsafe fn actor<'a>(meta: Option<&'a [u8]>, datum: &mut Datum) -> Result<Option<&'a [u8]>> {
    if !settings::stamp_actor() {
        return Ok(meta);
    }
    let base = if meta.is_some() { Some(*datum) } else { None };
    *datum = catalog::with_actor(base)?;
    // SAFETY: the datum was made in the current memory context, which outlives the trigger.
    Ok(Some(unsafe { bytes_of(*datum) }))
}

fn check_type(stream: &Stream, kind: &str, data: &str) -> Result<()> {
    let Some(definition) = stream.types.get(kind) else {
        // What takes an event back may follow wherever the event may stand.
        if !stream.closed || kind == gundb_core::fold::REVERTED {
            return Ok(());
        }
        let known = stream.types.keys().map(String::as_str);
        let mut error = Error::new(
            state::UNDEFINED_TYPE,
            format!("event type \"{kind}\" is not defined in stream \"{}\"", stream.name),
        )
        .detail("The stream is closed: it takes only event types that are defined.");
        error = match gundb_core::suggest::similar(kind, known) {
            Some(name) => error.hint(format!("Did you mean \"{name}\"?")),
            None => error.hint("Define it with SELECT gundb.define_event('stream', 'Type', '{…}')."),
        };
        return Err(error.into());
    };
    let Some(schema) = definition else { return Ok(()) };
    let mut reader = serde_json::Deserializer::from_str(data);
    // The printer has counted the levels: there are at most DEPTH_MAX.
    reader.disable_recursion_limit();
    let value = serde_json::Value::deserialize(&mut reader).map_err(|error| {
        Error::new(state::SCHEMA_VIOLATION, format!("event data of type \"{kind}\" cannot be checked: {error}"))
    })?;
    loop {
        return match schema.validate(&value) {
            Ok(()) => Ok(()),
            Err(CheckError::GivenUp(Stop::Interrupted)) => {
                boundary::check_interrupts()?;
                continue;
            }
            Err(CheckError::GivenUp(Stop::TooDeep)) => Err(Error::new(
                state::TOO_DEEP,
                format!("event data of type \"{kind}\" cannot be checked: stack depth limit exceeded"),
            )
            .detail("The data is nested deeply, and so are the references of the schema.")
            .hint("Flatten the document, or simplify the schema with gundb.define_event().")
            .into()),
            Err(CheckError::GivenUp(Stop::TooManySteps)) => Err(Error::new(
                state::SCHEMA_VIOLATION,
                format!("event data of type \"{kind}\" cannot be checked: it takes too many steps"),
            )
            .detail(format!("More than {STEPS_MAX} references of the schema were followed."))
            .hint("Define a simpler schema with gundb.define_event(): one in which references do not multiply.")
            .into()),
            Err(CheckError::Violation { path, message }) => {
                let place = if path.is_empty() { "the whole".to_owned() } else { path };
                Err(Error::new(
                    state::SCHEMA_VIOLATION,
                    format!("event data does not fit the schema of type \"{kind}\" in stream \"{}\"", stream.name),
                )
                .detail(format!("At {place}: {message}"))
                .hint("Correct the data, or define a new version of the type with gundb.define_event().")
                .into())
            }
        };
    }
}

/// Says something below ERROR from a trigger.
pub fn notice(message: impl Into<String>) -> Result<()> {
    boundary::report(pgrx::PgLogLevel::NOTICE, Error::new(b"00000", message))
}
