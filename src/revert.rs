//! `revert`: appends the events that take others out of every fold. What that means, [`gundb_core::fold::is_reverted`]
//! says; a revert is an event like any other, and so is read, consumed and shipped.
//!
//! The rows are read and inserted as the caller, so privileges, row security and the user's triggers are those of a plain
//! SELECT and INSERT.

use crate::call::ret;
use crate::error::{Error, Result, internal, state};
use crate::scan::{self, As};
use crate::spi::{self, Mode, arg};
use crate::stream::{self, Stream};
use crate::view::reverts::Reverts;
use crate::{admin, catalog, causality, sql_function};
use gundb_core::fold::{Mark, REVERTED, revert_id};
use gundb_core::{Dot, SiteId};
use pgrx::pg_sys::{self, Oid};
use std::collections::HashMap;
use uuid::Uuid;

/// A revert that was appended.
struct Appended {
    dot: Dot,
    id: Uuid,
    reverts: Uuid,
}

sql_function! {
    /// `revert(stream, ids)`
    fn gundb_revert(call) {
        let name = call.required(call.text(0), "stream")?;
        let ids = call.required(call.arg(1), "ids")?;
        // SAFETY: declared as uuid[].
        let ids = unsafe { crate::call::array_elements(ids, pg_sys::UUIDOID) };
        let ids = ids.into_iter().map(|id| match id {
            // SAFETY: an element of a uuid array.
            Some(id) => Ok(Uuid::from_bytes(unsafe { scan::sixteen(id) })),
            None => Err(Error::new(state::INVALID_PARAMETER, "the array must not contain NULL").into()),
        });
        let ids = ids.collect::<Result<Vec<_>>>()?;
        let rows = call.rows();
        for appended in revert(name, admin::table_of(name)?, ids)? {
            let (id, reverts) = (ret::uuid(appended.id.as_bytes()), ret::uuid(appended.reverts.as_bytes()));
            rows.push(&[Some(ret::dot(&appended.dot)), Some(id), Some(reverts)]);
        }
        Ok(rows.done())
    }
}

sql_function! {
    /// `revert(event)`
    fn gundb_revert_event(call) {
        let dot = causality::dot_of(call, 0)?;
        let streams = catalog::streams()?;
        let table = streams.iter().find(|stream| stream.stream == dot.stream);
        let table = table.ok_or_else(|| causality::no_event(&dot))?;
        let label = stream::label(table.table)?;
        let id = spi::connect_as_caller(|spi| {
            let statement = format!(
                "SELECT id FROM ONLY {label} WHERE site OPERATOR(pg_catalog.=) $1
                    AND lane OPERATOR(pg_catalog.=) $2 AND seq OPERATOR(pg_catalog.=) $3"
            );
            let place = [arg::uuid(dot.site.0.as_bytes()), catalog::lane_arg(dot.lane)?, arg::int8(dot.seq as i64)];
            Ok(spi.run(&statement, &place, Mode::Read, 1)?.first().and_then(|row| row.uuid(1)))
        })?;
        let id = id.ok_or_else(|| causality::no_event(&dot))?;
        let appended = revert(&table.name, table.table, vec![Uuid::from_bytes(id)])?;
        let appended = appended.first().ok_or_else(|| internal("a revert was appended and is gone"))?;
        Ok(ret::dot(&appended.dot))
    }
}

/// A revert to append.
struct New {
    id: Uuid,
    reverts: Uuid,
    key: Option<String>,
}

