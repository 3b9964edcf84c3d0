//! Sessions over gRPC between a dialler and a site without a store, over loopback: cut, swallowed, flooded, and without the right papers.

use crate::proxy::{Mode, Proxy};
use crate::site::{Site, TOKEN};
use gundb_transport::fault::Fault;
use gundb_transport::grpc::wire::peer_client::PeerClient;
use gundb_transport::grpc::wire::{Pull, SessionCall, session_call};
use gundb_transport::grpc::{ServerTls, client, dial};
use gundb_transport::session::{Call, Caller, Function, Session, Told, converse};
use gundb_transport::url::{GrpcTarget, PeerUrl};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

const KEEP_ALIVE: Duration = Duration::from_millis(300);

fn private(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn target(url: &str) -> GrpcTarget {
    match PeerUrl::parse(url) {
        Ok(PeerUrl::Grpc(target)) => target,
        other => panic!("{other:?}"),
    }
}

/// A dialler with the token.
async fn dialled(directory: &TempDir, address: SocketAddr) -> Result<client::Session, Fault> {
    let token = private(directory.path(), "token", TOKEN);
    let url = format!("grpc://{address}?tokenfile={}&connect_timeout=3", token.display());
    dial(&target(&url), 32 << 20, KEEP_ALIVE).await
}

async fn fault_of(url: &str) -> Fault {
    match dial(&target(url), 32 << 20, KEEP_ALIVE).await {
        Err(fault) => fault,
        Ok(mut session) => {
            // With TLS 1.3 a certificate is judged after the handshake.
            tokio::time::timeout(Duration::from_secs(3), session.end()).await.expect("the session stands")
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_in_their_order_and_news_comes_between() {
    let (site, directory) = (Site::start(Site::settings()).await, TempDir::new().unwrap());
    let mut session = dialled(&directory, site.address).await.unwrap();
    let (calls, mut called) = mpsc::channel(64);
    let told = Arc::new(Mutex::new(Vec::new()));
    let (heard, notify) = (told.clone(), Arc::new(tokio::sync::Notify::new()));
    let wake = notify.clone();
    let conversation = tokio::spawn(async move {
        converse(&mut session, &mut called, Some(Duration::from_millis(50)), |what| {
            heard.lock().unwrap().push(what);
            wake.notify_one();
            std::future::ready(())
        })
        .await
    });
    let call =
        |function, argument: Option<&str>| Call { function, argument: argument.map(|text| text.as_bytes().to_vec()) };
    calls.send(call(Function::Hello, Some("hello"))).await.unwrap();
    for number in 0..8 {
        calls.send(call(Function::Push, Some(&format!("bundle {number}")))).await.unwrap();
    }
    calls.send(call(Function::Pull, None)).await.unwrap();
    calls.send(call(Function::Pull, Some("20000000"))).await.unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while told.lock().unwrap().iter().filter(|told| matches!(told, Told::Reply { .. })).count() < 11 {
        assert!(Instant::now() < until);
        let _ = tokio::time::timeout(Duration::from_millis(100), notify.notified()).await;
    }
    site.news.send_modify(|count| *count += 1);
    while !told.lock().unwrap().iter().any(|told| matches!(told, Told::News)) {
        assert!(Instant::now() < until);
        let _ = tokio::time::timeout(Duration::from_millis(100), notify.notified()).await;
    }
    let replies: Vec<(Function, Option<usize>)> = told
        .lock()
        .unwrap()
        .iter()
        .filter_map(|told| match told {
            Told::Reply { function, bytes, .. } => Some((*function, bytes.as_ref().map(Vec::len))),
            Told::News => None,
        })
        .collect();
    assert_eq!(replies[0], (Function::Hello, Some(5)));
    assert!(replies[1..9].iter().all(|reply| *reply == (Function::Push, Some(8))));
    assert_eq!(replies[9..], [(Function::Pull, None), (Function::Pull, Some(20_000_000))]);
    // The end of the calls is the end of the session, at both ends.
    drop(calls);
    assert_eq!(conversation.await.unwrap(), Ok(()));
    site.until_living(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_token_nobody_is_let_in_and_no_token_goes_out_in_the_clear() {
    let (site, directory) = (Site::start(Site::settings()).await, TempDir::new().unwrap());
    let address = site.address;
    let wrong = private(directory.path(), "wrong", "another-token-of-the-test");
    assert!(matches!(fault_of(&format!("grpc://{address}")).await, Fault::Unknown { .. }));
    let fault = fault_of(&format!("grpc://{address}?tokenfile={}", wrong.display())).await;
    assert!(matches!(fault, Fault::Unknown { .. }) && !fault.to_string().contains("another-token"), "{fault}");
    let fault = fault_of(&format!("grpc://192.0.2.1?connect_timeout=1&tokenfile={}", wrong.display())).await;
    assert!(matches!(fault, Fault::InTheClear { .. }), "{fault}");
    let open = directory.path().join("open");
    std::fs::write(&open, TOKEN).unwrap();
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let fault = fault_of(&format!("grpc://{address}?tokenfile={}", open.display())).await;
    // A file of root's may be readable for a group, not for all.
    assert!(matches!(fault, Fault::File { what: "tokenfile", .. }), "{fault}");
    assert_eq!(site.living.load(std::sync::atomic::Ordering::SeqCst), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_or_panics_ends_its_session_and_no_other() {
    let (site, directory) = (Site::start(Site::settings()).await, TempDir::new().unwrap());
    let other = dialled(&directory, site.address).await.unwrap();
    other.caller().call(Function::Hello, Some(b"h".to_vec())).await.unwrap();
    for (argument, expected) in [("fail", "asked to fail"), ("panic", "defect")] {
        let mut session = dialled(&directory, site.address).await.unwrap();
        session.caller().call(Function::Hello, Some(b"h".to_vec())).await.unwrap();
        let fault = session.caller().call(Function::Push, Some(argument.into())).await.unwrap_err();
        assert!(fault.to_string().contains(expected), "{fault}");
        session.end().await;
        let again = session.caller().call(Function::Pull, None).await;
        assert!(matches!(again, Err(Fault::Lost { .. })), "{again:?}");
    }
    let unheard = dialled(&directory, site.address).await.unwrap();
    let fault = unheard.caller().call(Function::Pull, None).await.unwrap_err();
    assert!(fault.to_string().contains("begins with a hello"), "{fault}");
    assert_eq!(other.caller().call(Function::Push, Some(b"b".to_vec())).await, Ok(Some(b"b".to_vec())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_cut_or_falls_silent_is_noticed_at_both_ends() {
    let (site, directory) = (Site::start(Site::settings()).await, TempDir::new().unwrap());
    for mode in [Mode::Cut, Mode::Swallow] {
        let proxy = Proxy::to(site.address).await;
        let mut session = dialled(&directory, proxy.address).await.unwrap();
        session.caller().call(Function::Hello, Some(b"h".to_vec())).await.unwrap();
        site.until_living(1).await;
        proxy.set(mode);
        let call = session.caller().call(Function::Pull, Some(b"10".to_vec()));
        let answer = tokio::time::timeout(Duration::from_secs(5), call).await.expect("it is noticed");
        assert!(matches!(answer, Err(Fault::Lost { .. })), "{mode:?}: {answer:?}");
        let fault = tokio::time::timeout(Duration::from_secs(5), session.end()).await.expect("it is noticed");
        assert!(matches!(fault, Fault::Lost { .. }), "{mode:?}: {fault}");
        site.until_living(0).await;
    }
}

/// A moment, however slow the machine is.
const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_and_silence_cost_a_connection_for_a_moment() {
    let settings = gundb_transport::grpc::ServerSettings { connections_max: 4, ..Site::settings() };
    let (site, directory) = (Site::start(settings).await, TempDir::new().unwrap());
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let all: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0xff; 100_000],
        preface[..10].to_vec(),
        preface.clone(),
        // A frame that announces sixteen megabytes, and one of an unknown kind in a stream that is not.
        [preface.clone(), vec![0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]].concat(),
        [preface, vec![0, 0, 4, 9, 4, 0x80, 0, 0, 5, 1, 2, 3, 4]].concat(),
    ];
    for bytes in all {
        let mut stream = TcpStream::connect(site.address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "{:?} bytes of rubbish hold a connection", bytes.len());
        assert!(answer.len() < 10_000);
    }
    // More than there is room for: the surplus is closed at once, and there is room again after a moment.
    let mut crowd = Vec::new();
    for _ in 0..8 {
        crowd.push(TcpStream::connect(site.address).await.unwrap());
    }
    for mut stream in crowd {
        let _ = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 8])).await.expect("it ends");
    }
    // A place is free a moment after its connection's end was seen here.
    let again = async {
        loop {
            match dialled(&directory, site.address).await {
                Ok(session) => return session,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    let session = tokio::time::timeout(PATIENCE, again).await.expect("there is room again");
    assert!(session.caller().call(Function::Hello, Some(b"h".to_vec())).await.is_ok());
    // Who was let in may be silent for longer than that.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(session.caller().call(Function::Pull, None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_never_reads_or_never_says_hello_is_let_go() {
    let (site, _directory) = (Site::start(Site::settings()).await, TempDir::new().unwrap());
    let bearer = |request: &mut tonic::Request<_>| {
        request.metadata_mut().insert("authorization", format!("Bearer {TOKEN}").parse().unwrap());
    };
    let channel = tonic::transport::Channel::from_shared(format!("http://{}", site.address)).unwrap();
    let mut client = PeerClient::new(channel.connect().await.unwrap()).max_decoding_message_size(64 << 20);
    let (calls, called) = mpsc::channel::<SessionCall>(1_000);
    let hello = session_call::Call::Hello("h".into());
    calls.send(SessionCall { call: Some(hello) }).await.unwrap();
    for _ in 0..500 {
        let pull = session_call::Call::Pull(Pull { receipt: Some("1000000".into()) });
        calls.send(SessionCall { call: Some(pull) }).await.unwrap();
    }
    let mut request = tonic::Request::new(tokio_stream::wrappers::ReceiverStream::new(called));
    bearer(&mut request);
    // The answers are half a gigabyte, and nobody takes them.
    let unread = client.session(request).await.unwrap();
    site.until_living(1).await;
    site.until_living(0).await;
    drop(unread);

    let (_calls, called) = mpsc::channel::<SessionCall>(1);
    let mut request = tonic::Request::new(tokio_stream::wrappers::ReceiverStream::new(called));
    bearer(&mut request);
    let mut answers = client.session(request).await.unwrap().into_inner();
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    site.until_living(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_before_it_is_read() {
    let (site, directory) = (Site::start(Site::settings()).await, TempDir::new().unwrap());
    let token = private(directory.path(), "token", TOKEN);
    let url = format!("grpc://{}?tokenfile={}", site.address, token.display());
    let session = dial(&target(&url), 100 << 20, KEEP_ALIVE).await.unwrap();
    session.caller().call(Function::Hello, Some(b"h".to_vec())).await.unwrap();
    let fault = session.caller().call(Function::Push, Some(vec![0; 40 << 20])).await.unwrap_err();
    assert!(fault.to_string().contains("too large"), "{fault}");
    // And in the other direction.
    let session = dial(&target(&url), 1 << 20, KEEP_ALIVE).await.unwrap();
    session.caller().call(Function::Hello, Some(b"h".to_vec())).await.unwrap();
    let fault = session.caller().call(Function::Pull, Some(b"2000000".to_vec())).await.unwrap_err();
    assert!(fault.to_string().contains("too large"), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_stops_says_so_and_ends_soon() {
    let (mut site, directory) = (Site::start(Site::settings()).await, TempDir::new().unwrap());
    let mut session = dialled(&directory, site.address).await.unwrap();
    session.caller().call(Function::Hello, Some(b"h".to_vec())).await.unwrap();
    let _silent = TcpStream::connect(site.address).await.unwrap();
    site.stop.send_replace(true);
    let fault = session.end().await;
    assert!(fault.to_string().contains("being stopped"), "{fault}");
    drop(session);
    tokio::time::timeout(Duration::from_secs(4), &mut site.served).await.expect("it ends").unwrap().unwrap();
    let fault = fault_of(&format!("grpc://{}", site.address)).await;
    assert!(matches!(fault, Fault::Refused { .. }), "{fault}");
}

/// Certificates of one authority, or of another one.
struct Papers {
    directory: TempDir,
}

impl Papers {
    fn new() -> Papers {
        let papers = Papers { directory: TempDir::new().unwrap() };
        for name in ["ours", "theirs"] {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, name);
            let key = KeyPair::generate().unwrap();
            let certificate = params.self_signed(&key).unwrap();
            private(papers.directory.path(), &format!("{name}.pem"), &certificate.pem());
            let issuer = Issuer::new(params, key);
            papers.sign(&issuer, &format!("{name}-localhost"), "localhost", false);
            papers.sign(&issuer, &format!("{name}-elsewhere"), "elsewhere.example", false);
            papers.sign(&issuer, &format!("{name}-expired"), "localhost", true);
            papers.sign(&issuer, &format!("{name}-tokyo"), "tokyo", false);
            papers.sign(&issuer, &format!("{name}-osaka"), "osaka", false);
            papers.sign(&issuer, &format!("{name}-tokyo-expired"), "tokyo", true);
        }
        papers
    }

    fn sign(&self, issuer: &Issuer<'_, KeyPair>, file: &str, name: &str, expired: bool) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if expired {
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 2, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        private(self.directory.path(), &format!("{file}.pem"), &certificate.pem());
        private(self.directory.path(), &format!("{file}.key"), &key.serialize_pem());
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn server(&self, name: &str, roots: Option<&str>, required: bool) -> gundb_transport::grpc::ServerSettings {
        let tls = ServerTls {
            certificate: self.path(&format!("{name}.pem")),
            key: self.path(&format!("{name}.key")),
            client_roots: roots.map(|roots| self.path(roots)),
            client_certificate_required: required,
        };
        gundb_transport::grpc::ServerSettings { tls: Some(tls), ..Site::settings() }
    }

    fn url(&self, site: &Site, own: Option<&str>) -> String {
        let port = site.address.port();
        let root = self.path("ours.pem");
        let own = own.map(|name| {
            let path = self.path(name);
            format!("&sslcert={}.pem&sslkey={}.key", path.display(), path.display())
        });
        format!("grpcs://localhost:{port}?sslrootcert={}&connect_timeout=3{}", root.display(), own.unwrap_or_default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_certificate_must_be_of_now_of_the_name_and_signed_by_a_root() {
    let papers = Papers::new();
    let token = private(papers.directory.path(), "token", TOKEN);
    let token = format!("&tokenfile={}", token.display());
    let site = Site::start(papers.server("ours-localhost", None, false)).await;
    let session = dial(&target(&(papers.url(&site, None) + &token)), 1 << 20, KEEP_ALIVE).await.unwrap();
    assert!(session.caller().call(Function::Hello, Some(b"h".to_vec())).await.is_ok());
    for (certificate, expected) in
        [("ours-expired", "expired"), ("ours-elsewhere", "name"), ("theirs-localhost", "UnknownIssuer")]
    {
        let site = Site::start(papers.server(certificate, None, false)).await;
        let fault = fault_of(&(papers.url(&site, None) + &token)).await;
        assert!(matches!(fault, Fault::Tls { .. }) && fault.to_string().contains(expected), "{certificate}: {fault}");
    }
    let site = Site::start(papers.server("ours-elsewhere", None, false)).await;
    let named = papers.url(&site, None) + &token + "&server_name=elsewhere.example";
    assert!(dial(&target(&named), 1 << 20, KEEP_ALIVE).await.is_ok());
    // One side has TLS, the other one has not.
    let plain = Site::start(Site::settings()).await;
    let fault = fault_of(&(papers.url(&plain, None) + &token)).await;
    assert!(matches!(fault, Fault::Tls { .. } | Fault::Slow { .. }), "{fault}");
    let fault = fault_of(&format!("grpc://127.0.0.1:{}", site.address.port())).await;
    assert!(!matches!(fault, Fault::Unknown { .. }), "{fault}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_lets_its_owner_in_by_name() {
    let papers = Papers::new();
    for required in [false, true] {
        let site = Site::start(papers.server("ours-localhost", Some("ours.pem"), required)).await;
        let session = dial(&target(&papers.url(&site, Some("ours-tokyo"))), 1 << 20, KEEP_ALIVE).await.unwrap();
        assert!(session.caller().call(Function::Hello, Some(b"h".to_vec())).await.is_ok());
        let fault = fault_of(&papers.url(&site, Some("ours-osaka"))).await;
        assert!(matches!(fault, Fault::Unwelcome { .. }), "{fault}");
        for own in ["theirs-tokyo", "ours-tokyo-expired"] {
            let fault = fault_of(&papers.url(&site, Some(own))).await;
            assert!(matches!(fault, Fault::Tls { .. } | Fault::Lost { .. }), "{own}: {fault}");
        }
        let fault = fault_of(&papers.url(&site, None)).await;
        match required {
            false => assert!(matches!(fault, Fault::Unknown { .. }), "{fault}"),
            true => assert!(matches!(fault, Fault::Tls { .. } | Fault::Lost { .. }), "{fault}"),
        }
    }
}
