//! The end that dials.
//!
//! What must always hold here: an answer belongs to the oldest call that has none; once the stream ends every call that waits learns of it.

use crate::fault::{Fault, source_text};
use crate::grpc::refusal::fault;
use crate::grpc::wire::peer_client::PeerClient;
use crate::grpc::wire::{Pull, SessionAnswer, SessionCall, session_answer::Answer, session_call::Call as Asked};
use crate::secret_file::read_private;
use crate::session::{self, Function};
use crate::url::{GrpcTarget, GrpcTls};
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Streaming};

/// Calls that may wait to be sent. The protocol's own window is smaller.
const CALLS_MAX: usize = 64;
/// How many bytes of the stream, and of the connection, may have come and not been looked at.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// A session's connection.
#[derive(Debug)]
pub struct Session {
    caller: Arc<Caller>,
    news: Arc<Notify>,
    reading: JoinHandle<Fault>,
}

/// What calls over it.
#[derive(Debug)]
pub struct Caller {
    calls: mpsc::Sender<SessionCall>,
    waiting: Arc<Waiting>,
}

type Reply = Result<Option<Vec<u8>>, Fault>;

/// Who waits for an answer, the oldest first; nobody any more once the stream has ended.
#[derive(Debug, Default)]
struct Waiting(Mutex<Option<Queue>>);

type Queue = VecDeque<(Function, oneshot::Sender<Reply>)>;

impl Waiting {
    fn lock(&self) -> MutexGuard<'_, Option<Queue>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lost() -> Fault {
    Fault::Lost { why: "the peer closed it".to_owned() }
}

impl session::Caller for Caller {
    async fn call(&self, function: Function, argument: Option<Vec<u8>>) -> Reply {
        let argument = argument.map(Into::into);
        let call = match function {
            Function::Hello => Asked::Hello(argument.unwrap_or_default()),
            Function::Push => Asked::Push(argument.unwrap_or_default()),
            Function::Pull => Asked::Pull(Pull { receipt: argument }),
            Function::Compare => Asked::Compare(argument.unwrap_or_default()),
        };
        let (tell, told) = oneshot::channel();
        {
            // Who waits stands in the order in which the calls go out.
            let mut waiting = self.waiting.lock();
            let waiting = waiting.as_mut().ok_or_else(lost)?;
            self.calls.try_send(SessionCall { call: Some(call) }).map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => Fault::Lost { why: "too many calls wait to be sent".to_owned() },
                mpsc::error::TrySendError::Closed(_) => lost(),
            })?;
            waiting.push_back((function, tell));
        }
        told.await.unwrap_or_else(|_| Err(lost()))
    }

    /// HTTP/2 asks by itself.
    async fn ping(&self) -> Result<(), Fault> {
        Ok(())
    }
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
        (&mut self.reading).await.unwrap_or_else(|error| Fault::Lost { why: error.to_string() })
    }

    async fn close(self) {
        // The end of the calls is the goodbye; the other side ends the stream.
        drop(self.caller);
        let abort = self.reading.abort_handle();
        if tokio::time::timeout(Duration::from_millis(100), self.reading).await.is_err() {
            abort.abort();
        }
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.waiting.lock().take();
    }
}

/// Dials, and begins a session's stream. A message may have so many bytes; after so long a silence a sign of life is asked for.
pub async fn dial(target: &GrpcTarget, message_bytes_max: usize, keep_alive: Duration) -> Result<Session, Fault> {
    let waited = target.connect_timeout;
    let place = target.to_string();
    let dialled = tokio::time::timeout(waited, begin(target, &place, message_bytes_max, keep_alive)).await;
    dialled.unwrap_or(Err(Fault::Slow { place, waited }))
}

async fn begin(
    target: &GrpcTarget,
    place: &str,
    message_bytes_max: usize,
    keep_alive: Duration,
) -> Result<Session, Fault> {
    let token = token(target, place)?;
    let malformed =
        |error: tonic::transport::Error| Fault::Unreachable { place: place.to_owned(), why: source_text(&error) };
    let http = match &target.tls {
        Some(_) => place.replacen("grpcs", "https", 1),
        None => place.replacen("grpc", "http", 1),
    };
    let mut endpoint = Endpoint::from_shared(http)
        .map_err(malformed)?
        .connect_timeout(target.connect_timeout)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(keep_alive)
        .keep_alive_timeout(keep_alive)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    if let Some(tls) = &target.tls {
        endpoint = endpoint.tls_config(tls_config(tls, &target.host)?).map_err(|error| Fault::File {
            what: "sslrootcert, sslcert or sslkey",
            path: "in PEM".to_owned(),
            why: source_text(&error),
        })?;
    }
    let channel = endpoint.connect().await.map_err(|error| unconnected(&error, target, place))?;
    let mut client: PeerClient<Channel> = PeerClient::new(channel)
        .max_decoding_message_size(message_bytes_max)
        .max_encoding_message_size(message_bytes_max);
    let (calls, called) = mpsc::channel(CALLS_MAX);
    let mut request = Request::new(ReceiverStream::new(called));
    if let Some(token) = token {
        request.metadata_mut().insert("authorization", token);
    }
    let answers = client.session(request).await.map_err(|status| fault(&status, place))?.into_inner();
    let waiting = Arc::new(Waiting(Mutex::new(Some(VecDeque::new()))));
    let news = Arc::new(Notify::new());
    let reading = tokio::spawn(read(answers, Arc::clone(&waiting), Arc::clone(&news), place.to_owned()));
    Ok(Session { caller: Arc::new(Caller { calls, waiting }), news, reading })
}

