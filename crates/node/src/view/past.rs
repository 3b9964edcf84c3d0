//! A view's rows: now, as they were, what one went through; and what is not as it should be.
//!
//! Nothing is stored for the past: a row is a function of its events, so an earlier row is the fold of fewer of them.

use std::collections::{BTreeMap, BTreeSet};

use gundb_core::fold::{FoldValue, RowState, is_reverted};
use gundb_core::view::{decode_key, encode_key};
use gundb_core::{Clock, Datum, Dot, Hlc, Json};
use uuid::Uuid;

use crate::error::{Error, Kind, Result};
use crate::store::Edge;
use crate::store::look::{Look, Moment};
use crate::view::View;
use crate::view::folding::{Counted, Covered, events_of_key, fold, refold};
use crate::view::reading::{Read, mark, read, reverts};
use crate::view::text;

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The values of its key.
    pub key: Vec<Datum>,
    /// The values of its columns.
    pub values: Vec<FoldValue>,
}

/// What a row went through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The event that made it.
    pub dot: Dot,
    /// Its stamp.
    pub hlc: Hlc,
    /// Its type.
    pub kind: String,
    /// Its id.
    pub id: Uuid,
    /// The row from then on; None where there was none.
    pub values: Option<Vec<FoldValue>>,
}

/// What stands between the values of a key as people read it.
const BETWEEN: &str = ", ";

impl Row {
    /// The row as JSON: the names of keys and columns with their values, in their order.
    pub fn json(&self, view: &View) -> String {
        let keys = view.parsed.key.0.iter().map(|part| part.name.as_str()).zip(self.key.iter().map(Datum::json_text));
        object(keys.chain(self.columns(view)))
    }

    /// The row as JSON without its key.
    pub fn json_of_columns(&self, view: &View) -> String {
        object(self.columns(view))
    }

    fn columns<'a>(&'a self, view: &'a View) -> impl Iterator<Item = (&'a str, String)> {
        let names = view.parsed.columns.0.iter().map(|column| column.name.as_str());
        names.zip(self.values.iter().map(text::json))
    }
}

impl Edge {
    /// A view's definition.
    pub fn view(&self, name: &str) -> Result<std::sync::Arc<View>> {
        self.shown().views.view(name).cloned()
    }

    /// The rows of a view, in the order of their keys; of one key, or of all.
    pub fn view_rows(&self, name: &str, key: Option<&str>) -> Result<Vec<Row>> {
        let view = self.view(name)?;
        let moment = self.moment()?;
        let mut rows = Vec::new();
        let mut take = |key: &[u8], state: &[u8]| -> Result<()> {
            rows.extend(row(&view, key, &RowState::decode(state)?)?);
            Ok(())
        };
        match key.map(|text| key_of(&view, text)).transpose()? {
            Some(key) => {
                if let Some(state) = Look::row(&moment, view.group, &key)? {
                    take(&key, &state)?;
                }
            }
            None => moment.each_row(view.group, &mut |key, state| take(key, state).map(|()| true))?,
        }
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(rows)
    }

    /// A view as it was: the rows that the events covered by a clock give.
    pub fn view_at(&self, name: &str, clock: &Clock, key: Option<&str>) -> Result<Vec<Row>> {
        let view = self.view(name)?;
        let moment = self.moment()?;
        let missing = clock.restrict_to_streams(|stream| stream == view.stream).difference(&Look::clock(&moment)?);
        if let Some(dot) = missing.iter().next() {
            return Err(Error::new(Kind::NotFound, format!("the clock covers an event that is not held here: {dot}"))
                .hint("gundb clock says what is held."));
        }
        let keys = match key.map(|text| key_of(&view, text)).transpose()? {
            Some(key) => BTreeSet::from([key]),
            None => all_keys(&moment, &view)?,
        };
        let mut rows = Vec::new();
        for key in keys {
            rows.extend(row(&view, &key, &refold(&moment, &view, &key, Some(clock))?.state)?);
        }
        rows.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(rows)
    }

    /// What a key's row went through, in total order: where it changed, came or went, and what made it so.
    pub fn view_history(&self, name: &str, key: &str) -> Result<Vec<Change>> {
        let view = self.view(name)?;
        let moment = self.moment()?;
        let key = key_of(&view, key)?;
        history(&moment, &view, &key)
    }

    /// The keys whose row is not what their events give: none, unless the disk or a hand has damaged something. Folds the whole stream.
    pub fn check_view(&self, name: &str) -> Result<Vec<(String, String)>> {
        let view = self.view(name)?;
        let moment = self.moment()?;
        let mut problems = Vec::new();
        let mut problem = |key: &[u8], what: &str| -> Result<()> {
            problems.push((shown(&decode_key(key)?), what.to_owned()));
            Ok(())
        };
        let keys = keys_from_events(&moment, &view, &mut problem)?;
        for key in &keys {
            let state = refold(&moment, &view, key, None)?.state;
            let kept = Look::row(&moment, view.group, key)?.map(|bytes| RowState::decode(&bytes)).transpose()?;
            match kept {
                Some(kept) if kept == state => {}
                None if state == RowState::empty(&view.shape) => {}
                Some(_) => problem(key, "its row is not what its events give")?,
                None => problem(key, "its row is missing")?,
            }
        }
        moment.each_row(view.group, &mut |key, _| {
            if !keys.contains(key) {
                problem(key, "it has a row, and no event")?;
            }
            Ok(true)
        })?;
        Ok(problems)
    }

    /// A hash of the rows of a view: equal at two sites, of whatever kind, that define it alike and hold the same events.
    pub fn view_digest(&self, name: &str) -> Result<[u8; 16]> {
        Ok(text::digest(&self.view_rows(name, None)?))
    }

