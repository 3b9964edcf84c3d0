//! The settings (`gundb.*`). `docs/settings.md` is their table.

use pgrx::guc::{GucContext, GucFlags, GucRegistry, GucSetting};

static MAX_DATABASES: GucSetting<i32> = GucSetting::<i32>::new(64);
static MAX_EVENT_SIZE: GucSetting<i32> = GucSetting::<i32>::new(64 * 1024);
static MAX_TIME_DRIFT: GucSetting<i32> = GucSetting::<i32>::new(300);
static STAMP_ACTOR: GucSetting<bool> = GucSetting::<bool>::new(false);

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
    // A misspelt gundb.… is an error, not a setting that nobody reads.
    // SAFETY: called from _PG_init, after all settings are defined.
    unsafe { pgrx::pg_sys::MarkGUCPrefixReserved(c"gundb".as_ptr()) };
}
