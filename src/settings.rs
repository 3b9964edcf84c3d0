//! The settings (`gundb.*`). `docs/settings.md` is their table.

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};
use std::ffi::CString;
use std::time::Duration;

static MAX_DATABASES: GucSetting<i32> = GucSetting::<i32>::new(64);
static MAX_EVENT_SIZE: GucSetting<i32> = GucSetting::<i32>::new(64 * 1024);
static MAX_TIME_DRIFT: GucSetting<i32> = GucSetting::<i32>::new(300);
static STAMP_ACTOR: GucSetting<bool> = GucSetting::<bool>::new(false);
static DIAL_PEERS: GucSetting<bool> = GucSetting::<bool>::new(true);
static RECONNECT_MAX: GucSetting<i32> = GucSetting::<i32>::new(60);
static KEEP_ALIVE: GucSetting<i32> = GucSetting::<i32>::new(60);
static STREAM_SCHEMA: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(Some(c"public"));

/// Databases of the cluster that may use gundb.
pub fn max_databases() -> usize {
    MAX_DATABASES.get().max(1) as usize
}

/// The greatest canonical text of an event, in bytes.
pub fn max_event_bytes() -> usize {
    MAX_EVENT_SIZE.get() as usize * 1024
}

/// How far ahead of the wall clock a stamp may be.
pub fn max_time_drift_ms() -> u64 {
    MAX_TIME_DRIFT.get() as u64 * 1_000
}

/// Whether the session user is stamped into `meta.actor`.
pub fn stamp_actor() -> bool {
    STAMP_ACTOR.get()
}

/// The schema in which streams of peers become tables.
pub fn stream_schema() -> String {
    STREAM_SCHEMA.get().map_or_else(|| "public".to_owned(), |schema| schema.to_string_lossy().into_owned())
}

/// Whether the worker dials peers.
pub fn dials_peers() -> bool {
    DIAL_PEERS.get()
}

/// The longest pause before a peer is dialled again.
pub fn reconnect_max() -> Duration {
    Duration::from_secs(RECONNECT_MAX.get().max(1) as u64)
}

/// How long a session may be silent before the peer is asked for a sign of life.
pub fn keep_alive() -> Option<Duration> {
    u64::try_from(KEEP_ALIVE.get()).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}

/// Defines the settings.
pub fn register() {
    GucRegistry::define_int_guc(
        c"gundb.max_databases",
        c"Databases of this cluster that may use gundb.",
        c"Each takes about a kilobyte of shared memory. Takes effect at a restart.",
        &MAX_DATABASES,
        1,
        10_000,
        GucContext::Postmaster,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"gundb.max_event_size",
        c"The greatest size of an event: its key, data and meta as printed text.",
        c"A small jsonb can print large; the size is counted while printing. A larger event is refused with GD010.",
        &MAX_EVENT_SIZE,
        1,
        256 * 1024,
        GucContext::Suset,
        GucFlags::UNIT_KB,
    );
    GucRegistry::define_int_guc(
        c"gundb.max_time_drift",
        c"How far ahead of this server's clock a stamp may be.",
        c"An event from further ahead waits in gundb.pending; the clock's drift beyond it is reported in gundb.health.",
        &MAX_TIME_DRIFT,
        1,
        365 * 24 * 3600,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_bool_guc(
        c"gundb.stamp_actor",
        c"Writes the session user into meta.actor of each event appended here.",
        c"While it is on, a supplied meta.actor is replaced, so it cannot be forged.",
        &STAMP_ACTOR,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_string_guc(
        c"gundb.stream_schema",
        c"The schema in which streams that come from peers become tables.",
        c"They are owned by the extension's owner, and granted to nobody.",
        &STREAM_SCHEMA,
        GucContext::Suset,
        GucFlags::default(),
    );
    GucRegistry::define_bool_guc(
        c"gundb.dial_peers",
        c"Whether this site dials its peers.",
        c"Off ends every session that was dialled from here. Peers that dial in are served all the same.",
        &DIAL_PEERS,
        GucContext::Sighup,
        GucFlags::default(),
    );
    GucRegistry::define_int_guc(
        c"gundb.reconnect_max",
        c"The longest pause before a peer that could not be reached is dialled again.",
        c"Pauses begin at a second and double; each is shortened by chance, by half at most.",
        &RECONNECT_MAX,
        1,
        24 * 3600,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    GucRegistry::define_int_guc(
        c"gundb.keep_alive",
        c"How long a session with a peer may be silent before the peer is asked for a sign of life; 0: it never is.",
        c"Counts for sessions that begin later. TCP's own keep-alive is set in the peer's URL, and notices a peer that vanished within 25 s if nothing is said.",
        &KEEP_ALIVE,
        0,
        24 * 3600,
        GucContext::Sighup,
        GucFlags::UNIT_S,
    );
    // A misspelt gundb.… is an error, not a setting that nobody reads.
    // SAFETY: called from _PG_init, after all settings are defined.
    unsafe { pgrx::pg_sys::MarkGUCPrefixReserved(c"gundb".as_ptr()) };
}
