//! Which keys a batch changes: locked, with what waited for them; and which must be folded again, since an id of theirs
//! stands in the stream under several dots.
//!
//! Must hold: whether an id repeats, and what waits for a key, is found out under the key's lock; of a key that is busy
//! and left, what would have come to it is filed as late.

use crate::catalog::{self, LateEvent};
use crate::error::Result;
use crate::scan::{self, As, Which};
use crate::shared::Waiting;
use crate::stream::Stream;
use crate::view::batch::{Batch, Group, shown};
use crate::view::late;
use crate::view::merge::Origin;
use crate::view::repeats::{self, Probe};
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

/// The keys to be changed, and which events had waited for them.
pub struct Taken {
    pub keys: BTreeMap<Vec<u8>, Intake>,
    pub waited: BTreeSet<Dot>,
}

/// Whether ids of events that come from there may stand in the stream already. This transaction's own can only where it
/// brought them, and only where events of others were applied in this run: it has looked for what was there before.
pub fn may_repeat(origin: Origin) -> Result<bool> {
    Ok(origin != Origin::Own || transaction::with(|t| t.gave_ids) && run::database()?.running().epoch > 0)
}

/// Locks the keys of a batch and says what comes to them.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn take(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    states: &mut States,
    groups: BTreeMap<Vec<u8>, Group>,
    keyless: &[Uuid],
    origin: Origin,
) -> Result<Taken> {
    let busy = if origin == Origin::Applied { Busy::Left } else { Busy::Awaited };
    let mut found = states.lock(&groups.keys().map(Vec::as_slice).collect::<Vec<_>>(), busy)?;
    let mut taken = Taken { keys: BTreeMap::new(), waited: BTreeSet::new() };
    let mut left: BTreeMap<Vec<u8>, Group> = BTreeMap::new();
    for (bytes, group) in groups {
        match found.remove(&bytes) {
            Some(state) => {
                let intake = Intake { key: group.key, events: group.events, state, again: false };
                taken.keys.insert(bytes, intake);
            }
            None => drop(left.insert(bytes, group)),
        }
    }
    let database = run::database()?;
    let mut repeated = BTreeMap::new();
    if may_repeat(origin)? {
        let groups = taken.keys.values().map(|intake| &intake.events).chain(left.values().map(|group| &group.events));
        let ids = groups.flatten().map(|event| event.id).chain(keyless.iter().copied());
        repeated = unsafe { keys_of_repeated(relation, stream, view, ids)? };
    }
    if database.may_wait(Waiting::Late) {
        unsafe { take_late(relation, stream, view, &mut taken)? };
    }
    let mut late = Vec::new();
    for (bytes, (key, dot)) in repeated {
        if let Some(intake) = taken.keys.get_mut(&bytes) {
            intake.again = true;
        } else if let Some(state) = states.lock(&[&bytes], Busy::Left)?.remove(&bytes) {
            taken.keys.insert(bytes, Intake { key, events: Vec::new(), state, again: true });
        } else {
            late.push(LateEvent { shown: shown(&key), key: bytes, dot });
        }
    }
    for (bytes, group) in left {
        let shown = shown(&group.key);
        let dots = group.events.iter().map(|event| event.mark.dot(stream.id));
        late.extend(dots.map(|dot| LateEvent { key: bytes.clone(), shown: shown.clone(), dot }));
    }
    if !late.is_empty() {
        transaction::leaves_waiting(database, Waiting::Late);
        catalog::insert_late(view.number, &late)?;
    }
    taken.keys.retain(|_, intake| intake.again || !intake.events.is_empty());
    Ok(taken)
}

/// The keys that ids of the batch lead to, each with a dot of such an id there.
type Repeated = BTreeMap<Vec<u8>, (Vec<Datum>, Dot)>;

unsafe fn keys_of_repeated(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    ids: impl Iterator<Item = Uuid>,
) -> Result<Repeated> {
    let mut probe = unsafe { Probe::begin(relation, stream) };
    let ids = ids.filter(|id| probe.is_repeated(id)).collect::<BTreeSet<_>>();
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

/// Takes in what has waited for the keys that are locked.
unsafe fn take_late(relation: pg_sys::Relation, stream: &Stream, view: &ViewTable, taken: &mut Taken) -> Result<()> {
    for (bytes, intake) in &mut taken.keys {
        let dots = late::take(view.number, bytes, |_| true)?;
        let mut batch = Batch::default();
        for dot in &dots {
            let which = Which::OfLane { index: stream.primary_key, site: dot.site, lane: dot.lane, after: dot.seq - 1 };
            unsafe {
                scan::walk(relation, which, As::OfNow, |event| {
                    batch.add_where(view, stream.id, event, |key| key == bytes.as_slice());
                    Ok(ControlFlow::Break(()))
                })?;
            }
        }
        if let Some(group) = batch.groups.remove(bytes) {
            // The other keys that such an id leads to were filed when it came.
            let mut probe = unsafe { Probe::begin(relation, stream) };
            intake.again |= group.events.iter().any(|event| probe.is_repeated(&event.id));
            intake.events.extend(group.events);
        }
        taken.waited.extend(dots);
    }
    Ok(())
}
