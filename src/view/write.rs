//! States and rows written, and what happens where the table refuses a row: a constraint, an index or a trigger of the
//! user's.
//!
//! A refusal harms only the events of its key: they are left pending, with what the table said, and everything else is
//! written. That takes a subtransaction, so a table that cannot refuse anything does without; and so does a strict view,
//! whose appends are to fail.
//!
//! Must hold: a key's state and row are written together, or neither; what says nothing of the row, as a deadlock, a
//! cancel or a full disk, is never taken for a refusal.

use crate::catalog::{self, Pending};
use crate::error::{Failure, Result};
use crate::spi::{Mode, as_table_owner};
use crate::subtransaction::attempt;
use crate::view::batch::shown;
use crate::view::direct;
use crate::view::guard;
use crate::view::states::States;
use crate::view::table::ViewTable;
use gundb_core::fold::FoldValue;
use gundb_core::{Datum, Dot};

/// A row as it is after a merge; without values it is none.
pub struct NewRow {
    pub key: Vec<Datum>,
    pub values: Option<Vec<FoldValue>>,
}

/// A key's state after a merge.
pub struct Changed {
    pub key: Vec<u8>,
    pub state: Vec<u8>,
    /// Its row, unless there was none and is none.
    pub row: Option<NewRow>,
    /// The events that made it so, where the table can refuse it.
    pub dots: Vec<Dot>,
}

/// Writes rows that are, and takes away rows that are no more.
pub fn write<'a>(view: &ViewTable, rows: impl IntoIterator<Item = &'a NewRow>) -> Result<()> {
    let rows = rows.into_iter().collect::<Vec<_>>();
    if rows.is_empty() {
        return Ok(());
    }
    if let Some(layout) = view.layout()? {
        return direct::write(view, layout, &rows);
    }
    let (rows, gone) = rows.into_iter().partition::<Vec<_>, _>(|row| row.values.is_some());
    let statements = view.statements()?;
    let keys = view.view.key.0.len();
    let key_column = |rows: &[&NewRow], at: usize| rows.iter().map(|row| Some(row.key[at].to_string())).collect();
    as_table_owner(view.relation, || {
        guard::writing(view.relation, || {
            if !gone.is_empty() {
                let columns = (0..keys).map(|at| key_column(&gone, at)).collect::<Vec<_>>();
                catalog::write_rows(&statements.delete, &columns, Mode::Write)?;
            }
            if let [NewRow { key, values: Some(values) }] = rows[..] {
                let key = key.iter().map(|datum| Some(datum.to_string()));
                let row = key.chain(values.iter().map(FoldValue::sql_text)).collect::<Vec<_>>();
                catalog::write_row(&statements.put_one, &row)?;
            } else if !rows.is_empty() {
                let values = |at: usize| {
                    rows.iter().map(|row| row.values.as_ref().and_then(|values| values[at].sql_text())).collect()
                };
                let keys = (0..keys).map(|at| key_column(&rows, at));
                let columns = keys.chain((0..view.view.columns.0.len()).map(values)).collect::<Vec<Vec<_>>>();
                catalog::write_rows(&statements.put, &columns, Mode::Write)?;
            }
            Ok(())
        })
    })
}

/// Stores states that were locked, and writes their rows.
pub fn store(view: &ViewTable, states: &mut States, changed: &[Changed]) -> Result<()> {
    states.store(changed)?;
    write(view, changed.iter().filter_map(|changed| changed.row.as_ref()))
}

/// As [`store`], but leaves out what the table refuses, found by halving. Returns the events that it leaves out.
pub fn store_unless_refused(view: &ViewTable, states: &mut States, changed: &[Changed]) -> Result<Vec<Pending>> {
    let Some(failure) = attempt(|| store(view, states, changed))?.err() else { return Ok(Vec::new()) };
    if !is_refusal(&failure) {
        return Err(failure);
    }
    if let [one] = changed {
        let (reason, sqlstate) = (failure.message(), failure.sqlstate());
        let key = one.row.as_ref().map(|row| shown(&row.key));
        let pending =
            |&dot| Pending { key: key.clone(), dot, reason: reason.clone(), sqlstate: sqlstate.clone().into() };
        return Ok(one.dots.iter().map(pending).collect());
    }
    let (first, second) = changed.split_at(changed.len() / 2);
    let mut pending = store_unless_refused(view, states, first)?;
    pending.append(&mut store_unless_refused(view, states, second)?);
    Ok(pending)
}

/// Whether a failure is about what was to be written. Others pass with time, or with their cause: serialization and
/// deadlocks, resources, locks, interventions, the disk, lost connections, a read-only transaction, defects.
fn is_refusal(failure: &Failure) -> bool {
    const CLASSES: [&str; 9] = ["08", "25", "40", "53", "55", "57", "58", "F0", "XX"];
    !CLASSES.iter().any(|class| failure.sqlstate().starts_with(class))
}
