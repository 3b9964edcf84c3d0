//! All peers of a store at once: it listens, dials, and runs couriers, until it is told to stop.
//!
//! What must always hold here: a peer's thread ends with the daemon; what one peer does holds no other up. A configuration that cannot be used leaves the one
//! before in force.

use crate::peers::backoff::Backoff;
use crate::peers::carry::Carry;
use crate::peers::config::{Config, ConfigError, Listen, Peer};
use crate::peers::dial::Dial;
use crate::peers::inbox::{Event, Slot, inbox};
use crate::peers::listen::Door;
use crate::peers::post::Post;
use crate::peers::state::{Phase, States};
use gundb_core::bundle::WireLimits;
use gundb_core::store::{Listener, Store, StoreError};
use gundb_transport::courier::Courier;
use gundb_transport::exec::{Command, Limits};
use gundb_transport::fault::Fault;
use gundb_transport::file::Directory;
use gundb_transport::grpc::{Application, ServerSettings, ServerTls, serve};
use gundb_transport::url::PeerUrl;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// How long the network's threads may take to end.
const FAREWELL: Duration = Duration::from_secs(3);

/// Peers at work.
pub struct Daemon {
    store: Arc<dyn Store>,
    states: States,
    limits: WireLimits,
    network: Runtime,
    config: Config,
    peers: BTreeMap<String, Running>,
    bells: Arc<Mutex<BTreeMap<String, Slot>>>,
    door: Arc<Door>,
    news: watch::Receiver<u64>,
    stop: watch::Sender<bool>,
    listening: Option<(SocketAddr, tokio::task::JoinHandle<Result<(), Fault>>)>,
    /// Told of every commit; lives as long as the daemon.
    _listener: Arc<Listener>,
}

/// One peer at work.
struct Running {
    peer: Peer,
    slot: Slot,
    thread: JoinHandle<()>,
}

/// Why peers cannot be put to work.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system.
    #[error("{what}: {error}")]
    System {
        /// At what.
        what: String,
        /// What it says.
        error: std::io::Error,
    },
    /// Listening.
    #[error("{0}")]
    Listen(Fault),
}

impl DaemonError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            DaemonError::Config(error) => error.hint(),
            DaemonError::Listen(fault) => fault.hint().map(str::to_owned),
            _ => None,
        }
    }
}

impl Daemon {
    /// Makes ready; nothing is dialled or listened for yet.
    pub fn new(store: Arc<dyn Store>, limits: WireLimits) -> Result<Daemon, DaemonError> {
        let system = |what: &str| {
            let what = what.to_owned();
            move |error| DaemonError::System { what, error }
        };
        let network = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(128)
            .thread_keep_alive(Duration::from_secs(5))
            .thread_name("gundb network")
            .enable_all()
            .build()
            .map_err(system("the network's thread cannot be begun"))?;
        let bells: Arc<Mutex<BTreeMap<String, Slot>>> = Arc::default();
        let (tell, news) = watch::channel(0);
        let rings = Arc::clone(&bells);
        let listener: Arc<Listener> = Arc::new(move || {
            tell.send_modify(|count| *count += 1);
            rings.lock().unwrap_or_else(PoisonError::into_inner).values().for_each(Slot::ring);
        });
        store.listen(Arc::downgrade(&listener));
        let states = States::default();
        let config = Config::default();
        let door = Door::new(Arc::clone(&store), states.clone(), limits, news.clone(), &config)?;
        Ok(Daemon {
            store,
            states,
            limits,
            network,
            config,
            peers: BTreeMap::new(),
            bells,
            door: Arc::new(door),
            news,
            stop: watch::Sender::new(false),
            listening: None,
            _listener: listener,
        })
    }

    /// How it goes with each peer.
    pub fn states(&self) -> &States {
        &self.states
    }

    /// Who is let in.
    pub fn door(&self) -> &Arc<Door> {
        &self.door
    }

