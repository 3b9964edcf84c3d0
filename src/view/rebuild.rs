//! A view folded anew, beside those who append and read.
//!
//! New states are made under a number of their own ([`Making`]), and compared with the rows that stand, while appenders
//! go on maintaining the old ones. Then, with appenders locked out for a moment: what has come since, the rows that
//! differ, the new number, the old states away. What the table refused before is tried again at the very end.

use crate::call::ret;
use crate::catalog::{self, ViewRecord};
use crate::error::Result;
use crate::view::compare::{note_differences, write_rows_of};
use crate::view::declare::own_view_alone;
use crate::view::maintain::in_turn;
use crate::view::making::{Making, views_changed, with_stream};
use crate::view::table::ViewTable;
use crate::view::{build, reducer};
use crate::{admin, spi, sql_function};
use pgrx::pg_sys::Oid;

sql_function! {
    /// `rebuild_view(view)`
    fn gundb_rebuild_view(call) {
        let view = own_view_alone(call)?;
        reducer::refuse_uncallable(&view)?;
        let table = admin::table_of(&view.record.stream)?;
        let mut making = made_anew(table, &view, view.record.columns.clone())?;
        let all = (0..view.view.columns.0.len()).collect::<Vec<_>>();
        let strangers = note_differences(&mut making, table, &view, &all)?;
        making.lock_out(&[])?;
        // What triggers append for the rows that are written comes when all are.
        with_stream(table, |relation, _| {
            // SAFETY: the relation is open.
            unsafe {
                in_turn(relation, || {
                    take_place(table, &mut making, &view)?;
                    write_rows_of(&making, &view, strangers)
                })
            }
        })?;
        if !making.left_out.is_empty() {
            // SAFETY: the relation is open.
            with_stream(table, |relation, stream| unsafe { build::retry(relation, stream, &making.view) })?;
            making.rows = spi::with_latest_snapshot(|| catalog::count_rows(&making.view.statements()?.count))?;
        }
        Ok(ret::int8(making.rows))
    }
}

/// The states of a view that is there, with these columns, under a number of their own.
pub fn made_anew(table: Oid, view: &ViewTable, columns: String) -> Result<Making> {
    let record = ViewRecord { number: catalog::new_view_number()?, columns, ..view.record.clone() };
    // Whether the table takes a row is seen when it is written, so what it refused stays refused meanwhile.
    let mut making = Making::new(table, ViewTable::read(record)?, false, catalog::refused_dots(view.number)?);
    making.fill()?;
    making.catch_up_mostly()?;
    Ok(making)
}

/// Puts new states in the place of the old ones. Appenders are locked out.
pub fn take_place(table: Oid, making: &mut Making, old: &ViewTable) -> Result<()> {
    making.leave_out(catalog::refused_dots(old.number)?)?;
    catalog::move_refused(old.number, making.view.number)?;
    catalog::replace_view(&making.view.record)?;
    catalog::clear_view(old.number)?;
    views_changed(table)
}
