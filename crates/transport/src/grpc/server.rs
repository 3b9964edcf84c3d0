//! The end that listens.

use crate::fault::{Fault, source_text};
use crate::grpc::answering::{self, Patience, Sessions};
use crate::grpc::application::{Application, Clerk};
use crate::grpc::credentials::{Credentials, names_of, token_of};
use crate::grpc::door::{Visitor, entrances};
use crate::grpc::refusal::{Refusal, RefusalKind};
use crate::grpc::wire::application_server::ApplicationServer;
use crate::grpc::wire::peer_server::{Peer, PeerServer};
use crate::grpc::wire::{SERVICES, SessionAnswer, SessionCall};
use crate::secret_file::read_private;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Server, TlsConnectInfo};
use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

/// How many bytes of a stream, and of a connection, may have come and not been looked at.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Streams of one connection.
const STREAMS_MAX: u32 = 64;
const HEADERS_BYTES_MAX: u32 = 16 << 10;
/// How long connections may take to end when this site stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// How it is listened.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// TLS, if any.
    pub tls: Option<ServerTls>,
    /// Connections at once; one more is closed.
    pub connections_max: usize,
    /// Sessions at once; one more is refused.
    pub sessions_max: usize,
    /// Streams of applications at once; one more is refused.
    pub streams_max: usize,
    /// Calls of applications that work at once; one more waits.
    pub working_max: usize,
    /// The largest message, in bytes.
    pub message_bytes_max: usize,
    /// After so long a silence a sign of life is asked for; as long again, and the connection ends.
    pub keep_alive: Duration,
    /// How long a caller may take to be let in, and to say hello.
    pub login: Duration,
    /// How long an answer may wait to be read.
    pub stall: Duration,
}

/// TLS at the end that listens: files in PEM.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// The certificate, with what leads to a root.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who may have signed callers' certificates; none: they are not asked for any.
    pub client_roots: Option<PathBuf>,
    /// Whether a caller without a certificate is sent away at once, whatever token it has.
    pub client_certificate_required: bool,
}

impl Default for ServerSettings {
    fn default() -> ServerSettings {
        ServerSettings {
            tls: None,
            connections_max: 256,
            sessions_max: 64,
            streams_max: 256,
            working_max: 16,
            message_bytes_max: 80 << 20,
            keep_alive: Duration::from_secs(20),
            login: Duration::from_secs(10),
            stall: Duration::from_secs(60),
        }
    }
}

/// What all services share.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) settings: Arc<ServerSettings>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Desk {
    fn visitor<T>(&self, request: &Request<T>) -> Option<Visitor> {
        let plain = || request.extensions().get::<Visitor>();
        let tls = request.extensions().get::<TlsConnectInfo<Visitor>>();
        tls.map(TlsConnectInfo::get_ref).or_else(plain).cloned()
    }

    /// What a caller shows.
    pub(super) fn shown<T>(&self, request: &Request<T>) -> Credentials {
        let certificates = request.extensions().get::<TlsConnectInfo<Visitor>>().and_then(TlsConnectInfo::peer_certs);
        Credentials {
            token: token_of(request.metadata()),
            names: certificates.and_then(|all| all.first().map(|own| names_of(own))).unwrap_or_default(),
            address: self.visitor(request).and_then(|visitor| visitor.address),
        }
    }

    /// It was let in.
    pub(super) fn let_in<T>(&self, request: &Request<T>) {
        if let Some(visitor) = self.visitor(request) {
            visitor.let_in();
        }
    }
}

/// What serves sessions.
struct Host<S> {
    sessions: Arc<S>,
    desk: Desk,
    places: Arc<Semaphore>,
}

#[tonic::async_trait]
impl<S: Sessions> Peer for Host<S> {
    type SessionStream = ReceiverStream<Result<SessionAnswer, Status>>;

