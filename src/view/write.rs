//! States and rows written.
//!
//! Must hold: a key's state and row are written together, the state first: what a trigger on the row appends is folded
//! into it.

use crate::catalog;
use crate::error::{Error, Failure, Result};
use crate::spi::{Mode, as_table_owner};
use crate::view::direct;
use crate::view::guard;
use crate::view::states::States;
use crate::view::table::ViewTable;
use gundb_core::Datum;
use gundb_core::fold::FoldValue;

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
}

/// Writes rows that are, and takes away rows that are no more.
pub fn write<'a>(view: &ViewTable, rows: impl IntoIterator<Item = &'a NewRow>) -> Result<()> {
    let rows = rows.into_iter().collect::<Vec<_>>();
    if rows.is_empty() {
        return Ok(());
    }
    view.hold()?;
    if let Some(layout) = view.layout()? {
        return direct::write(view, &layout, &rows);
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
                if let Some(kept) = &statements.kept
                    && catalog::write_rows(kept, &columns, Mode::Write)? > 0
                {
                    return Err(not_as_meant(view)?);
                }
            }
            if let [NewRow { key, values: Some(values) }] = rows[..] {
                let key = key.iter().map(|datum| Some(datum.to_string()));
                let row = key.chain(values.iter().map(FoldValue::sql_text)).collect::<Vec<_>>();
                if catalog::write_row(&statements.put_one, &row)? != 1 {
                    return Err(not_as_meant(view)?);
                }
            } else if !rows.is_empty() {
                let values = |at: usize| {
                    rows.iter().map(|row| row.values.as_ref().and_then(|values| values[at].sql_text())).collect()
                };
                let keys = (0..keys).map(|at| key_column(&rows, at));
                let columns = keys.chain((0..view.view.columns.0.len()).map(values)).collect::<Vec<Vec<_>>>();
                if catalog::write_rows(&statements.put, &columns, Mode::Write)? != rows.len() {
                    return Err(not_as_meant(view)?);
                }
            }
            Ok(())
        })
    })
}

/// That a row does not stand as it was to, and nobody said so.
pub fn not_as_meant(view: &ViewTable) -> Result<Failure> {
    let label = catalog::table_label(view.relation)?;
    Ok(Error::new(b"09000", format!("a trigger on view {label} left out or changed a row"))
        .detail("A BEFORE trigger returned NULL, or other values in columns of the view than gundb gave.")
        .hint("It may set columns of your own. To refuse a row, raise an error that says why.")
        .into())
}

/// Stores states that were locked, and writes their rows.
pub fn store(view: &ViewTable, states: &mut States, changed: &[Changed]) -> Result<()> {
    states.store(changed)?;
    write(view, changed.iter().filter_map(|changed| changed.row.as_ref()))
}
