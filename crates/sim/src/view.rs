//! A view of each stream with a column of every fold: its rows are maintained as events come, as sites maintain theirs.
//!
//! What must always hold here: what a row becomes core says, merged or folded again; the row of a key is the fold of its events from scratch, at any moment.
//! `specified` folds by the specification, from nothing but the events; it shares no line with maintenance.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::LazyLock;

use gundb_core::fold::{
    Appended, Causality, Effect, FoldEvent, FoldValue, Mark, Outcome, REVERTED, RowState, is_reverted, specification,
};
use gundb_core::sync::filter::system_stream;
use gundb_core::view::{EventView, Reading, View, encode_key};
use gundb_core::{Clock, Epoch, Event, Json, Limits, StreamId, happened_before};
use uuid::Uuid;

use crate::check::Failure;
use crate::plant::Plant;
use crate::saying::DELETED;
use crate::spoiler::Spoiler;

/// What the epochs that a node knows cover.
pub type Epochs = BTreeMap<Epoch, Rc<Clock>>;

/// A row: its stream and its key.
pub type Row = (StreamId, Vec<u8>);

/// What a view of a stream is: every fold there is.
pub static VIEW: LazyLock<View> = LazyLock::new(|| {
    View {
    key: "@key".parse().expect("a key"),
    filter: None,
    types: None,
    deletes: vec![DELETED.to_owned()],
    columns: r#"{
        "total": {"fold": "sum", "value": "n"}, "events": {"fold": "count"}, "average": {"fold": "avg", "value": "n"},
        "least": {"fold": "min", "value": "n"}, "greatest": {"fold": "max", "value": "n"},
        "last": {"fold": "lww", "value": "s"}, "first": {"fold": "fww", "value": "s"}, "all": {"fold": "mv", "value": "s"},
        "in": {"fold": "set", "add": "add", "remove": "remove"}, "rarely_in": {"fold": "rw_set", "add": "add", "remove": "remove"},
        "on": {"fold": "flag", "value": "on"}, "rarely_on": {"fold": "dw_flag", "value": "on"},
        "entries": {"fold": "map", "key": "put", "value": "s", "remove": "drop"},
        "ticks": {"fold": "merge", "value": "ticks", "type": "gcounter"}
    }"#
    .parse()
    .expect("columns"),
}
});

static EMPTY: LazyLock<RowState> = LazyLock::new(|| RowState::empty(&VIEW.shape()));

/// Of so many changes of rows one is looked at when it is made; in the end all rows are.
const CHECKED_ONE_IN: u64 = 4;

/// What a view reads of an event.
struct Said {
    id: Uuid,
    mark: Mark,
    what: What,
}

enum What {
    Folds { key: Vec<u8>, effect: Effect },
    Reverts(Uuid),
}

/// The rows of a node, and by what their events are found.
#[derive(Clone, Default)]
pub struct Views {
    /// The dots of an id, in total order.
    ids: BTreeMap<(StreamId, Uuid), Vec<Rc<Said>>>,
    /// The ids that have a dot for a key.
    keyed: BTreeMap<Row, BTreeSet<Uuid>>,
    pub rows: BTreeMap<Row, RowState>,
    /// How often a row was changed.
    changes: u64,
}

/// What comes to a row.
#[derive(Default)]
struct Coming {
    events: Vec<FoldEvent>,
    /// Whether it is to be folded again from all of its events.
    again: bool,
}

/// Contexts by the epochs that a node knows.
pub struct Contexts<'a> {
    pub stream: StreamId,
    pub epochs: &'a Epochs,
    pub spoiler: Spoiler,
}

impl Causality for Contexts<'_> {
    fn happened_before(&self, a: &Mark, b: &Mark) -> bool {
        self.spoiler.sees(a, b).unwrap_or_else(|| {
            let nothing = Clock::new();
            let clock = self.epochs.get(&b.epoch_id()).map_or(&nothing, |clock| clock);
            happened_before(&a.dot(self.stream), a.hlc, b.site, b.lane.run(), b.hlc, clock)
        })
    }
}

fn mark(event: &Event) -> Mark {
    Mark { hlc: event.hlc, site: event.dot.site, lane: event.dot.lane, seq: event.dot.seq, epoch: event.epoch }
}

