//! Looking back: a view as it was, and what one row of it went through.
//!
//! Nothing is stored for it: a row is a function of its events, so an earlier row is the fold of fewer of them. Must
//! hold: folded are exactly the events that the clock covers and the transaction's snapshot shows, but those that the
//! view itself leaves out because it could not fold them.

use crate::call::{Call, ret};
use crate::catalog;
use crate::error::{Error, Result, state};
use crate::scan::{self, As, Which};
use crate::spi::Mode;
use crate::stream::Stream;
use crate::view::batch::{Batch, Group, Ids, fold_events, key_text};
use crate::view::contexts::Lookup;
use crate::view::declare::with_stream;
use crate::view::merge::Fold;
use crate::view::reading::may_read;
use crate::view::table::ViewTable;
use crate::view::{build, merge};
use crate::{admin, causality, heads, sql_function};
use gundb_core::fold::{FoldEvent, FoldValue, Mark, Outcome, RowState};
use gundb_core::view::{decode_key, encode_key};
use gundb_core::{Clock, Datum, Json};
use pgrx::pg_sys::{self, Oid};
use std::collections::{BTreeSet, HashMap};
use std::ops::ControlFlow;
use uuid::Uuid;

sql_function! {
    /// `view_at(view, at, clock, key)`
    fn gundb_view_at(call) {
        let view = view_of_row(call)?;
        let clock = match (call.int8(1), call.clock(2)?) {
            (Some(_), Some(_)) => {
                return Err(Error::new(state::INVALID_PARAMETER, "view_at takes a time or a clock, not both")
                    .hint("gundb.clock_at(time) is the clock of a time.")
                    .into());
            }
            (Some(at), None) => Some(causality::clock_at(at)?),
            (None, clock) => clock,
        };
        may_read(view.relation)?;
        let wanted = call.text(3).map(|text| Wanted::of_text(&view, text)).transpose()?;
        let table = admin::table_of(&view.record.stream)?;
        let rows = call.rows();
        let columns = view.view.columns.0.iter().map(|column| column.name.as_str());
        let mut rows_of_texts = rows.of_texts(view.view.key.0.iter().map(|part| part.name.as_str()).chain(columns))?;
        let mut emit = |key: &[Datum], values: &[FoldValue]| {
            let key = key.iter().map(|datum| Some(datum.to_string()));
            rows_of_texts.push(&key.chain(values.iter().map(FoldValue::sql_text)).collect::<Vec<_>>())
        };
        with_stream(table, |relation, stream| {
            let past = Past::new(&view, stream, clock)?;
            // SAFETY: the relation is open.
            unsafe {
                match &wanted {
                    Some(wanted) => past.each_key(relation, Some(wanted), |key, events, _| {
                        let contexts = Lookup::new(stream.id);
                        let (_, values) = Fold::new(relation, stream, &view, &contexts, key).whole(events)?;
                        contexts.done()?;
                        values.map_or(Ok(()), |values| emit(key, &values))
                    }),
                    None => build::fold_all(relation, stream, &view, As::OfSnapshot, &|mark| past.shows(mark), |part| {
                        part.iter().try_for_each(|built| match &built.folded {
                            (_, Some(values)) => emit(&built.key, values),
                            (_, None) => Ok(()),
                        })
                    })
                    .map(drop),
                }
            }
        })?;
        Ok(rows.done())
    }
}

sql_function! {
    /// `view_history(view, key)`
    fn gundb_view_history(call) {
        let relation = call.required(call.arg(0), "view")?;
        let view = ViewTable::of_table(Oid::from(relation.value() as u32))?;
        let key = call.required(call.text(1), "key")?;
        let table = admin::table_of(&view.record.stream)?;
        may_read(view.relation)?;
        may_read(table)?;
        let wanted = Wanted::of_text(&view, key)?;
        let rows = call.rows();
        with_stream(table, |relation, stream| {
            let past = Past::new(&view, stream, None)?;
            // SAFETY: the relation is open.
            unsafe {
                past.each_key(relation, Some(&wanted), |key, events, labels| {
                    states_of_row(&view, stream, events, |mark, values| {
                        let row = values.map(|values| ret::jsonb(&row_json(&view, key, values))).transpose()?;
                        let (kind, id) = labels.get(mark).map_or(("", Uuid::nil()), |(kind, id)| (kind, *id));
                        let dot = ret::dot(&mark.dot(stream.id));
                        let id = ret::uuid(id.as_bytes());
                        rows.push(&[Some(dot), Some(ret::hlc(mark.hlc)), Some(ret::text(kind)), Some(id), row]);
                        Ok(())
                    })
                })
            }
        })?;
        Ok(rows.done())
    }
}

/// The view whose row type the first argument has.
fn view_of_row(call: Call) -> Result<ViewTable> {
    let given = call.arg_type(0);
    // SAFETY: reads the catalog; the name is a palloc'ed copy.
    unsafe {
        let relation = pg_sys::get_typ_typrelid(given);
        if relation == Oid::INVALID {
            let name = core::ffi::CStr::from_ptr(pg_sys::format_type_be(given)).to_string_lossy();
            return Err(Error::new(b"42804", format!("type {name} is not the row type of a view"))
                .hint("Say which view as in SELECT * FROM gundb.view_at(NULL::stock, at => '…').")
                .into());
        }
        ViewTable::of_table(relation)
    }
}

/// Which key is asked for.
pub enum Wanted {
    /// The key that has these values.
    One { key: Vec<Datum>, bytes: Vec<u8> },
    /// A key of several columns, by the texts of its values.
    Composite(String),
}