    async fn session(&self, request: Request<Streaming<SessionCall>>) -> Result<Response<Self::SessionStream>, Status> {
        let shown = self.desk.shown(&request);
        let sessions = Arc::clone(&self.sessions);
        let admitted = tokio::task::spawn_blocking(move || sessions.admit(&shown)).await;
        let failed = |_| Refusal::new(RefusalKind::Failed, "a defect of gundb's: the call panicked");
        let session = admitted.map_err(failed)??;
        // Whoever was not let in takes nobody's place.
        let place = Arc::clone(&self.places).try_acquire_owned();
        let place = place.map_err(|_| Refusal::new(RefusalKind::NotReady, "too many sessions stand already"))?;
        self.desk.let_in(&request);
        let settings = &self.desk.settings;
        let patience = Patience { hello: settings.login, stall: settings.stall };
        let stop = self.desk.stop.clone();
        let (answers, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            answering::converse(session, request.into_inner(), answers, patience, stop).await;
            drop(place);
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Listens until `stop` says so: serves sessions, and applications where there is something to serve them.
pub async fn serve<S: Sessions, A: Application>(
    listener: TcpListener,
    settings: ServerSettings,
    sessions: Arc<S>,
    application: Option<Arc<A>>,
    stop: watch::Receiver<bool>,
) -> Result<(), Fault> {
    let settings = Arc::new(settings);
    let desk = Desk { settings: Arc::clone(&settings), stop: stop.clone() };
    let broken = |why: String| Fault::Lost { why: format!("listening failed: {why}") };
    let mut server = Server::builder()
        .http2_keepalive_interval(Some(settings.keep_alive))
        .http2_keepalive_timeout(Some(settings.keep_alive))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_MAX)
        .http2_max_header_list_size(HEADERS_BYTES_MAX)
        .http2_max_pending_accept_reset_streams(Some(20));
    if let Some(tls) = &settings.tls {
        server = server.tls_config(tls_config(tls, settings.login)?).map_err(|error| Fault::File {
            what: "certificate",
            path: tls.certificate.display().to_string(),
            why: source_text(&error),
        })?;
    }
    let (health, healthy) = tonic_health::server::health_reporter();
    health.set_serving::<PeerServer<Host<S>>>().await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(SERVICES)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .map_err(|error| broken(error.to_string()))?;
    let host = Host { sessions, desk: desk.clone(), places: Arc::new(Semaphore::new(settings.sessions_max)) };
    let peers = PeerServer::new(host)
        .max_decoding_message_size(settings.message_bytes_max)
        .max_encoding_message_size(settings.message_bytes_max);
    let mut router = server.add_service(peers).add_service(healthy).add_service(reflection);
    if let Some(application) = application {
        health.set_serving::<ApplicationServer<Clerk<A>>>().await;
        let clerk = ApplicationServer::new(Clerk::new(application, desk))
            .max_decoding_message_size(settings.message_bytes_max)
            .max_encoding_message_size(settings.message_bytes_max);
        router = router.add_service(clerk);
    }
    let incoming = entrances(listener, settings.connections_max, settings.login);
    let mut stopped = stop.clone();
    let stops = async move {
        let _ = stopped.wait_for(|stops| *stops).await;
    };
    let mut stopped = stop;
    let limit = async move {
        let _ = stopped.wait_for(|stops| *stops).await;
        tokio::time::sleep(FAREWELL).await;
    };
    tokio::select! {
        served = router.serve_with_incoming_shutdown(incoming, stops) => {
            served.map_err(|error| broken(source_text(&error)))
        }
        () = limit => Ok(()),
    }
}

fn tls_config(tls: &ServerTls, handshake: Duration) -> Result<ServerTlsConfig, Fault> {
    let certificate = read_private("certificate", &tls.certificate, 0)?;
    let key = read_private("key", &tls.key, 0o077)?;
    let mut config = ServerTlsConfig::new().identity(Identity::from_pem(certificate, key)).timeout(handshake);
    if let Some(roots) = &tls.client_roots {
        let roots = read_private("client_roots", roots, 0)?;
        config =
            config.client_ca_root(Certificate::from_pem(roots)).client_auth_optional(!tls.client_certificate_required);
    }
    Ok(config)
}
