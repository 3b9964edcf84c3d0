//! Bundles that are carried: out of a store, and into one, by whatever way and in whatever order.
//!
//! What must always hold here: a bundle says in full what its receiver must hold; one that comes too early is kept until that is so, and so are the parts of a
//! large transaction until the last has come. Taking in a bundle twice does no harm.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use uuid::Uuid;

use crate::apply::Verdict;
use crate::bundle::{Bundle, From, Part, WireError, WireLimits, decode_bundle};
use crate::clock::Clock;
use crate::context::EpochRecord;
use crate::event::{Transaction, TransactionId};
use crate::hlc::Hlc;
use crate::id::{Dot, Run, SiteId, StreamId};
use crate::store::{Identity, Origin, SessionError, Store, StoreError};
use crate::sync::courier::{Courier, Opened, forbids, open, whole};
use crate::sync::filter::{Filter, Flow};
use crate::sync::message::Accept;
use crate::sync::receiver::Delivery;
use crate::sync::routes::Routes;
use crate::sync::scope::{Page, Query, Range, Scope};
use crate::sync::sender::BUNDLE_BYTES;

/// What a store holds beyond a clock, as bundles to be carried.
#[derive(Debug)]
pub struct Export {
    courier: Courier,
    scope: Scope,
    large: Option<Large>,
    bytes_max: u64,
    more: bool,
}

/// A transaction that goes in parts.
#[derive(Debug)]
struct Large {
    transaction: TransactionId,
    ends: Hlc,
    ranges_left: Vec<Range>,
    epochs: Vec<EpochRecord>,
    beside: Clock,
    /// All parts have one number, and places.
    number: u64,
    next: u64,
}

impl Export {
    /// What these streams hold beyond `since`, for whoever it will be, and whatever it takes: each bundle says what it follows in all streams, and the reader
    /// tests those that it takes.
    pub fn begin(store: &dyn Store, filter: Filter, since: &Clock) -> Result<Export, StoreError> {
        let own = store.identity()?;
        let scope = Scope {
            flow: Flow { push: filter.clone(), pull: Filter::all() },
            own: own.site,
            receiver: (SiteId(Uuid::nil()), own.run),
            receiver_accepts: Accept::Any,
            routes: Arc::new(Routes::Open),
            blocked: BTreeMap::new(),
            hold: None,
        };
        Ok(Export::beyond(own, scope, since.clone()))
    }

    /// What flows by a scope, to a receiver that holds `since`. A stream that flows not is not spoken of.
    pub fn within(store: &dyn Store, scope: Scope, since: &Clock) -> Result<Export, StoreError> {
        let own = store.identity()?;
        let names = store.known_streams()?;
        let flows = |stream: StreamId| names.get(&stream).is_some_and(|name| scope.flow.matches(name));
        let since = since.restrict_to_streams(flows);
        Ok(Export::beyond(own, scope, since))
    }

    fn beyond(own: Identity, scope: Scope, since: Clock) -> Export {
        let courier = Courier::new(own.site, own.run, 0, since);
        Export { courier, scope, large: None, bytes_max: BUNDLE_BYTES, more: true }
    }

    /// The same, in bundles of about so many bytes of events before compression.
    pub fn with_bytes_max(self, bytes_max: u64) -> Export {
        Export { bytes_max, ..self }
    }

    /// The next bundle; None where there is no more.
    pub fn next(&mut self, store: &dyn Store) -> Result<Option<Bundle>, StoreError> {
        if let Some(large) = self.large.take() {
            return self.part(store, large).map(Some);
        }
        if !self.more {
            return Ok(None);
        }
        let after = self.courier.follows().clone();
        let query = Query::Next { after, scope: self.scope.clone(), bytes_max: self.bytes_max };
        match store.read(&query)? {
            Page::Transactions { transactions, epochs, beside, more, .. } => {
                self.more = more;
                if transactions.is_empty() {
                    return Ok(None);
                }
                let bundle = self.courier.bundle(transactions, epochs, &beside);
                Ok(Some(Bundle { number: store.next_bundle_number()?, ..bundle }))
            }
            Page::Large { transaction, ends, ranges, epochs, beside } => {
                let number = store.next_bundle_number()?;
                let large = Large { transaction, ends, ranges_left: ranges, epochs, beside, number, next: 0 };
                self.part(store, large).map(Some)
            }
            Page::Part { .. } => Ok(None),
        }
    }

