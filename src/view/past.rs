//! Looking back: a view as it was.
//!
//! Nothing is stored for it: a row is a function of its events, so an earlier row is the fold of fewer of them. Must
//! hold: folded are exactly the events that the clock covers and the transaction's snapshot shows, but those that the
//! view itself leaves out because it could not fold them.

use crate::call::Call;
use crate::catalog;
use crate::error::{Error, Result, state};
use crate::scan::{self, As, Which};
use crate::spi::Mode;
use crate::stream::Stream;
use crate::view::batch::{BETWEEN, Batch, Group, Whole, fold_events, key_text};
use crate::view::build::{self, Events};
use crate::view::fold::{self, Counted, Source};
use crate::view::making::with_stream;
use crate::view::merge;
use crate::view::reading::may_read;
use crate::view::reducer;
use crate::view::repeats;
use crate::view::reverts::Reverts;
use crate::view::table::ViewTable;
use crate::{admin, causality, sql_function};
use gundb_core::fold::{Appended, FoldEvent, FoldValue, Mark};
use gundb_core::view::{KeyPart, decode_key, encode_key};
use gundb_core::{Clock, Datum, DatumType, Dot, Json};
use pgrx::pg_sys::{self, Oid};
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
        reducer::refuse_uncallable(&view)?;
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
                    Some(wanted) => past.each_key(relation, Some(wanted), |key, events| {
                        let whole = Whole { key: key.to_vec(), events };
                        let keys = BTreeMap::from([(encode_key(key), whole)]);
                        let taken = merge::take_whole(past.source(relation), keys)?.keys.pop();
                        let values = taken.and_then(|taken| taken.values);
                        values.map_or(Ok(()), |values| emit(key, &values))
                    }),
                    None => build::fold_all(past.events(relation), &view, |part| {
                        part.iter().try_for_each(|built| match &built.values {
                            Some(values) => emit(&built.key, values),
                            None => Ok(()),
                        })
                    })
                    .map(drop),
                }
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
    /// Keys of several columns whose texts, put together, are this.
    Composite(String),
}

impl Wanted {
    pub fn of_text(view: &ViewTable, text: &str) -> Result<Wanted> {
        let [part] = view.view.key.0.as_slice() else { return composite(view, text) };
        let key = value_of(part, text).map_err(|why| {
            Error::new(state::INVALID_TEXT, format!("invalid key of the view: {why}")).detail(format!(
                "Its key, column \"{}\", is of type {}.",
                part.name,
                part.datum_type.name()
            ))
        })?;
        let key = vec![key];
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
            Wanted::One { key, .. } => fold::which(view, stream, key),
            Wanted::Composite(_) => Which::All,
        }
    }
}

/// A part of a key from its text.
fn value_of(part: &KeyPart, text: &str) -> core::result::Result<Datum, String> {
    let datum = part.datum_type.cast(&Json::String(text.to_owned())).map_err(|why| why.to_string())?;
    datum.ok_or_else(|| format!("{text:?} is nothing"))
}

/// A key of several columns. A value may hold what stands between two: so any way of parting the text will do.
fn composite(view: &ViewTable, text: &str) -> Result<Wanted> {
    let parts = &view.view.key.0;
    let pieces = text.split(BETWEEN).collect::<Vec<_>>();
    let names = parts.iter().map(|part| format!("{} {}", part.name, part.datum_type.name())).collect::<Vec<_>>();
    let wrong = |why: String| {
        Error::new(state::INVALID_PARAMETER, format!("invalid key of the view: {why}"))
            .detail(format!("Its key has {} columns: {}.", parts.len(), names.join(BETWEEN)))
            .hint("Give their values with a comma and a space between: 'a, b'.")
    };
    if pieces.len() < parts.len() {
        return Err(wrong(format!("{text:?} is not {} values", parts.len())).into());
    }
    if pieces.len() == parts.len() {
        let key = parts.iter().zip(&pieces).map(|(part, piece)| value_of(part, piece)).collect::<Vec<_>>();
        let key = key.into_iter().collect::<core::result::Result<Vec<_>, _>>().map_err(wrong)?;
        return Ok(Wanted::One { bytes: encode_key(&key), key });
    }
    // After how many pieces the parts so far can end. Only texts have room for what stands between.
    let mut ends = BTreeSet::from([0]);
    for part in parts {
        ends = match (part.datum_type, ends.first()) {
            (DatumType::Text, Some(first)) => (first + 1..=pieces.len()).collect(),
            _ => {
                let fits = |&&from: &&usize| pieces.get(from).is_some_and(|piece| value_of(part, piece).is_ok());
                ends.iter().filter(fits).map(|from| from + 1).collect()
            }
        };
    }
    if !ends.contains(&pieces.len()) {
        return Err(wrong(format!("{text:?} is not {} values", parts.len())).into());
    }
    Ok(Wanted::Composite(text.to_owned()))
}

