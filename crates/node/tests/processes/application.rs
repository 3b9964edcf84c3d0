//! The service for applications of a daemon, by a client in Rust and by one that is generated for Python.

use crate::site::{Daemon, Site, free_port, token, token_of};
use bytes::{Buf, BufMut};
use gundb_transport::grpc::wire::application_client::ApplicationClient;
use gundb_transport::grpc::wire::{
    AppendBatchRequest, AppendRequest, NewEvent, ReadRequest, StatusRequest, ViewAtRequest, ViewRequest,
    view_at_request::At,
};
use prost::Message;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

type Client<F> = ApplicationClient<InterceptedService<Channel, F>>;

/// A daemon with a view, which lets in `app`, which may append readings, and read readings and stock; and `reader`, which may append nothing.
fn served(root: &Path) -> (Site, Daemon) {
    let site = Site::new(root, "shore", &["readings", "secrets"]);
    site.says(&["event", "define", "readings", "Measured", "--schema", r#"{"type": "object", "required": ["n"]}"#]);
    site.says(&["view", "create", "sums", "readings", r#"{"total": {"fold": "sum", "value": {"Measured": "n"}}}"#]);
    let grants = [("app", "\"readings\""), ("reader", "")].map(|(name, push)| {
        let path = token(root, name);
        format!(
            "[[grant]]\nname = \"{name}\"\ntoken_file = \"{}\"\npush = [{push}]\npull = [\"readings\"]\npeer = false\napplication = true\n",
            path.display()
        )
    });
    site.configure(&format!("[listen]\naddress = \"127.0.0.1:{}\"\n{}", free_port(), grants.concat()));
    let daemon = site.start();
    (site, daemon)
}

async fn client(port: u16, name: &str) -> Client<impl Fn(Request<()>) -> Result<Request<()>, Status> + use<>> {
    let channel = Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap();
    let token: MetadataValue<_> = format!("Bearer {}", token_of(name)).parse().unwrap();
    ApplicationClient::with_interceptor(channel.connect().await.unwrap(), move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", token.clone());
        Ok(request)
    })
}

fn event(n: i64) -> NewEvent {
    NewEvent { r#type: "Measured".into(), data: format!("{{\"n\": {n}}}"), key: Some("k".into()), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_appends_watches_and_looks_back() {
    let root = TempDir::new().unwrap();
    let (_site, daemon) = served(root.path());
    let mut app = client(daemon.port.unwrap(), "app").await;
    let mut watched =
        app.watch(ReadRequest { streams: vec!["readings".into()], ..Default::default() }).await.unwrap().into_inner();
    let append = |n| AppendRequest { stream: "readings".into(), event: Some(event(n)), depends_on: String::new() };
    let first = app.append(append(1)).await.unwrap().into_inner().appended.unwrap();
    assert!(first.seq == 1 && !first.duplicate && !first.id.is_empty());
    let page = watched.message().await.unwrap().unwrap();
    assert_eq!((page.events[0].data.as_str(), page.events[0].id.as_str()), ("{\"n\": 1}", first.id.as_str()));
    let after_first = page.clock;
    let batch = AppendBatchRequest {
        stream: "readings".into(),
        events: (2..=5).map(event).collect(),
        depends_on: after_first.clone(),
    };
    assert_eq!(app.append_batch(batch).await.unwrap().into_inner().appended.len(), 4);
    assert_eq!(watched.message().await.unwrap().unwrap().events.len(), 4);
    // The same id with the same content is the first one's; with other content it is another matter.
    let again = AppendRequest { event: Some(NewEvent { id: first.id.clone(), ..event(1) }), ..append(1) };
    assert!(app.append(again).await.unwrap().into_inner().appended.unwrap().duplicate);
    let other = AppendRequest { event: Some(NewEvent { id: first.id, ..event(9) }), ..append(1) };
    assert_eq!(app.append(other).await.unwrap_err().code(), Code::Aborted);
    let without = AppendRequest { event: Some(NewEvent { data: "{}".into(), ..event(1) }), ..append(1) };
    assert_eq!(app.append(without).await.unwrap_err().code(), Code::InvalidArgument);
    let nowhere = AppendRequest { stream: "secrets".into(), ..append(1) };
    assert_eq!(app.append(nowhere).await.unwrap_err().code(), Code::PermissionDenied);
    // Rows, now and as they were.
    let view = ViewRequest { view: "sums".into(), ..Default::default() };
    let rows = app.view(view.clone()).await.unwrap().into_inner().message().await.unwrap().unwrap().rows;
    assert_eq!(rows, ["{\"key\": \"k\", \"total\": 15}"]);
    let at = ViewAtRequest { view: Some(view), at: Some(At::Clock(after_first.clone())) };
    let rows = app.view_at(at).await.unwrap().into_inner().message().await.unwrap().unwrap().rows;
    assert_eq!(rows, ["{\"key\": \"k\", \"total\": 1}"]);
    // Reading on from a clock, and what may not be read.
    let request = ReadRequest { after: after_first, limit: 2, ..Default::default() };
    let page = app.read(request).await.unwrap().into_inner().message().await.unwrap().unwrap();
    assert_eq!(page.events.len(), 4, "a transaction is given whole");
    let status = app.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.name.as_str(), status.streams.len()), ("shore", 1));
    let mut reader = client(daemon.port.unwrap(), "reader").await;
    assert_eq!(reader.append(append(1)).await.unwrap_err().code(), Code::PermissionDenied);
    let missing = ReadRequest { streams: vec!["nothing".into()], ..Default::default() };
    let status = reader.read(missing).await.unwrap().into_inner().message().await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let mut nobody = client(daemon.port.unwrap(), "nobody").await;
    assert_eq!(nobody.status(StatusRequest {}).await.unwrap_err().code(), Code::Unauthenticated);
    daemon.stop();
}

#[test]
fn a_client_generated_for_python_appends_watches_and_reads_a_view() {
    let tools = Command::new("python3").args(["-c", "import grpc, grpc_tools, google.protobuf"]).output();
    if !tools.is_ok_and(|tools| tools.status.success()) {
        println!("skipped: Python has no grpcio and grpcio-tools here");
        return;
    }
    let root = TempDir::new().unwrap();
    let (_site, daemon) = served(root.path());
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let made = Command::new("python3")
        .args(["-m", "grpc_tools.protoc", "-I"])
        .arg(&proto)
        .arg(format!("--python_out={}", root.path().display()))
        .arg(format!("--grpc_python_out={}", root.path().display()))
        .arg("application.proto")
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let script = r#"
import sys
import grpc
import application_pb2 as pb
import application_pb2_grpc as stubs
port, token = sys.argv[1:]
channel = grpc.insecure_channel(f"127.0.0.1:{port}")
app = stubs.ApplicationStub(channel)
auth = [("authorization", "Bearer " + token)]
watch = app.Watch(pb.ReadRequest(streams=["readings"]), metadata=auth, timeout=20)
event = lambda n: pb.NewEvent(type="Measured", key="k", data='{"n": %d}' % n)
app.Append(pb.AppendRequest(stream="readings", event=event(1)), metadata=auth)
app.AppendBatch(pb.AppendBatchRequest(stream="readings", events=[event(2), event(3)]), metadata=auth)
seen = []
for page in watch:
    seen += [e.data for e in page.events]
    if len(seen) == 3:
        break
print(seen)
print([row for page in app.View(pb.ViewRequest(view="sums"), metadata=auth) for row in page.rows])
try:
    app.Status(pb.StatusRequest())
except grpc.RpcError as error:
    print(error.code().name)
"#;
    std::fs::write(root.path().join("client.py"), script).unwrap();
    let ran = Command::new("python3")
        .arg(root.path().join("client.py"))
        .args([daemon.port.unwrap().to_string(), token_of("app")])
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let expected = "['{\"n\": 1}', '{\"n\": 2}', '{\"n\": 3}']\n['{\"key\": \"k\", \"total\": 6}']\nUNAUTHENTICATED\n";
    assert_eq!(String::from_utf8_lossy(&ran.stdout), expected);
    daemon.stop();
}

/// Messages as bytes, whatever they say.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_anything_is_refused_and_the_daemon_lives() {
    let seed = std::env::var("GUNDB_SEED").ok().and_then(|seed| seed.parse().ok());
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    let mut state = seed.unwrap_or(clock) | 1;
    println!("GUNDB_SEED={state}");
    let mut below = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound.max(1) as u64) as usize
    };
    let root = TempDir::new().unwrap();
    let (site, daemon) = served(root.path());
    let port = daemon.port.unwrap();
    let mut app = client(port, "app").await;
    let append = AppendRequest { stream: "readings".into(), event: Some(event(1)), depends_on: "{}".into() };
    let first = app.append(append.clone()).await.unwrap().into_inner().appended.unwrap();
    let clock = app.status(StatusRequest {}).await.unwrap().into_inner().clock;
    let identified = NewEvent { id: first.id, expected_version: Some(1), ..event(2) };
    let view = ViewRequest { view: "sums".into(), ..Default::default() };
    let at = ViewAtRequest { view: Some(view.clone()), at: Some(At::Clock(clock.clone())) };
    let whole = [
        ("Append", AppendRequest { event: Some(identified.clone()), ..append.clone() }.encode_to_vec()),
        (
            "AppendBatch",
            AppendBatchRequest { stream: "readings".into(), events: vec![identified], depends_on: clock.clone() }
                .encode_to_vec(),
        ),
        ("Read", ReadRequest { streams: vec!["readings".into()], after: clock, ..Default::default() }.encode_to_vec()),
        ("View", view.encode_to_vec()),
        ("ViewAt", at.encode_to_vec()),
        ("Status", Vec::new()),
    ];
    let channel = Channel::from_shared(format!("http://127.0.0.1:{port}")).unwrap().connect().await.unwrap();
    let mut grpc = tonic::client::Grpc::new(channel);
    let mut refused = 0;
    for turn in 0..600 {
        let (method, bytes) = &whole[turn % whole.len()];
        let mut bytes = bytes.clone();
        match below(4) {
            0 => bytes = (0..below(200)).map(|_| below(256) as u8).collect(),
            1 => bytes.truncate(below(bytes.len())),
            _ => {
                for _ in 0..=below(4) {
                    let at = below(bytes.len());
                    bytes.splice(at..(at + below(2)).min(bytes.len()), (0..below(3)).map(|n| [0xff, 0x80][n % 2]));
                }
            }
        }
        grpc.ready().await.unwrap();
        let mut request = Request::new(bytes.clone());
        request.metadata_mut().insert("authorization", format!("Bearer {}", token_of("app")).parse().unwrap());
        let path = format!("/gundb.v1.Application/{method}").parse().unwrap();
        let answered = match grpc.server_streaming(request, path, Raw).await {
            Ok(answer) => answer.into_inner().message().await.map(drop),
            Err(status) => Err(status),
        };
        if let Err(status) = answered {
            refused += 1;
            let says = [Code::Unknown, Code::Unavailable, Code::Cancelled, Code::DataLoss].contains(&status.code());
            assert!(!says && !status.message().is_empty(), "{method} {bytes:?}: {status}");
        }
    }
    assert!(refused > 100, "{refused}");
    // It answers as before.
    let fresh = NewEvent { key: None, ..event(3) };
    app.append(AppendRequest { event: Some(fresh), ..append }).await.unwrap();
    daemon.stop();
    assert!(site.says(&["verify"]).contains("all chains are whole"));
}
