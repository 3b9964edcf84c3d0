//! The extension in this database: who owns it, where its types are, which version it has.

use crate::error::{Error, Result, internal, state};
use crate::spi::{self, Mode};
use pgrx::pg_sys::Oid;
use std::cell::Cell;

/// What never changes while the extension stands.
#[derive(Clone, Copy)]
pub struct Extension {
    pub oid: Oid,
    pub owner: Oid,
    /// The table `gundb.event`.
    pub event: Oid,
    pub clock_type: Oid,
    pub hlc_type: Oid,
    pub lane_type: Oid,
    pub dot_type: Oid,
    pub chain_type: Oid,
    pub stamp_function: Oid,
    /// The function `gundb.maintain`; invalid likewise.
    pub maintain_function: Oid,
    /// The table `gundb.view_state`; invalid where the extension is older than views.
    pub view_state: Oid,
    /// The table `gundb.view_late`; invalid likewise.
    pub view_late: Oid,
}

thread_local! {
    static EXTENSION: Cell<Option<Extension>> = const { Cell::new(None) };
    static LAST_SEEN: Cell<u32> = const { Cell::new(0) };
}

/// Forgets what [`extension`] remembers; called when a relation that it names changes.
pub fn forget() {
    EXTENSION.set(None);
}

/// Whether a change of relation `oid` (0: of any) makes what is remembered doubtful.
pub fn depends_on(oid: Oid) -> bool {
    EXTENSION.get().is_some_and(|extension| oid == Oid::INVALID || oid == extension.event)
}

/// The oid of `gundb.event`, or none.
pub fn extension_event() -> Oid {
    EXTENSION.get().map_or(Oid::INVALID, |extension| extension.event)
}

/// The extension in this database.
pub fn extension() -> Result<Extension> {
    find_extension()?.ok_or_else(|| {
        Error::new(state::UNDEFINED_OBJECT, "extension \"gundb\" does not exist in this database")
            .hint("Run CREATE EXTENSION gundb;")
            .into()
    })
}

/// The extension in this database, if it is there.
pub fn find_extension() -> Result<Option<Extension>> {
    if let Some(known) = EXTENSION.get() {
        return Ok(Some(known));
    }
    let found = spi::connect(|spi| {
        let rows = spi.run(
            "SELECT x.oid, x.extowner, c.oid,
                    (SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typnamespace = n.oid AND t.typname = 'clock'),
                    (SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typnamespace = n.oid AND t.typname = 'hlc'),
                    (SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typnamespace = n.oid AND t.typname = 'lane'),
                    (SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typnamespace = n.oid AND t.typname = 'dot'),
                    (SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid AND p.proname = 'stamp'),
                    (SELECT v.oid FROM pg_catalog.pg_class v WHERE v.relnamespace = n.oid AND v.relname = 'view_state'),
                    (SELECT p.oid FROM pg_catalog.pg_proc p WHERE p.pronamespace = n.oid AND p.proname = 'maintain'),
                    (SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typnamespace = n.oid AND t.typname = 'chain'),
                    (SELECT v.oid FROM pg_catalog.pg_class v WHERE v.relnamespace = n.oid AND v.relname = 'view_late')
               FROM pg_catalog.pg_extension x
               JOIN pg_catalog.pg_namespace n ON n.oid = x.extnamespace
               JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = 'event'
              WHERE x.extname = 'gundb'",
            &[],
            Mode::Read,
            1,
        )?;
        Ok(rows.first().and_then(|row| {
            Some(Extension {
                oid: row.oid(1)?,
                owner: row.oid(2)?,
                event: row.oid(3)?,
                clock_type: row.oid(4)?,
                hlc_type: row.oid(5)?,
                lane_type: row.oid(6)?,
                dot_type: row.oid(7)?,
                stamp_function: row.oid(8)?,
                view_state: row.oid(9).unwrap_or(Oid::INVALID),
                maintain_function: row.oid(10).unwrap_or(Oid::INVALID),
                chain_type: row.oid(11)?,
                view_late: row.oid(12).unwrap_or(Oid::INVALID),
            })
        }))
    })?;
    // Kept plans name the types of the extension that was here when they were made.
    let oid = found.map_or(0, |found| found.oid.to_u32());
    let before = LAST_SEEN.replace(oid);
    if before != oid && before != 0 {
        spi::forget_plans();
    }
    EXTENSION.set(found);
    Ok(found)
}

/// The role that owns the extension.
pub fn owner() -> Result<Oid> {
    Ok(extension()?.owner)
}

/// The version of the extension in this database.
pub fn version() -> Result<String> {
    spi::connect(|spi| {
        let rows =
            spi.run("SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'gundb'", &[], Mode::Read, 1)?;
        rows.first().and_then(|row| row.text(1)).ok_or_else(|| internal("the extension is gone"))
    })
}

/// Whether a version is beyond this library's.
pub fn is_newer_than_library(version: &str) -> bool {
    let parts = |version: &str| version.split('.').map(|part| part.parse::<u64>().unwrap_or(0)).collect::<Vec<_>>();
    parts(version) > parts(env!("CARGO_PKG_VERSION"))
}
