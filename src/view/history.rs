//! What one row went through: its states in total order, each with the event, or the revert, that made it.
//!
//! Must hold: the states are a function of the events, so the same wherever the same are held; the last is the row.

use crate::call::ret;
use crate::catalog::ReducerRecord;
use crate::error::{Failure, Result};
use crate::spi::as_table_owner;
use crate::stream::Stream;
use crate::view::batch::Group;
use crate::view::contexts::Lookup;
use crate::view::making::with_stream;
use crate::view::past::{Labels, Past, Wanted};
use crate::view::reading::may_read;
use crate::view::reducer::{self, Reducer};
use crate::view::replay;
use crate::view::reverts::Reverts;
use crate::view::table::ViewTable;
use crate::{admin, sql_function};
use gundb_core::fold::{FoldEvent, FoldValue, Mark, Outcome, Placed, REVERTED, Reduction, RowState, is_reverted};
use gundb_core::{Datum, Json};
use pgrx::pg_sys::{self, Oid};
use std::collections::HashSet;
use uuid::Uuid;

sql_function! {
    /// `view_history(view, key)`
    fn gundb_view_history(call) {
        let relation = call.required(call.arg(0), "view")?;
        let view = ViewTable::of_table(Oid::from(relation.value() as u32))?;
        let key = call.required(call.text(1), "key")?;
        let table = admin::table_of(&view.record.stream)?;
        may_read(view.relation)?;
        may_read(table)?;
        reducer::refuse_uncallable(&view)?;
        let wanted = Wanted::of_text(&view, key)?;
        let rows = call.rows();
        with_stream(table, |relation, stream| {
            let past = Past::new(&view, stream, None)?;
            // SAFETY: the relation is open.
            unsafe {
                let (batch, labels, reverts) = past.of_key(relation, &wanted)?;
                for (bytes, Group { key, events, .. }) in batch.groups {
                    let events = past.settled(relation, &bytes, events)?;
                    let acts = acts(events, &labels, &reverts)?;
                    let found = |mark: &Mark, kind: &str, id: Uuid, values: Option<&[FoldValue]>| {
                        let row = values.map(|values| ret::jsonb(&row_json(&view, &key, values))).transpose()?;
                        let dot = ret::dot(&mark.dot(stream.id));
                        let id = ret::uuid(id.as_bytes());
                        rows.push(&[Some(dot), Some(ret::hlc(mark.hlc)), Some(ret::text(kind)), Some(id), row]);
                        Ok(())
                    };
                    match &view.record.reducer {
                        Some(reducer) => states_of_reducer(relation, &view, stream, reducer, acts, found)?,
                        None => states_of_row(&view, stream, acts, found)?,
                    }
                }
                Ok(())
            }
        })?;
        Ok(rows.done())
    }
}

/// What happens to a row.
enum Act {
    Event { event: FoldEvent, kind: String, id: Uuid },
    Revert { mark: Mark, id: Uuid },
}

impl Act {
    fn mark(&self) -> Mark {
        match self {
            Act::Event { event, .. } => event.mark,
            Act::Revert { mark, .. } => *mark,
        }
    }
}

/// The events of a key and their reverts, in total order.
///
/// # Safety
/// The stream's table is open.
unsafe fn acts(events: Vec<FoldEvent>, labels: &Labels, reverts: &Reverts) -> Result<Vec<Act>> {
    let mut acts = Vec::with_capacity(events.len());
    for event in events {
        let Some((kind, id)) = labels.get(&event.mark).cloned() else { continue };
        // SAFETY: the caller's promise.
        let found = unsafe { reverts.of(&id)? };
        acts.extend(found.into_iter().map(|(mark, id)| Act::Revert { mark, id }));
        acts.push(Act::Event { event, kind, id });
    }
    acts.sort_by_key(Act::mark);
    Ok(acts)
}

