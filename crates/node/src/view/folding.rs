//! A key's events, and the state that they give: what a row is.
//!
//! What must always hold here: an id counts once, at the first of its dots in total order, and for the key that this one is for; a reverted event does not count.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use gundb_core::fold::{Causality, FoldEvent, Mark, RowState, is_reverted};
use gundb_core::{Clock, Epoch, Event, StreamId, happened_before};
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::store::look::Look;
use crate::store::tables::{Place, hash};
use crate::view::View;
use crate::view::reading::{Read, mark, read, reverts};

/// Contexts, looked up as they are asked for.
pub struct Contexts<'a, L> {
    look: &'a L,
    stream: StreamId,
    clocks: RefCell<BTreeMap<Epoch, Clock>>,
    failure: RefCell<Option<Error>>,
}

impl<'a, L: Look> Contexts<'a, L> {
    pub fn new(look: &'a L, stream: StreamId) -> Self {
        Contexts { look, stream, clocks: RefCell::default(), failure: RefCell::default() }
    }

    /// Fails if something could not be looked up: then what was folded does not count.
    pub fn check(&self) -> Result<()> {
        self.failure.take().map_or(Ok(()), Err)
    }
}

impl<L: Look> Causality for Contexts<'_, L> {
    fn happened_before(&self, a: &Mark, b: &Mark) -> bool {
        let epoch = b.epoch_id();
        let mut clocks = self.clocks.borrow_mut();
        let clock = clocks.entry(epoch).or_insert_with(|| {
            let found = self.look.epoch_clock(&epoch).unwrap_or_else(|error| {
                self.failure.replace(Some(error));
                None
            });
            found.unwrap_or_default()
        });
        happened_before(&a.dot(self.stream), a.hlc, b.site, b.lane.run(), b.hlc, clock)
    }
}

/// Which events count: those that a clock covers, or all.
pub type Covered<'a> = Option<&'a Clock>;

fn counts(covered: Covered<'_>, event: &Event) -> bool {
    covered.is_none_or(|clock| clock.covers(&event.dot))
}

/// Whether an event is reverted by what counts.
pub fn is_out(look: &impl Look, stream: StreamId, id: &Uuid, covered: Covered<'_>) -> Result<bool> {
    is_reverted(id, |revert| {
        let events = look.events_of_id(stream, revert)?;
        Ok(events.iter().any(|(_, event)| counts(covered, event) && reverts(event).is_some()))
    })
}

/// An event of a key, as folds take it, and which event that is.
pub struct Counted {
    pub fold: FoldEvent,
    pub event: Event,
}

/// The events of a key that count, reverted ones too, in total order.
pub fn events_of_key(look: &impl Look, view: &View, key: &[u8], covered: Covered<'_>) -> Result<Vec<Counted>> {
    let mut places = Vec::new();
    look.each_keyed(view.group, Some(hash(key)), &mut |_, place| {
        places.push(place);
        Ok(true)
    })?;
    let mut ids = BTreeSet::new();
    let mut counted = Vec::new();
    for place in places {
        let event = look.event(place)?.ok_or_else(|| Error::damaged("a view's key leads to no event"))?;
        let Read::Taken { key: of, effect } = read(view, &event)? else { continue };
        if of != key || !counts(covered, &event) || !ids.insert(event.id) {
            continue;
        }
        counted.extend(as_one(look, view, key, (place, event, effect), covered)?);
    }
    counted.sort_by_key(|counted| counted.fold.mark);
    Ok(counted)
}

/// The one event that the dots of an id are; None where the first is for another key, or for none, or is left out.
fn as_one(
    look: &impl Look,
    view: &View,
    key: &[u8],
    (place, event, effect): (Place, Event, gundb_core::fold::Effect),
    covered: Covered<'_>,
) -> Result<Option<Counted>> {
    let mut dots = look.events_of_id(view.stream, &event.id)?;
    dots.retain(|(_, event)| counts(covered, event));
    if dots.len() <= 1 {
        let fold = FoldEvent::new(mark(&event), effect);
        return Ok(look.left_out(view.group, place)?.is_none().then_some(Counted { fold, event }));
    }
    let others = dots.iter().skip(1).map(|(_, event)| mark(event)).collect();
    let Some((place, event)) = dots.into_iter().next() else { return Ok(None) };
    let Read::Taken { key: of, effect } = read(view, &event)? else { return Ok(None) };
    if of != key || look.left_out(view.group, place)?.is_some() {
        return Ok(None);
    }
    Ok(Some(Counted { fold: FoldEvent { others, ..FoldEvent::new(mark(&event), effect) }, event }))
}

/// The state of a key, and what cannot be folded into it: each with its reason.
pub struct Folded {
    pub state: RowState,
    pub cannot: Vec<(Mark, String)>,
}

/// Folds a key from its events: of those that cannot be folded each is left out, in total order.
pub fn refold(look: &impl Look, view: &View, key: &[u8], covered: Covered<'_>) -> Result<Folded> {
    let mut living = Vec::new();
    for counted in events_of_key(look, view, key, covered)? {
        if !is_out(look, view.stream, &counted.event.id, covered)? {
            living.push(counted.fold);
        }
    }
    fold(look, view, living)
}

/// Folds events.
pub fn fold(look: &impl Look, view: &View, events: Vec<FoldEvent>) -> Result<Folded> {
    let contexts = Contexts::new(look, view.stream);
    let attempt = |events: &[FoldEvent]| {
        let state = RowState::refold(&view.shape, events, &contexts).map_err(|why| why.to_string())?;
        view.parsed.values(&state).map_err(|why| why.to_string())?;
        Ok::<_, String>(state)
    };
    let folded = match attempt(&events) {
        Ok(state) => Folded { state, cannot: Vec::new() },
        Err(_) => {
            let (mut taken, mut cannot) = (Vec::with_capacity(events.len()), Vec::new());
            for event in events {
                let mark = event.mark;
                taken.push(event);
                if let Err(why) = attempt(&taken) {
                    taken.pop();
                    cannot.push((mark, why));
                }
            }
            let state = attempt(&taken).map_err(Error::damaged)?;
            Folded { state, cannot }
        }
    };
    contexts.check()?;
    Ok(folded)
}
