//! One connection to a peer: dialled, its session's settings pinned, its functions called.
//!
//! What must always hold here: calls are sent in the order in which they are first polled, and answered in that order, so that several may be under way; each
//! is a transaction of its own. No setting that somebody gave the role or the database there has a say in a session. Whoever only wants a connection, as a
//! command line does, has those alone pinned that decide how values are spelled.

use crate::fault::Fault;
use crate::postgres::bounded::{Bounded, BoundedTls};
use crate::postgres::fault::SERVER;
use crate::postgres::passfile;
use crate::postgres::tls;
use crate::postgres::url::{Host, Keepalive, SslMode, Target};
use crate::session::{self, Function};
use socket2::{SockRef, TcpKeepalive};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::{MakeTlsConnect, NoTls, TlsConnect, TlsStream};
use tokio_postgres::types::Type;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, Statement};
use tokio_postgres_rustls::MakeRustlsConnect;

/// The channel on which a peer tells that it has something new.
pub const CHANNEL: &str = "gundb";

/// The settings that say how values are spelled, and what is remarked.
const SPELLING: [(&str, &str); 6] = [
    ("client_min_messages", "warning"),
    ("bytea_output", "hex"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "1"),
];

/// The others that could bite a session, as far as the server knows them.
const PINNED: [(&str, &str); 9] = [
    ("search_path", "pg_catalog, pg_temp"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("transaction_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
];

/// What is prepared for each session; the rest is when it is called.
const PREPARED: [Function; 3] = [Function::Hello, Function::Push, Function::Pull];

/// What is run for a function.
fn statement(function: Function) -> &'static str {
    match function {
        Function::Hello => "SELECT gundb.session_hello($1)",
        Function::Push => "SELECT gundb.session_push($1)",
        Function::Pull => "SELECT gundb.session_pull($1)",
        Function::Compare => "SELECT gundb.session_compare($1)",
    }
}

/// A connection that was dialled.
pub struct Connected {
    /// Runs statements; its end says goodbye.
    pub client: Client,
    /// Wakes who waits for the peer's news, on whichever channel it listens.
    pub news: Arc<Notify>,
    peers: Arc<Notify>,
    hurry: Arc<Notify>,
    /// Reads and writes the connection; ends with it, and says why.
    pub connection: JoinHandle<Result<(), tokio_postgres::Error>>,
    /// What was prepared for a session; nothing for anything else.
    statements: Vec<Statement>,
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Statements of whoever dials.
    Statements,
    /// A session.
    Session,
}

/// A connection that is ready for calls.
pub struct Session {
    /// Calls the peer; its end says goodbye.
    pub caller: Arc<Caller>,
    /// Wakes who waits for the peer's news.
    pub news: Arc<Notify>,
    /// Wakes the daemon of the database: the peers that it serves may have changed.
    pub peers: Arc<Notify>,
    /// As above: all is to be exchanged with them now.
    pub hurry: Arc<Notify>,
    /// Reads and writes the connection; ends with it, and says why.
    pub connection: JoinHandle<Result<(), tokio_postgres::Error>>,
}

/// What calls a peer.
pub struct Caller {
    pub(super) client: Client,
    statements: [Statement; 3],
    pub(super) target: Arc<Target>,
}

impl session::Caller for Caller {
    async fn call(&self, function: Function, argument: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, Fault> {
        let answered = match self.statements.get(function as usize) {
            Some(statement) => self.client.query_one(statement, &[&argument]).await,
            None => match self.client.prepare_typed(statement(function), &[Type::BYTEA]).await {
                Ok(statement) => self.client.query_one(&statement, &[&argument]).await,
                Err(error) => Err(error),
            },
        };
        answered
            .and_then(|row| row.try_get::<_, Option<&[u8]>>(0).map(|bytes| bytes.map(<[u8]>::to_vec)))
            .map_err(|error| Fault::of_session(error, &self.target))
    }

    /// At the least cost.
    async fn ping(&self) -> Result<(), Fault> {
        self.client.simple_query("").await.map(drop).map_err(|error| Fault::of_session(error, &self.target))
    }
}

impl Connected {
    /// Dials the hosts of a target one after the other, until one answers. It runs what it is told, whatever is there.
    pub async fn dial(target: &Target) -> Result<Connected, Fault> {
        first(target, None, Purpose::Statements).await
    }
}

impl Session {
    /// Dials the hosts of a target one after the other, until one answers and takes writes.
    pub async fn dial(target: &Arc<Target>, secret: Option<&str>) -> Result<Session, Fault> {
        let Connected { client, news, peers, hurry, connection, statements } =
            first(target, secret, Purpose::Session).await?;
        let statements = statements
            .try_into()
            .map_err(|_| Fault::Rubbish { server: SERVER, why: "a statement is missing".to_owned() })?;
        let caller = Arc::new(Caller { client, statements, target: Arc::clone(target) });
        Ok(Session { caller, news, peers, hurry, connection })
    }
}

/// The connection of the first host that gives one.
async fn first(target: &Target, secret: Option<&str>, purpose: Purpose) -> Result<Connected, Fault> {
    let mut fault = None;
    for host in &target.hosts {
        let waited = target.connect_timeout;
        let dialled = tokio::time::timeout(waited, dial_host(target, host, secret, purpose)).await;
        match dialled.unwrap_or_else(|_| Err(Fault::Slow { place: place(host), waited })) {
            Ok(connected) => return Ok(connected),
            // The first host is the one that is meant to answer.
            Err(found) => fault = fault.or(Some(found)),
        }
    }
    Err(fault.unwrap_or(Fault::Host { host: String::new(), why: "no host is named".to_owned() }))
}

impl session::Session for Session {
    type Caller = Caller;

    fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    fn news(&self) -> &Arc<Notify> {
        &self.news
    }

    async fn end(&mut self) -> Fault {
        match (&mut self.connection).await {
            Ok(Err(error)) => Fault::of_session(error, &self.caller.target),
            Ok(Ok(())) => Fault::Lost { why: "the peer closed it".to_owned() },
            Err(error) => Fault::Lost { why: error.to_string() },
        }
    }

    async fn close(self) {
        drop(self.caller);
        let _ = tokio::time::timeout(Duration::from_millis(100), self.connection).await;
    }
}

/// Who is dialled, where, and what for.
struct Dial<'a> {
    target: &'a Target,
    host: &'a Host,
    password: Option<&'a str>,
    purpose: Purpose,
}

async fn dial_host(target: &Target, host: &Host, secret: Option<&str>, purpose: Purpose) -> Result<Connected, Fault> {
    let password = match (secret, &target.passfile) {
        (Some(secret), _) => Some(secret.to_owned()),
        (None, Some(path)) => passfile::look_up(path, target, host)?,
        (None, None) => None,
    };
    let dial = Dial { target, host, password: password.as_deref(), purpose };
    if host.is_socket() {
        let path = format!("{}/.s.PGSQL.{}", host.name, host.port);
        let stream = UnixStream::connect(path).await.map_err(|error| unconnected(host, &error))?;
        return settled(Bounded::new(stream, false), NoTls, SslMode::Disable, &dial).await;
    }
    match target.tls.mode {
        SslMode::Disable => protected(&dial, SslMode::Disable).await,
        SslMode::Allow => match protected(&dial, SslMode::Disable).await {
            Err(Fault::Denied { .. }) => protected(&dial, SslMode::Require).await,
            other => other,
        },
        SslMode::Prefer => match protected(&dial, SslMode::Prefer).await {
            Err(fault @ (Fault::Denied { .. } | Fault::Tls { .. })) => {
                protected(&dial, SslMode::Disable).await.map_err(|_| fault)
            }
            other => other,
        },
        SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => protected(&dial, SslMode::Require).await,
    }
}

/// Dials by TCP, with `mode` or without TLS.
async fn protected(dial: &Dial<'_>, mode: SslMode) -> Result<Connected, Fault> {
    let Dial { target, host, .. } = *dial;
    if mode == SslMode::Disable {
        let stream = Bounded::new(connected(target, host).await?, false);
        return settled(stream, NoTls, mode, dial).await;
    }
    let mut connector = tls::connector(&target.tls)?;
    let tls = <MakeRustlsConnect as MakeTlsConnect<Bounded<TcpStream>>>::make_tls_connect(&mut connector, &host.name);
    let tls = tls.map_err(|error| Fault::Tls { host: host.name.clone(), why: error.to_string() })?;
    let stream = Bounded::new(connected(target, host).await?, true);
    settled(stream, BoundedTls(tls), mode, dial).await
}

/// A TCP connection to the first address that takes one.
async fn connected(target: &Target, host: &Host) -> Result<TcpStream, Fault> {
    let unknown = |why: String| Fault::Host { host: host.name.clone(), why };
    let addresses: Vec<_> = match host.address {
        Some(address) => vec![(address, host.port).into()],
        None => {
            let found = tokio::net::lookup_host((host.name.as_str(), host.port)).await;
            found.map_err(|error| unknown(error.to_string()))?.collect()
        }
    };
    let mut fault = unknown("it has no address".to_owned());
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                watch(&stream, &target.keepalive).map_err(|error| unconnected(host, &error))?;
                return Ok(stream);
            }
            Err(error) => fault = unconnected(host, &error),
        }
    }
    Err(fault)
}

