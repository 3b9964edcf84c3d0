//! What a message says, for whoever looks into one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::bundle::frame::{Frame, Kind};
use crate::bundle::{
    Bundle, From, Part, WireError, WireLimits, decode_answer, decode_bundle, decode_hello, decode_question,
    decode_receipt,
};
use crate::clock::Clock;
use crate::compare::{Answer, Question};
use crate::hlc::Hlc;
use crate::id::{Run, SiteId, StreamId};
use crate::sync::filter::Filter;
use crate::sync::message::{Accept, Hello, Outcome, Receipt};
use crate::sync::ways::{Way, Word};

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Who sent it.
    pub site: SiteId,
    /// In which of its runs.
    pub run: Run,
    /// Counted by the sender.
    pub number: u64,
    /// What the receiver must hold before.
    pub from: From,
    /// How many epochs it tells.
    pub epochs: usize,
    /// How many transactions it has.
    pub transactions: usize,
    /// How many events, in each stream.
    pub events: BTreeMap<StreamId, usize>,
    /// Who wrote them.
    pub authors: BTreeSet<SiteId>,
    /// The least and the greatest stamp of them.
    pub stamps: Option<(Hlc, Hlc)>,
    /// The last event of each lane.
    pub last: Clock,
    /// Set where it is a part of one transaction.
    pub part: Option<Part>,
}

impl Summary {
    /// The summary of a bundle. O(events).
    pub fn of(bundle: &Bundle) -> Summary {
        let events = || bundle.transactions.iter().flat_map(|transaction| &transaction.events);
        let mut of_stream = BTreeMap::new();
        events().for_each(|event| *of_stream.entry(event.dot.stream).or_insert(0) += 1);
        let stamps = || events().map(|event| event.hlc);
        Summary {
            site: bundle.site,
            run: bundle.run,
            number: bundle.number,
            from: bundle.from.clone(),
            epochs: bundle.epochs.len(),
            transactions: bundle.transactions.len(),
            events: of_stream,
            authors: events().map(|event| event.dot.site).collect(),
            stamps: stamps().min().zip(stamps().max()),
            last: events().map(|event| event.dot).collect(),
            part: bundle.part,
        }
    }

    /// As JSON, to read.
    pub fn to_json(&self) -> Value {
        let from = match &self.from {
            From::Clock(clock) => json!({ "clock": clock_json(clock) }),
            From::Session { digest, beside } => {
                json!({ "digest": crate::Chain(*digest).to_string(), "beside": clock_json(beside) })
            }
        };
        let events: serde_json::Map<_, _> =
            self.events.iter().map(|(stream, events)| (stream.to_string(), Value::from(*events))).collect();
        json!({
            "site": self.site.to_string(),
            "run": self.run.to_string(),
            "number": self.number,
            "from": from,
            "epochs": self.epochs,
            "transactions": self.transactions,
            "events": self.events.values().sum::<usize>(),
            "streams": events,
            "authors": self.authors.iter().map(SiteId::to_string).collect::<Vec<_>>(),
            "first_hlc": self.stamps.map(|(first, _)| first.to_string()),
            "last_hlc": self.stamps.map(|(_, last)| last.to_string()),
            "last": clock_json(&self.last),
            "part": self.part.map(|part| json!({ "index": part.index, "is_last": part.is_last })),
        })
    }
}

/// What bytes from another site say, as JSON to read: whatever kind of message it is. Decodes all of it.
pub fn inspect(bytes: &[u8], limits: &WireLimits) -> Result<Value, WireError> {
    let frame = Frame::read(bytes)?;
    let mut told = match frame.kind {
        Kind::Bundle => Summary::of(&decode_bundle(bytes, limits)?).to_json(),
        Kind::Hello => hello_json(&decode_hello(bytes, limits)?),
        Kind::Receipt => receipt_json(&decode_receipt(bytes, limits)?),
        Kind::Question => question_json(&decode_question(bytes, limits)?),
        Kind::Answer => answer_json(&decode_answer(bytes, limits)?),
    };
    if let Some(told) = told.as_object_mut() {
        told.insert("kind".into(), frame.kind.to_string().into());
        told.insert("bytes".into(), bytes.len().into());
        told.insert("bytes_before_compression".into(), frame.bytes.into());
    }
    Ok(told)
}

