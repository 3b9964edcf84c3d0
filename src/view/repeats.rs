//! Ids that stand in a stream under several dots: accepted at several sites, or in several runs. Each is one event: that
//! of its first dot in total order, with that one's key and content; it is in a context when any of its dots is.
//!
//! Unsafe: an index scan, begun once and asked for one id after the other.

use crate::error::Result;
use crate::scan::{self, As, Which};
use crate::stream::Stream;
use crate::view::batch::{Batch, fold_events};
use crate::view::table::ViewTable;
use gundb_core::fold::{Appended, Effect, FoldEvent, Mark};
use gundb_core::{Datum, Dot};
use pgrx::pg_sys;
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use uuid::Uuid;

/// One dot of an id, and what the view reads there.
pub struct Appending {
    pub mark: Mark,
    pub reading: Option<Reading>,
}

/// The key that an event is for, and what it does there.
pub struct Reading {
    pub bytes: Vec<u8>,
    pub key: Vec<Datum>,
    pub effect: Effect,
}

/// All dots of an id, in total order.
///
/// # Safety
/// `relation` is the stream's open table.
pub unsafe fn appendings(
    relation: pg_sys::Relation,
    stream: &Stream,
    view: &ViewTable,
    id: Uuid,
    at: As,
) -> Result<Vec<Appending>> {
    let mut found = Vec::new();
    unsafe {
        scan::walk(relation, Which::OfId { index: stream.by_id, id }, at, |event| {
            let mut batch = Batch::default();
            batch.add(view, stream.id, event);
            let reading = batch.groups.pop_first().and_then(|(bytes, group)| {
                let effect = group.events.into_iter().next()?.effect;
                Some(Reading { bytes, key: group.key, effect })
            });
            found.push(Appending { mark: event.mark, reading });
            Ok(ControlFlow::Continue(()))
        })?;
    }
    found.sort_by_key(|appending| appending.mark);
    Ok(found)
}

/// The one event that the dots of an id are, with the key that it is for; None where the view does not take it.
pub fn as_one(appendings: Vec<Appending>) -> Option<(Vec<u8>, Vec<Datum>, FoldEvent)> {
    let mut rest = appendings.into_iter();
    let first = rest.next()?;
    let Reading { bytes, key, effect } = first.reading?;
    let others = rest.map(|appending| appending.mark).collect();
    Some((bytes, key, FoldEvent { others, ..FoldEvent::new(first.mark, effect) }))
}

/// How often an id stands in a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stands {
    Once,
    /// More than once, as of now.
    Repeated,
    /// Once, and another transaction that has not ended has appended or applied it too: whoever comes to store it second
    /// sees the other, so one of them knows.
    InDoubt,
}

/// Says which ids stand in a stream more than once.
pub struct Probe<'a> {
    relation: pg_sys::Relation,
    stream: &'a Stream,
    index: pg_sys::Relation,
    slot: *mut pg_sys::TupleTableSlot,
    scan: pg_sys::IndexScanDesc,
    // The scan points here. It shows what is not committed yet too, and whose that is.
    snapshot: Box<pg_sys::SnapshotData>,
}