/// Has the kernel notice a peer that has gone.
fn watch(stream: &TcpStream, keepalive: &Keepalive) -> io::Result<()> {
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_user_timeout(Some(keepalive.user_timeout))?;
    if keepalive.on {
        let keepalive = TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.count);
        socket.set_tcp_keepalive(&keepalive)?;
    }
    Ok(())
}

fn place(host: &Host) -> String {
    match host.address {
        _ if host.is_socket() => format!("{}/.s.PGSQL.{}", host.name, host.port),
        Some(address) if address.to_string() != host.name => format!("{}:{} ({address})", host.name, host.port),
        _ => format!("{}:{}", host.name, host.port),
    }
}

fn unconnected(host: &Host, error: &io::Error) -> Fault {
    let place = place(host);
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Fault::Refused { place },
        _ => Fault::Unreachable { place, why: error.to_string() },
    }
}

/// Begins a session over a connection, and pins its settings.
async fn settled<S, T>(stream: S, tls: T, mode: SslMode, dial: &Dial<'_>) -> Result<Connected, Fault>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: TlsConnect<S>,
    T::Stream: TlsStream + Unpin + Send + 'static,
{
    let Dial { target, host, password, purpose } = *dial;
    let mut config = Config::new();
    config.user(&target.user).dbname(&target.database).application_name(&target.application_name);
    config.ssl_mode(match mode {
        SslMode::Disable => tokio_postgres::config::SslMode::Disable,
        SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
        _ => tokio_postgres::config::SslMode::Require,
    });
    if let Some(password) = password {
        config.password(password);
    }
    let dialled = config.connect_raw(stream, tls).await;
    let (client, connection) = dialled.map_err(|error| Fault::of_dialling(error, target, host))?;
    let [news, peers, hurry] = [(); 3].map(|()| Arc::new(Notify::new()));
    let bells = Bells { news: Arc::clone(&news), peers: Arc::clone(&peers), hurry: Arc::clone(&hurry) };
    let connection = tokio::spawn(attend(connection, bells));
    client.batch_execute(&settings(purpose)).await.map_err(|error| Fault::of_session(error, target))?;
    let statements = if purpose == Purpose::Session { prepared(&client, target).await? } else { Vec::new() };
    Ok(Connected { client, news, peers, hurry, connection, statements })
}

/// The statements of a session.
async fn prepared(client: &Client, target: &Target) -> Result<Vec<Statement>, Fault> {
    let mut statements = Vec::with_capacity(PREPARED.len());
    for function in PREPARED {
        match client.prepare_typed(statement(function), &[Type::BYTEA]).await {
            Ok(statement) => statements.push(statement),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_FUNCTION) => {
                return Err(without_sessions(client, target).await);
            }
            Err(error) => return Err(Fault::of_session(error, target)),
        }
    }
    Ok(statements)
}

