//! A batch of events into the rows of a view: lock the keys' states in order, merge, write states and rows.
//!
//! Must hold: keys are locked before anything of them is read, and in ascending order; an event that cannot be folded
//! is filed as pending and harms no other; state and row are written together.

use crate::catalog::{self, LateEvent, Pending, Tried};
use crate::doubt::Waiting;
use crate::error::{Error, Result, internal, state};
use crate::scan::{self, As, Which};
use crate::spi::{Mode, as_table_owner};
use crate::stream::Stream;
use crate::view::batch::{Batch, fold_events, shown};
use crate::view::contexts::Lookup;
use crate::view::intake::{self, Intake};
use crate::view::repeats::{self, Probe, Stands};
use crate::view::states::States;
use crate::view::table::ViewTable;
use crate::view::{guard, late};
use crate::{run, transaction};
use gundb_core::fold::{FoldError, FoldEvent, FoldValue, Mark, Outcome, RowState};
use gundb_core::view::{Root, encode_key};
use gundb_core::{Datum, DatumType, Dot};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// A row as it is after a merge; without values it is none.
pub struct NewRow {
    pub key: Vec<Datum>,
    pub values: Option<Vec<FoldValue>>,
}

/// Whose events come to a view.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// This transaction's own: a strict view refuses what it cannot fold.
    Own,
    /// Others', or late ones: keys that are busy are left, and what would have come to them is late.
    Applied,
    /// Some that were pending, tried again.
    Retried,
}

