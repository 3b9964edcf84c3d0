//! Which keys a batch changes: locked, with what waited for them; and which must be folded again, since an id of theirs
//! stands in the stream under several dots.
//!
//! Must hold: whether an id repeats, and what waits for a key, is found out under the key's lock; of a key that is busy
//! and left, what would have come to it is filed as late.

use crate::attempt::Why;
use crate::catalog::{self, LateEvent};
use crate::doubt::Waiting;
use crate::error::Result;
use crate::scan::{self, As, Which};
use crate::stream::Stream;
use crate::view::batch::{Batch, Group, shown};
use crate::view::fold::Source;
use crate::view::late;
use crate::view::merge::Origin;
use crate::view::repeats::{self, Probe, Stands};
use crate::view::reverts::Concern;
use crate::view::states::{Busy, States};
use crate::view::table::ViewTable;
use crate::{run, transaction};
use gundb_core::fold::Appended;
use gundb_core::{Datum, Dot};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use uuid::Uuid;

/// A key that is locked.
pub struct Intake {
    pub key: Vec<Datum>,
    pub events: Vec<Appended>,
    /// Its state as stored.
    pub state: Vec<u8>,
    /// Whether it must be folded again from all of its events.
    pub again: bool,
}

/// The keys to be changed.
#[derive(Default)]
pub struct Taken {
    pub keys: BTreeMap<Vec<u8>, Intake>,
    /// Events that had waited for them.
    pub waited: BTreeSet<Dot>,
    /// Events whose ids are in doubt: to be filed once their keys are folded, which takes what is filed.
    pub in_doubt: Vec<LateEvent>,
}

/// Whether ids of events that come from there may stand in the stream already. This transaction's own can only where it
/// brought them, and only where events of others are applied in this run: it has looked for what was there before.
pub fn may_repeat(origin: Origin) -> Result<bool> {
    Ok(origin != Origin::Own || transaction::with(|t| t.gave_ids) && run::database()?.running().applies())
}

/// What comes to a view besides the events of its keys.
pub struct Coming<'a> {
    pub origin: Origin,
    /// Events that come to no key, by id.
    pub keyless: &'a [(Uuid, Dot)],
    /// Keys that are to be folded again, whatever comes to them, for the sake of reverts.
    pub reverted: &'a BTreeMap<Vec<u8>, Concern>,
}

/// Locks the keys of a batch and says what comes to them.
///
/// # Safety
/// The relation of `source` is open.
pub unsafe fn take(
    source: Source,
    states: &mut States,
    groups: BTreeMap<Vec<u8>, Group>,
    coming: &Coming,
) -> Result<Taken> {
    let Source { relation, stream, view, .. } = source;
    let busy = if coming.origin == Origin::Applied { Busy::Left } else { Busy::Awaited };
    let mut found = states.lock(&groups.keys().map(Vec::as_slice).collect::<Vec<_>>(), busy)?;
    let mut taken = Taken::default();
    let mut left: BTreeMap<Vec<u8>, Group> = BTreeMap::new();
    for (bytes, group) in groups {
        match found.remove(&bytes) {
            Some(state) => {
                let again = coming.reverted.contains_key(&bytes);
                let intake = Intake { key: group.key, events: group.events, state, again };
                taken.keys.insert(bytes, intake);
            }
            None => drop(left.insert(bytes, group)),
        }
    }
    let database = run::database()?;
    let asks = may_repeat(coming.origin)?;
    let mut keyless = if asks { coming.keyless.to_vec() } else { Vec::new() };
    let mut late_ids = BTreeSet::new();
    if database.waiting(Waiting::Late).may_be() {
        late_ids = unsafe { take_late(relation, stream, view, &mut taken, &mut keyless)? };
    }
    let (mut repeated, mut late) = (Repeated::new(), Vec::new());
    if asks || !late_ids.is_empty() || !keyless.is_empty() {
        let mut probe = unsafe { Probe::begin(relation, stream) };
        let mut ids = look_at_locked(&mut probe, stream, &mut taken, coming, |id| asks || late_ids.contains(id));
        let others = left.values().flat_map(|group| &group.events).map(|event| event.id);
        ids.extend(others.filter(|id| asks && probe.stands(id) == Stands::Repeated));
        ids.extend(look_at_keyless(&mut probe, keyless, &mut late));
        repeated = unsafe { keys_of_repeated(relation, stream, view, ids)? };
    }
    for (bytes, (key, dot)) in repeated {
        if let Some(intake) = taken.keys.get_mut(&bytes) {
            intake.again = true;
        } else if let Some(state) = states.lock(&[&bytes], Busy::Left)?.remove(&bytes) {
            taken.keys.insert(bytes, Intake { key, events: Vec::new(), state, again: true });
        } else {
            late.push(once_more(bytes, &key, dot));
        }
    }
    for (bytes, group) in left {
        let shown = shown(&group.key);
        let event = |(dot, again)| LateEvent { key: bytes.clone(), shown: shown.clone(), dot, again, why: busy_key() };
        let dots = group.events.iter().map(|event| (event.mark.dot(stream.id), false));
        let again = coming.reverted.get(&bytes).into_iter().flat_map(Concern::dots);
        late.extend(dots.chain(again.map(|dot| (dot, true))).map(event));
    }
    if !late.is_empty() {
        file(view, &late)?;
    }
    taken.keys.retain(|_, intake| intake.again || !intake.events.is_empty());
    Ok(taken)
}