    fn part(&mut self, store: &dyn Store, mut large: Large) -> Result<Bundle, StoreError> {
        let ranges = std::mem::take(&mut large.ranges_left);
        let query = Query::Part { transaction: large.transaction, ranges, bytes_max: self.bytes_max };
        let Page::Part { events, ranges_left } = store.read(&query)? else {
            return Err(StoreError::Broken("a part was asked for, and something else was read".into()));
        };
        let part = Part { index: large.next, is_last: ranges_left.is_empty() };
        let (epochs, large_number) = (std::mem::take(&mut large.epochs), large.number);
        let bundle = self.courier.part(
            part,
            Transaction { id: large.transaction, events, ends: large.ends },
            epochs,
            &large.beside,
        );
        if !part.is_last {
            self.large = Some(Large { ranges_left, next: large.next + 1, ..large });
        }
        Ok(Bundle { number: large_number, ..bundle })
    }
}

/// A bundle that is kept until what it needs is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// What it is known by.
    pub id: LetterId,
    /// The bundle, as it came.
    pub bundle: Vec<u8>,
}

/// What a kept bundle is known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LetterId {
    /// Who sent it.
    pub site: SiteId,
    /// In which run.
    pub run: Run,
    /// Its number.
    pub number: u64,
    /// Its place among the parts of a transaction, which have one number; 0 of one that is no part.
    pub part: u64,
    /// Whose events whoever brought it may bring. What another brings under the same name is another bundle.
    pub accept: Accept,
}

impl LetterId {
    /// What a bundle is known by that was brought by one who may bring these events.
    pub fn of(bundle: &Bundle, accept: Accept) -> LetterId {
        let part = bundle.part.map_or(0, |part| part.index);
        LetterId { site: bundle.site, run: bundle.run, number: bundle.number, part, accept }
    }
}

/// What became of the events of bundles that were taken in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// Events that are new here.
    pub new: u64,
    /// Events that were held already.
    pub known: u64,
    /// Events that wait.
    pub pending: u64,
    /// Why transactions were refused.
    pub refused: Vec<String>,
}

/// Takes in a bundle that was carried here, and what was kept and can be taken in now. One that comes too early is kept.
pub fn take_in(store: &dyn Store, origin: &Origin, bytes: &[u8], limits: &WireLimits) -> Result<Counts, SessionError> {
    let bundle = decode_bundle(bytes, limits)?;
    if !matches!(bundle.from, From::Clock(_)) {
        let why = "is of a session, and says what it builds on only to the site with which the session is";
        return Err(WireError::Malformed { field: "from", entry: None, why }.into());
    }
    let mut counts = Counts::default();
    let events = events_of(&bundle);
    if is_held(&bundle, &store.clock()?) {
        counts.known = events;
        return Ok(counts);
    }
    if let Some(why) = forbids(&bundle, origin.accept) {
        counts.refused.push(why);
        return Ok(counts);
    }
    let id = LetterId::of(&bundle, origin.accept);
    match opened(store, origin.accept, bundle.clone())? {
        Some(Opened::Deliver(delivery)) => deliver(store, origin, delivery, &mut counts)?,
        _ => {
            store.keep_letter(&Letter { id, bundle: bytes.to_vec() })?;
            counts.pending = events;
        }
    }
    let (before, pending) = (counts.new + counts.known, counts.pending);
    open_kept(store, origin, limits, &mut counts)?;
    // What was kept and then taken in is not pending.
    if pending > 0 && counts.new + counts.known > before {
        let is_kept = store.letters()?.iter().any(|letter| letter.id == id);
        counts.pending -= if is_kept { 0 } else { pending };
    }
    Ok(counts)
}

