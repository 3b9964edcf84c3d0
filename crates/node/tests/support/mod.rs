//! What the tests share.
#![allow(dead_code, reason = "each test uses some of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use gundb_core::bundle::encode_bundle;
use gundb_core::fold::{Appended, Contexts, Effect, Mark, REVERTED, specification};
use gundb_core::store::{Export, Origin, take_in};
use gundb_core::sync::filter::Filter;
use gundb_core::sync::message::Accept;
use gundb_core::view::{EventView, Reading};
use gundb_core::{Clock, Datum, Epoch, Event, Json, Limits};
use gundb_node::store::look::Look;
use gundb_node::view::{Definition, Row};
use gundb_node::{Edge, New, Options};

/// A small generator (splitmix64): one seed gives one run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The seed of a random test: given, or of the clock; printed, so that a failure can be run again.
pub fn seed() -> u64 {
    let given = std::env::var("GUNDB_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64
    });
    println!("GUNDB_SEED={seed}");
    seed
}

pub fn event(stream: &str, kind: &str, key: &str, data: &str) -> New {
    New {
        stream: stream.to_owned(),
        kind: kind.to_owned(),
        key: Some(key.to_owned()),
        data: data.to_owned(),
        ..New::default()
    }
}

pub fn create(directory: &Path, name: &str) -> Edge {
    Edge::create(directory, name, Options::default()).unwrap()
}

pub fn open(directory: &Path) -> Edge {
    Edge::open(directory, Options::default()).unwrap()
}

/// Gives what one store holds beyond the other to that.
pub fn carry(from: &Edge, to: &Edge) {
    let mut export = Export::begin(from, Filter::all(), &to.clock()).unwrap();
    while let Some(bundle) = export.next(from).unwrap() {
        let origin = Origin { peer: String::new(), accept: Accept::Any };
        let counts = take_in(to, &origin, &encode_bundle(&bundle, 1), &Edge::limits()).unwrap();
        assert!(counts.refused.is_empty(), "{counts:?}");
    }
}

/// A view with every fold that an edge node has.
pub fn every_fold(stream: &str) -> Definition {
    Definition {
        stream: stream.to_owned(),
        key: "@key".to_owned(),
        columns: r#"{
            "total": {"fold": "sum", "value": {"Moved": "qty", "Taken": "-qty"}},
            "events": {"fold": "count"},
            "least": {"fold": "min", "value": "qty"},
            "most": {"fold": "max", "value": "qty"},
            "mean": {"fold": "avg", "value": "qty"},
            "last": {"fold": "lww", "value": "place"},
            "first": {"fold": "fww", "value": "place"},
            "places": {"fold": "mv", "value": "place"},
            "labels": {"fold": "set", "add": {"Labelled": "label"}, "remove": {"Unlabelled": "label"}},
            "sure": {"fold": "rw_set", "add": {"Labelled": "label"}, "remove": {"Unlabelled": "label"}},
            "on": {"fold": "flag", "value": {"Switched": "on"}},
            "off": {"fold": "dw_flag", "value": {"Switched": "on"}},
            "notes": {"fold": "map", "key": {"Noted": "name"}, "value": {"Noted": "note"}, "remove": {"Erased": "name"}}
        }"#
        .to_owned(),
        delete: vec!["Gone".to_owned()],
        ..Definition::default()
    }
}

/// Something that the columns of [`every_fold`] look at.
pub fn something(random: &mut Random, stream: &str) -> New {
    let key = format!("k{}", random.below(4));
    let (kind, data) = match random.below(9) {
        0 | 1 => ("Moved", format!(r#"{{"qty": {}, "place": "p{}"}}"#, random.below(100), random.below(3))),
        2 => ("Taken", format!(r#"{{"qty": {}.5}}"#, random.below(100))),
        3 => ("Labelled", format!(r#"{{"label": "l{}"}}"#, random.below(3))),
        4 => ("Unlabelled", format!(r#"{{"label": "l{}"}}"#, random.below(3))),
        5 => ("Switched", format!(r#"{{"on": {}}}"#, random.percent(50))),
        6 => ("Noted", format!(r#"{{"name": "n{}", "note": "text {}"}}"#, random.below(3), random.below(9))),
        7 => ("Erased", format!(r#"{{"name": "n{}"}}"#, random.below(3))),
        _ => ("Gone", "{}".to_owned()),
    };
    event(stream, kind, &key, &data)
}

/// One of the dots of an id, and the key and the effect that it has.
type Dot = (Mark, Option<(Vec<Datum>, Effect)>);

/// The rows of a view by core's specification, slowly and obviously.
pub fn specified(edge: &Edge, view: &str) -> Vec<Row> {
    let view = edge.view(view).unwrap();
    let moment = edge.moment().unwrap();
    let mut events = edge.read_stream(&view.definition.stream, &Clock::new(), usize::MAX).unwrap().events;
    events.sort_by(Event::cmp_total);
    let mut contexts = Contexts::new(view.stream);
    let mut reverts = BTreeSet::new();
    let mut by_id: BTreeMap<_, Vec<Dot>> = BTreeMap::new();
    for event in &events {
        let mark =
            Mark { hlc: event.hlc, site: event.dot.site, lane: event.dot.lane, seq: event.dot.seq, epoch: event.epoch };
        let epoch: Epoch = mark.epoch_id();
        contexts.insert(epoch, moment.epoch_clock(&epoch).unwrap().expect("epochs come with events"));
        if event.kind == REVERTED {
            reverts.insert(event.id);
            continue;
        }
        let json = |text: &str| Json::parse(text, Limits::default()).unwrap();
        let seen = EventView {
            key: event.key.as_deref(),
            kind: &event.kind,
            id: event.id,
            site: event.dot.site,
            hlc: event.hlc,
            data: &json(&event.data),
            meta: &json(&event.meta),
        };
        let reading = match view.parsed.read(&seen).unwrap() {
            Reading::Event { key, effect } => Some((key, effect)),
            Reading::NotTaken | Reading::NoKey => None,
        };
        by_id.entry(event.id).or_default().push((mark, reading));
    }
    // An id is one event, and for the key that its first dot is for.
    let mut keys: BTreeMap<Vec<Datum>, Vec<Appended>> = BTreeMap::new();
    for (id, dots) in by_id {
        let Some((key, effect)) = dots[0].1.clone() else { continue };
        let appended = dots.into_iter().map(|(mark, _)| Appended { id, mark, effect: effect.clone() });
        keys.entry(key).or_default().extend(appended);
    }
    let rows = keys.into_iter().filter_map(|(key, appended)| {
        let values = specification::row(&view.shape.folds, &appended, &reverts, &contexts).unwrap()?;
        Some(Row { key, values })
    });
    rows.collect()
}
