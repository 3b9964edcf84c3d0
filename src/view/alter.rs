//! A view's columns added, changed and dropped, beside those who append.
//!
//! States depend on the columns, so they are made anew, as for a rebuild. With appenders and readers locked out for a
//! moment the table is altered, and what is new in its rows written: its oid and whatever is the user's stay.

use crate::catalog::{self, ColumnChanges, ViewRecord};
use crate::error::{Error, Failure, Result, state};
use crate::spi::{Mode, as_table_owner};
use crate::view::build::ROWS_AT_ONCE;
use crate::view::compare::{by_column, note_differences, row_of, write_rows_of};
use crate::view::declare::{own_view, own_view_alone};
use crate::view::maintain::in_turn;
use crate::view::making::{Making, with_stream};
use crate::view::rebuild::{made_anew, take_place};
use crate::view::table::ViewTable;
use crate::view::write::not_as_meant;
use crate::view::{guard, lock};
use crate::{admin, sql_function};
use gundb_core::view::{Alteration, AlterationError};

sql_function! {
    /// `alter_view(view, add, change, drop)`
    fn gundb_alter_view(call) {
        own_view(call)?;
        let alteration = Alteration {
            add: call.text(1).map(str::to_owned),
            change: call.text(2).map(str::to_owned),
            drop: call.text_array(3)?.unwrap_or_default(),
        };
        let view = own_view_alone(call)?;
        refuse_reduced(&view)?;
        let columns = match alteration.of(&view.record.columns) {
            Ok(columns) => columns,
            Err(error) => return Err(cannot_alter(&view, error)?),
        };
        alter(&view, columns)?;
        Ok(call.void())
    }
}

fn refuse_reduced(view: &ViewTable) -> Result<()> {
    if view.record.reducer.is_none() {
        return Ok(());
    }
    let label = catalog::table_label(view.relation)?;
    Err(Error::new(state::WRONG_OBJECT, format!("view {label} is made by a reducer, which makes its column"))
        .hint("Replace the function, then SELECT gundb.rebuild_view('name').")
        .into())
}

/// Why columns cannot be altered so. A name may be that of a column which is not alter_view's to alter.
fn cannot_alter(view: &ViewTable, error: AlterationError) -> Result<Failure> {
    const LANGUAGE: &str = "docs/folds.md tells the language of views.";
    let label = catalog::table_label(view.relation)?;
    let AlterationError::NoSuchColumn { name, .. } = &error else {
        return Ok(Error::new(state::INVALID_PARAMETER, error.to_string()).hint(LANGUAGE).into());
    };
    if view.view.key.0.iter().any(|part| part.name == *name) {
        return Ok(Error::new(state::INVALID_PARAMETER, format!("column {name:?} is in the key of view {label}"))
            .hint("A key stays. To give the view another: SELECT gundb.drop_view('name'), then create it.")
            .into());
    }
    if catalog::has_column(view.relation, name)? {
        return Ok(Error::new(
            state::INVALID_PARAMETER,
            format!("column {name:?} of view {label} is yours, and none that gundb maintains"),
        )
        .hint("ALTER TABLE alters it, or drops it.")
        .into());
    }
    Ok(Error::new(state::INVALID_PARAMETER, error.to_string()).hint(LANGUAGE).into())
}

fn alter(view: &ViewTable, columns: String) -> Result<()> {
    let wanted = ViewTable::read(ViewRecord { columns: columns.clone(), ..view.record.clone() })?;
    if wanted.is_same(view) {
        return Ok(());
    }
    let table = admin::table_of(&view.record.stream)?;
    let changes = ColumnChanges::between(&view.view, &wanted.view);
    catalog::refuse_depended(view.relation, &changes.dropped)?;
    let mut making = made_anew(table, view, columns)?;
    // An event that could not be folded for a column that goes, or cannot be for one that comes, counts otherwise in all.
    let (stands, kept) = view.with_columns_of(&wanted);
    let strangers = note_differences(&mut making, table, &stands, &kept)?;
    making.lock_out(&[lock::readers(view.relation)])?;
    catalog::refuse_depended(view.relation, &changes.dropped)?;
    // What triggers append for the rows that are written comes when all are.
    with_stream(table, |relation, _| {
        // SAFETY: the relation is open.
        unsafe {
            in_turn(relation, || {
                take_place(table, &mut making, view)?;
                as_table_owner(view.relation, || catalog::alter_view_table(&wanted.view, view.relation, &changes))?;
                write_columns(&making, &changes.written)?;
                write_rows_of(&making, &making.view, strangers)
            })
        }
    })
}

/// Writes some columns of all rows.
fn write_columns(making: &Making, columns: &[usize]) -> Result<()> {
    if columns.is_empty() {
        return Ok(());
    }
    let view = &making.view;
    let statement = catalog::set_statement(&view.view, view.relation, columns)?;
    let mut after = Vec::new();
    loop {
        let states = catalog::states_after(view.number, &after, ROWS_AT_ONCE)?;
        let Some((last, _)) = states.last() else { return Ok(()) };
        after = last.clone();
        let rows = states.into_iter().map(|state| row_of(view, state)).collect::<Result<Vec<_>>>()?;
        let rows = rows.into_iter().filter_map(|row| Some((row.key, row.values?))).collect::<Vec<_>>();
        let keys = by_column(rows.iter().map(|(key, _)| key.as_slice()), view.view.key.0.len());
        let values = columns.iter().map(|&at| rows.iter().map(|(_, values)| values[at].sql_text()).collect());
        let all = keys.into_iter().chain(values).collect::<Vec<_>>();
        as_table_owner(view.relation, || {
            guard::writing(view.relation, || {
                let given = catalog::write_rows(&statement.text, &all, Mode::Latest)?;
                if statement.is_checked && given > 0 { Err(not_as_meant(view)?) } else { Ok(()) }
            })
        })?;
    }
}