fn read(event: &Event) -> Option<What> {
    let json = |text: &str| Json::parse(text, Limits { depth: 100, bytes: 1 << 20 }).ok();
    let (data, meta) = (json(&event.data)?, json(&event.meta)?);
    if event.kind == REVERTED {
        let text = event.meta.split('"').nth(3)?;
        return text.parse().ok().map(What::Reverts);
    }
    let (key, site) = (event.key.as_deref(), event.dot.site);
    let seen = EventView { key, kind: &event.kind, id: event.id, site, hlc: event.hlc, data: &data, meta: &meta };
    match VIEW.read(&seen) {
        Ok(Reading::Event { key, effect }) => Some(What::Folds { key: encode_key(&key), effect }),
        _ => None,
    }
}

impl Views {
    /// Whether an id is held.
    pub fn has_id(&self, stream: StreamId, id: &Uuid) -> bool {
        self.ids.contains_key(&(stream, *id))
    }

    /// Brings events that were stored into their rows, and compares these with the fold of all their events.
    pub fn maintain(
        &mut self,
        events: &[Rc<Event>],
        epochs: &Epochs,
        plant: Plant,
        is_own: bool,
    ) -> Result<(), Failure> {
        let mut coming = BTreeMap::new();
        for event in events.iter().filter(|event| event.dot.stream != system_stream()) {
            self.note(event, plant, &mut coming);
        }
        for (row, coming) in coming {
            let mut contexts = Contexts { stream: row.0, epochs, spoiler: Spoiler::new(plant, is_own) };
            let merged = if coming.again { None } else { self.merge(&row, coming.events, &mut contexts)? };
            let state = match merged {
                Some(state) => state,
                None => self.refold(&row, &contexts)?,
            };
            self.changes += 1;
            if self.changes.is_multiple_of(CHECKED_ONE_IN) {
                self.check(&row, &state, epochs)?;
            }
            if state == *EMPTY {
                self.rows.remove(&row);
            } else {
                self.rows.insert(row, state);
            }
        }
        Ok(())
    }

    /// Finds the rows that an event is for.
    fn note(&mut self, event: &Event, plant: Plant, coming: &mut BTreeMap<Row, Coming>) {
        let (stream, Some(what)) = (event.dot.stream, read(event)) else { return };
        let said = Rc::new(Said { id: event.id, mark: mark(event), what });
        let same = self.ids.entry((stream, said.id)).or_default();
        let at = same.partition_point(|other| other.mark < said.mark);
        same.insert(at, said.clone());
        let came_again = same.len() > 1 && plant != Plant::SameIdCountedTwice;
        match &said.what {
            What::Folds { key, effect } => {
                let row = (stream, key.clone());
                self.keyed.entry(row.clone()).or_default().insert(said.id);
                let is_out = self.is_out(stream, &said.id);
                let coming = coming.entry(row).or_default();
                coming.events.push(FoldEvent::new(said.mark, effect.clone()));
                coming.again |= is_out;
            }
            What::Reverts(of) if plant != Plant::RevertNotRefolded => self.fold_again(stream, *of, coming),
            What::Reverts(_) => {}
        }
        // The place of the event may be another now.
        if came_again {
            self.fold_again(stream, said.id, coming);
        }
    }

    /// The rows of what an id stands for: of a revert, of what that reverts in the end.
    fn fold_again(&self, stream: StreamId, mut id: Uuid, coming: &mut BTreeMap<Row, Coming>) {
        while let Some(said) = self.ids.get(&(stream, id)) {
            let mut of = None;
            for said in said {
                match &said.what {
                    What::Folds { key, .. } => coming.entry((stream, key.clone())).or_default().again = true,
                    What::Reverts(id) => of = Some(*id),
                }
            }
            let Some(of) = of else { return };
            id = of;
        }
    }

    fn is_out(&self, stream: StreamId, id: &Uuid) -> bool {
        is_reverted(id, |revert| Ok::<_, ()>(self.has_id(stream, revert))).unwrap_or(false)
    }

    /// The state with the events in it; None where it must be folded again.
    fn merge(
        &self,
        row: &Row,
        mut events: Vec<FoldEvent>,
        contexts: &mut Contexts<'_>,
    ) -> Result<Option<RowState>, Failure> {
        let state = self.rows.get(row).unwrap_or(&EMPTY);
        contexts.spoiler.spoil(state, &mut events);
        let mut outcome = state.merge(&events, contexts).map_err(unfolded)?;
        if let Outcome::Refold(refold) = &outcome
            && contexts.spoiler.ignores(refold.reason, &mut events)
        {
            outcome = state.merge(&events, contexts).map_err(unfolded)?;
        }
        Ok(match outcome {
            Outcome::Merged(state) => Some(state),
            Outcome::Refold(_) => None,
        })
    }

