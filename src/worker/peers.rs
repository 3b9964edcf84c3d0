//! All peers that this site dials, and the thread that their links live on.
//!
//! Must hold: without a peer to dial there is no thread; what is written of peers is written at most once a second, unless
//! somebody waits for it.

use crate::boundary;
use crate::catalog;
use crate::error::Result;
use crate::replication;
use crate::settings;
use crate::shared::Database;
use crate::worker::compare;
use crate::worker::dial::Dial;
use crate::worker::here::Here;
use crate::worker::offences;
use crate::worker::transaction::transaction;
use crate::worker::waiting;
use gundb_core::SiteId;
use gundb_core::sync::filter::SYSTEM_STREAM;
use gundb_transport::postgres::{Event, Network};
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, RawFd};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How often what is known of peers is written.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Things done in a row before the worker looks up.
const STEPS_MAX: usize = 64;

#[derive(Default)]
pub struct Peers {
    network: Option<Network>,
    dials: BTreeMap<String, Dial>,
    here: Here,
    /// The settings and tables that `dials` was made from.
    generation: Option<(u32, bool)>,
    syncs: u32,
    noted: Option<Instant>,
}

impl Peers {
    /// What becomes readable when something comes from a peer.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.network.as_ref().map(|network| network.descriptor().as_raw_fd())
    }

    /// Forgets what `dials` was made from: the extension may be another.
    pub fn look_anew(&mut self) {
        self.generation = None;
    }

    /// Something was committed here, to these streams; none: to whichever.
    pub fn news_here(&mut self, streams: Option<&[String]>) -> Result<()> {
        if self.dials.is_empty() {
            return Ok(());
        }
        if streams.is_none_or(|streams| streams.iter().any(|name| name == SYSTEM_STREAM)) {
            self.learn()?;
        }
        for dial in self.dials.values_mut() {
            dial.news_here();
        }
        Ok(())
    }

    /// Looks which streams are known, and which ways.
    fn learn(&mut self) -> Result<()> {
        let (names, ways) = transaction(|| Ok((replication::known_streams()?, catalog::links()?.ways)))?;
        let texts = names.values().cloned().collect::<Vec<_>>();
        self.here.learn(names);
        self.dials.values_mut().for_each(|dial| dial.learned(&texts, &ways));
        Ok(())
    }

    /// Does what there is to do, but no more than a little; true if more is left. `is_called` says whether the worker is wanted elsewhere.
    pub fn attend(&mut self, mine: &Database, is_called: impl Fn() -> bool) -> Result<bool> {
        let now = Instant::now();
        self.configure(mine, now)?;
        offences::note(mine)?;
        for (token, name) in mine.take_comparisons().into_iter() {
            match self.dials.get_mut(&name.text()) {
                Some(dial) => dial.compare(token)?,
                None => compare::fail(token, "it is not dialled")?,
            }
        }
        let syncs = mine.syncs_asked();
        if core::mem::replace(&mut self.syncs, syncs) != syncs {
            self.dials.values_mut().for_each(|dial| dial.hurry(now));
            transaction(|| super::notify(super::CHANNEL, super::SYNC))?;
        }
        if self.dials.is_empty() {
            return Ok(false);
        }
        self.take_events(now)?;
        let more = self.step(now, is_called)?;
        self.note(now)?;
        Ok(more)
    }

    /// Has as many dials as there are peers to dial.
    fn configure(&mut self, mine: &Database, now: Instant) -> Result<()> {
        let generation = (mine.peers_generation(), settings::dials_peers());
        if self.generation == Some(generation) {
            return Ok(());
        }
        // Changes that commit while this reads make it read again.
        let wanted = transaction(|| {
            super::notify(super::CHANNEL, super::PEERS)?;
            if !generation.1 || !catalog::has_peers()? {
                return Ok(Vec::new());
            }
            let peers =
                catalog::peers()?.into_iter().filter(|peer| !peer.is_paused && replication::is_dialled(&peer.url));
            peers.map(|peer| catalog::peer_secret(&peer.name).map(|secret| (peer, secret))).collect::<Result<Vec<_>>>()
        })?;
        self.generation = Some(generation);
        let running = mine.running();
        let own = (SiteId(Uuid::from_bytes(running.site)), running.run);
        let mut before = core::mem::take(&mut self.dials);
        for (peer, secret) in wanted {
            let name = peer.name.clone();
            let kept = before.remove(&name).filter(|dial| dial.is_of(&peer, secret.as_deref()));
            let dial = match kept {
                Some(mut dial) => {
                    dial.renew_unless(own)?;
                    dial
                }
                None => Dial::new(peer, secret, now),
            };
            self.dials.insert(name, dial);
        }
        self.forget_links();
        if self.dials.is_empty() {
            self.network = None;
            return Ok(());
        }
        self.learn()
    }

    /// Closes the links that no dial has.
    fn forget_links(&mut self) {
        let used = self.dials.values().filter_map(Dial::link).collect::<Vec<_>>();
        if let Some(network) = &mut self.network {
            network.keep_only(&used);
        }
    }

    fn take_events(&mut self, now: Instant) -> Result<()> {
        let network = match self.network.take() {
            Some(mut network) if !network.is_alive() => {
                for dial in self.dials.values_mut().filter(|dial| dial.link().is_some()) {
                    dial.failed(&mut network, "the thread of the network has ended".to_owned(), now)?;
                }
                Network::start()
            }
            Some(network) => Ok(network),
            None => Network::start(),
        };
        let mut network = network.map_err(|why| crate::error::internal(format!("no thread can be started: {why}")))?;
        let outcome = self.take_each(&mut network, now);
        self.network = Some(network);
        outcome
    }

    fn take_each(&mut self, network: &mut Network, now: Instant) -> Result<()> {
        while let Some(event) = network.take_event() {
            let link = event.link();
            let Some(dial) = self.dials.values_mut().find(|dial| dial.link() == Some(link)) else { continue };
            match event {
                Event::Connected(_) => dial.connected(now),
                Event::News(_) => dial.news_there(),
                Event::Closed(_, fault) => dial.closed(network, &fault, now)?,
                Event::Reply { function, bytes, took, .. } => {
                    dial.replied(network, function, bytes.as_deref(), took, now)?;
                }
            }
        }
        Ok(())
    }

    /// One thing for each peer, again and again.
    fn step(&mut self, now: Instant, is_called: impl Fn() -> bool) -> Result<bool> {
        let Some(network) = &mut self.network else { return Ok(false) };
        for dial in self.dials.values_mut() {
            dial.dial(network, now)?;
        }
        for _ in 0..STEPS_MAX {
            boundary::end_if_orphaned()?;
            let mut is_done = true;
            for dial in self.dials.values_mut() {
                is_done &= !dial.step(network, &self.here, now)?;
            }
            if is_done {
                return Ok(false);
            }
            if is_called() || waiting::is_stopped() {
                break;
            }
        }
        Ok(true)
    }

    fn note(&mut self, now: Instant) -> Result<()> {
        let is_early = self.noted.is_some_and(|noted| now < noted + NOTE_EVERY);
        let is_due = |dial: &Dial| {
            let (has_note, is_awaited) = dial.has_note();
            has_note && (is_awaited || !is_early)
        };
        let notes = self.dials.values_mut().filter(|dial| is_due(dial)).filter_map(Dial::take_note).collect::<Vec<_>>();
        if notes.is_empty() {
            return Ok(());
        }
        if !is_early {
            self.noted = Some(now);
        }
        transaction(|| notes.iter().try_for_each(catalog::note_peer))?;
        Ok(())
    }

    /// When something is to be done though nothing happens.
    pub fn wakes_in(&self, now: Instant) -> Option<Duration> {
        let has_note = self.dials.values().any(|dial| dial.has_note().0);
        let note = has_note.then(|| match self.noted {
            Some(noted) => (noted + NOTE_EVERY).saturating_duration_since(now),
            None => Duration::ZERO,
        });
        self.dials.values().filter_map(|dial| dial.wakes_in(now)).chain(note).min()
    }
}
