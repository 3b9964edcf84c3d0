//! A store in memory, for tests of those who carry: what a site holds, appends, and applies, by what core decides.

use gundb_core::apply::{Bounds, Incoming, LaneHead, Receiver, Untaken, Verdict};
use gundb_core::store::{
    Head, Here, Identity, Letter, LetterId, Links, Listener, Origin, Plan, Snapshot, Store, StoreError, plan, read,
};
use gundb_core::sync::receiver::{Delivery, Stage};
use gundb_core::sync::scope::{Page, Query};
use gundb_core::{
    Chain, Clock, Dot, Epoch, EpochRecord, Event, Hlc, Lane, LaneKey, Limits, Run, Seq, SiteId, StreamId, Transaction,
    TransactionId,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{SystemTime, UNIX_EPOCH};
use uuid::Uuid;

pub struct MemoryStore(Mutex<Site>, Mutex<Vec<Weak<Listener>>>);

pub struct Site {
    site: SiteId,
    run: Run,
    name: String,
    hlc: Hlc,
    lanes: BTreeMap<LaneKey, Vec<Event>>,
    epochs: BTreeMap<Epoch, Clock>,
    epoch: u64,
    clock: Clock,
    streams: BTreeMap<StreamId, String>,
    spans: BTreeMap<TransactionId, Hlc>,
    waiting: Vec<Incoming>,
    links: Links,
    staged: BTreeMap<String, (TransactionId, Vec<Event>, Vec<EpochRecord>)>,
    letters: BTreeMap<LetterId, Letter>,
    bundle: u64,
    none: Untaken,
}

fn wall() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

impl MemoryStore {
    /// A site of this name, which knows these streams.
    pub fn new(name: &str, streams: &[&str]) -> Arc<MemoryStore> {
        let site = SiteId(Uuid::new_v5(&Uuid::NAMESPACE_DNS, name.as_bytes()));
        let run = Run::new(1 + (wall() & 0xffff_ffff)).unwrap();
        let epochs = BTreeMap::from([(Epoch { site, run, number: 0 }, Clock::new())]);
        let streams =
            streams.iter().chain([&"gundb"]).map(|name| (StreamId::of_name(name), (*name).to_owned())).collect();
        let site = Site {
            site,
            run,
            name: name.to_owned(),
            hlc: Hlc::MIN,
            lanes: BTreeMap::new(),
            epochs,
            epoch: 0,
            clock: Clock::new(),
            streams,
            spans: BTreeMap::new(),
            waiting: Vec::new(),
            links: Links::default(),
            staged: BTreeMap::new(),
            letters: BTreeMap::new(),
            bundle: 0,
            none: Untaken::default(),
        };
        Arc::new(MemoryStore(Mutex::new(site), Mutex::default()))
    }

    fn site(&self) -> MutexGuard<'_, Site> {
        self.0.lock().unwrap()
    }

    /// Appends events of so many bytes in one transaction.
    pub fn append(&self, stream: &str, count: usize, bytes: usize) {
        self.site().append(stream, count, bytes);
        self.tell();
    }

    /// All events, each as it is, in order.
    pub fn events(&self) -> Vec<Event> {
        self.site().lanes.values().flatten().cloned().collect()
    }

    pub fn count(&self) -> usize {
        self.site().lanes.values().map(Vec::len).sum()
    }

    fn tell(&self) {
        for listener in self.1.lock().unwrap().iter().filter_map(Weak::upgrade) {
            listener();
        }
    }
}

impl Site {
    fn append(&mut self, stream: &str, count: usize, bytes: usize) {
        let lane = LaneKey { site: self.site, stream: StreamId::of_name(stream), lane: Lane::new(self.run, 0) };
        let mut xact = None;
        for _ in 0..count {
            self.hlc = Hlc::tick(self.hlc, wall()).unwrap();
            let before = self.lanes.get(&lane).and_then(|events| events.last());
            let (seq, chain) = before
                .map_or((0, Chain::genesis(lane.site, lane.stream, lane.lane)), |event| (event.dot.seq, event.chain));
            let id = Uuid::new_v5(&lane.site.0, format!("{lane:?} {seq}").as_bytes());
            // What no compressor makes much smaller.
            let mut state = id.as_u128() as u64 | 1;
            let mut letter = || {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                char::from(b'A' + (state % 26) as u8 + if state & 64 == 0 { 32 } else { 0 })
            };
            let noise: String = (0..bytes).map(|_| letter()).collect();
            let mut event = Event {
                dot: Dot { site: lane.site, stream: lane.stream, lane: lane.lane, seq: seq + 1 },
                hlc: self.hlc,
                xact: *xact.get_or_insert(self.hlc),
                epoch: self.epoch,
                id,
                kind: "Measured".to_owned(),
                key: None,
                data: format!("{{\"text\": \"{noise}\"}}"),
                meta: "{}".to_owned(),
                salt: *id.as_bytes(),
                chain,
            };
            event.chain = event.chain_after(&chain);
            self.store(event);
        }
    }

