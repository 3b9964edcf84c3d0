//! What happens where a view's table refuses a row: a constraint, an index or a trigger of the user's.
//!
//! A refusal harms only the events of its key: they are left pending, with what the table said, and everything else is
//! written. That takes a subtransaction, so a table that cannot refuse anything does without; and so does a strict view,
//! whose appends are to fail.
//!
//! Must hold: keys are locked in ascending order, also after some were let go with a subtransaction; what says nothing of
//! the row, as a deadlock, a cancel or a full disk, is never taken for a refusal.

use crate::catalog::Pending;
use crate::error::{Failure, Result};
use crate::subtransaction::attempt;
use crate::view::batch::{Group, shown};
use gundb_core::{Dot, StreamId};
use std::collections::BTreeMap;

/// The events of some keys.
pub type Groups = BTreeMap<Vec<u8>, Group>;

/// Events that are left out: those that could not be folded, and those whose rows were refused.
#[derive(Default)]
pub struct LeftOut {
    pub pending: Vec<Pending>,
    pub refused: Vec<Pending>,
}

/// Has the events of keys folded and written by `merge`, which gives back those that it could not fold. Keys that are
/// refused are found by halving. A key without an event is there for the sake of reverts, which then wait.
pub fn unless_refused(
    stream: StreamId,
    groups: Groups,
    reverts: &[Dot],
    merge: &impl Fn(Groups) -> Result<Vec<Pending>>,
) -> Result<LeftOut> {
    let failure = match attempt(|| merge(groups.clone()))? {
        Ok(pending) => return Ok(LeftOut { pending, refused: Vec::new() }),
        Err(failure) => failure,
    };
    if !is_refusal(&failure) {
        return Err(failure);
    }
    let mut first = groups;
    let Some(middle) = first.keys().nth(first.len() / 2).cloned() else { return Ok(LeftOut::default()) };
    if first.len() == 1 {
        let (reason, sqlstate) = (failure.message(), failure.sqlstate());
        let pending = |group: Group| {
            let key = shown(&group.key);
            let (reason, sqlstate) = (&reason, &sqlstate);
            let mut dots = group.events.iter().map(|event| event.mark.dot(stream)).collect::<Vec<_>>();
            if dots.is_empty() {
                dots.extend_from_slice(reverts);
            }
            dots.into_iter().map(move |dot| Pending {
                key: Some(key.clone()),
                dot,
                reason: reason.clone(),
                sqlstate: sqlstate.clone().into(),
            })
        };
        return Ok(LeftOut { pending: Vec::new(), refused: first.into_values().flat_map(pending).collect() });
    }
    let second = first.split_off(&middle);
    let mut left_out = unless_refused(stream, first, reverts, merge)?;
    let mut others = unless_refused(stream, second, reverts, merge)?;
    left_out.pending.append(&mut others.pending);
    left_out.refused.append(&mut others.refused);
    Ok(left_out)
}

/// Whether a failure is about what was to be written. Others pass with time, or with their cause: serialization and
/// deadlocks, resources, locks, interventions, the disk, lost connections, a read-only transaction, defects.
fn is_refusal(failure: &Failure) -> bool {
    const CLASSES: [&str; 9] = ["08", "25", "40", "53", "55", "57", "58", "F0", "XX"];
    !CLASSES.iter().any(|class| failure.sqlstate().starts_with(class))
}