/// What stands beside the events of a key: the type and the id of each.
pub type Labels = HashMap<Mark, (String, Uuid)>;

/// The events of a view's that are looked back at.
pub struct Past<'a> {
    view: &'a ViewTable,
    stream: &'a Stream,
    clock: Clock,
    pending: BTreeSet<Dot>,
}

impl<'a> Past<'a> {
    /// What a clock covers; without one, all that the snapshot shows.
    pub fn new(view: &'a ViewTable, stream: &'a Stream, clock: Option<Clock>) -> Result<Past<'a>> {
        let held = build::clock_of(stream, As::OfSnapshot)?;
        if let Some(clock) = &clock {
            let missing = clock.restrict_to_streams(|id| id == stream.id).difference(&held);
            if let Some(dot) = missing.iter().next() {
                return Err(causality::not_held(&dot).into());
            }
        }
        let pending = catalog::pending_dots(view.number, Mode::Read)?.into_iter().collect();
        let clock = clock.map_or(held, |clock| clock.restrict_to_streams(|id| id == stream.id));
        Ok(Past { view, stream, clock, pending })
    }

    /// The events that are shown.
    pub fn events(&self, relation: pg_sys::Relation) -> Events<'_> {
        let Past { stream, clock, pending, .. } = self;
        Events { relation, stream, at: As::OfSnapshot, clock, left_out: pending }
    }

    /// Where they are folded from.
    pub fn source(&self, relation: pg_sys::Relation) -> Source<'_> {
        let counted = Counted::Covered { clock: &self.clock, left_out: &self.pending };
        Source { relation, stream: self.stream, view: self.view, counted }
    }

    /// Gives the events of the key that is wanted, or of each, in total order, but those that are reverted.
    ///
    /// # Safety
    /// `relation` is the stream's open table.
    pub unsafe fn each_key(
        &self,
        relation: pg_sys::Relation,
        wanted: Option<&Wanted>,
        mut found: impl FnMut(&[Datum], Vec<FoldEvent>) -> Result<()>,
    ) -> Result<()> {
        let Some(wanted) = wanted else {
            let each = |keys: BTreeMap<Vec<u8>, Whole>| {
                keys.into_values().try_for_each(|Whole { key, events }| found(&key, events))
            };
            return unsafe { build::each_part(self.events(relation), self.view, each).map(drop) };
        };
        let (mut batch, _, reverts) = unsafe { self.of_key(relation, wanted)? };
        unsafe { batch.leave_out_reverted(&reverts)? };
        for (bytes, Group { key, events, .. }) in batch.groups {
            found(&key, unsafe { self.settled(relation, &bytes, events)? })?;
        }
        Ok(())
    }

    /// The events of a key as folds take them: an id that stands under several dots is the event of the first, if that
    /// is for this key.
    ///
    /// # Safety
    /// As for `each_key`.
    pub unsafe fn settled(
        &self,
        relation: pg_sys::Relation,
        bytes: &[u8],
        events: Vec<Appended>,
    ) -> Result<Vec<FoldEvent>> {
        let authors = self.clock.iter().map(|head| (head.site, head.lane.run())).collect::<BTreeSet<_>>();
        if authors.len() <= 1 {
            return Ok(fold_events(events));
        }
        let mut settled = Vec::with_capacity(events.len());
        for id in events.iter().map(|event| event.id).collect::<BTreeSet<_>>() {
            let mut dots = unsafe { repeats::appendings(relation, self.stream, self.view, id, As::OfSnapshot)? };
            dots.retain(|appending| self.clock.covers(&appending.mark.dot(self.stream.id)));
            let one = repeats::as_one(dots);
            let one = one.filter(|(key, _, event)| key == bytes && self.events(relation).take(&event.mark));
            settled.extend(one.map(|(.., event)| event));
        }
        Ok(settled)
    }

    /// The events of the key that is wanted, with what they are, and what is known of reverts.
    ///
    /// # Safety
    /// `relation` is the stream's open table.
    pub unsafe fn of_key(&self, relation: pg_sys::Relation, wanted: &Wanted) -> Result<(Batch, Labels, Reverts<'_>)> {
        let (mut batch, mut labels) = (Batch::default(), Labels::new());
        let which = wanted.which(self.view, self.stream);
        let through_all = matches!(which, Which::All);
        let events = self.events(relation);
        unsafe {
            scan::walk(relation, which, As::OfSnapshot, |event| {
                if events.take(&event.mark) {
                    batch.add_where(self.view, self.stream.id, event, |bytes| {
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
        let reverts = match through_all {
            true => Reverts::met(&batch),
            false => Reverts::of_stream(relation, self.stream, As::OfSnapshot, move |mark| events.take(mark))?,
        };
        Ok((batch, labels, reverts))
    }
}
