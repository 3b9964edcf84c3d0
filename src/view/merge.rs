//! A batch of events into the rows of a view: lock the keys' states in order, merge, write states and rows.
//!
//! Must hold: keys are locked before anything of them is read, and in ascending order; an event that cannot be folded
//! is filed as pending and harms no other; state and row are written together.

use crate::catalog::{self, Pending, Tried};
use crate::error::{Error, Result, internal, state};
use crate::scan::{self, As, Which};
use crate::spi::{Mode, as_table_owner};
use crate::stream::Stream;
use crate::view::batch::{Batch, Group, Ids, fold_events, shown};
use crate::view::contexts::Lookup;
use crate::view::guard;
use crate::view::replay;
use crate::view::states::States;
use crate::view::table::ViewTable;
use crate::{run, transaction};
use gundb_core::fold::{FoldError, FoldEvent, FoldValue, Mark, Outcome, RowState};
use gundb_core::view::{Root, encode_key};
use gundb_core::{Datum, DatumType, Dot};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;

/// What came of a key.
pub struct Taken {
    pub bytes: Vec<u8>,
    pub key: Vec<Datum>,
    /// Its state, encoded.
    pub state: Vec<u8>,
    /// Its row, if it has one.
    pub values: Option<Vec<FoldValue>>,
    /// Whether it had one before.
    pub existed: bool,
}

/// A row as it is after a merge; without values it is none.
pub struct NewRow {
    pub key: Vec<Datum>,
    pub values: Option<Vec<FoldValue>>,
}

/// Merges a batch into a view. Returns how many of the events that are tried again it could not take either.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn merge(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    batch: Batch,
    ids: Ids,
    tried: &BTreeMap<Dot, Tried>,
) -> Result<usize> {
    let Batch { groups, mut pending, .. } = batch;
    let mut states = None;
    let mut found = HashMap::new();
    if !groups.is_empty() {
        let open = states.insert(States::open(view.number)?);
        found = open.lock(&groups.keys().map(Vec::as_slice).collect::<Vec<_>>())?;
    }
    let (taken, mut left_out) = match &view.record.reducer {
        Some(reducer) => unsafe { replay::take(relation, stream, view, reducer, groups, Some(&found), ids)? },
        None => unsafe { take(relation, stream, view, groups, &found, ids)? },
    };
    pending.append(&mut left_out);
    let (mut changed, mut rows, mut gone) = (Vec::new(), Vec::new(), Vec::new());
    for Taken { bytes, key, state, values, existed } in taken {
        if found.get(&bytes).is_some_and(|stored| *stored == state) {
            continue;
        }
        changed.push((bytes, state));
        match values {
            Some(values) => rows.push(NewRow { key, values: Some(values) }),
            None if existed => gone.push(NewRow { key, values: None }),
            None => {}
        }
    }
    if view.strict
        && tried.is_empty()
        && let Some(first) = pending.first()
    {
        return Err(refusal(view, first)?);
    }
    if let Some(mut states) = states {
        states.store(&changed)?;
    }
    write(view, &rows, &gone)?;
    if !pending.is_empty() {
        catalog::insert_pending(view.number, &pending, tried)?;
    }
    Ok(pending.iter().filter(|pending| tried.contains_key(&pending.dot)).count())
}

/// Takes events into columns, by key. Returns what could not be taken, besides.
unsafe fn take(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    groups: BTreeMap<Vec<u8>, Group>,
    found: &HashMap<Vec<u8>, Vec<u8>>,
    ids: Ids,
) -> Result<(Vec<Taken>, Vec<Pending>)> {
    let contexts = Lookup::new(stream.id);
    let (mut taken, mut pending) = (Vec::with_capacity(groups.len()), Vec::new());
    for (bytes, Group { key, events, .. }) in groups {
        let stored = found.get(&bytes).map_or(&[][..], Vec::as_slice);
        let before = if stored.is_empty() {
            RowState::empty(&view.shape)
        } else {
            RowState::decode(stored).map_err(|error| internal(format!("a view's state is damaged: {error}")))?
        };
        let existed = before.exists();
        let mut fold = Fold::new(relation, stream, view, &contexts, &key);
        let (after, values) = unsafe { fold.take(before, fold_events(events, ids))? };
        contexts.done()?;
        pending.append(&mut fold.pending);
        taken.push(Taken { bytes, key, state: after.encode(), values, existed });
    }
    Ok((taken, pending))
}

/// Writes rows that are, and takes away rows that are no more.
pub fn write(view: &ViewTable, rows: &[NewRow], gone: &[NewRow]) -> Result<()> {
    if rows.is_empty() && gone.is_empty() {
        return Ok(());
    }
    let statements = view.statements()?;
    let keys = view.view.key.0.len();
    let key_column = |rows: &[NewRow], at: usize| rows.iter().map(|row| Some(row.key[at].to_string())).collect();
    as_table_owner(view.relation, || {
        guard::writing(view.relation, || {
            if !gone.is_empty() {
                let columns = (0..keys).map(|at| key_column(gone, at)).collect::<Vec<_>>();
                catalog::write_rows(&statements.delete, &columns)?;
            }
            if let [NewRow { key, values: Some(values) }] = rows {
                let key = key.iter().map(|datum| Some(datum.to_string()));
                let row = key.chain(values.iter().map(FoldValue::sql_text)).collect::<Vec<_>>();
                catalog::write_row(&statements.put_one, &row)?;
            } else if !rows.is_empty() {
                let values = |at: usize| {
                    rows.iter().map(|row| row.values.as_ref().and_then(|values| values[at].sql_text())).collect()
                };
                let keys = (0..keys).map(|at| key_column(rows, at));
                let columns = keys.chain((0..view.view.columns.0.len()).map(values)).collect::<Vec<Vec<_>>>();
                catalog::write_rows(&statements.put, &columns)?;
            }
            Ok(())
        })
    })
}