/// Takes answers until there are no more, and says why that is.
async fn read(mut answers: Streaming<SessionAnswer>, waiting: Arc<Waiting>, news: Arc<Notify>, place: String) -> Fault {
    let why = loop {
        let answer = match answers.message().await {
            Ok(Some(answer)) => answer.answer,
            Ok(None) => break lost(),
            Err(status) => break fault(&status, &place),
        };
        let rubbish = |why: &str| Fault::Rubbish { server: "gundb peer", why: why.to_owned() };
        let (function, bytes) = match answer {
            Some(Answer::News(_)) => {
                news.notify_one();
                continue;
            }
            Some(Answer::Hello(hello)) => (Function::Hello, Some(hello)),
            Some(Answer::Receipt(receipt)) => (Function::Push, Some(receipt)),
            Some(Answer::Pulled(pulled)) => (Function::Pull, pulled.bundle),
            Some(Answer::Compared(answer)) => (Function::Compare, Some(answer)),
            None => break rubbish("an answer of an unknown kind came"),
        };
        let asked = waiting.lock().as_mut().and_then(VecDeque::pop_front);
        match asked {
            Some((asked, tell)) if asked == function => drop(tell.send(Ok(bytes.map(Into::into)))),
            Some(_) => break rubbish("an answer to another call came"),
            None => break rubbish("an answer came, and nothing was asked"),
        }
    };
    for (_, tell) in waiting.lock().take().into_iter().flatten() {
        let _ = tell.send(Err(why.clone()));
    }
    why
}

/// The token as it is sent.
fn token(target: &GrpcTarget, place: &str) -> Result<Option<MetadataValue<Ascii>>, Fault> {
    let Some(path) = &target.token_file else { return Ok(None) };
    let is_here = matches!(target.host.as_str(), "localhost" | "127.0.0.1" | "::1");
    if target.tls.is_none() && !is_here && !target.cleartext {
        return Err(Fault::InTheClear { place: place.to_owned() });
    }
    let text = read_private("tokenfile", path, 0o077)?;
    let fault = || Fault::File {
        what: "tokenfile",
        path: path.display().to_string(),
        why: "it holds no token: at least 16 letters, digits and signs, in one line".to_owned(),
    };
    crate::grpc::Token::of_text(&text).ok_or_else(fault)?;
    let mut token: MetadataValue<Ascii> = format!("Bearer {}", text.trim()).parse().map_err(|_| fault())?;
    token.set_sensitive(true);
    Ok(Some(token))
}

fn tls_config(tls: &GrpcTls, host: &str) -> Result<ClientTlsConfig, Fault> {
    let mut config = ClientTlsConfig::new().domain_name(tls.server_name.as_deref().unwrap_or(host));
    config = match &tls.roots {
        None => config.with_native_roots(),
        Some(roots) => config.ca_certificate(Certificate::from_pem(read_private("sslrootcert", roots, 0)?)),
    };
    if let Some((certificate, key)) = &tls.certificate {
        let (certificate, key) = (read_private("sslcert", certificate, 0)?, read_private("sslkey", key, 0o077)?);
        config = config.identity(Identity::from_pem(certificate, key));
    }
    Ok(config)
}

fn unconnected(error: &tonic::transport::Error, target: &GrpcTarget, place: &str) -> Fault {
    let why = source_text(error);
    let mut kind = None;
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(found) = cause {
        kind = found.downcast_ref::<io::Error>().map(io::Error::kind).or(kind);
        cause = found.source();
    }
    let place = place.to_owned();
    match kind {
        Some(io::ErrorKind::ConnectionRefused) => Fault::Refused { place },
        Some(io::ErrorKind::InvalidData) => Fault::Tls { host: target.host.clone(), why },
        Some(io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
            if target.tls.is_some() =>
        {
            Fault::Tls { host: target.host.clone(), why: format!("the peer ended it: {why}") }
        }
        _ if why.contains("lookup address") => Fault::Host { host: target.host.clone(), why },
        _ => Fault::Unreachable { place, why },
    }
}
