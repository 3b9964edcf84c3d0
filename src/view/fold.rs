//! The fold of one key: from its state and what comes to it, or from all of its events that count.
//!
//! Must hold: an event that cannot be folded is left out and harms no other; which events count is said in one place.

use crate::catalog::{self, LateEvent, Pending};
use crate::doubt::Waiting;
use crate::error::{Result, internal};
use crate::scan::{self, As, Which};
use crate::spi::Mode;
use crate::stream::Stream;
use crate::view::batch::{Batch, shown};
use crate::view::contexts::Lookup;
use crate::view::intake;
use crate::view::late;
use crate::view::repeats::Probe;
use crate::view::reverts::Reverts;
use crate::view::table::ViewTable;
use crate::{run, transaction};
use gundb_core::fold::{FoldError, FoldEvent, FoldValue, Mark, Outcome, RowState};
use gundb_core::view::{Root, encode_key};
use gundb_core::{Clock, Datum, DatumType, Dot};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

/// Where the events of a view are, and which of them count.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The stream's open table.
    pub relation: pg_sys::Relation,
    pub stream: &'a Stream,
    pub view: &'a ViewTable,
    pub counted: Counted<'a>,
}

/// Which events of a key count when it is folded again; what is pending never does.
#[derive(Clone, Copy)]
pub enum Counted<'a> {
    /// All that are held, but for what this transaction has appended or applied and not brought in, and for some: that
    /// comes by itself.
    Brought { but: &'a BTreeSet<Dot> },
    /// Those that a clock covers, but for some.
    Covered { clock: &'a Clock, left_out: &'a BTreeSet<Dot> },
}

impl Counted<'_> {
    /// Says of an event whether it counts.
    pub fn rule<'a>(self, stream: &'a Stream) -> Result<impl Fn(&Dot) -> bool + 'a>
    where
        Self: 'a,
    {
        let own = run::site()?;
        let (to_come, arriving) = transaction::with(|t| (t.unviewed(stream.table), t.yet_to_arrive(stream.table)));
        let is_to_come = move |dot: &Dot| {
            dot.site == own && to_come.iter().any(|(lane, after)| *lane == dot.lane && dot.seq > *after)
                || arriving.get(&(dot.site, dot.lane)).is_some_and(|after| dot.seq > *after)
        };
        Ok(move |dot: &Dot| match self {
            Counted::Brought { but } => !is_to_come(dot) && !but.contains(dot),
            Counted::Covered { clock, left_out } => clock.covers(dot) && !left_out.contains(dot),
        })
    }
}

/// The fold of one key.
pub struct Fold<'a> {
    source: Source<'a>,
    contexts: &'a Lookup,
    key: &'a [Datum],
    /// Events that were left out.
    pub pending: Vec<Pending>,
    /// Events that are taken in after those at hand.
    later: BTreeSet<Dot>,
    /// Events for whose sake their keys are to be looked at once more ([`Probe::settle`]).
    pub in_doubt: Vec<LateEvent>,
}

/// A state and the row that it gives.
pub type Folded = (RowState, Option<Vec<FoldValue>>);

impl<'a> Fold<'a> {
    pub fn new(source: Source<'a>, contexts: &'a Lookup, key: &'a [Datum]) -> Fold<'a> {
        Fold { source, contexts, key, pending: Vec::new(), later: BTreeSet::new(), in_doubt: Vec::new() }
    }

    /// The fold of all events of the key, given here; those that cannot be folded are left out, found by halving.
    pub fn whole(&mut self, mut events: Vec<FoldEvent>) -> Result<Folded> {
        events.sort_by_key(|event| event.mark);
        let mut kept = Vec::with_capacity(events.len());
        self.keep(&mut kept, events);
        self.fold(&kept).map_err(|error| internal(format!("events that can be folded cannot: {error}")))
    }

    fn fold(&self, events: &[FoldEvent]) -> core::result::Result<Folded, FoldError> {
        let folded = RowState::refold(&self.source.view.shape, events, self.contexts)?;
        let values = self.source.view.view.values(&folded)?;
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
            dot: event.mark.dot(self.source.stream.id),
            reason: self.reason(failure),
            sqlstate: "22003".into(),
        });
    }

    /// Takes events in; those that cannot be folded are left out, found by halving.
    ///
    /// # Safety
    /// The relation of the source is open.
    pub unsafe fn take(&mut self, before: RowState, events: Vec<FoldEvent>) -> Result<Folded> {
        let failure = match before.merge(&events, self.contexts) {
            Ok(Outcome::Merged(after)) => match self.source.view.view.values(&after) {
                Ok(values) => return Ok((after, values)),
                Err(error) => error,
            },
            Ok(Outcome::Refold(_)) => return unsafe { self.anew() },
            Err(error) => error,
        };
        if let [event] = events.as_slice() {
            self.leave_out(event, &failure);
            let values = self
                .source
                .view
                .view
                .values(&before)
                .map_err(|error| internal(format!("a view's state has no values: {error}")))?;
            return Ok((before, values));
        }
        let mut first = events;
        let second = first.split_off(first.len() / 2);
        let later = second.iter().map(|event| event.mark.dot(self.source.stream.id)).collect::<BTreeSet<_>>();
        self.later.extend(&later);
        let (before, _) = unsafe { self.take(before, first)? };
        self.later.retain(|dot| !later.contains(dot));
        unsafe { self.take(before, second) }
    }

    /// Why an event cannot be folded, with the column's name.
    fn reason(&self, failure: &FoldError) -> String {
        let named = |column: usize, why: String| {
            let name = self.source.view.view.columns.0.get(column).map_or("", |column| column.name.as_str());
            format!("column {name:?}: {why}")
        };
        match failure {
            FoldError::Overflow { column, overflow } => named(*column, overflow.to_string()),
            FoldError::Merge { column, mismatch } => named(*column, mismatch.to_string()),
            FoldError::Range { column, value } => named(*column, format!("{value} is not a bigint")),
            FoldError::Operation { .. } | FoldError::Columns { .. } => failure.to_string(),
        }
    }

    /// The fold of all events of the key that count.
    unsafe fn anew(&mut self) -> Result<Folded> {
        let bytes = encode_key(self.key);
        let keys = BTreeMap::from([(bytes, self.key.to_vec())]);
        let left_out = self.pending.iter().map(|pending| pending.dot).chain(self.later.iter().copied()).collect();
        let held = unsafe { held_events(self.source, keys, &left_out, &mut self.in_doubt)? };
        self.whole(held.into_values().next().unwrap_or_default())
    }
}