/// The ids, of events in the keys that are locked and of those that are reverted there, that repeat. Keys whose ids are
/// in doubt are folded again, and are to be looked at once more, whatever is found then: another key may have the id by
/// that time.
fn look_at_locked(
    probe: &mut Probe,
    stream: &Stream,
    taken: &mut Taken,
    coming: &Coming,
    asked: impl Fn(&Uuid) -> bool,
) -> BTreeSet<Uuid> {
    let mut ids = BTreeSet::new();
    for (bytes, intake) in &mut taken.keys {
        let events = intake.events.iter().map(|event| (event.mark.dot(stream.id), event.id));
        let reverted = coming.reverted.get(bytes).into_iter().flat_map(|concern| concern.events.clone());
        for (dot, id) in events.chain(reverted).filter(|(_, id)| asked(id)) {
            match probe.stands(&id) {
                Stands::Once => {}
                Stands::Repeated => drop(ids.insert(id)),
                Stands::InDoubt => {
                    intake.again = true;
                    taken.in_doubt.push(once_more(bytes.clone(), &intake.key, dot));
                }
            }
        }
    }
    ids
}

/// The ids, of events without a key, that repeat. Those in doubt are filed under no key, to be looked at once more.
pub fn look_at_keyless(probe: &mut Probe, keyless: Vec<(Uuid, Dot)>, late: &mut Vec<LateEvent>) -> BTreeSet<Uuid> {
    let mut ids = BTreeSet::new();
    for (id, dot) in keyless {
        match probe.stands(&id) {
            Stands::Once => {}
            Stands::Repeated => drop(ids.insert(id)),
            Stands::InDoubt => {
                late.push(LateEvent { key: NO_KEY, shown: String::new(), dot, again: true, why: for_its_id() });
            }
        }
    }
    ids
}

/// What events without a key are filed under: a key has at least one byte.
pub const NO_KEY: Vec<u8> = Vec::new();

/// Files events for keys that cannot take them now.
pub fn file(view: &ViewTable, late: &[LateEvent]) -> Result<()> {
    transaction::leaves_waiting(run::database()?, Waiting::Late);
    catalog::insert_late(view.number, late)
}

fn busy_key() -> Why {
    Why { reason: "the key was busy when the event came".to_owned(), sqlstate: "55P03".to_owned() }
}

/// An event for whose sake its key is to be looked at once more.
pub fn once_more(key: Vec<u8>, shown_key: &[Datum], dot: Dot) -> LateEvent {
    LateEvent { key, shown: shown(shown_key), dot, again: true, why: for_its_id() }
}

/// Why a key waits that has the event, perhaps.
fn for_its_id() -> Why {
    Why { reason: "the event's id stands elsewhere too, or may".to_owned(), sqlstate: "55P03".to_owned() }
}

/// The keys that ids of the batch lead to, each with a dot of such an id there.
pub type Repeated = BTreeMap<Vec<u8>, (Vec<Datum>, Dot)>;

/// The keys that ids lead to which stand there more than once.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn keys_of_repeated(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    ids: BTreeSet<Uuid>,
) -> Result<Repeated> {
    let mut repeated = Repeated::new();
    for id in ids {
        for appending in unsafe { repeats::appendings(relation, stream, view, id, As::OfNow)? } {
            if let Some(reading) = appending.reading {
                repeated.insert(reading.bytes, (reading.key, appending.mark.dot(stream.id)));
            }
        }
    }
    Ok(repeated)
}

/// Takes in what has waited for the keys that are locked, and for none. Returns its ids.
unsafe fn take_late(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    taken: &mut Taken,
    keyless: &mut Vec<(Uuid, Dot)>,
) -> Result<BTreeSet<Uuid>> {
    let mut ids = BTreeSet::new();
    for (bytes, intake) in &mut taken.keys {
        let late = late::take(view.number, bytes, |_| true)?;
        intake.again |= !late.again.is_empty() && *bytes != NO_KEY;
        let mut batch = Batch::default();
        for dot in late.missing.union(&late.again) {
            let which = Which::OfLane { index: stream.primary_key, site: dot.site, lane: dot.lane, after: dot.seq - 1 };
            unsafe {
                scan::walk(relation, which, As::OfNow, |event| {
                    batch.add_where(view, stream.id, event, |key| key == bytes.as_slice());
                    Ok(ControlFlow::Break(()))
                })?;
            }
        }
        if *bytes == NO_KEY {
            keyless.append(&mut batch.keyless);
        }
        for event in batch.groups.remove(bytes).into_iter().flat_map(|group| group.events) {
            ids.insert(event.id);
            intake.events.push(event);
        }
        taken.waited.extend(late.missing);
    }
    Ok(ids)
}
