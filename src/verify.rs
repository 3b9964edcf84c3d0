//! `verify`: recomputes the chains, to find what a disk or a hand has damaged.

use crate::call::ret;
use crate::catalog::{self, StreamTable};
use crate::error::{Result, internal};
use crate::scan::As;
use crate::spi::{self, Mode, Spi, arg};
use crate::{heads, read, sql_function, stamp, stream};
use gundb_core::chain::{Header, content_hash};
use gundb_core::{Chain, Lane, SiteId};
use uuid::Uuid;

/// Rows fetched at once.
const CHUNK: i64 = 1_000;

sql_function! {
    /// `verify(stream)`
    fn gundb_verify(call) {
        let rows = call.rows();
        for table in read::streams(call.text(0))? {
            let mut lanes = Vec::new();
            heads::each(Some(&table), As::OfSnapshot, |_, site, lane, head| lanes.push((site, lane, head.seq)))?;
            for (site, lane, head) in lanes {
                if let Some((seq, problem)) = spi::connect_as_caller(|spi| lane_problem(spi, &table, &site, lane, head))? {
                    rows.push(&[
                        Some(ret::text(&table.name)),
                        Some(ret::uuid(site.0.as_bytes())),
                        Some(ret::lane(lane)),
                        Some(ret::int8(seq as i64)),
                        Some(ret::text(&problem)),
                    ]);
                }
            }
        }
        Ok(rows.done())
    }
}

/// The first event of a lane that is not what its chain says, and why.
fn lane_problem(spi: &Spi, table: &StreamTable, site: &SiteId, lane: Lane, head: u64) -> Result<Option<(u64, String)>> {
    let label = stream::label(table.table)?;
    let statement = format!(
        "SELECT seq, hlc, xact, epoch, id, type, key, data, meta, salt, chain FROM ONLY {label}
          WHERE site OPERATOR(pg_catalog.=) $1 AND lane OPERATOR(pg_catalog.=) $2 AND seq OPERATOR(pg_catalog.>) $3
          ORDER BY seq USING OPERATOR(pg_catalog.<) LIMIT {CHUNK}"
    );
    let mut chain = Chain::genesis(*site, table.stream, lane);
    let mut done = 0;
    while done < head {
        let args = [arg::uuid(site.0.as_bytes()), catalog::lane_arg(lane)?, arg::int8(done as i64)];
        let rows = spi.run(&statement, &args, Mode::Read, 0)?;
        if rows.is_empty() {
            return Ok(Some((done + 1, format!("missing: the lane's head is {head}"))));
        }
        for row in rows.iter() {
            let damaged = || internal("an event has a NULL coordinate");
            let seq = row.int8(1).ok_or_else(damaged)? as u64;
            if seq != done + 1 {
                return Ok(Some((done + 1, format!("missing: the next event held is {seq}"))));
            }
            let kind = row.text(6).ok_or_else(damaged)?;
            let text = |column| -> Result<String> {
                let datum = row.datum(column).ok_or_else(damaged)?;
                // SAFETY: a jsonb column.
                stamp::canonical(unsafe { spi::bytes_of(datum) }, usize::MAX)
            };
            let content =
                content_hash(&row.uuid(10).ok_or_else(damaged)?, row.text(7).as_deref(), &text(8)?, &text(9)?);
            let header = Header {
                xact: row.hlc(3).ok_or_else(damaged)?,
                hlc: row.hlc(2).ok_or_else(damaged)?,
                id: Uuid::from_bytes(row.uuid(5).ok_or_else(damaged)?),
                kind: &kind,
                epoch: row.int8(4).ok_or_else(damaged)? as u64,
            };
            chain = chain.next(&header, &content);
            let stored = row.chain(11).ok_or_else(damaged)?;
            if stored != chain {
                return Ok(Some((seq, format!("the chain is {stored}, and its content gives {chain}"))));
            }
            done = seq;
        }
    }
    Ok(None)
}