/// Takes in what was kept and can be taken in now.
pub fn open_kept(
    store: &dyn Store,
    origin: &Origin,
    limits: &WireLimits,
    counts: &mut Counts,
) -> Result<(), SessionError> {
    loop {
        let (mut alone, mut parts) = (Vec::new(), BTreeMap::<_, Vec<(LetterId, Bundle)>>::new());
        for letter in store.letters()? {
            // What was kept was read before; what cannot be read any more is of no use to anybody.
            let Ok(bundle) = decode_bundle(&letter.bundle, limits) else {
                store.forget_letters(&[letter.id])?;
                continue;
            };
            match (bundle.part, bundle.transactions.first().map(|transaction| transaction.id)) {
                (Some(_), Some(of)) => {
                    let together = (bundle.site, bundle.run, of, letter.id.accept);
                    parts.entry(together).or_default().push((letter.id, bundle))
                }
                _ => alone.push((vec![letter.id], bundle)),
            }
        }
        let holds = store.clock()?;
        // What has come by another way is of no use any more, and may wait for what never comes.
        let (held, mut alone): (Vec<_>, Vec<_>) = alone.into_iter().partition(|(_, bundle)| is_held(bundle, &holds));
        store.forget_letters(&held.into_iter().flat_map(|(ids, _)| ids).collect::<Vec<_>>())?;
        for (_, parts) in parts {
            let (ids, bundles): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
            // Of one that has come by another way the other parts may never come.
            if bundles.iter().all(|bundle| is_held(bundle, &holds)) {
                store.forget_letters(&ids)?;
            } else if let Some(bundle) = whole(bundles) {
                alone.push((ids, bundle));
            }
        }
        let mut has_opened = false;
        for (ids, bundle) in alone {
            // Whoever brought it, not who comes now, says whose events it may bring.
            let accept = ids.iter().map(|id| id.accept).min().unwrap_or(Accept::Own);
            if let Some(Opened::Deliver(delivery)) = opened(store, accept, bundle)? {
                deliver(store, &Origin { accept, ..origin.clone() }, delivery, counts)?;
                store.forget_letters(&ids)?;
                has_opened = true;
            }
        }
        if !has_opened {
            return Ok(());
        }
    }
}

/// What is to be done with a bundle of one who may bring these events. What waits here has come as well.
fn opened(store: &dyn Store, accept: Accept, bundle: Bundle) -> Result<Option<Opened>, StoreError> {
    let holds = store.clock()?.join(&store.waiting()?);
    let (own, links, names) = (store.identity()?.site, store.links()?, store.known_streams()?);
    let routes = Routes::to(own, &links.ways, &names.values().collect::<Vec<_>>());
    let events = bundle.transactions.iter().flat_map(|transaction| &transaction.events);
    let streams: BTreeSet<StreamId> = events.map(|event| event.dot.stream).collect();
    // What is carried by hand comes by no way that is known; a stream that was not heard of yet may be one that is taken.
    let by_hand = |dot: &Dot| accept == Accept::Any && streams.contains(&dot.stream);
    let waits = |dot: &Dot| by_hand(dot) || routes.comes(dot.site, dot.stream, true);
    Ok(open(bundle, &holds, waits))
}

fn deliver(store: &dyn Store, origin: &Origin, delivery: Delivery, counts: &mut Counts) -> Result<(), StoreError> {
    let events: Vec<u64> = delivery.transactions.iter().map(|transaction| transaction.events.len() as u64).collect();
    for (events, verdict) in events.into_iter().zip(store.apply(origin, delivery)?) {
        match verdict {
            Verdict::Take(fresh) => {
                counts.new += fresh.count;
                counts.known += events.saturating_sub(fresh.count);
            }
            Verdict::Held => counts.known += events,
            Verdict::Wait(_) => counts.pending += events,
            Verdict::Refuse(refusal) => counts.refused.push(format!("{}: {}", refusal.dot, refusal.problem)),
        }
    }
    Ok(())
}

fn events_of(bundle: &Bundle) -> u64 {
    bundle.transactions.iter().map(|transaction| transaction.events.len() as u64).sum()
}

fn is_held(bundle: &Bundle, holds: &Clock) -> bool {
    let mut events = bundle.transactions.iter().flat_map(|transaction| &transaction.events);
    events.all(|event| holds.covers(&event.dot))
}
