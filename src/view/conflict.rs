//! Conflicts shown: what the winner of a `lww` column won over without having seen it. Which those are,
//! [`gundb_core::fold::conflicts`] says.
//!
//! Nothing is stored for it: they are found from the events each time somebody asks.

use crate::call::ret;
use crate::view::batch::key_text;
use crate::view::contexts::Lookup;
use crate::view::making::with_stream;
use crate::view::past::{Past, Wanted};
use crate::view::reading::may_read;
use crate::view::table::ViewTable;
use crate::{admin, sql_function};
use gundb_core::Datum;
use gundb_core::fold::{Fold, conflicts};
use pgrx::pg_sys::Oid;

sql_function! {
    /// `conflicts(view, key)`
    fn gundb_conflicts(call) {
        let relation = call.required(call.arg(0), "view")?;
        let view = ViewTable::of_table(Oid::from(relation.value() as u32))?;
        let table = admin::table_of(&view.record.stream)?;
        may_read(view.relation)?;
        may_read(table)?;
        let wanted = call.text(1).map(|text| Wanted::of_text(&view, text)).transpose()?;
        let rows = call.rows();
        if !view.shape.folds.contains(&Fold::Lww) {
            return Ok(rows.done());
        }
        with_stream(table, |relation, stream| {
            let past = Past::new(&view, stream, None)?;
            let contexts = Lookup::new(stream.id);
            let text = |value: &Option<Datum>| value.as_ref().map(|datum| ret::text(&datum.to_string()));
            // SAFETY: the relation is open.
            unsafe {
                past.each_key(relation, wanted.as_ref(), |key, events| {
                    let found = conflicts(&view.shape.folds, &events, &contexts);
                    contexts.done()?;
                    for conflict in found {
                        rows.push(&[
                            Some(ret::text(&key_text(key))),
                            Some(ret::text(&view.view.columns.0[conflict.column].name)),
                            Some(ret::dot(&conflict.winner.dot(stream.id))),
                            text(&conflict.winner_value),
                            Some(ret::dot(&conflict.other.dot(stream.id))),
                            text(&conflict.other_value),
                        ]);
                    }
                    Ok(())
                })
            }
        })?;
        Ok(rows.done())
    }
}