/// Merges a batch into a view. Returns how many events it could not take.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn merge(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    batch: Batch,
    origin: Origin,
    tried: &BTreeMap<Dot, Tried>,
) -> Result<usize> {
    let Batch { groups, mut pending, keyless, .. } = batch;
    let mut states = None;
    let (mut keys, mut waited) = (BTreeMap::new(), BTreeSet::new());
    if !groups.is_empty() || !keyless.is_empty() && intake::may_repeat(origin)? {
        let open = states.insert(States::open(view.number)?);
        let taken = unsafe { intake::take(relation, stream, view, open, groups, keyless, origin)? };
        (keys, waited) = (taken.keys, taken.waited);
    }
    let contexts = Lookup::new(stream.id);
    let (mut changed, mut rows, mut gone, mut in_doubt) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (bytes, Intake { key, events, state: stored, again }) in keys {
        let before = if stored.is_empty() {
            RowState::empty(&view.shape)
        } else {
            RowState::decode(&stored).map_err(|error| internal(format!("a view's state is damaged: {error}")))?
        };
        let mut fold = Fold::new(relation, stream, view, &contexts, &key);
        let (after, values) = match again {
            true => unsafe { fold.anew()? },
            false => unsafe { fold.take(before.clone(), fold_events(events))? },
        };
        contexts.done()?;
        pending.append(&mut fold.pending);
        let late =
            |dot| LateEvent { key: bytes.clone(), shown: shown(&key), dot, again: true, why: intake::for_its_id() };
        in_doubt.extend(core::mem::take(&mut fold.in_doubt).into_iter().map(late));
        // A key whose ids are all for other keys is as one that was never met.
        let encoded = if after == RowState::empty(&view.shape) { Vec::new() } else { after.encode() };
        if encoded == stored {
            continue;
        }
        changed.push((bytes, encoded));
        match values {
            Some(values) => rows.push(NewRow { key, values: Some(values) }),
            None if before.exists() => gone.push(NewRow { key, values: None }),
            None => {}
        }
    }
    if view.strict
        && origin == Origin::Own
        && let Some(first) = pending.iter().find(|pending| !waited.contains(&pending.dot))
    {
        return Err(refusal(view, first)?);
    }
    if let Some(mut states) = states {
        states.store(&changed)?;
    }
    if !in_doubt.is_empty() {
        intake::file(view, &in_doubt)?;
    }
    write(view, &rows, &gone)?;
    if !pending.is_empty() {
        catalog::insert_pending(view.number, &pending, tried)?;
    }
    Ok(pending.len())
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
    /// Events that are taken in after those at hand.
    later: BTreeSet<Dot>,
    /// Events whose ids another transaction may be about to bring too.
    pub in_doubt: Vec<Dot>,
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
        Fold {
            relation,
            stream,
            view,
            contexts,
            key,
            pending: Vec::new(),
            later: BTreeSet::new(),
            in_doubt: Vec::new(),
        }
    }

    /// The fold of all events of the key, given here; those that cannot be folded are left out, found by halving.
    pub fn whole(&mut self, mut events: Vec<FoldEvent>) -> Result<Folded> {
        events.sort_by_key(|event| event.mark);
        let mut kept = Vec::with_capacity(events.len());
        self.keep(&mut kept, events);
        self.fold(&kept).map_err(|error| internal(format!("events that can be folded cannot: {error}")))
    }

    fn fold(&self, events: &[FoldEvent]) -> core::result::Result<Folded, FoldError> {
        let folded = RowState::refold(&self.view.shape, events, self.contexts)?;
        let values = folded.values()?;
        Ok((folded, values))
    }

    fn keep(&mut self, kept: &mut Vec<FoldEvent>, more: Vec<FoldEvent>) {
        let before = kept.len();
        kept.extend(more);
        let Err(failure) = self.fold(kept) else { return };
        let mut first = kept.split_off(before);
        if let [event] = first.as_slice() {
            return self.leave_out(event, &failure);
        }
        let second = first.split_off(first.len() / 2);
        self.keep(kept, first);
        self.keep(kept, second);
    }

    fn leave_out(&mut self, event: &FoldEvent, failure: &FoldError) {
        self.pending.push(Pending {
            key: Some(shown(self.key)),
            dot: event.mark.dot(self.stream.id),
            reason: self.reason(failure),
            sqlstate: "22003",
        });
    }

    /// Takes events in; those that cannot be folded are left out, found by halving.
    unsafe fn take(&mut self, before: RowState, events: Vec<FoldEvent>) -> Result<Folded> {
        let failure = match before.merge(&events, self.contexts) {
            Ok(Outcome::Merged(after)) => match after.values() {
                Ok(values) => return Ok((after, values)),
                Err(error) => error,
            },
            Ok(Outcome::Refold(_)) => return unsafe { self.anew() },
            Err(error) => error,
        };
        if let [event] = events.as_slice() {
            self.leave_out(event, &failure);
            let values = before.values().map_err(|error| internal(format!("a view's state has no values: {error}")))?;
            return Ok((before, values));
        }
        let mut first = events;
        let second = first.split_off(first.len() / 2);
        let later = second.iter().map(|event| event.mark.dot(self.stream.id)).collect::<BTreeSet<_>>();
        self.later.extend(&later);
        let (before, _) = unsafe { self.take(before, first)? };
        self.later.retain(|dot| !later.contains(dot));
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
    /// stored and not brought in comes by itself.
    ///
    /// # Safety
    /// The relation is open.
    pub unsafe fn anew(&mut self) -> Result<Folded> {
        let events = unsafe { self.gather()? };
        self.whole(events)
    }

    unsafe fn gather(&mut self) -> Result<Vec<FoldEvent>> {
        let pending = catalog::pending_dots(self.view.number, Mode::Write)?.into_iter().collect::<BTreeSet<_>>();
        let is_left_out = |dot: &Dot| {
            pending.contains(dot) || self.later.contains(dot) || self.pending.iter().any(|pending| pending.dot == *dot)
        };
        let wanted = encode_key(self.key);
        let own = run::site()?;
        let (to_come, arriving) =
            transaction::with(|t| (t.unviewed(self.stream.table), t.yet_to_arrive(self.stream.table)));
        let is_to_come = |mark: &Mark| {
            mark.site == own && to_come.iter().any(|(lane, after)| *lane == mark.lane && mark.seq > *after)
                || arriving.get(&(mark.site, mark.lane)).is_some_and(|after| mark.seq > *after)
        };
        let mut all = Batch::default();
        unsafe {
            scan::walk(self.relation, self.which(), As::OfNow, |event| {
                if !is_to_come(&event.mark) && !is_left_out(&event.mark.dot(self.stream.id)) {
                    all.add_where(self.view, self.stream.id, event, |key| key == wanted);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        let found = all.groups.remove(&wanted).map(|group| group.events).unwrap_or_default();
        if run::database()?.waiting(Waiting::Late).may_be() {
            // After the walk: what it has met is taken in now, and what was committed meanwhile stays late.
            let met = found.iter().map(|event| event.mark.dot(self.stream.id)).collect::<BTreeSet<_>>();
            late::take(self.view.number, &wanted, |dot| met.contains(dot))?;
        }
        let mut probe = unsafe { Probe::begin(self.relation, self.stream) };
        let (mut single, mut repeated) = (Vec::with_capacity(found.len()), BTreeSet::new());
        for event in found {
            match probe.stands(&event.id) {
                Stands::Once => single.push(event),
                Stands::Repeated => drop(repeated.insert(event.id)),
                Stands::InDoubt => {
                    self.in_doubt.push(event.mark.dot(self.stream.id));
                    single.push(event);
                }
            }
        }
        let mut events = fold_events(single);
        for id in repeated {
            let mut dots = unsafe { repeats::appendings(self.relation, self.stream, self.view, id, As::OfNow)? };
            dots.retain(|appending| !is_to_come(&appending.mark));
            let one = repeats::as_one(dots)
                .filter(|(bytes, _, event)| *bytes == wanted && !is_left_out(&event.mark.dot(self.stream.id)));
            events.extend(one.map(|(.., event)| event));
        }
        Ok(events)
    }

    /// Where the key's events are: by the stream's index where the view's key is the event's.
    fn which(&self) -> Which<'_> {
        match (self.view.view.key.0.as_slice(), self.key, self.stream.by_key) {
            ([part], [Datum::Text(text)], Some(index))
                if part.path.root == Root::Key && part.datum_type == DatumType::Text =>
            {
                Which::OfKey { index, key: text }
            }
            _ => Which::All,
        }
    }
}
