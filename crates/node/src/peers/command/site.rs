//! The daemon of a PostgreSQL site: it serves the peers whose URLs the server does not dial, and listens for those who dial in by gRPC, whose sessions it
//! passes on.

use crate::peers::command::CommandError;
use crate::peers::command::run::{Signals, Woken};
use crate::peers::command::sync::Outcome;
use crate::peers::config::{Config, ConfigError};
use crate::peers::daemon::{DaemonError, server_settings};
use crate::peers::relay::Relay;
use crate::peers::served::daemon::{Served, ServedError};
use crate::peers::served::{Home, once};
use gundb_core::bundle::WireLimits;
use gundb_transport::fault::Fault;
use gundb_transport::grpc::serve;
use gundb_transport::postgres::Target;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long the network's threads may take to end, and peers.
const FAREWELL: Duration = Duration::from_secs(3);
const PEERS_END: Duration = Duration::from_secs(8);

/// What listens, and where sessions are passed on.
struct Listening {
    address: SocketAddr,
    relay: Arc<Relay>,
    task: JoinHandle<Result<(), Fault>>,
}

/// Runs until it is told to stop; `ready` is called once all is begun, with where it listens, if it does.
pub fn run(
    url: &str,
    limits: WireLimits,
    configuration: Option<&Path>,
    ready: impl FnOnce(Option<SocketAddr>),
) -> Result<(), CommandError> {
    let configuration = configuration.unwrap_or(Path::new(""));
    let (target, config) = (target(url)?, Config::read(configuration)?);
    refuse_peers(&config)?;
    let mut signals = Signals::new(configuration)?;
    let network = network()?;
    let home = Home::new(target.clone(), network.handle().clone(), limits, config.keep_alive(), config.reconnect_max());
    let served = Served::new(home);
    let locked = match network.block_on(served.lock()) {
        Ok(locked) => Some(locked),
        Err(ServedError::Busy) => return Err(ServedError::Busy.into()),
        Err(ServedError::Home(why)) => {
            eprintln!("gundb: {why}; it is tried again");
            None
        }
    };
    let (stop, stopped) = watch::channel(false);
    let mut listening = listen(&network, target, &config, &limits, stopped.clone())?;
    let wake = signals.wake();
    let mut serving = network.spawn(async move {
        let ended = served.run(locked, stopped).await;
        wake.notify_one();
        ended
    });
    ready(listening.as_ref().map(|listening| listening.address));
    loop {
        match signals.next() {
            Woken::Stop => break,
            Woken::Reload => match Config::read(configuration).and_then(|config| renew(listening.as_ref(), &config)) {
                Ok(()) => eprintln!("gundb: {} was read again", configuration.display()),
                Err(error) => eprintln!("gundb: {error}; what was configured before stays"),
            },
            Woken::Look => {}
        }
        if serving.is_finished() {
            let ended = network.block_on(&mut serving);
            ended.map_err(|error| ServedError::Home(error.to_string())).and_then(|ended| ended)?;
            break;
        }
        if let Some(Listening { task, .. }) = listening.as_mut().filter(|listening| listening.task.is_finished()) {
            let why = match network.block_on(task) {
                Ok(Ok(())) => "it ended".to_owned(),
                Ok(Err(fault)) => fault.to_string(),
                Err(error) => error.to_string(),
            };
            return Err(CommandError::Deaf { why });
        }
    }
    stop.send_replace(true);
    network.block_on(async {
        if !serving.is_finished() {
            let _ = tokio::time::timeout(PEERS_END, serving).await;
        }
        if let Some(Listening { task, .. }) = listening {
            let _ = tokio::time::timeout(FAREWELL, task).await;
        }
    });
    network.shutdown_timeout(FAREWELL);
    Ok(())
}

/// Exchanges everything once with these served peers, or with all; each may take so long. Tells of each when it is done.
pub fn sync_once(
    url: &str,
    limits: WireLimits,
    names: &[String],
    timeout: Duration,
    tell: impl FnMut(&Outcome),
) -> Result<(), CommandError> {
    let (target, config, network) = (target(url)?, Config::default(), network()?);
    let home = Home::new(target, network.handle().clone(), limits, config.keep_alive(), config.reconnect_max());
    let synced = once::sync_once(&home, names, timeout, tell);
    network.shutdown_timeout(FAREWELL);
    synced
}

fn target(url: &str) -> Result<Target, ConfigError> {
    Target::parse(url).map_err(|error| ConfigError::Wrong { why: error.to_string() })
}

fn refuse_peers(config: &Config) -> Result<(), ConfigError> {
    let Some(peer) = config.peers.first() else { return Ok(()) };
    let why = format!(
        "peer \"{}\" stands in the configuration; a PostgreSQL site has its peers in the database, by gundb.add_peer",
        peer.name
    );
    Err(ConfigError::Wrong { why })
}

fn system(what: &str) -> impl FnOnce(std::io::Error) -> CommandError {
    let what = what.to_owned();
    move |error| CommandError::Daemon(DaemonError::System { what, error })
}

fn network() -> Result<Runtime, CommandError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("gundb network")
        .enable_all()
        .build()
        .map_err(system("the network's thread cannot be begun"))
}

fn listen(
    network: &Runtime,
    target: Target,
    config: &Config,
    limits: &WireLimits,
    stopped: watch::Receiver<bool>,
) -> Result<Option<Listening>, CommandError> {
    let Some(listen) = &config.listen else { return Ok(None) };
    let (host, port) = listen.place()?;
    let bound = network.block_on(TcpListener::bind((host.as_str(), port)));
    let listener = bound.map_err(system(&format!("cannot listen at {}", listen.address)))?;
    let address = listener.local_addr().map_err(system("an address"))?;
    let relay = Arc::new(Relay::new(target, config, network.handle().clone())?);
    let settings = server_settings(listen, config, limits);
    let task = network.spawn(serve::<_, Infallible>(listener, settings, Arc::clone(&relay), None, stopped));
    Ok(Some(Listening { address, relay, task }))
}

/// Another configuration holds for those who come from now on.
fn renew(listening: Option<&Listening>, config: &Config) -> Result<(), ConfigError> {
    refuse_peers(config)?;
    listening.map_or(Ok(()), |listening| listening.relay.renew(config))
}
