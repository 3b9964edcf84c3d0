//! Declaring, dropping and detaching streams; event types; the site's name.
//!
//! Tables are made by the extension's owner, since they inherit from its table, and then given to the caller. What
//! is declared is itself an event, of the system stream, so that it can travel like any other.

use crate::call::ret;
use crate::catalog::{self, Definition};
use crate::error::{Error, Result, state};
use crate::spi::{as_owner, as_table_owner};
use crate::types::stream_name;
use crate::{drops, run, settings, sql_function, stamp, stream, transaction};
use gundb_core::schema::Schema;
use pgrx::pg_sys::{self, Datum, Oid};

/// The stream of definitions, which every peer takes.
pub const SYSTEM_STREAM: &str = "gundb";

sql_function! {
    /// `create_stream(name, as_table, closed)`
    fn gundb_create_stream(call) {
        let name = stream_name(call.required(call.text(0), "name")?)?;
        let name = name.as_str();
        if name == SYSTEM_STREAM {
            return Err(Error::new(b"42939", "the stream name \"gundb\" is reserved")
                .detail("It is the stream of definitions.")
                .into());
        }
        let as_table = call.text(1);
        let closed = call.bool(2).unwrap_or(false);
        let place = catalog::place_of(as_table)?;
        let table = as_owner(|| {
            catalog::lock_streams()?;
            catalog::stream_table(name)
        })?;
        if let Some(table) = table {
            let (was_closed, _) = catalog::definitions(name)?;
            if was_closed != closed {
                let is = if was_closed { "closed" } else { "open" };
                return Err(Error::new(state::DUPLICATE_OBJECT, format!("stream \"{name}\" already exists and is {is}"))
                    .into());
            }
            if as_table.is_some() && catalog::find_table(&place)? != Some(table) {
                return Err(Error::new(
                    state::DUPLICATE_OBJECT,
                    format!("stream \"{name}\" already exists as table {}", catalog::table_label(table)?),
                )
                .into());
            }
            stamp::notice(format!("stream \"{name}\" already exists, skipping"))?;
            return Ok(Datum::from(table));
        }
        let table = catalog::create_stream_table(name, &place)?;
        catalog::declare_stream(name, closed)?;
        let comes_back = catalog::take_stream(name)?;
        transaction::with(|t| t.peers_changed |= comes_back);
        Ok(Datum::from(table))
    }
}

/// The table of a stream, or an error that may know what was meant.
pub fn table_of(name: &str) -> Result<Oid> {
    match stream::table_by_name(name)? {
        Some(table) => Ok(table),
        None => Err(undefined(name)?),
    }
}

/// That there is no such stream, and what was perhaps meant.
pub fn undefined(name: &str) -> Result<crate::error::Failure> {
    let known = catalog::streams()?;
    let shown: String = name.chars().take(100).collect();
    let error = Error::new(state::UNDEFINED_STREAM, format!("stream \"{shown}\" does not exist"));
    Ok(match gundb_core::suggest::similar(name, known.iter().map(|stream| stream.name.as_str())) {
        Some(similar) => error.hint(format!("Did you mean \"{similar}\"?")),
        None => error.hint("Declare it with SELECT gundb.create_stream('name');"),
    }
    .into())
}

sql_function! {
    /// `drop_stream(name)`
    fn gundb_drop_stream(call) {
        let name = call.required(call.text(0), "name")?;
        let table = own_table(name)?;
        catalog::refuse_if_viewed(name)?;
        as_table_owner(table, || {
            catalog::lock_table(table)?;
            // No dot of the dropped stream is issued again, should one of this name be declared anew.
            run::database()?.raise_lane_floor();
            drops::allowed(|| catalog::drop_table(table))
        })?;
        leave(name)?;
        Ok(call.void())
    }
}

sql_function! {
    /// `detach_stream(name)`
    fn gundb_detach_stream(call) {
        let name = call.required(call.text(0), "name")?;
        let table = own_table(name)?;
        catalog::refuse_if_viewed(name)?;
        as_table_owner(table, || {
            catalog::lock_table(table)?;
            run::database()?.raise_lane_floor();
            drops::allowed(|| catalog::detach_table(table))
        })?;
        leave(name)?;
        Ok(Datum::from(table))
    }
}

/// A stream is here no longer: it is taken from nobody, and sessions with peers begin anew.
fn leave(name: &str) -> Result<()> {
    let is_new = catalog::leave_stream(name)?;
    transaction::with(|t| t.peers_changed |= is_new);
    Ok(())
}