impl<'a> Probe<'a> {
    /// # Safety
    /// `relation` is the stream's table, open for as long as the value lives.
    pub unsafe fn begin(relation: pg_sys::Relation, stream: &'a Stream) -> Probe<'a> {
        unsafe {
            let mut snapshot = Box::new(pg_sys::SnapshotData {
                snapshot_type: pg_sys::SnapshotType::SNAPSHOT_DIRTY,
                ..Default::default()
            });
            let index = pg_sys::index_open(stream.by_id, pg_sys::AccessShareLock as i32);
            let slot = pg_sys::table_slot_create(relation, core::ptr::null_mut());
            #[cfg(not(feature = "pg18"))]
            let scan = pg_sys::index_beginscan(relation, index, &raw mut *snapshot, 1, 0);
            #[cfg(feature = "pg18")]
            let scan = pg_sys::index_beginscan(relation, index, &raw mut *snapshot, core::ptr::null_mut(), 1, 0);
            Probe { relation, stream, index, slot, scan, snapshot }
        }
    }

    /// The events of a key as folds take them: an id that stands under several dots is the event of the first, if that
    /// is for this key and not left out. Besides, those for whose sake the key is to be looked at once more: their ids are
    /// in doubt, or repeat, and they were late, so that perhaps nobody has told the id's other keys. `counts` says which
    /// dots do.
    ///
    /// # Safety
    /// The stream's table is open.
    pub unsafe fn settle(
        &mut self,
        view: &ViewTable,
        key: &[u8],
        events: Vec<Appended>,
        was_late: &BTreeSet<Dot>,
        counts: &impl Fn(&Dot) -> bool,
        is_left_out: &impl Fn(&Dot) -> bool,
    ) -> Result<(Vec<FoldEvent>, Vec<Dot>)> {
        let id = self.stream.id;
        let (mut single, mut in_doubt, mut repeated) = (Vec::with_capacity(events.len()), Vec::new(), BTreeSet::new());
        for event in events {
            match self.stands(&event.id) {
                Stands::Once => single.push(event),
                Stands::Repeated => {
                    in_doubt.extend(was_late.get(&event.mark.dot(id)));
                    repeated.insert(event.id);
                }
                Stands::InDoubt => {
                    in_doubt.push(event.mark.dot(id));
                    single.push(event);
                }
            }
        }
        let mut settled = fold_events(single);
        for repeated in repeated {
            let mut dots = unsafe { appendings(self.relation, self.stream, view, repeated, As::OfNow)? };
            dots.retain(|appending| counts(&appending.mark.dot(id)));
            let one = as_one(dots).filter(|(bytes, _, event)| bytes == key && !is_left_out(&event.mark.dot(id)));
            settled.extend(one.map(|(.., event)| event));
        }
        Ok((settled, in_doubt))
    }

    /// How often an id stands there that stands there once at least.
    pub fn stands(&mut self, id: &Uuid) -> Stands {
        match self.count(id) {
            (2, _) => Stands::Repeated,
            (_, true) => Stands::InDoubt,
            _ => Stands::Once,
        }
    }

    /// Whether an id stands there at all.
    pub fn is_there(&mut self, id: &Uuid) -> bool {
        self.count(id).0 > 0
    }

    /// How often an id stands there, up to twice; and whether another transaction is about to bring it.
    fn count(&mut self, id: &Uuid) -> (usize, bool) {
        let equal = pg_sys::BTEqualStrategyNumber as u16;
        let forward = pg_sys::ScanDirection::ForwardScanDirection;
        let (mut held, mut in_doubt) = (0, false);
        // SAFETY: the scan is open; the id outlives its use.
        unsafe {
            let mut key = scan::key(0, equal, pg_sys::F_UUID_EQ, id.as_bytes().as_ptr().into());
            pg_sys::index_rescan(self.scan, &raw mut key, 1, core::ptr::null_mut(), 0);
            while held < 2 && pg_sys::index_getnext_slot(self.scan, forward, self.slot) {
                match self.snapshot.xmin == pg_sys::InvalidTransactionId {
                    true => held += 1,
                    false => in_doubt = true,
                }
            }
            pg_sys::ExecClearTuple(self.slot);
        }
        (held, in_doubt)
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        // While an error unwinds, abort frees what the scan holds; touching it then could raise again.
        if std::thread::panicking() {
            return;
        }
        // SAFETY: each was opened in `begin` and is closed once.
        unsafe {
            pg_sys::index_endscan(self.scan);
            pg_sys::ExecDropSingleTupleTableSlot(self.slot);
            pg_sys::index_close(self.index, pg_sys::AccessShareLock as i32);
        }
    }
}
