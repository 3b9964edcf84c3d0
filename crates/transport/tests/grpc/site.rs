//! A site that listens, without a store: it answers with what it was asked.

use gundb_transport::grpc::application::{Application, EventPage, RowPage};
use gundb_transport::grpc::wire::{self, view_at_request::At};
use gundb_transport::grpc::{Answers, Credentials, Refusal, RefusalKind, ServerSettings, Sessions, Token, serve};
use gundb_transport::session::Function;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub const TOKEN: &str = "a-token-of-the-test-0123";

pub struct Site {
    pub address: SocketAddr,
    pub news: watch::Sender<u64>,
    pub stop: watch::Sender<bool>,
    pub living: Arc<AtomicUsize>,
    pub served: tokio::task::JoinHandle<Result<(), gundb_transport::fault::Fault>>,
}

/// One who shows the token, or a certificate of this name, is let in.
pub struct Door {
    news: watch::Sender<u64>,
    living: Arc<AtomicUsize>,
}

impl Door {
    fn check(&self, shown: &Credentials) -> Result<(), Refusal> {
        if shown.token == Token::of_text(TOKEN) && shown.token.is_some()
            || shown.names.iter().any(|name| name == "tokyo")
        {
            return Ok(());
        }
        if shown.names.iter().any(|name| name == "osaka") {
            return Err(Refusal::new(RefusalKind::Denied, "osaka was granted nothing"));
        }
        Err(Refusal::new(RefusalKind::Unknown, "no token or certificate that is known here"))
    }
}

pub struct Echo {
    news: watch::Receiver<u64>,
    living: Arc<AtomicUsize>,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.living.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Sessions for Door {
    type Session = Echo;

    fn admit(&self, shown: &Credentials) -> Result<Echo, Refusal> {
        self.check(shown)?;
        self.living.fetch_add(1, Ordering::SeqCst);
        Ok(Echo { news: self.news.subscribe(), living: self.living.clone() })
    }
}

impl Answers for Echo {
    fn answer(&mut self, function: Function, argument: Option<&[u8]>) -> Result<Option<Vec<u8>>, Refusal> {
        match (function, argument) {
            (Function::Push, Some(b"panic")) => panic!("asked to"),
            (Function::Push, Some(b"fail")) => Err(Refusal::new(RefusalKind::Failed, "asked to fail")),
            (Function::Pull, Some(size)) => {
                let size = std::str::from_utf8(size).unwrap().parse().unwrap();
                Ok(Some(vec![7; size]))
            }
            (_, argument) => Ok(argument.map(<[u8]>::to_vec)),
        }
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.news.clone()
    }
}

/// As many events as there was news, of a thousand bytes each.
impl Application for Door {
    type Caller = ();

    fn admit(&self, shown: &Credentials) -> Result<(), Refusal> {
        self.check(shown)
    }

    fn append(&self, _: &(), request: wire::AppendBatchRequest) -> Result<Vec<wire::Appended>, Refusal> {
        if request.stream != "readings" {
            return Err(Refusal::new(RefusalKind::NotFound, format!("stream \"{}\" does not exist", request.stream)));
        }
        self.news.send_modify(|count| *count += request.events.len() as u64);
        Ok(request.events.into_iter().map(|event| wire::Appended { id: event.id, ..Default::default() }).collect())
    }

    fn read(&self, _: &(), request: &wire::ReadRequest) -> Result<EventPage, Refusal> {
        let after: u64 = request.after.parse().unwrap_or(0);
        let count = *self.news.borrow();
        let last = count.min(after + 100);
        let event = |seq| wire::Event { seq, data: "x".repeat(1_000), ..Default::default() };
        Ok(EventPage { events: (after + 1..=last).map(event).collect(), clock: last.to_string(), more: last < count })
    }

    fn view(
        &self,
        _: &(),
        request: &wire::ViewRequest,
        at: Option<&At>,
        after: Option<&str>,
    ) -> Result<RowPage, Refusal> {
        let first: u64 = after.map_or(0, |after| after.parse().unwrap());
        let rows = (first..first + 10).map(|row| format!("{} {row} {}", request.view, at.is_some())).collect();
        Ok(RowPage { rows, next: (first < 90).then(|| (first + 10).to_string()) })
    }

    fn status(&self, _: &()) -> Result<wire::StatusResponse, Refusal> {
        Ok(wire::StatusResponse { name: "test".into(), ..Default::default() })
    }

    fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}

impl Site {
    pub async fn start(settings: ServerSettings) -> Site {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (news, stop) = (watch::Sender::new(0), watch::Sender::new(false));
        let living = Arc::new(AtomicUsize::new(0));
        let door = Arc::new(Door { news: news.clone(), living: living.clone() });
        let served = tokio::spawn(serve(listener, settings, door.clone(), Some(door), stop.subscribe()));
        Site { address, news, stop, living, served }
    }

    pub fn settings() -> ServerSettings {
        ServerSettings {
            login: Duration::from_millis(500),
            stall: Duration::from_millis(500),
            keep_alive: Duration::from_millis(300),
            message_bytes_max: 32 << 20,
            ..ServerSettings::default()
        }
    }

    /// Waits until so many sessions stand.
    pub async fn until_living(&self, count: usize) {
        let begun = std::time::Instant::now();
        while self.living.load(Ordering::SeqCst) != count {
            assert!(begun.elapsed() < Duration::from_secs(10), "{} sessions stand", self.living.load(Ordering::SeqCst));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
