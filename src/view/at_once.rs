//! The everyday append: events of one key, into a view that nothing speaks against.
//!
//! The key is not locked first. Its state is read, what comes to it is folded, and the state is replaced where it is still
//! the one that was read: that is the lock. Where it is not, nothing was done, and the key is locked and taken as any other.
//!
//! Must hold: nothing is written but the state and then its row, both or none.

use crate::doubt::Waiting;
use crate::error::Result;
use crate::run;
use crate::view::batch::{Group, fold_events};
use crate::view::contexts::Lookup;
use crate::view::direct;
use crate::view::fold::{Source, encoded};
use crate::view::intake;
use crate::view::merge::Origin;
use crate::view::states::States;
use crate::view::write::NewRow;
use gundb_core::fold::{Outcome, RowState};
use std::collections::BTreeMap;

/// Takes the events of a batch in, if they are of one key, and simple; they are taken out of their group then. What may have
/// come for the key meanwhile is left to those who lock it.
pub fn take(source: Source, groups: &mut BTreeMap<Vec<u8>, Group>, origin: Origin) -> Result<()> {
    let view = source.view;
    if groups.len() != 1 || origin != Origin::Own || view.record.reducer.is_some() || intake::may_repeat(origin)? {
        return Ok(());
    }
    let (Some(layout), Some(mut entry)) = (view.layout()?, groups.first_entry()) else { return Ok(()) };
    let late = run::database()?.waiting(Waiting::Late);
    if late.may_be() || entry.get().events.is_empty() {
        return Ok(());
    }
    let bytes = entry.key().clone();
    let mut states = States::open(view.number)?;
    let Some(stored) = states.read(&bytes)? else { return Ok(()) };
    let before = match stored.is_empty() {
        true => Ok(RowState::empty(&view.shape)),
        false => RowState::decode(&stored),
    };
    let Ok(before) = before else { return Ok(()) };
    let contexts = Lookup::new(source.stream.id);
    let merged = before.merge(&fold_events(entry.get().events.clone()), &contexts);
    contexts.done()?;
    let Ok(Outcome::Merged(after)) = merged else { return Ok(()) };
    let Ok(values) = view.view.values(&after) else { return Ok(()) };
    let state = encoded(view, &after);
    if state == stored || !states.replace(&bytes, &state)? {
        return Ok(());
    }
    let row = NewRow { key: entry.get().key.clone(), values };
    direct::write(view, &layout, &[&row])?;
    // Somebody may have met the key while it was held, and have left something for it.
    match late.may_be() {
        true => entry.get_mut().events.clear(),
        false => drop(entry.remove()),
    }
    Ok(())
}