/// The table of a stream that the caller may drop or detach: administrators may, of what they own.
fn own_table(name: &str) -> Result<Oid> {
    if name == SYSTEM_STREAM {
        return Err(Error::new(state::WRONG_OBJECT, "the stream of definitions cannot be dropped or detached")
            .hint("gundb.uninstall() ends gundb in this database.")
            .into());
    }
    let table = table_of(name)?;
    if !catalog::may_own(table)? {
        return Err(Error::new(state::PRIVILEGE, format!("must be owner of the table of stream \"{name}\"")).into());
    }
    Ok(table)
}

sql_function! {
    /// `define_event(stream, type, schema, version, upcast)`
    fn gundb_define_event(call) {
        let name = call.required(call.text(0), "stream")?;
        let kind = call.required(call.text(1), "type")?;
        if name == SYSTEM_STREAM {
            return Err(Error::new(b"42939", "event types of the stream of definitions are gundb's own").into());
        }
        if kind.is_empty() || kind.len() > stamp::TYPE_MAX_BYTES {
            return Err(Error::new(
                state::INVALID_PARAMETER,
                format!("an event's type has 1 to {} bytes, not {}", stamp::TYPE_MAX_BYTES, kind.len()),
            )
            .into());
        }
        if call.arg(4).is_some() {
            return Err(Error::new(state::FEATURE_NOT_SUPPORTED, "upcasts are not supported yet")
                .hint("Leave upcast out; readers see each event as it was appended.")
                .into());
        }
        let schema = match call.bytes(2) {
            None => None,
            Some(bytes) => {
                let text = stamp::canonical(bytes, settings::max_event_bytes())?;
                Schema::compile(&text).map_err(|why| {
                    Error::new(state::INVALID_PARAMETER, format!("the schema of event type \"{kind}\" is not valid"))
                        .detail(why.to_string())
                        .hint("It must be a JSON Schema, draft 2020-12, that refers to nothing outside itself.")
                })?;
                Some(text)
            }
        };
        let table = table_of(name)?;
        as_owner(catalog::lock_streams)?;
        let current = catalog::newest_definition(name, kind)?;
        let asked = call.int4(3);
        let next = match &current {
            Some(Definition { version, schema: known }) => {
                if *known == schema && asked.is_none_or(|asked| asked == *version) {
                    stamp::notice(format!("event type \"{kind}\" is already defined so, as version {version}, skipping"))?;
                    return Ok(Datum::from(*version));
                }
                version + 1
            }
            None => 1,
        };
        if let Some(asked) = asked.filter(|&asked| asked != next) {
            return Err(Error::new(
                state::INVALID_PARAMETER,
                format!("the next version of event type \"{kind}\" in stream \"{name}\" is {next}, not {asked}"),
            )
            .hint("Versions grow by one; leave version out to take the next.")
            .into());
        }
        catalog::define_event(name, kind, next, schema.as_deref())?;
        // Every backend reads the stream's definitions anew once this transaction has committed.
        // SAFETY: the table exists; it was looked up in this transaction.
        unsafe { pg_sys::CacheInvalidateRelcacheByRelid(table) };
        Ok(Datum::from(next))
    }
}

sql_function! {
    /// `site_id()`
    fn gundb_site_id(_call) { Ok(ret::uuid(run::site()?.0.as_bytes())) }
}

sql_function! {
    /// `site_name()`
    fn gundb_site_name(_call) { Ok(ret::text(&name_of_site(&run::site()?)?)) }
}

/// A site's name: the last it was given, or the beginning of its id.
pub fn name_of_site(site: &gundb_core::SiteId) -> Result<String> {
    let given = catalog::site_name(site)?;
    Ok(given.unwrap_or_else(|| site.0.simple().to_string().chars().take(8).collect()))
}

/// Refuses what cannot name a site.
pub fn check_site_name(name: &str) -> Result<()> {
    let fits = !name.is_empty()
        && name.len() <= 63
        && !name.chars().any(|c| c.is_control() || c == '/')
        && uuid::Uuid::parse_str(name).is_err();
    if !fits {
        return Err(Error::new(state::INVALID_NAME, format!("\"{name}\" cannot name a site"))
            .hint("A site's name has 1 to 63 bytes, no control characters and no /, and is no uuid.")
            .into());
    }
    Ok(())
}

sql_function! {
    /// `set_site_name(name)`
    fn gundb_set_site_name(call) {
        let name = call.required(call.text(0), "name")?;
        check_site_name(name)?;
        let site = run::site()?;
        if catalog::site_name(&site)?.as_deref() != Some(name) {
            catalog::name_site(&site, name)?;
        }
        Ok(call.void())
    }
}

sql_function! {
    /// `hlc_now()`
    fn gundb_hlc_now(_call) { Ok(ret::hlc(run::next_stamp()?)) }
}