    fn store(&mut self, event: Event) {
        self.clock.advance(&event.dot);
        self.hlc = self.hlc.max(event.hlc);
        let lane = LaneKey { site: event.dot.site, stream: event.dot.stream, lane: event.dot.lane };
        self.lanes.entry(lane).or_default().push(event);
    }

    fn event(&self, dot: &Dot) -> Option<&Event> {
        let lane = LaneKey { site: dot.site, stream: dot.stream, lane: dot.lane };
        self.lanes.get(&lane)?.get(usize::try_from(dot.seq).ok()?.checked_sub(1)?)
    }
}

impl Snapshot for Site {
    fn heads(&self) -> Result<Vec<Head>, StoreError> {
        let heads = self.lanes.iter().filter_map(|(lane, events)| {
            let last = events.last()?;
            Some(Head { lane: *lane, last: LaneHead { seq: last.dot.seq, hlc: last.hlc, chain: last.chain } })
        });
        Ok(heads.collect())
    }

    fn stream_name(&self, stream: StreamId) -> Result<Option<String>, StoreError> {
        Ok(self.streams.get(&stream).cloned())
    }

    fn events(&self, lane: &LaneKey, from: Seq, to: Seq, bytes_max: u64) -> Result<Vec<Event>, StoreError> {
        let mut bytes = 0;
        let all = self.lanes.get(lane).into_iter().flatten();
        let wanted = all.skip(from as usize - 1).take_while(|event| event.dot.seq <= to);
        let some = wanted.take_while(|event| {
            let fits = bytes < bytes_max.max(1);
            bytes += event.data.len() as u64;
            fits
        });
        Ok(some.cloned().collect())
    }

    fn span(&self, transaction: &TransactionId) -> Result<Option<Hlc>, StoreError> {
        Ok(self.spans.get(transaction).copied())
    }

    fn epoch(&self, epoch: &Epoch) -> Result<Option<Clock>, StoreError> {
        Ok(self.epochs.get(epoch).cloned())
    }
}

struct View<'a>(&'a Site, Untaken);

impl Receiver for View<'_> {
    fn head(&self, site: SiteId, stream: StreamId, lane: Lane) -> Option<LaneHead> {
        let last = self.0.lanes.get(&LaneKey { site, stream, lane })?.last()?;
        Some(LaneHead { seq: last.dot.seq, hlc: last.hlc, chain: last.chain })
    }

    fn chain(&self, dot: &Dot) -> Option<Chain> {
        self.0.event(dot).map(|event| event.chain)
    }

    fn has_stream(&self, stream: StreamId) -> bool {
        self.0.streams.contains_key(&stream)
    }

    fn knows(&self, epoch: &Epoch) -> bool {
        self.0.epochs.contains_key(epoch)
    }

    fn epoch_clock(&self, epoch: &Epoch) -> Option<Clock> {
        self.0.epochs.get(epoch).cloned()
    }

    fn waiting(&self) -> &Untaken {
        &self.0.none
    }

    fn refused(&self) -> &Untaken {
        &self.1
    }

    fn own(&self) -> (SiteId, Run) {
        (self.0.site, self.0.run)
    }
}

impl Here for View<'_> {
    fn has_id(&self, stream: StreamId, site: SiteId, run: Run, id: &Uuid) -> bool {
        let lanes =
            self.0.lanes.iter().filter(|(lane, _)| (lane.stream, lane.site, lane.lane.run()) == (stream, site, run));
        lanes.flat_map(|(_, events)| events).any(|event| event.id == *id)
    }
}