fn hello_json(hello: &Hello) -> Value {
    let patterns = |filter: &Filter| filter.patterns().collect::<Vec<_>>();
    json!({
        "protocol": [hello.protocol.0, hello.protocol.1],
        "software": hello.software,
        "site": hello.site.to_string(),
        "run": hello.run.to_string(),
        "name": hello.name,
        "push": patterns(&hello.push),
        "pull": patterns(&hello.pull),
        "accept": accept_json(hello.accept),
        "ways": hello.ways.iter().map(word_json).collect::<Vec<_>>(),
        "clock": clock_json(&hello.clock),
        "bundle_bytes_max": hello.bundle_bytes_max,
        "now_ms": hello.now_ms,
    })
}

fn accept_json(accept: Accept) -> &'static str {
    match accept {
        Accept::Own => "own",
        Accept::Any => "any",
    }
}

fn word_json((site, word): (SiteId, &Word)) -> Value {
    let way = |way: &Way| {
        json!({
            "from": way.from.map(|from| from.to_string()),
            "push": way.flow.push.patterns().collect::<Vec<_>>(),
            "pull": way.flow.pull.patterns().collect::<Vec<_>>(),
            "accept": accept_json(way.accept),
        })
    };
    json!({ "site": site.to_string(), "version": word.version, "ways": word.ways.iter().map(way).collect::<Vec<_>>() })
}

fn receipt_json(receipt: &Receipt) -> Value {
    let (outcome, clock) = match &receipt.outcome {
        Outcome::Taken => ("taken", None),
        Outcome::Again(clock) => ("again", Some(clock)),
        Outcome::Early(clock) => ("early", Some(clock)),
    };
    json!({
        "number": receipt.number,
        "outcome": outcome,
        "clock": clock.map(clock_json),
        "refusals": receipt.refusals.iter().map(|refused| json!({ "dot": refused.dot.to_string(), "reason": refused.reason })).collect::<Vec<_>>(),
        "holds": clock_json(&receipt.holds),
    })
}

fn question_json(question: &Question) -> Value {
    match question {
        Question::Inventory => json!({ "asks": "inventory" }),
        Question::Digests(clocks) => {
            json!({ "asks": "digests", "clocks": clocks.iter().map(clock_json).collect::<Vec<_>>() })
        }
    }
}

fn answer_json(answer: &Answer) -> Value {
    let digest = |digest: &[u8; 16]| crate::Chain(*digest).to_string();
    match answer {
        Answer::Inventory(inventory) => json!({
            "clock": clock_json(&inventory.clock),
            "streams": inventory.streams,
            "views": inventory.views.iter().map(|(name, view)| {
                json!({ "name": name, "stream": view.stream, "digest": digest(&view.digest) })
            }).collect::<Vec<_>>(),
        }),
        Answer::Digests(digests) => json!({
            "digests": digests.iter().map(|held| held.as_ref().map(digest)).collect::<Vec<_>>(),
        }),
    }
}

/// As a clock prints: site, stream, lane, seq.
fn clock_json(clock: &Clock) -> Value {
    let mut sites = serde_json::Map::new();
    for dot in clock.iter() {
        let streams = sites.entry(dot.site.to_string()).or_insert_with(|| json!({}));
        if let Some(streams) = streams.as_object_mut() {
            let lanes = streams.entry(dot.stream.to_string()).or_insert_with(|| json!({}));
            if let Some(lanes) = lanes.as_object_mut() {
                lanes.insert(dot.lane.to_string(), dot.seq.into());
            }
        }
    }
    sites.into()
}