/// What a strict view says to an append that it cannot fold.
fn refusal(view: &ViewTable, pending: &Pending) -> Result<crate::error::Failure> {
    let label = catalog::table_label(view.relation)?;
    Ok(Error::new(state::CANNOT_FOLD, format!("view {label} cannot fold the event"))
        .detail(pending.reason.clone())
        .hint("Correct the event, or make the view without strict: then such events are left pending.")
        .into())
}

/// The fold of one key.
pub struct Fold<'a> {
    relation: pg_sys::Relation,
    stream: &'a Stream,
    view: &'a ViewTable,
    contexts: &'a Lookup,
    key: &'a [Datum],
    /// Events that were left out.
    pub pending: Vec<Pending>,
}

/// A state and the row that it gives.
pub type Folded = (RowState, Option<Vec<FoldValue>>);

impl<'a> Fold<'a> {
    pub fn new(
        relation: pg_sys::Relation,
        stream: &'a Stream,
        view: &'a ViewTable,
        contexts: &'a Lookup,
        key: &'a [Datum],
    ) -> Fold<'a> {
        Fold { relation, stream, view, contexts, key, pending: Vec::new() }
    }

    /// The fold of all events of the key, given here.
    ///
    /// # Safety
    /// The relation is open.
    pub unsafe fn whole(&mut self, events: Vec<FoldEvent>) -> Result<Folded> {
        let folded = RowState::refold(&self.view.shape, &events, self.contexts);
        match folded.and_then(|state| state.values().map(|values| (state, values))) {
            Ok(folded) => Ok(folded),
            Err(_) => unsafe { self.take(RowState::empty(&self.view.shape), events) },
        }
    }

    /// Takes events in; those that cannot be folded are left out, found by halving.
    unsafe fn take(&mut self, before: RowState, events: Vec<FoldEvent>) -> Result<Folded> {
        let failure = match before.merge(&events, self.contexts) {
            Ok(Outcome::Merged(after)) => match after.values() {
                Ok(values) => return Ok((after, values)),
                Err(error) => error,
            },
            Ok(Outcome::Refold(_)) => match unsafe { self.refold()? } {
                Ok(folded) => return Ok(folded),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if let [event] = events.as_slice() {
            self.pending.push(Pending {
                key: Some(shown(self.key)),
                dot: event.mark.dot(self.stream.id),
                reason: self.reason(&failure),
                sqlstate: "22003".into(),
            });
            let values = before.values().map_err(|error| internal(format!("a view's state has no values: {error}")))?;
            return Ok((before, values));
        }
        let mut first = events;
        let second = first.split_off(first.len() / 2);
        let (before, _) = unsafe { self.take(before, first)? };
        unsafe { self.take(before, second) }
    }

    /// Why an event cannot be folded, with the column's name.
    fn reason(&self, failure: &FoldError) -> String {
        let named = |column: usize, why: String| {
            let name = self.view.view.columns.0.get(column).map_or("", |column| column.name.as_str());
            format!("column {name:?}: {why}")
        };
        match failure {
            FoldError::Overflow { column, overflow } => named(*column, overflow.to_string()),
            FoldError::Merge { column, mismatch } => named(*column, mismatch.to_string()),
            FoldError::Operation { .. } | FoldError::Columns { .. } => failure.to_string(),
        }
    }

    /// The fold of all events of the key that are held, not pending, and not yet to come: what this transaction has
    /// appended and not brought in comes by itself.
    unsafe fn refold(&self) -> Result<core::result::Result<Folded, FoldError>> {
        let pending = catalog::pending_dots(self.view.number, Mode::Write)?.into_iter().collect::<BTreeSet<_>>();
        let wanted = encode_key(self.key);
        let mut all = Batch::default();
        unsafe {
            scan::walk(self.relation, self.which(), As::OfNow, |event| {
                let dot = event.mark.dot(self.stream.id);
                if !is_to_come(self.stream, &event.mark)?
                    && !pending.contains(&dot)
                    && !self.pending.iter().any(|left_out| left_out.dot == dot)
                {
                    all.add_where(self.view, self.stream.id, event, |key| key == wanted);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        let events =
            all.groups.remove(&wanted).map(|group| fold_events(group.events, Ids::MayRepeat)).unwrap_or_default();
        let folded = RowState::refold(&self.view.shape, &events, self.contexts);
        Ok(folded.and_then(|state| state.values().map(|values| (state, values))))
    }

    /// Where the key's events are: by the stream's index where the view's key is the event's.
    fn which(&self) -> Which<'_> {
        match text_key(self.view, self.key).zip(self.stream.by_key) {
            Some((key, index)) => Which::OfKey { index, key },
            None => Which::All,
        }
    }
}

/// A key of the view where it is the event's own.
pub fn text_key<'a>(view: &ViewTable, key: &'a [Datum]) -> Option<&'a str> {
    match (view.view.key.0.as_slice(), key) {
        ([part], [Datum::Text(text)]) if part.path.root == Root::Key && part.datum_type == DatumType::Text => {
            Some(text)
        }
        _ => None,
    }
}

/// Whether an event is one that this transaction has appended and not brought into the views: it comes by itself.
pub fn is_to_come(stream: &Stream, mark: &Mark) -> Result<bool> {
    let to_come = transaction::with(|t| t.unviewed(stream.table));
    let found = to_come.iter().any(|(lane, after)| *lane == mark.lane && mark.seq > *after);
    Ok(found && mark.site == run::site()?)
}