impl Store for MemoryStore {
    fn identity(&self) -> Result<Identity, StoreError> {
        let site = self.site();
        Ok(Identity { site: site.site, run: site.run, name: site.name.clone() })
    }

    fn clock(&self) -> Result<Clock, StoreError> {
        Ok(self.site().clock.clone())
    }

    fn known_streams(&self) -> Result<BTreeMap<StreamId, String>, StoreError> {
        Ok(self.site().streams.clone())
    }

    fn read(&self, query: &Query) -> Result<Page, StoreError> {
        read(&*self.site(), query)
    }

    fn apply(&self, origin: &Origin, delivery: Delivery) -> Result<Vec<Verdict>, StoreError> {
        let mut site = self.site();
        let Delivery { mut transactions, mut epochs, refused, completes } = delivery;
        if let Some(id) = completes
            && let Some((staged, mut events, more)) = site.staged.remove(&origin.peer)
        {
            assert_eq!(staged, id);
            events.append(&mut transactions[0].events);
            events.sort_by(Event::cmp_total);
            transactions = vec![Transaction { events, ..transactions.remove(0) }];
            epochs.extend(more);
        }
        for record in epochs {
            site.epochs.entry(record.epoch).or_insert(record.clock);
        }
        let delivered = transactions.into_iter().map(|transaction| Incoming { transaction, accepted: false }).collect();
        let bounds = Bounds {
            stamp_max: Hlc::new(wall() + 300_000, 0).unwrap(),
            json: Limits { depth: 100, bytes: 1 << 26 },
            kind_bytes_max: 255,
            key_bytes_max: 2_048,
        };
        let waited = std::mem::take(&mut site.waiting);
        let Plan { verdicts, events, applied, spans, pending, .. } =
            plan(waited, delivered, &View(&site, refused), &bounds);
        events.into_iter().for_each(|event| site.store(event));
        site.spans.extend(spans);
        site.waiting = pending.into_iter().map(|pending| pending.incoming).collect();
        if !applied.is_empty() {
            let (own, run, before) = (site.site, site.run, site.epoch);
            let clock = site.epochs[&Epoch { site: own, run, number: before }].join(&applied);
            site.epoch += 1;
            let epoch = Epoch { site: own, run, number: site.epoch };
            site.epochs.insert(epoch, clock);
        }
        drop(site);
        self.tell();
        Ok(verdicts)
    }

    fn stage(&self, origin: &Origin, stage: Stage) -> Result<(), StoreError> {
        let mut site = self.site();
        if stage.index == 0 {
            site.staged.insert(origin.peer.clone(), (stage.transaction, Vec::new(), Vec::new()));
        }
        let staged = site.staged.get_mut(&origin.peer).expect("the first part came");
        staged.1.extend(stage.events);
        staged.2.extend(stage.epochs);
        Ok(())
    }

    fn links(&self) -> Result<Arc<Links>, StoreError> {
        Ok(Arc::new(self.site().links.clone()))
    }

    fn change_links(&self, change: &mut dyn FnMut(&mut Links)) -> Result<Arc<Links>, StoreError> {
        let mut site = self.site();
        change(&mut site.links);
        Ok(Arc::new(site.links.clone()))
    }

    fn waiting(&self) -> Result<Clock, StoreError> {
        let site = self.site();
        Ok(site.waiting.iter().flat_map(|incoming| &incoming.transaction.events).map(|event| event.dot).collect())
    }

    fn next_bundle_number(&self) -> Result<u64, StoreError> {
        let mut site = self.site();
        site.bundle += 1;
        Ok(site.bundle)
    }

    fn keep_letter(&self, letter: &Letter) -> Result<(), StoreError> {
        self.site().letters.insert(letter.id, letter.clone());
        Ok(())
    }

    fn letters(&self) -> Result<Vec<Letter>, StoreError> {
        Ok(self.site().letters.values().cloned().collect())
    }

    fn forget_letters(&self, letters: &[LetterId]) -> Result<(), StoreError> {
        let mut site = self.site();
        letters.iter().for_each(|id| drop(site.letters.remove(id)));
        Ok(())
    }

    fn listen(&self, listener: Weak<Listener>) {
        self.1.lock().unwrap().push(listener);
    }
}
