//! Rows that stand beside the states they should come from: which differ, and what they should be.

use crate::catalog;
use crate::error::{Result, internal};
use crate::scan::As;
use crate::spi;
use crate::view::build::{self, ROWS_AT_ONCE, key_texts, same};
use crate::view::making::{Making, with_stream};
use crate::view::table::ViewTable;
use crate::view::write::{NewRow, write};
use gundb_core::fold::FoldValue;
use gundb_core::view::{decode_key, encode_key};
use gundb_core::{Datum, Json};
use pgrx::pg_sys::Oid;
use std::collections::HashMap;

/// Rows whose key no event could have: by their text.
pub type Strangers = Vec<NewRow>;

/// Catches up to one moment and notes as changed, from then on, the keys whose rows do not fit. What is compared are the
/// columns of `stands`, the view as it is; `kept` says which of the columns to come they are. Appenders are not locked
/// out: a row that fitted then is maintained rightly since.
pub fn note_differences(making: &mut Making, table: Oid, stands: &ViewTable, kept: &[usize]) -> Result<Strangers> {
    spi::with_latest_snapshot(|| {
        with_stream(table, |relation, stream| {
            let now = build::clock_of(stream, As::OfSnapshot)?;
            // SAFETY: the relation is open, and what the snapshot shows is there.
            unsafe { making.catch_up_to(relation, stream, &now) }
        })?;
        making.changed.clear();
        let (mut after, mut met) = (Vec::new(), 0);
        loop {
            let states = catalog::states_after(making.view.number, &after, ROWS_AT_ONCE)?;
            let Some((last, _)) = states.last() else { break };
            after = last.clone();
            let expected = states.into_iter().map(|state| row_of(&making.view, state)).collect::<Result<Vec<_>>>()?;
            let (differing, found) = differing(stands, kept, expected)?;
            making.changed.extend(differing.into_iter().map(|row| row.bytes));
            met += found;
        }
        let count = &stands.statements()?.count;
        let count = spi::as_table_owner(stands.relation, || catalog::count_rows(count))?;
        if count == met { Ok(Vec::new()) } else { note_strangers(making, stands) }
    })
}

/// Those of some rows that do not stand so, through the active snapshot, and how many rows of their keys stand at all.
fn differing(stands: &ViewTable, kept: &[usize], mut expected: Vec<Expected>) -> Result<(Vec<Expected>, i64)> {
    let keys = stands.view.key.0.len();
    let by_column = by_column(expected.iter().map(|row| row.key.as_slice()), keys);
    let statement = &stands.statements()?.pick;
    let columns = keys + stands.view.columns.0.len();
    let rows = spi::as_table_owner(stands.relation, || catalog::read_rows(statement, &by_column, columns))?;
    let count = rows.len() as i64;
    let rows = rows.into_iter().map(|row| (key_texts(stands, &row[..keys]), row)).collect::<HashMap<_, _>>();
    expected.retain(|Expected { key, values, .. }| {
        let texts = key.iter().map(|datum| Some(datum.to_string())).collect::<Vec<_>>();
        match (values, rows.get(&texts)) {
            (None, None) => false,
            (Some(values), Some(row)) => {
                let values = kept.iter().map(|&at| values[at].sql_text());
                !same(stands, &texts.iter().cloned().chain(values).collect::<Vec<_>>(), row)
            }
            _ => true,
        }
    });
    Ok((expected, count))
}

/// Notes the rows that no state stands for. Those whose keys cannot be read are given back.
fn note_strangers(making: &mut Making, stands: &ViewTable) -> Result<Strangers> {
    let keys = stands.view.key.0.len();
    let columns = keys + stands.view.columns.0.len();
    let statements = stands.statements()?;
    let rows = spi::as_table_owner(stands.relation, || catalog::read_rows(&statements.read, &[], columns))?;
    let mut unreadable = Vec::new();
    for chunk in rows.chunks(ROWS_AT_ONCE) {
        let mut read = Vec::new();
        for row in chunk {
            let parts = stands.view.key.0.iter().zip(row).map(|(part, text)| {
                part.datum_type.cast(&Json::String(text.clone().unwrap_or_default())).ok().flatten()
            });
            match parts.collect::<Option<Vec<_>>>() {
                Some(key) => read.push(encode_key(&key)),
                None => {
                    let text = |text: &Option<String>| Datum::Text(text.clone().unwrap_or_default());
                    unreadable.push(NewRow { key: row[..keys].iter().map(text).collect(), values: None });
                }
            }
        }
        let states = catalog::states_of(making.view.number, &read.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        making.changed.extend(read.into_iter().filter(|key| !states.contains_key(key)));
    }
    Ok(unreadable)
}

/// Writes the rows that have changed, or did not fit, as the states have them, and takes away those that are to be no
/// more. Appenders are locked out; what they have written rightly meanwhile is left as it is.
pub fn write_rows_of(making: &Making, view: &ViewTable, gone: Strangers) -> Result<()> {
    write(view, &gone)?;
    let all = (0..view.view.columns.0.len()).collect::<Vec<_>>();
    let keys = making.changed.iter().map(Vec::as_slice).collect::<Vec<_>>();
    for chunk in keys.chunks(ROWS_AT_ONCE) {
        let mut states = catalog::states_of(making.view.number, chunk)?;
        let expected =
            chunk.iter().map(|key| row_of(&making.view, (key.to_vec(), states.remove(*key).unwrap_or_default())));
        let expected = expected.collect::<Result<Vec<_>>>()?;
        let (differing, _) = spi::with_latest_snapshot(|| differing(view, &all, expected))?;
        let rows = differing.into_iter().map(|Expected { key, values, .. }| NewRow { key, values });
        write(view, &rows.collect::<Vec<_>>())?;
    }
    Ok(())
}

/// What a state makes of a row.
pub struct Expected {
    pub bytes: Vec<u8>,
    pub key: Vec<Datum>,
    /// None: there is no row.
    pub values: Option<Vec<FoldValue>>,
}

/// The row of a key with its state.
pub fn row_of(view: &ViewTable, (bytes, state): (Vec<u8>, Vec<u8>)) -> Result<Expected> {
    let key = decode_key(&bytes).map_err(|error| internal(format!("a view's key is damaged: {error}")))?;
    Ok(Expected { values: view.values_of(&state)?, bytes, key })
}

/// Keys as the statements of rows take them: the texts of each part together.
pub fn by_column<'a>(keys: impl Iterator<Item = &'a [Datum]> + Clone, parts: usize) -> Vec<Vec<Option<String>>> {
    (0..parts).map(|at| keys.clone().map(|key| Some(key[at].to_string())).collect()).collect()
}