/// Gives each state that a row went through in total order, with what made it: where the row changed, came or went. An
/// event that cannot be folded is left out.
fn states_of_row(
    view: &ViewTable,
    stream: &Stream,
    acts: Vec<Act>,
    mut found: impl FnMut(&Mark, &str, Uuid, Option<&[FoldValue]>) -> Result<()>,
) -> Result<()> {
    let contexts = Lookup::new(stream.id);
    let mut state = RowState::empty(&view.shape);
    let mut shown: Option<Vec<FoldValue>> = None;
    let mut taken: Vec<(FoldEvent, Uuid)> = Vec::with_capacity(acts.len());
    let mut reverts = HashSet::new();
    for act in acts {
        let mark = act.mark();
        let is_out = |id: &Uuid, reverts: &HashSet<Uuid>| is_reverted(id, |id| Ok::<_, Failure>(reverts.contains(id)));
        let refold = |taken: &[(FoldEvent, Uuid)], reverts: &HashSet<Uuid>| -> Result<_> {
            let mut living = Vec::with_capacity(taken.len());
            for (event, id) in taken {
                if !is_out(id, reverts)? {
                    living.push(event.clone());
                }
            }
            Ok(RowState::refold(&view.shape, &living, &contexts))
        };
        let (kind, id, next) = match act {
            Act::Revert { id, .. } => {
                reverts.insert(id);
                (REVERTED.to_owned(), id, refold(&taken, &reverts)?)
            }
            Act::Event { event, kind, id } => {
                let outcome = match is_out(&id, &reverts)? {
                    true => Ok(Outcome::Merged(state.clone())),
                    false => state.merge(core::slice::from_ref(&event), &contexts),
                };
                taken.push((event, id));
                let next = match outcome {
                    Ok(Outcome::Merged(next)) => Ok(next),
                    // A delete that has seen some of the events and not all.
                    Ok(Outcome::Refold(_)) => refold(&taken, &reverts)?,
                    Err(error) => Err(error),
                };
                if next.is_err() {
                    taken.pop();
                }
                (kind, id, next)
            }
        };
        contexts.done()?;
        pgrx::check_for_interrupts!();
        let Ok(next) = next else { continue };
        state = next;
        // A sum may pass what its column holds on its way.
        let Ok(values) = view.view.values(&state) else { continue };
        if values != shown {
            found(&mark, &kind, id, values.as_deref())?;
            shown = values;
        }
    }
    Ok(())
}

/// As [`states_of_row`], of a view whose rows a reducer makes.
///
/// # Safety
/// `relation` is the stream's open table.
unsafe fn states_of_reducer(
    relation: pg_sys::Relation,
    view: &ViewTable,
    stream: &Stream,
    record: &ReducerRecord,
    acts: Vec<Act>,
    mut found: impl FnMut(&Mark, &str, Uuid, Option<&[FoldValue]>) -> Result<()>,
) -> Result<()> {
    as_table_owner(view.relation, || {
        // SAFETY: the caller's promise.
        let mut reducer = unsafe { Reducer::new(relation, stream, record)? };
        let (mut state, mut shown) = (Reduction::default(), None);
        let (mut taken, mut reverts) = (Vec::new(), HashSet::new());
        for act in acts {
            let mark = act.mark();
            let is_out =
                |id: &Uuid, reverts: &HashSet<Uuid>| is_reverted(id, |id| Ok::<_, Failure>(reverts.contains(id)));
            let mut living = Vec::new();
            let (kind, id) = match act {
                Act::Revert { id, .. } => {
                    reverts.insert(id);
                    state = Reduction::default();
                    for (mark, id) in &taken {
                        if !is_out(id, &reverts)? {
                            living.push(Placed { mark: *mark, event: *mark });
                        }
                    }
                    (REVERTED.to_owned(), id)
                }
                Act::Event { kind, id, .. } => {
                    if !is_out(&id, &reverts)? {
                        living.push(Placed { mark, event: mark });
                    }
                    taken.push((mark, id));
                    (kind, id)
                }
            };
            // Events come in order, so none is looked for again.
            state.merge(&record.initial, living, &mut reducer, |_| Ok(Vec::new()))?;
            let values = replay::values_of(&state);
            if values != shown {
                found(&mark, &kind, id, values.as_deref())?;
                shown = values;
            }
        }
        reducer.done()
    })
}

/// A row as a JSON object: the key's columns, then the view's.
fn row_json(view: &ViewTable, key: &[Datum], values: &[FoldValue]) -> String {
    let keys = view.view.key.0.iter().map(|part| &part.name).zip(key.iter().map(Datum::json_text));
    let columns = view.view.columns.0.iter().map(|column| &column.name);
    let members = keys.chain(columns.zip(values.iter().map(FoldValue::json_text)));
    let members = members.map(|(name, value)| format!("{}: {value}", Json::String(name.clone())));
    format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
}