impl Wanted {
    pub fn of_text(view: &ViewTable, text: &str) -> Result<Wanted> {
        let [part] = view.view.key.0.as_slice() else { return Ok(Wanted::Composite(text.to_owned())) };
        let datum = part.datum_type.cast(&Json::String(text.to_owned()));
        let datum = datum.map_err(|why| {
            Error::new(state::INVALID_TEXT, format!("invalid key of the view: {why}")).detail(format!(
                "Its key, column \"{}\", is of type {}.",
                part.name,
                part.datum_type.name()
            ))
        })?;
        let key = datum.into_iter().collect::<Vec<_>>();
        Ok(Wanted::One { bytes: encode_key(&key), key })
    }

    fn is(&self, bytes: &[u8]) -> bool {
        match self {
            Wanted::One { bytes: wanted, .. } => bytes == wanted,
            Wanted::Composite(text) => decode_key(bytes).is_ok_and(|key| key_text(&key) == *text),
        }
    }

    fn which<'a>(&'a self, view: &ViewTable, stream: &Stream) -> Which<'a> {
        match self {
            Wanted::One { key, .. } => merge::which(view, stream, key),
            Wanted::Composite(_) => Which::All,
        }
    }
}

/// What stands beside the events of a key: the type and the id of each.
pub type Labels = HashMap<Mark, (String, Uuid)>;

/// The events of a view's that are looked back at.
pub struct Past<'a> {
    view: &'a ViewTable,
    stream: &'a Stream,
    clock: Option<Clock>,
    pending: BTreeSet<gundb_core::Dot>,
}

impl<'a> Past<'a> {
    /// What a clock covers; without one, all that the snapshot shows.
    pub fn new(view: &'a ViewTable, stream: &'a Stream, clock: Option<Clock>) -> Result<Past<'a>> {
        if let Some(clock) = &clock {
            let held = heads::clock(Some(&stream.table()), As::OfSnapshot)?;
            let missing = clock.restrict_to_streams(|id| id == stream.id).difference(&held);
            if let Some(dot) = missing.iter().next() {
                return Err(causality::not_held(&dot).into());
            }
        }
        let pending = catalog::pending_dots(view.number, Mode::Read)?.into_iter().collect();
        Ok(Past { view, stream, clock, pending })
    }

    pub fn shows(&self, mark: &Mark) -> bool {
        let dot = mark.dot(self.stream.id);
        self.clock.as_ref().is_none_or(|clock| clock.covers(&dot)) && !self.pending.contains(&dot)
    }

    /// Gives the events of the key that is wanted, or of each, in total order; beside those of one key stands what they are.
    ///
    /// # Safety
    /// `relation` is the stream's open table.
    pub unsafe fn each_key(
        &self,
        relation: pg_sys::Relation,
        wanted: Option<&Wanted>,
        mut found: impl FnMut(&[Datum], Vec<FoldEvent>, &Labels) -> Result<()>,
    ) -> Result<()> {
        let mut labels = Labels::new();
        let (view, stream, at) = (self.view, self.stream, As::OfSnapshot);
        let Some(wanted) = wanted else {
            let shows = |mark: &Mark| self.shows(mark);
            let each = |_, group: Group| found(&group.key, fold_events(group.events, Ids::MayRepeat), &labels);
            return unsafe { build::each_key(relation, stream, view, at, &shows, each).map(drop) };
        };
        let mut batch = Batch::default();
        unsafe {
            scan::walk(relation, wanted.which(view, stream), at, |event| {
                if self.shows(&event.mark) {
                    batch.add_where(view, stream.id, event, |bytes| {
                        let is_wanted = wanted.is(bytes);
                        if is_wanted {
                            labels.insert(event.mark, (event.kind.to_owned(), event.id));
                        }
                        is_wanted
                    });
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        for group in batch.groups.into_values() {
            found(&group.key, fold_events(group.events, Ids::MayRepeat), &labels)?;
        }
        Ok(())
    }
}

/// Gives each state that a row went through as its events came in total order, with the mark of the event that made it:
/// where the row changed, came or went. An event that cannot be folded is left out.
fn states_of_row(
    view: &ViewTable,
    stream: &Stream,
    events: Vec<FoldEvent>,
    mut found: impl FnMut(&Mark, Option<&[FoldValue]>) -> Result<()>,
) -> Result<()> {
    let contexts = Lookup::new(stream.id);
    let mut state = RowState::empty(&view.shape);
    let mut shown: Option<Vec<FoldValue>> = None;
    let mut taken: Vec<FoldEvent> = Vec::with_capacity(events.len());
    for event in events {
        let mark = event.mark;
        let outcome = state.merge(core::slice::from_ref(&event), &contexts);
        taken.push(event);
        let next = match outcome {
            Ok(Outcome::Merged(next)) => Ok(next),
            // A delete that has seen some of the events and not all.
            Ok(Outcome::Refold(_)) => RowState::refold(&view.shape, &taken, &contexts),
            Err(error) => Err(error),
        };
        contexts.done()?;
        match next {
            Ok(next) => state = next,
            Err(_) => {
                taken.pop();
                continue;
            }
        }
        // A sum may pass what its column holds on its way.
        let Ok(values) = state.values() else { continue };
        if values != shown {
            found(&mark, values.as_deref())?;
            shown = values;
        }
        pgrx::check_for_interrupts!();
    }
    Ok(())
}

/// A row as a JSON object: the key's columns, then the view's.
fn row_json(view: &ViewTable, key: &[Datum], values: &[FoldValue]) -> String {
    let keys = view.view.key.0.iter().map(|part| &part.name).zip(key.iter().map(Datum::json_text));
    let columns = view.view.columns.0.iter().map(|column| &column.name);
    let members = keys.chain(columns.zip(values.iter().map(FoldValue::json_text)));
    let members = members.map(|(name, value)| format!("{}: {value}", Json::String(name.clone())));
    format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
}
