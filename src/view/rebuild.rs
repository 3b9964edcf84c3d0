//! A view folded anew, beside those who append and read.
//!
//! New states are made under a number of their own ([`Making`]), and compared with the rows that stand, while appenders
//! go on maintaining the old ones. Then, with appenders locked out for a moment: what has come since, the rows that
//! differ, the new number, the old states away.

use crate::call::ret;
use crate::catalog::{self, ViewRecord};
use crate::error::Result;
use crate::view::compare::{note_differences, write_rows_of};
use crate::view::declare::own_view_alone;
use crate::view::making::{Making, views_changed};
use crate::view::table::ViewTable;
use crate::{admin, sql_function};
use pgrx::pg_sys::Oid;
use std::collections::BTreeSet;

sql_function! {
    /// `rebuild_view(view)`
    fn gundb_rebuild_view(call) {
        let view = own_view_alone(call)?;
        let table = admin::table_of(&view.record.stream)?;
        let mut making = made_anew(table, &view, view.record.columns.clone())?;
        let all = (0..view.view.columns.0.len()).collect::<Vec<_>>();
        let strangers = note_differences(&mut making, table, &view, &all)?;
        making.lock_out(&[])?;
        write_rows_of(&making, &view, strangers)?;
        take_place(table, &making, &view)?;
        Ok(ret::int8(making.rows))
    }
}

/// The states of a view that is there, with these columns, under a number of their own.
pub fn made_anew(table: Oid, view: &ViewTable, columns: String) -> Result<Making> {
    let record = ViewRecord { number: catalog::new_view_number()?, columns, ..view.record.clone() };
    let mut making = Making::new(table, ViewTable::read(record)?, false, BTreeSet::new());
    making.fill()?;
    making.catch_up_mostly()?;
    Ok(making)
}

/// Puts new states in the place of the old ones.
pub fn take_place(table: Oid, making: &Making, old: &ViewTable) -> Result<()> {
    catalog::replace_view(&making.view.record)?;
    catalog::clear_view(old.number)?;
    views_changed(table)
}