    fn refold(&self, row: &Row, contexts: &Contexts<'_>) -> Result<RowState, Failure> {
        let mut events = Vec::new();
        for id in self.keyed.get(row).into_iter().flatten().filter(|id| !self.is_out(row.0, id)) {
            let mut dots = self.ids.get(&(row.0, *id)).into_iter().flatten();
            let Some(Said { mark, what: What::Folds { key, effect }, .. }) = dots.next().map(|first| &**first) else {
                continue;
            };
            // The first of its dots may be for another key.
            if *key == row.1 {
                let others = dots.map(|said| said.mark).filter(|_| contexts.spoiler.knows_other_dots()).collect();
                events.push(FoldEvent { others, ..FoldEvent::new(*mark, effect.clone()) });
            }
        }
        RowState::refold(&VIEW.shape(), &events, contexts).map_err(unfolded)
    }

    /// A row that is maintained is the fold of all its events; of these each id is one.
    fn check(&self, row: &Row, state: &RowState, epochs: &Epochs) -> Result<(), Failure> {
        let ids = self.keyed.get(row).map_or(0, BTreeSet::len) as u64;
        if state.alive() > ids {
            let detail = format!("{} events are counted of {ids} ids", state.alive());
            return Err(Failure::new("one id counts once", detail));
        }
        let folded = self.refold(row, &Contexts { stream: row.0, epochs, spoiler: Spoiler::default() })?;
        // What is stored is what is read back.
        if folded == RowState::decode(&state.encode()).map_err(unfolded)? {
            return Ok(());
        }
        Err(Failure::new("a view is the fold of its events", differing(&values(state), &values(&folded))))
    }
}

/// What a state's columns are worth.
pub fn values(state: &RowState) -> Option<Vec<FoldValue>> {
    VIEW.values(state).ok().flatten()
}

/// Where two rows differ, to read.
pub fn differing(maintained: &Option<Vec<FoldValue>>, folded: &Option<Vec<FoldValue>>) -> String {
    let text = |row: &Option<Vec<FoldValue>>, at: usize| row.as_ref().map(|values| values[at].json_text());
    let names = VIEW.columns.0.iter().map(|column| &column.name).enumerate();
    let differs = |at: usize| text(maintained, at) != text(folded, at);
    let columns = names.filter(|(at, _)| differs(*at)).map(|(at, name)| {
        let [maintained, folded] = [maintained, folded].map(|row| text(row, at).unwrap_or_else(|| "no row".to_owned()));
        format!("{name}: maintained {maintained}, folded {folded}")
    });
    let columns: Vec<String> = columns.collect();
    if columns.is_empty() { "the states differ, and the rows do not".to_owned() } else { columns.join("; ") }
}

/// An event, and the key that it has.
type Keyed = (Vec<u8>, Appended);

/// All rows as the specification has them.
pub fn specified(events: &[Rc<Event>], epochs: &Epochs) -> Result<BTreeMap<Row, Vec<FoldValue>>, Failure> {
    let mut reverts: BTreeMap<StreamId, BTreeSet<Uuid>> = BTreeMap::new();
    let mut ids: BTreeMap<(StreamId, Uuid), Vec<Keyed>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.dot.stream != system_stream()) {
        match read(event) {
            Some(What::Folds { key, effect }) => {
                let appended = Appended { id: event.id, mark: mark(event), effect };
                ids.entry((event.dot.stream, event.id)).or_default().push((key, appended));
            }
            Some(What::Reverts(_)) => drop(reverts.entry(event.dot.stream).or_default().insert(event.id)),
            None => {}
        }
    }
    let mut keyed: BTreeMap<Row, Vec<Appended>> = BTreeMap::new();
    for ((stream, _), dots) in ids {
        if let Some((key, _)) = dots.iter().min_by_key(|(_, appended)| appended.mark) {
            let row = (stream, key.clone());
            keyed.entry(row).or_default().extend(dots.into_iter().map(|(_, appended)| appended));
        }
    }
    let mut rows = BTreeMap::new();
    for (row, appended) in keyed {
        let contexts = Contexts { stream: row.0, epochs, spoiler: Spoiler::default() };
        let reverts = reverts.entry(row.0).or_default();
        let values = specification::row(&VIEW.shape().folds, &appended, reverts, &contexts).map_err(unfolded)?;
        rows.extend(values.map(|values| (row, values)));
    }
    Ok(rows)
}

fn unfolded(error: impl std::fmt::Debug) -> Failure {
    Failure::new("what users say can be folded", format!("{error:?}"))
}