/// Pins the settings that the server knows. A session listens, and so fails on a standby.
fn settings(purpose: Purpose) -> String {
    let pinned: &[(&str, &str)] = if purpose == Purpose::Session { &PINNED } else { &[] };
    let values = SPELLING.iter().chain(pinned).map(|(name, value)| format!("('{name}', '{value}')"));
    let listen = if purpose == Purpose::Session { format!("LISTEN {CHANNEL}") } else { String::new() };
    format!(
        "SELECT pg_catalog.set_config(s.name, s.value, false) FROM (VALUES {}) AS s (name, value)
          WHERE pg_catalog.current_setting(s.name, true) IS NOT NULL;
         {listen}",
        values.collect::<Vec<_>>().join(", ")
    )
}

/// What is there instead of a gundb with sessions.
async fn without_sessions(client: &Client, target: &Target) -> Fault {
    let query = "SELECT extversion FROM pg_catalog.pg_extension WHERE extname = 'gundb'";
    match client.query_opt(query, &[]).await {
        Ok(Some(row)) => Fault::Older { version: row.try_get(0).unwrap_or_else(|_| "unknown".to_owned()) },
        Ok(None) => Fault::NoExtension { database: target.database.clone() },
        Err(error) => Fault::of_session(error, target),
    }
}

/// What is rung by what is told on the channel.
struct Bells {
    news: Arc<Notify>,
    peers: Arc<Notify>,
    hurry: Arc<Notify>,
}

/// Reads and writes a connection until it ends. What the peer remarks is passed over.
async fn attend<S, T>(mut connection: Connection<S, T>, bells: Bells) -> Result<(), tokio_postgres::Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(message) = std::future::poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notification(notification) = message? {
            // One that comes before the last was seen says no more than that.
            match (notification.channel(), notification.payload()) {
                (CHANNEL, "peers") => bells.peers.notify_one(),
                (CHANNEL, "sync") => bells.hurry.notify_one(),
                _ => bells.news.notify_one(),
            }
        }
    }
    Ok(())
}