    /// Changes when something was committed.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listening.as_ref().map(|(address, _)| *address)
    }

    /// Why listening ended, if it did though nobody asked.
    pub fn listening_ended(&mut self) -> Option<String> {
        let (_, task) = self.listening.as_mut().filter(|(_, task)| task.is_finished())?;
        let ended = match self.network.block_on(task) {
            Ok(Ok(())) => "it ended".to_owned(),
            Ok(Err(fault)) => fault.to_string(),
            Err(error) => error.to_string(),
        };
        self.listening = None;
        Some(ended)
    }

    /// Listens, where the configuration says so and it does not yet; serves applications too, where there is something to serve them.
    pub fn listen<A: Application>(&mut self, application: Option<Arc<A>>) -> Result<(), DaemonError> {
        let Some(listen) = self.config.listen.clone().filter(|_| self.listening.is_none()) else { return Ok(()) };
        let (host, port) = listen.place()?;
        let settings = server_settings(&listen, &self.config, &self.limits);
        let bound = self.network.block_on(TcpListener::bind((host.as_str(), port)));
        let system = |error| DaemonError::System { what: format!("cannot listen at {}", listen.address), error };
        let listener = bound.map_err(system)?;
        let address = listener.local_addr().map_err(system)?;
        let (door, stop) = (Arc::clone(&self.door), self.stop.subscribe());
        let mut task = self.network.spawn(serve(listener, settings, door, application, stop));
        // What is wrong with certificates is said before anything else is done.
        let early = self.network.block_on(async { tokio::time::timeout(Duration::from_millis(50), &mut task).await });
        if let Ok(ended) = early {
            let lost = |error: tokio::task::JoinError| Fault::Lost { why: error.to_string() };
            ended.map_err(lost).and_then(|served| served).map_err(DaemonError::Listen)?;
        }
        self.listening = Some((address, task));
        Ok(())
    }

    /// Puts a configuration in force: peers that are new begin, others end, or go on by what is agreed now.
    pub fn apply(&mut self, config: Config) -> Result<(), DaemonError> {
        self.door.renew(&config)?;
        let own = self.store.identity()?.name;
        let wanted: BTreeMap<String, Peer> =
            config.peers.iter().map(|peer| (peer.name.clone(), peer.clone())).collect();
        let ended: Vec<String> = self
            .peers
            .iter()
            .filter(|(name, running)| !goes_on(running, wanted.get(*name)))
            .map(|(name, _)| name.clone())
            .collect();
        let ended: Vec<Running> = ended.iter().filter_map(|name| self.end(name)).collect();
        ended.into_iter().for_each(Running::join);
        self.config = config;
        for (name, peer) in wanted {
            let terms = self.config.terms_of(&peer)?;
            if let Some(running) = self.peers.get_mut(&name) {
                running.slot.put(Event::Terms(terms));
                running.peer = peer;
            } else if peer.paused {
                let url = peer.url.clone();
                self.states.note(&name, |state| (state.phase, state.url) = (Phase::Paused, url));
            } else {
                self.begin(peer, terms, &own)?;
            }
        }
        Ok(())
    }

    /// Exchanges everything with a peer now.
    pub fn hurry(&self, name: &str) {
        if let Some(running) = self.peers.get(name) {
            running.slot.put(Event::Hurry);
        }
    }

    fn begin(&mut self, peer: Peer, terms: gundb_core::store::Terms, own: &str) -> Result<(), DaemonError> {
        let (slot, inbox) = inbox();
        let (name, url) = (peer.name.clone(), peer.url()?);
        let builder = std::thread::Builder::new().name(format!("gundb {}", name.chars().take(8).collect::<String>()));
        let (store, states) = (Arc::clone(&self.store), self.states.clone());
        let began = if let Some(courier) = courier(&peer, url.clone(), own, &self.limits) {
            let post = Post::new(&name, courier, terms, self.limits, peer.resend());
            let is_prompt = peer.url.starts_with("file:");
            let carry = Carry { name: name.clone(), store, states, inbox, interval: peer.interval(), is_prompt };
            builder.spawn(move || carry.run(post))
        } else {
            let dial = Dial {
                name: name.clone(),
                url,
                store,
                states,
                network: self.network.handle().clone(),
                slot: slot.clone(),
                inbox,
                limits: self.limits,
                keep_alive: self.config.keep_alive(),
                backoff: Backoff::new(self.config.reconnect_max()),
            };
            builder.spawn(move || dial.run(terms))
        };
        let thread =
            began.map_err(|error| DaemonError::System { what: "a thread cannot be begun".to_owned(), error })?;
        self.states.note(&name, |state| state.url.clone_from(&peer.url));
        self.bells.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone(), slot.clone());
        self.peers.insert(name, Running { peer, slot, thread });
        Ok(())
    }

    fn end(&mut self, name: &str) -> Option<Running> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        let running = self.peers.remove(name)?;
        running.slot.put(Event::Stop);
        self.states.forget(name);
        Some(running)
    }

    /// Ends all of it: says goodbye to everybody, and waits for what is under way.
    pub fn stop(mut self) {
        self.stop.send_replace(true);
        let names: Vec<String> = self.peers.keys().cloned().collect();
        let ended: Vec<Running> = names.iter().filter_map(|name| self.end(name)).collect();
        ended.into_iter().for_each(Running::join);
        if let Some((_, task)) = self.listening.take() {
            let _ = self.network.block_on(async { tokio::time::timeout(FAREWELL, task).await });
        }
        self.network.shutdown_timeout(FAREWELL);
    }
}

