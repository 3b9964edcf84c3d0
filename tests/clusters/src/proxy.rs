//! The cable between two servers: it can be cut, swallow what is sent one way or both, and take its time.
//!
//! A proxy listens on a socket in a directory of its own, as a server does, and passes on to a server's.

use crate::cluster::give_to_server_user;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, sleep_until};

/// What the cable does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cable {
    /// It carries everything.
    Whole,
    /// Connections break, and new ones are refused.
    Cut,
    /// Nothing comes through, and nobody is told: what is sent is held until the cable is whole again, or cut.
    Silent,
    /// The same, for what is sent to the server alone.
    SilentThere,
    /// The same, for what the server sends.
    SilentBack,
    /// Everything comes through, later and slowly, each way.
    Slow { late: Duration, bytes_per_second: u32 },
}

/// Which way a carrier carries.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    There,
    Back,
}

impl Cable {
    fn carries(self, way: Way) -> bool {
        match self {
            Cable::Whole | Cable::Cut | Cable::Slow { .. } => true,
            Cable::Silent => false,
            Cable::SilentThere => way == Way::Back,
            Cable::SilentBack => way == Way::There,
        }
    }
}

/// A cable to one server.
pub struct Proxy {
    directory: TempDir,
    server: Arc<Mutex<PathBuf>>,
    cable: watch::Sender<Cable>,
    to_server: Arc<AtomicU64>,
    from_server: Arc<AtomicU64>,
}

/// Bytes read at once.
const CHUNK: usize = 64 << 10;
/// Chunks on their way in one direction.
const CHUNKS_MAX: usize = 256;

impl Proxy {
    /// A cable to the server whose socket lies in `server`; what it carries is late by `delay` each way.
    pub fn to(server: &Path, delay: Duration) -> Proxy {
        let directory = tempfile::Builder::new().prefix("gundb-cable-").tempdir().expect("a temporary directory");
        give_to_server_user(directory.path());
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).expect("a socket");
        // Whoever may enter the directory may connect.
        std::fs::set_permissions(
            directory.path().join(".s.PGSQL.5432"),
            std::os::unix::fs::PermissionsExt::from_mode(0o777),
        )
        .expect("the socket's mode");
        let (cable, _) = watch::channel(Cable::Whole);
        let (to_server, from_server) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let server = Arc::new(Mutex::new(server.to_owned()));
        let carrier = Carrier {
            server: server.clone(),
            delay,
            cable: cable.clone(),
            to_server: to_server.clone(),
            from_server: from_server.clone(),
        };
        tokio::spawn(carrier.accept(listener));
        Proxy { directory, server, cable, to_server, from_server }
    }

    /// Where clients find the server, instead of in its own directory.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// New connections go to the server whose socket lies in another directory.
    pub fn lead_to(&self, server: &Path) {
        server.clone_into(&mut self.server.lock().expect("nobody panics with it"));
    }

    /// What the cable does from now on.
    pub fn set(&self, cable: Cable) {
        self.cable.send_replace(cable);
    }

    /// Bytes carried so far: to the server, and from it.
    pub fn bytes(&self) -> (u64, u64) {
        (self.to_server.load(Relaxed), self.from_server.load(Relaxed))
    }
}

struct Carrier {
    server: Arc<Mutex<PathBuf>>,
    delay: Duration,
    cable: watch::Sender<Cable>,
    to_server: Arc<AtomicU64>,
    from_server: Arc<AtomicU64>,
}

impl Carrier {
    /// Ends when the runtime does; a proxy that was dropped has no socket any more.
    async fn accept(self, listener: UnixListener) {
        while let Ok((client, _)) = listener.accept().await {
            if *self.cable.borrow() == Cable::Cut {
                continue;
            }
            let directory = self.server.lock().expect("nobody panics with it").clone();
            let Some(socket) = socket_in(&directory) else { continue };
            let Ok(server) = UnixStream::connect(socket).await else { continue };
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            let (delay, cut) = (self.delay, self.cable.subscribe());
            let ways = (self.to_server.clone(), self.from_server.clone());
            tokio::spawn(async move {
                let there = carry(Way::There, from_client, to_server, delay, cut.clone(), ways.0);
                let back = carry(Way::Back, from_server, to_client, delay, cut, ways.1);
                // Whichever way ends first ends the other: a half-open connection is not what is tested here.
                tokio::select! { () = there => {}, () = back => {} }
            });
        }
    }
}

/// The socket of the server that listens in a directory, whatever its port.
fn socket_in(directory: &Path) -> Option<PathBuf> {
    let files = std::fs::read_dir(directory).ok()?.filter_map(|file| Some(file.ok()?.path()));
    files.into_iter().find(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(".s.PGSQL.") && !name.ends_with(".lock")
    })
}

/// Carries one direction of a connection until it ends or the cable is cut.
async fn carry(
    way: Way,
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: Duration,
    mut cable: watch::Receiver<Cable>,
    bytes: Arc<AtomicU64>,
) {
    let mut cut = cable.clone();
    let (send, mut receive) = mpsc::channel::<(Instant, Vec<u8>)>(CHUNKS_MAX);
    let reading = async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(read @ 1..) = from.read(&mut buffer).await {
            if send.send((Instant::now() + delay, buffer[..read].to_vec())).await.is_err() {
                break;
            }
        }
        drop(send);
        // What was read is written before the connection ends.
        std::future::pending::<()>().await;
    };
    let writing = async move {
        while let Some((due, chunk)) = receive.recv().await {
            sleep_until(due.into()).await;
            let Ok(state) = cable.wait_for(|cable| cable.carries(way)).await.map(|state| *state) else { break };
            if let Cable::Slow { late, bytes_per_second } = state {
                sleep_until((due + late).into()).await;
                sleep(Duration::from_secs_f64(chunk.len() as f64 / f64::from(bytes_per_second))).await;
            }
            if to.write_all(&chunk).await.is_err() {
                break;
            }
            bytes.fetch_add(chunk.len() as u64, Relaxed);
        }
    };
    tokio::select! {
        () = reading => {},
        () = writing => {},
        _ = cut.wait_for(|cable| *cable == Cable::Cut) => {},
    }
}

/// Waits until something holds, looking every 50 ms; panics with what `tell` says when the time is over.
pub async fn until<F, T>(patience: Duration, mut holds: impl FnMut() -> F, tell: impl Fn() -> T)
where
    F: Future<Output = bool>,
    T: std::fmt::Display,
{
    let end = Instant::now() + patience;
    while !holds().await {
        assert!(Instant::now() < end, "not within {patience:?}: {}", tell());
        sleep(Duration::from_millis(50)).await;
    }
}
