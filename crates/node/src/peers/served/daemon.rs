//! All served peers of a database at once, as long as this is its one daemon.
//!
//! What must always hold here: peers are served only while the connection stands that holds the database's lock. When it is gone, they end before it is dialled
//! again: another daemon may have the lock by then.

use crate::peers::backoff::Backoff;
use crate::peers::config::Peer;
use crate::peers::daemon::courier;
use crate::peers::post::Post;
use crate::peers::served::carried::Carried;
use crate::peers::served::coupled::Coupled;
use crate::peers::served::{Home, Orders, at_home, grant};
use crate::peers::state::States;
use gundb_core::bundle::decode_hello;
use gundb_core::store::Terms;
use gundb_transport::fault::Fault;
use gundb_transport::postgres::home::{PeerNote, ServedPeer};
use gundb_transport::postgres::link::Session;
use gundb_transport::session::{self as transport, Caller};
use gundb_transport::url::PeerUrl;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// How long another daemon's connection may take to be noticed to be gone.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_LOOKS: Duration = Duration::from_millis(250);

/// Why the daemon is none.
#[derive(Debug, thiserror::Error)]
pub enum ServedError {
    /// Another one serves the database.
    #[error("another gundb run serves this database")]
    Busy,
    /// The database cannot be used.
    #[error("{0}")]
    Home(String),
}

/// All of them.
pub struct Served {
    home: Home,
    peers: BTreeMap<String, Running>,
    /// What was said last of what is wrong.
    said: String,
}

/// One peer at work.
struct Running {
    peer: ServedPeer,
    stops: watch::Sender<bool>,
    hurry: Arc<Notify>,
    thread: JoinHandle<()>,
}

impl Served {
    /// None yet.
    pub fn new(home: Home) -> Served {
        Served { home, peers: BTreeMap::new(), said: String::new() }
    }

    /// How it goes with each.
    pub fn states(&self) -> &States {
        &self.home.states
    }

    /// A connection that holds the lock.
    pub async fn lock(&self) -> Result<Session, ServedError> {
        let trouble = |fault: Fault| ServedError::Home(at_home(&fault));
        let session = self.home.dial().await.map_err(trouble)?;
        let until = tokio::time::Instant::now() + LOCK_PATIENCE;
        while !session.caller.lock().await.map_err(trouble)? {
            if tokio::time::Instant::now() >= until {
                return Err(ServedError::Busy);
            }
            tokio::time::sleep(LOCK_LOOKS).await;
        }
        Ok(session)
    }

    /// Serves until it is told to stop, or another daemon has taken its place. `locked` holds the lock, if it could be had.
    pub async fn run(
        mut self,
        mut locked: Option<Session>,
        mut stops: watch::Receiver<bool>,
    ) -> Result<(), ServedError> {
        let mut backoff = Backoff::new(self.home.reconnect_max);
        loop {
            let stopped = async { drop(stops.wait_for(|stops| *stops).await) };
            let served = async {
                match &mut locked {
                    Some(session) => Err(ServedError::Home(self.serve(session).await)),
                    None => {
                        tokio::time::sleep_until(backoff.next.into()).await;
                        self.lock().await
                    }
                }
            };
            let ended = tokio::select! {
                () = stopped => None,
                ended = served => Some(ended),
            };
            match ended {
                Some(Ok(session)) => {
                    locked = Some(session);
                    backoff.at_once();
                    self.said.clear();
                }
                Some(Err(ServedError::Home(why))) => {
                    self.end_all().await;
                    locked = None;
                    backoff.failed(Duration::ZERO);
                    self.say(why);
                }
                Some(Err(busy)) => return Err(busy),
                None => {
                    self.end_all().await;
                    return Ok(());
                }
            }
        }
    }

    /// Serves as long as the connection stands; says why it does not any more.
    async fn serve(&mut self, session: &mut Session) -> String {
        if let Err(fault) = self.configure(session).await {
            return at_home(&fault);
        }
        loop {
            let (peers, hurry) = (Arc::clone(&session.peers), Arc::clone(&session.hurry));
            let caller = Arc::clone(&session.caller);
            let outcome = tokio::select! {
                () = peers.notified() => self.configure(session).await,
                () = hurry.notified() => {
                    self.hurry();
                    Ok(())
                }
                fault = transport::Session::end(session) => Err(fault),
                () = tokio::time::sleep(self.home.keep_alive) => {
                    let ping = tokio::time::timeout(self.home.keep_alive, caller.ping()).await;
                    ping.unwrap_or_else(|_| Err(Fault::Lost { why: "it gives no sign of life".to_owned() }))
                }
            };
            if let Err(fault) = outcome {
                return at_home(&fault);
            }
        }
    }

    /// Everything is to be exchanged with each peer now.
    pub fn hurry(&self) {
        self.peers.values().for_each(|running| running.hurry.notify_one());
    }

