//! What is remembered of this site's links: one row.

use crate::error::{Result, internal};
use crate::spi::{self, Arg, Mode, Spi, arg, as_owner};
use crate::transaction;
use gundb_core::bundle::WireLimits;
use gundb_core::store::Links;
use pgrx::pg_sys;

fn read(spi: &Spi, statement: &str) -> Result<Links> {
    let rows = spi.run(statement, &[], Mode::Latest, 1)?;
    let kept = rows.first().and_then(|row| row.bytes(1));
    kept.map_or_else(
        || Ok(Links::default()),
        |bytes| {
            Links::decode(&bytes, &WireLimits::default())
                .map_err(|why| internal(format!("gundb.known_links holds a damaged row: {why}")))
        },
    )
}

/// What is remembered, as of now.
pub fn links() -> Result<Links> {
    as_owner(|| spi::connect(|spi| read(spi, "SELECT known FROM gundb.known_links")))
}

/// Changes what is remembered, one change after the other; once that has committed, sessions are told. Gives what is remembered then.
pub fn change_links(change: impl Fn(&mut Links)) -> Result<Links> {
    // Mostly nothing changes.
    let before = links()?;
    let mut changed = before.clone();
    change(&mut changed);
    if changed == before {
        return Ok(changed);
    }
    as_owner(|| {
        spi::connect(|spi| {
            spi.run("INSERT INTO gundb.known_links DEFAULT VALUES ON CONFLICT DO NOTHING", &[], Mode::Latest, 0)?;
            let mut changed = read(spi, "SELECT known FROM gundb.known_links FOR UPDATE")?;
            change(&mut changed);
            let bytes: Arg = arg::of(pg_sys::BYTEAOID, Some(spi::varlena(&changed.encode())));
            spi.run("UPDATE gundb.known_links SET known = $1", &[bytes], Mode::Latest, 0)?;
            transaction::with(|t| t.peers_changed = true);
            Ok(changed)
        })
    })
}