/// The events of keys that count and are not reverted, as folds take them; of an id that stands under several dots the
/// first, where its key is asked for.
///
/// # Safety
/// The relation of `source` is open.
pub unsafe fn held_events(
    source: Source,
    keys: BTreeMap<Vec<u8>, Vec<Datum>>,
    left_out: &BTreeSet<Dot>,
    in_doubt: &mut Vec<LateEvent>,
) -> Result<BTreeMap<Vec<u8>, Vec<FoldEvent>>> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let Source { relation, stream, view, counted } = source;
    // Whoever files an event of these keys as pending holds their locks, as we do: by now all of it is committed.
    let pending = catalog::pending_dots(view.number, Mode::Latest)?.into_iter().collect::<BTreeSet<_>>();
    let is_left_out = |dot: &Dot| pending.contains(dot) || left_out.contains(dot);
    let rule = counted.rule(stream)?;
    let counts = |mark: &Mark| {
        let dot = mark.dot(stream.id);
        rule(&dot) && !is_left_out(&dot)
    };
    let mut all = Batch::default();
    let mut through_all = false;
    for key in keys.values() {
        let which = which(view, stream, key);
        through_all = matches!(which, Which::All);
        unsafe {
            scan::walk(relation, which, As::OfNow, |event| {
                if counts(&event.mark) {
                    all.add_where(view, stream.id, event, |bytes| keys.contains_key(bytes));
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        // One walk finds the events of all keys.
        if through_all {
            break;
        }
    }
    let mut were_late = BTreeSet::new();
    if matches!(counted, Counted::Brought { .. }) && run::database()?.waiting(Waiting::Late).may_be() {
        // After the walk: what it has met is taken in now, and what was committed meanwhile stays late.
        for bytes in keys.keys() {
            let events = all.groups.get(bytes).into_iter().flat_map(|group| &group.events);
            let met = events.map(|event| event.mark.dot(stream.id)).collect::<BTreeSet<_>>();
            were_late.extend(late::take(view.number, bytes, |dot| met.contains(dot))?.into_all());
        }
    }
    let reverts = match through_all {
        true => Reverts::met(&all),
        false => Reverts::of_stream(relation, stream, As::OfNow, counts)?,
    };
    unsafe { all.leave_out_reverted(&reverts)? };
    let mut probe = unsafe { Probe::begin(relation, stream) };
    let mut held = BTreeMap::new();
    for (bytes, key) in keys {
        let events = all.groups.remove(&bytes).map(|group| group.events).unwrap_or_default();
        let (events, doubtful) = unsafe { probe.settle(view, &bytes, events, &were_late, &rule, &is_left_out)? };
        in_doubt.extend(doubtful.into_iter().map(|dot| intake::once_more(bytes.clone(), &key, dot)));
        held.insert(bytes, events);
    }
    Ok(held)
}

/// Where a key's events are: by the stream's index where the view's key is the event's.
pub fn which<'a>(view: &ViewTable, stream: &Stream, key: &'a [Datum]) -> Which<'a> {
    match text_key(view, key).zip(stream.by_key) {
        Some((key, index)) => Which::OfKey { index, key },
        None => Which::All,
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

/// A state's bytes. A key without events that count (all are reverted, or are for other keys by their ids) is as one
/// that was never met.
pub fn encoded(view: &ViewTable, state: &RowState) -> Vec<u8> {
    if *state == RowState::empty(&view.shape) { Vec::new() } else { state.encode() }
}