/// Reverts events, all of them or none.
fn revert(name: &str, table: Oid, mut ids: Vec<Uuid>) -> Result<Vec<Appended>> {
    if name == admin::SYSTEM_STREAM {
        return Err(Error::new(state::WRONG_OBJECT, "the stream of definitions takes no reverts")
            .hint("Define anew what is to be otherwise.")
            .into());
    }
    let Some(stream) = stream::of_table(table)? else { return Err(admin::undefined(name)?) };
    ids.sort_unstable();
    ids.dedup();
    let keys = keys_of(&stream, &ids)?;
    let mut new = Vec::with_capacity(ids.len());
    for id in ids {
        let Some(key) = keys.get(&id).cloned() else {
            let why = format!("stream \"{name}\" holds no event with id {id}");
            return Err(Error::new(state::UNDEFINED_OBJECT, why)
                .hint("The ids are those of events that you may read here: in the column \"id\" of the stream's table.")
                .into());
        };
        let held = reverts_held(&stream, &id)?;
        let last = held.last().map_or(id, |(_, revert)| *revert);
        if held.len() % 2 == 1 {
            return Err(Error::new(state::WRONG_STATE, format!("the event with id {id} is reverted already"))
                .hint(format!("To bring it back, revert the revert: SELECT gundb.revert('{name}', '{{{last}}}');"))
                .into());
        }
        new.push(New { id: revert_id(&last), reverts: last, key });
    }
    // An event and its last revert, both given, are one.
    new.sort_by_key(|new| new.id);
    new.dedup_by_key(|new| new.id);
    let appended = insert(&stream, &new)?;
    if appended.len() < new.len() {
        return Err(Error::new(b"40001", "another transaction has reverted some of the events meanwhile")
            .hint("Run the transaction again.")
            .into());
    }
    Ok(appended)
}

/// The events with these ids that the caller may read, with their keys: of several that bear one id, the first counts.
fn keys_of(stream: &Stream, ids: &[Uuid]) -> Result<HashMap<Uuid, Option<String>>> {
    let statement = format!(
        "SELECT id, key FROM ONLY {} WHERE id OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[]::pg_catalog.uuid[])
          ORDER BY hlc DESC, site DESC, lane DESC, seq DESC",
        stream.label
    );
    let ids = ids.iter().map(Uuid::to_string).collect::<Vec<_>>();
    spi::connect_as_caller(|spi| {
        let rows = spi.run(&statement, &[catalog::text_array_arg(Some(&ids))], Mode::Read, 0)?;
        Ok(rows.iter().filter_map(|row| Some((Uuid::from_bytes(row.uuid(1)?), row.text(2)))).collect())
    })
}

/// The reverts of an event that are held, whoever may read them.
fn reverts_held(stream: &Stream, id: &Uuid) -> Result<Vec<(Mark, Uuid)>> {
    // SAFETY: the relation is open while it is looked at.
    unsafe {
        let relation = pg_sys::relation_open(stream.table, pg_sys::AccessShareLock as i32);
        let held = Reverts::LookedUp { relation, stream, at: As::OfNow, shown: Box::new(|_| true) }.of(id)?;
        pg_sys::relation_close(relation, pg_sys::NoLock as i32);
        Ok(held)
    }
}

/// Appends reverts, each with the key of what it reverts, in one statement: so that views take them in together.
fn insert(stream: &Stream, new: &[New]) -> Result<Vec<Appended>> {
    let statement = format!(
        "INSERT INTO {} (type, key, meta, id)
         SELECT '{REVERTED}', r.key, pg_catalog.jsonb_build_object('reverts', pg_catalog.jsonb_build_array(r.reverts)),
                r.id::pg_catalog.uuid
           FROM unnest($1::pg_catalog.text[], $2::pg_catalog.text[], $3::pg_catalog.text[]) AS r (id, reverts, key)
             ON CONFLICT DO NOTHING RETURNING site, lane, seq, id",
        stream.label
    );
    let ids = new.iter().map(|new| new.id.to_string()).collect::<Vec<_>>();
    let reverts = new.iter().map(|new| new.reverts.to_string()).collect::<Vec<_>>();
    let keys = new.iter().map(|new| new.key.clone()).collect::<Vec<_>>();
    let keys = arg::of(pg_sys::TEXTARRAYOID, Some(spi::nullable_text_array(&keys)));
    let args = [catalog::text_array_arg(Some(&ids)), catalog::text_array_arg(Some(&reverts)), keys];
    spi::connect_as_caller(|spi| {
        let rows = spi.run(&statement, &args, Mode::Write, 0)?;
        let appended = |row: spi::Row| -> Option<Appended> {
            let site = SiteId(Uuid::from_bytes(row.uuid(1)?));
            let dot = Dot::new(site, stream.id, row.lane(2)?, row.int8(3)? as u64)?;
            let id = Uuid::from_bytes(row.uuid(4)?);
            let reverts = new[new.binary_search_by_key(&id, |new| new.id).ok()?].reverts;
            Some(Appended { dot, id, reverts })
        };
        Ok(rows.iter().filter_map(appended).collect())
    })
}