impl Running {
    fn join(self) {
        // One that panicked has ended as well.
        let _ = self.thread.join();
    }
}

/// Whether a peer's thread serves what is wanted now.
fn goes_on(running: &Running, wanted: Option<&Peer>) -> bool {
    let running_now = &running.peer;
    let flows = |peer: &Peer| Peer {
        push: running_now.push.clone(),
        pull: running_now.pull.clone(),
        accept: running_now.accept,
        ..peer.clone()
    };
    // Streams and whose events may change on the way; a courier makes little of a new beginning.
    wanted.is_some_and(|wanted| !wanted.paused && !running.thread.is_finished() && flows(wanted) == running.peer)
}

/// The way to a peer, where couriers go to it.
pub(super) fn courier(peer: &Peer, url: PeerUrl, own: &str, limits: &WireLimits) -> Option<Box<dyn Courier + Send>> {
    let bytes_max = limits.bytes_max.saturating_add(1 << 20);
    match url {
        PeerUrl::Exec(target) => {
            let usual = Limits::default();
            let timeout = peer.timeout.map_or(usual.timeout, |seconds| Duration::from_secs(seconds.max(1)));
            let limits = Limits {
                timeout,
                given_bytes_max: usual.given_bytes_max.max(bytes_max),
                taken_bytes_max: usual.taken_bytes_max.max(bytes_max),
            };
            Some(Box::new(Command::new(target, own, &peer.name, limits)))
        }
        PeerUrl::File(target) => Some(Box::new(Directory::new(target, own, &peer.name, bytes_max))),
        PeerUrl::Postgres(_) | PeerUrl::Grpc(_) => None,
    }
}

pub(super) fn server_settings(listen: &Listen, config: &Config, limits: &WireLimits) -> ServerSettings {
    let usual = ServerSettings::default();
    let tls = listen.certificate.clone().zip(listen.key.clone()).map(|(certificate, key)| ServerTls {
        certificate,
        key,
        client_roots: listen.client_roots.clone(),
        client_certificate_required: listen.client_certificate_required,
    });
    ServerSettings {
        tls,
        sessions_max: listen.sessions_max.unwrap_or(usual.sessions_max),
        connections_max: listen.connections_max.unwrap_or(usual.connections_max),
        message_bytes_max: usize::try_from(limits.bytes_max).unwrap_or(usize::MAX).saturating_add(1 << 20),
        keep_alive: config.keep_alive(),
        ..usual
    }
}