/// Locks every appender out of every stream until the end of the transaction, and says which streams there are. The
/// system stream comes last: an appender that holds a stream may still have to read definitions.
pub fn lock_all_streams() -> Result<Vec<catalog::StreamTable>> {
    catalog::lock_streams()?;
    let mut streams = crate::spi::with_latest_snapshot(catalog::streams)?;
    streams.sort_by_key(|stream| stream.name == SYSTEM_STREAM);
    for stream in &streams {
        catalog::lock_table(stream.table)?;
    }
    Ok(streams)
}

sql_function! {
    /// `reset()`
    fn gundb_reset(call) {
        if catalog::has_peered()? {
            return Err(Error::new(state::WRONG_STATE, "this site has, or had, peers")
                .detail("What it has written may be elsewhere, and would come back.")
                .hint("Test suites that need gundb.reset() leave peers out; CREATE DATABASE … TEMPLATE gives a fresh one fast.")
                .into());
        }
        as_owner(|| {
            catalog::lock_applied()?;
            let streams = lock_all_streams()?;
            for stream in streams.iter().filter(|stream| stream.name != SYSTEM_STREAM) {
                as_table_owner(stream.table, || drops::allowed(|| catalog::truncate(stream.table)))?;
            }
            for view in catalog::views()? {
                catalog::clear_view(view.number)?;
                crate::view::empty(view.relation)?;
            }
            catalog::forget_positions()?;
            catalog::forget_applied()?;
            // All appenders are locked out; those to come draw a new run, so no dot is issued twice.
            run::database()?.end_run();
            transaction::with(transaction::Transaction::forget_run);
            Ok(())
        })?;
        Ok(call.void())
    }
}

sql_function! {
    /// `uninstall(keep_tables)`
    fn gundb_uninstall(call) {
        let keep = call.required(call.bool(0), "keep_tables")?;
        as_owner(|| {
            for view in catalog::views()? {
                as_table_owner(view.relation, || {
                    drops::allowed(|| {
                        if keep { catalog::detach_view(&view) } else { catalog::drop_table(view.relation) }
                    })
                })?;
                catalog::delete_view(&view)?;
            }
            for stream in catalog::streams()? {
                catalog::lock_table(stream.table)?;
                catalog::set_maintained(stream.table, false)?;
                run::database()?.raise_lane_floor();
                as_table_owner(stream.table, || {
                    drops::allowed(|| {
                        if keep && stream.name != SYSTEM_STREAM {
                            catalog::detach_table(stream.table)
                        } else {
                            catalog::drop_table(stream.table)
                        }
                    })
                })?;
            }
            Ok(())
        })?;
        stamp::notice("gundb is no longer used here; DROP EXTENSION gundb removes it")?;
        Ok(call.void())
    }
}

sql_function! {
    /// `begin_restore()`
    fn gundb_begin_restore(call) {
        // SAFETY: reads the current user's rights.
        if !unsafe { pg_sys::superuser() } {
            return Err(Error::new(state::PRIVILEGE, "must be superuser to load events with their coordinates").into());
        }
        as_owner(|| {
            // A run may be open whose first append has not committed, or never will: wait for it, and end it.
            lock_all_streams()
        })?;
        if catalog::last_run()?.is_some() || transaction::with(|t| t.xact.is_some()) {
            return Err(Error::new(state::WRONG_STATE, "this site has already appended events of its own")
                .detail("Coordinates can be supplied only before the first append, so that none is issued twice.")
                .hint("Restore into a database where gundb has just been created; its tables come from pg_dump --schema-only.")
                .into());
        }
        run::database()?.end_run();
        transaction::with(transaction::Transaction::forget_run);
        run::database()?.set_restoring(true);
        Ok(call.void())
    }
}

sql_function! {
    /// `end_restore()`
    fn gundb_end_restore(call) {
        run::database()?.set_restoring(false);
        // What sessions know of streams may be older than the views that have been loaded.
        for stream in catalog::streams()? {
            // SAFETY: the table exists: it was found in this transaction.
            unsafe { pg_sys::CacheInvalidateRelcacheByRelid(stream.table) };
        }
        Ok(call.void())
    }
}

sql_function! {
    /// `status()`: what only shared memory knows, for gundb.health.
    fn gundb_status(call) {
        let database = run::database()?;
        let running = database.running();
        let run = gundb_core::Run::new(running.run).map(|run| ret::text(&run.to_string()));
        call.row(&[
            Some(ret::bool(database.worker_pid() != 0)),
            Some(ret::text(env!("CARGO_PKG_VERSION"))),
            run,
            Some(ret::hlc(database.hlc())),
            Some(ret::int8((database.hlc().millis() as i64) - run::now_ms() as i64)),
            Some(ret::int8(i64::from(database.lane_floor()))),
            Some(ret::bool(database.is_restoring())),
        ])
    }
}