    /// Has as many threads as there are peers to serve, each by what is configured now.
    async fn configure(&mut self, session: &Session) -> Result<(), Fault> {
        let wanted = match session.caller.served_peers().await {
            Ok(wanted) => wanted,
            // Whoever may not serve peers still lets others dial in.
            Err(Fault::NotGranted { user, .. }) => {
                self.say(format!(
                    "the role {user} may not serve peers, so only who dials in is served. {}",
                    grant(&user)
                ));
                Vec::new()
            }
            Err(fault) => return Err(fault),
        };
        let goes_on = |running: &Running| wanted.contains(&running.peer) && !running.thread.is_finished();
        let ended: Vec<String> =
            self.peers.iter().filter(|(_, running)| !goes_on(running)).map(|(name, _)| name.clone()).collect();
        self.end(&ended).await;
        for peer in wanted {
            if !self.peers.contains_key(&peer.name)
                && let Err(why) = self.begin(peer.clone(), session).await
            {
                let note = PeerNote { state: Some("waiting"), error: Some(why.clone()), ..PeerNote::default() };
                session.caller.note(&peer.name, &note).await?;
                self.home.states.note(&peer.name, |state| state.error = Some(why.clone()));
                self.say(format!("peer \"{}\": {why}", peer.name));
            }
        }
        Ok(())
    }

    /// Begins to serve a peer. What the server took for a URL may be none for who goes there.
    pub async fn begin(&mut self, peer: ServedPeer, session: &Session) -> Result<(), String> {
        let url = PeerUrl::parse(&peer.url).map_err(|error| error.to_string())?;
        let (stops, stopped) = watch::channel(false);
        let orders = Orders { stops: stopped, hurry: Arc::new(Notify::new()) };
        let (hurry, home, name) = (Arc::clone(&orders.hurry), self.home.clone(), peer.name.clone());
        let (backoff, said) = (Backoff::new(self.home.reconnect_max), String::new());
        home.states.note(&name, |state| state.url.clone_from(&peer.url));
        let builder = std::thread::Builder::new().name(format!("gundb {}", name.chars().take(8).collect::<String>()));
        let began = if let PeerUrl::Grpc(url) = url {
            let network = home.network.clone();
            let coupled = Coupled { name, url, home, orders, backoff, said };
            builder.spawn(move || network.block_on(coupled.run()))
        } else {
            let configured = configured(&peer)?;
            let post = self.post(&peer, &configured, url, session).await?;
            let is_prompt = peer.url.starts_with("file:");
            let interval = configured.interval();
            let carried = Carried { name, home, orders, backoff, interval, is_prompt, noted: None, said };
            builder.spawn(move || carried.run(post))
        };
        let thread = began.map_err(|error| format!("a thread cannot be begun: {error}"))?;
        self.peers.insert(peer.name.clone(), Running { peer, stops, hurry, thread });
        Ok(())
    }

    /// The way of couriers to a peer. Folders are named by the two sites.
    pub(super) async fn post(
        &self,
        peer: &ServedPeer,
        configured: &Peer,
        url: PeerUrl,
        session: &Session,
    ) -> Result<Post, String> {
        let limits = self.home.limits;
        let mine = session.caller.greet(&peer.name).await.map_err(|fault| at_home(&fault))?;
        let own = decode_hello(&mine, &limits).map_err(|error| error.to_string())?.name;
        let courier = courier(configured, url, &own, &limits).ok_or("nobody goes this way")?;
        // What is agreed with the peer the database knows.
        Ok(Post::new(&peer.name, courier, Terms::all(), limits, configured.resend()))
    }

    async fn end(&mut self, names: &[String]) {
        let ended: Vec<Running> = names.iter().filter_map(|name| self.peers.remove(name)).collect();
        for (running, name) in ended.iter().zip(names) {
            running.stops.send_replace(true);
            self.home.states.forget(name);
        }
        // One that panicked has ended as well.
        let joined = tokio::task::spawn_blocking(move || ended.into_iter().for_each(|one| drop(one.thread.join())));
        let _ = joined.await;
    }

    /// Ends all of them, and waits for what is under way.
    pub async fn end_all(&mut self) {
        let names: Vec<String> = self.peers.keys().cloned().collect();
        self.end(&names).await;
    }

    fn say(&mut self, what: String) {
        if self.said != what {
            eprintln!("gundb: {what}");
            self.said = what;
        }
    }
}

/// What is said of a peer that couriers go to, in the words of the configuration file.
pub(super) fn configured(peer: &ServedPeer) -> Result<Peer, String> {
    let options: serde_json::Value = serde_json::from_str(&peer.options).map_err(|error| error.to_string())?;
    let seconds = |name: &str| options.get(name).and_then(serde_json::Value::as_u64);
    let document = serde_json::json!({ "name": peer.name, "url": peer.url });
    let configured: Peer = serde_json::from_value(document).map_err(|error| error.to_string())?;
    Ok(Peer { interval: seconds("interval"), timeout: seconds("timeout"), resend: seconds("resend"), ..configured })
}
