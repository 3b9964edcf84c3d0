//! What happens where a view's table refuses a row: a constraint, an index or a trigger of the user's.
//!
//! A refusal harms only the events of its key: they are left pending, with what the table said, and everything else is
//! written. That takes a subtransaction, so a table that cannot refuse anything does without; and so does a strict view,
//! whose appends are to fail.
//!
//! Must hold: keys are locked in ascending order, also after some were let go with a subtransaction; a key that is folded
//! again for the sake of another leaves out what was refused, and what is still to come; a revert that waits for one key
//! counts in none; what says nothing of the row, as a deadlock, a cancel or a full disk, is never taken for a refusal
//! ([`Nature`]).

use crate::catalog::Pending;
use crate::error::{Failure, Nature, Result};
use crate::subtransaction::attempt;
use crate::view::batch::{Group, shown};
use crate::view::intake;
use crate::view::reverts::Concern;
use crate::view::states::{Busy, States};
use crate::view::table::ViewTable;
use gundb_core::view::decode_key;
use gundb_core::{Dot, StreamId};
use std::collections::{BTreeMap, BTreeSet};

/// The events of some keys.
pub type Groups = BTreeMap<Vec<u8>, Group>;

/// The keys of a view whose table may refuse their rows.
pub struct Refusable<'a, M, R> {
    pub view: &'a ViewTable,
    pub stream: StreamId,
    pub reverts: &'a BTreeMap<Vec<u8>, Concern>,
    /// Has the events of some keys folded and written, while others are to come. Says how many were left out, of those that
    /// are tried again.
    pub merge: M,
    /// Files what was refused, and says likewise.
    pub refuse: R,
}

impl<M, R> Refusable<'_, M, R>
where
    M: Fn(Groups, &BTreeSet<Dot>) -> Result<usize>,
    R: Fn(&[Pending]) -> Result<usize>,
{
    /// Takes keys; those that are refused are found by halving. What comes to such a key waits: its events, and the reverts
    /// that concern it. Says how many were left out, of those that are tried again.
    pub fn take(&self, groups: Groups, to_come: &BTreeSet<Dot>) -> Result<usize> {
        let failure = match attempt(|| (self.merge)(groups.clone(), to_come))? {
            Ok(left_out) => return Ok(left_out),
            Err(failure) => failure,
        };
        if failure.nature() != Nature::Refusal {
            return Err(failure);
        }
        let mut first = groups;
        let Some(middle) = first.keys().nth(first.len() / 2).cloned() else { return Ok(0) };
        if first.len() == 1 {
            // Locked all the same, until the end of the transaction: whoever folds the key again next must see what is
            // pending.
            States::open(self.view.number)?.lock(&[&middle], Busy::Awaited)?;
            let refused = first.iter().flat_map(|(key, group)| self.refused(key, group, &failure)).collect::<Vec<_>>();
            failure.free();
            let left_out = (self.refuse)(&refused)?;
            self.look_at_others(&middle)?;
            return Ok(left_out);
        }
        failure.free();
        let second = first.split_off(&middle);
        let events = second.values().flat_map(|group| &group.events);
        let to_come_then = events.map(|event| event.mark.dot(self.stream)).chain(to_come.iter().copied()).collect();
        Ok(self.take(first, &to_come_then)? + self.take(second, to_come)?)
    }

    /// Has other keys looked at once more that reverts of this one concern, which now wait: such a key may have them in.
    fn look_at_others(&self, key: &[u8]) -> Result<()> {
        let Some(Concern { reverts, .. }) = self.reverts.get(key) else { return Ok(()) };
        let mut late = Vec::new();
        for (other, concern) in self.reverts.iter().filter(|(other, _)| other.as_slice() != key) {
            if let (Some(revert), Ok(shown)) = (concern.reverts.intersection(reverts).next(), decode_key(other)) {
                late.push(intake::once_more(other.clone(), &shown, *revert));
            }
        }
        match late.is_empty() {
            true => Ok(()),
            false => intake::file(self.view, &late),
        }
    }

    /// What waits of a key.
    fn refused(&self, key: &[u8], group: &Group, failure: &Failure) -> Vec<Pending> {
        // What is reverted counts again while its revert waits.
        let marks = group.events.iter().map(|event| &event.mark).chain(&group.reverted);
        let mut dots = marks.map(|mark| mark.dot(self.stream)).collect::<Vec<_>>();
        dots.extend(self.reverts.get(key).into_iter().flat_map(|concern| &concern.reverts));
        let (key, reason, sqlstate) = (shown(&group.key), failure.message(), failure.sqlstate());
        let pending =
            |dot| Pending { key: Some(key.clone()), dot, reason: reason.clone(), sqlstate: sqlstate.clone().into() };
        dots.into_iter().map(pending).collect()
    }
}
