//! The daemon: listens, dials and runs couriers until it is told to stop.
//!
//! SIGTERM and SIGINT end it, after goodbyes. SIGHUP, and a change of the configuration file, have it read that again; one that makes no sense is said, and the
//! one before stays in force.

use crate::peers::command::{CommandError, report};
use crate::peers::config::Config;
use crate::peers::daemon::{Daemon, DaemonError};
use gundb_core::bundle::WireLimits;
use gundb_core::store::Store;
use gundb_transport::grpc::Application;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// How often the configuration file and the peers are looked at.
const LOOKS_EVERY: Duration = Duration::from_secs(2);

/// Why the daemon looks up.
pub(super) enum Woken {
    /// It is told to end.
    Stop,
    /// The configuration is to be read again.
    Reload,
    /// It is time to look how things are.
    Look,
}

/// What the system and the configuration file tell the daemon.
pub(super) struct Signals<'a> {
    runtime: tokio::runtime::Runtime,
    stops: Signal,
    interrupts: Signal,
    hangups: Signal,
    configuration: &'a Path,
    wake: Arc<Notify>,
    read_at: Option<SystemTime>,
}

impl Signals<'_> {
    /// Listens from now on.
    pub(super) fn new(configuration: &Path) -> Result<Signals<'_>, DaemonError> {
        let system = |error| DaemonError::System { what: "signals cannot be listened for".to_owned(), error };
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().map_err(system)?;
        let (stops, interrupts, hangups) = {
            let _inside = runtime.enter();
            let listen = |kind| signal(kind).map_err(system);
            (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?, listen(SignalKind::hangup())?)
        };
        let (wake, read_at) = (Arc::new(Notify::new()), changed_at(configuration));
        Ok(Signals { runtime, stops, interrupts, hangups, configuration, wake, read_at })
    }

    /// Has the daemon look up at once.
    pub(super) fn wake(&self) -> Arc<Notify> {
        Arc::clone(&self.wake)
    }

    /// Waits for the next one.
    pub(super) fn next(&mut self) -> Woken {
        let Signals { runtime, stops, interrupts, hangups, wake, .. } = self;
        let woken = runtime.block_on(async {
            tokio::select! {
                _ = stops.recv() => Woken::Stop,
                _ = interrupts.recv() => Woken::Stop,
                _ = hangups.recv() => Woken::Reload,
                () = wake.notified() => Woken::Look,
                () = tokio::time::sleep(LOOKS_EVERY) => Woken::Look,
            }
        });
        let changed = changed_at(self.configuration);
        let is_changed = changed != self.read_at;
        self.read_at = changed;
        if matches!(woken, Woken::Look) && is_changed { Woken::Reload } else { woken }
    }
}

/// Runs until it is told to stop. `serve` makes the service for applications, where there is one; `ready` is called once all is begun.
pub fn run<A: Application>(
    store: Arc<dyn Store>,
    limits: WireLimits,
    configuration: &Path,
    report: &Path,
    serve: impl FnOnce(&Daemon) -> Option<Arc<A>>,
    ready: impl FnOnce(&Daemon),
) -> Result<(), CommandError> {
    let mut signals = Signals::new(configuration)?;
    let config = Config::read(configuration)?;
    let mut daemon = Daemon::new(store, limits)?;
    daemon.apply(config)?;
    let application = serve(&daemon);
    daemon.listen(application)?;
    ready(&daemon);
    let mut said = String::new();
    loop {
        tell(&daemon, report, &mut said);
        match signals.next() {
            Woken::Stop => break,
            Woken::Look => {}
            Woken::Reload => {
                let applied =
                    Config::read(configuration).map_err(DaemonError::from).and_then(|config| daemon.apply(config));
                match applied {
                    Ok(()) => eprintln!("gundb: {} was read again", configuration.display()),
                    Err(error) => eprintln!("gundb: {error}; what was configured before stays"),
                }
            }
        }
        if let Some(why) = daemon.listening_ended() {
            daemon.stop();
            return Err(CommandError::Deaf { why });
        }
    }
    daemon.stop();
    let _ = std::fs::remove_file(report);
    Ok(())
}

fn changed_at(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// Leaves how the peers are, if that has changed.
fn tell(daemon: &Daemon, path: &Path, said: &mut String) {
    let text = format!("{:#}\n", report::to_json(&daemon.states().all()));
    if text != *said {
        match report::leave(path, &text) {
            Ok(()) => *said = text,
            // Who asks for it sees an older one; peers go on.
            Err(error) => eprintln!("gundb: {} cannot be written: {error}", path.display()),
        }
    }
}