    /// What a view leaves out: the events that it cannot fold, each with the reason.
    pub fn view_left_out(&self, name: &str) -> Result<Vec<(Dot, String)>> {
        let view = self.view(name)?;
        let moment = self.moment()?;
        let dot = |(place, reason): (crate::store::tables::Place, String)| {
            Ok((crate::store::look::dot(&Look::lane_key(&moment, place.lane())?, place.seq())?, reason))
        };
        moment.all_left_out(view.group)?.into_iter().map(dot).collect()
    }
}

/// A JSON object of these entries, in their order.
fn object<'a>(entries: impl Iterator<Item = (&'a str, String)>) -> String {
    let entries = entries.map(|(name, value)| format!("{}: {value}", Json::String(name.to_owned())));
    format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
}

fn row(view: &View, key: &[u8], state: &RowState) -> Result<Option<Row>> {
    let values = view.parsed.values(state).map_err(Error::damaged)?;
    values.map(|values| Ok(Row { key: decode_key(key)?, values })).transpose()
}

/// All keys that events were for.
fn all_keys(moment: &Moment, view: &View) -> Result<BTreeSet<Vec<u8>>> {
    keys_from_events(moment, view, &mut |_, _| Ok(()))
}

/// All keys, from the events themselves; tells of events that the index does not lead to.
fn keys_from_events(
    moment: &Moment,
    view: &View,
    problem: &mut dyn FnMut(&[u8], &str) -> Result<()>,
) -> Result<BTreeSet<Vec<u8>>> {
    let mut indexed = BTreeSet::new();
    moment.each_keyed(view.group, None, &mut |_, place| {
        indexed.insert(place);
        Ok(true)
    })?;
    let mut keys = BTreeSet::new();
    for (number, head) in moment.lanes(Some(view.stream))? {
        moment.each_event((number, &head.lane), (1, head.last.seq), &mut |place, event| {
            if let Read::Taken { key, .. } = read(view, &event)? {
                if !indexed.contains(&place) {
                    problem(&key, "the index does not lead to one of its events")?;
                }
                keys.insert(key);
            }
            Ok(true)
        })?;
    }
    Ok(keys)
}

fn history(moment: &Moment, view: &View, key: &[u8]) -> Result<Vec<Change>> {
    enum Act {
        Event(Box<Counted>),
        Revert(Box<gundb_core::Event>),
    }
    let all: Covered<'_> = None;
    let mut acts = BTreeMap::new();
    for counted in events_of_key(moment, view, key, all)? {
        let mut id = counted.event.id;
        // Its reverts, each of the one before it.
        loop {
            id = gundb_core::fold::revert_id(&id);
            let events = moment.events_of_id(view.stream, &id)?;
            let Some((_, revert)) = events.into_iter().find(|(_, event)| reverts(event).is_some()) else { break };
            acts.insert(mark(&revert), Act::Revert(Box::new(revert)));
        }
        acts.insert(counted.fold.mark, Act::Event(Box::new(counted)));
    }
    let (mut taken, mut held): (Vec<Counted>, BTreeSet<Uuid>) = (Vec::new(), BTreeSet::new());
    let (mut changes, mut before): (Vec<Change>, Option<Vec<FoldValue>>) = (Vec::new(), None);
    for act in acts.into_values() {
        let event = match act {
            Act::Event(counted) => {
                let event = counted.event.clone();
                taken.push(*counted);
                event
            }
            Act::Revert(event) => {
                held.insert(event.id);
                *event
            }
        };
        let mut living = Vec::with_capacity(taken.len());
        for counted in &taken {
            if !is_reverted(&counted.event.id, |id| Ok::<_, Error>(held.contains(id)))? {
                living.push(counted.fold.clone());
            }
        }
        let state = fold(moment, view, living)?.state;
        let values = view.parsed.values(&state).map_err(Error::damaged)?;
        if values != before {
            before.clone_from(&values);
            changes.push(Change { dot: event.dot, hlc: event.hlc, kind: event.kind, id: event.id, values });
        }
    }
    Ok(changes)
}

/// A key as people read it.
pub fn shown(key: &[Datum]) -> String {
    key.iter().map(Datum::to_string).collect::<Vec<_>>().join(BETWEEN)
}

/// The bytes of a key from the text that people write.
fn key_of(view: &View, text: &str) -> Result<Vec<u8>> {
    Ok(encode_key(&key_values(view, text)?))
}

/// A key from the text that people write: its values, with a comma and a space between.
pub fn key_values(view: &View, text: &str) -> Result<Vec<Datum>> {
    let parts = &view.parsed.key.0;
    let pieces: Vec<&str> = if parts.len() == 1 { vec![text] } else { text.split(BETWEEN).collect() };
    let names: Vec<String> = parts.iter().map(|part| format!("{} {}", part.name, part.datum_type.name())).collect();
    let wrong = |why: String| {
        Error::new(Kind::Invalid, format!("invalid key of the view: {why}"))
            .hint(format!("Its key is {}: give the values with a comma and a space between.", names.join(BETWEEN)))
    };
    if pieces.len() != parts.len() {
        return Err(wrong(format!("{text:?} is not {} values", parts.len())));
    }
    let mut key = Vec::with_capacity(parts.len());
    for (part, piece) in parts.iter().zip(pieces) {
        let datum = part.datum_type.cast(&Json::String(piece.to_owned())).map_err(|why| wrong(why.to_string()))?;
        key.push(datum.ok_or_else(|| wrong(format!("{piece:?} is nothing")))?);
    }
    Ok(key)
}
