//! The service for applications over loopback, with a node without a store.

use crate::site::{Site, TOKEN};
use gundb_transport::grpc::wire::application_client::ApplicationClient;
use gundb_transport::grpc::wire::{
    AppendRequest, NewEvent, ReadRequest, StatusRequest, ViewAtRequest, ViewRequest, view_at_request::At,
};
use std::time::Duration;
use tonic::metadata::MetadataValue;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

type Client = ApplicationClient<InterceptedService<Channel, fn(Request<()>) -> Result<Request<()>, Status>>>;

fn with_token(mut request: Request<()>) -> Result<Request<()>, Status> {
    let token: MetadataValue<_> = format!("Bearer {TOKEN}").parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    Ok(request)
}

async fn channel(site: &Site) -> Channel {
    Channel::from_shared(format!("http://{}", site.address)).unwrap().connect().await.unwrap()
}

async fn client(site: &Site) -> Client {
    ApplicationClient::with_interceptor(channel(site).await, with_token)
}

fn append(stream: &str) -> AppendRequest {
    let event = NewEvent { r#type: "Measured".into(), data: "{}".into(), id: "an id".into(), ..Default::default() };
    AppendRequest { stream: stream.into(), event: Some(event), depends_on: String::new() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_appends_and_reads_by_pages_up_to_its_limit() {
    let site = Site::start(Site::settings()).await;
    let mut client = client(&site).await;
    let appended = client.append(append("readings")).await.unwrap().into_inner().appended.unwrap();
    assert_eq!(appended.id, "an id");
    assert_eq!(client.append(append("nothing")).await.unwrap_err().code(), Code::NotFound);
    let nothing = AppendRequest { event: None, ..append("readings") };
    assert_eq!(client.append(nothing).await.unwrap_err().code(), Code::InvalidArgument);
    site.news.send_replace(1_050);
    for (limit, expected) in [(0, 1_050), (200, 200)] {
        let request = ReadRequest { limit, ..Default::default() };
        let mut pages = client.read(request).await.unwrap().into_inner();
        let (mut count, mut clock) = (0, String::new());
        while let Some(page) = pages.message().await.unwrap() {
            count += page.events.len();
            clock = page.clock;
        }
        assert_eq!((count, clock), (expected, expected.to_string()));
    }
    let status = client.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!(status.name, "test");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_hears_of_each_event_and_of_the_end() {
    let site = Site::start(Site::settings()).await;
    let mut client = client(&site).await;
    site.news.send_replace(3);
    let mut pages = client.watch(ReadRequest { after: "1".into(), ..Default::default() }).await.unwrap().into_inner();
    assert_eq!(pages.message().await.unwrap().unwrap().events.len(), 2);
    for _ in 0..20 {
        client.append(append("readings")).await.unwrap();
        assert_eq!(pages.message().await.unwrap().unwrap().events.len(), 1);
    }
    site.stop.send_replace(true);
    assert_eq!(pages.message().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_that_never_reads_is_let_go_and_costs_a_page() {
    let site = Site::start(Site::settings()).await;
    let mut client = client(&site).await;
    // A hundred megabytes.
    site.news.send_replace(100_000);
    let mut pages = client.watch(ReadRequest::default()).await.unwrap().into_inner();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut count = 0;
    while let Ok(Some(page)) = pages.message().await {
        count += page.events.len();
    }
    assert!((1..20_000).contains(&count), "{count} events came after all");
    assert!(client.append(append("readings")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_comes_row_by_row_now_and_as_it_was() {
    let site = Site::start(Site::settings()).await;
    let mut client = client(&site).await;
    for (limit, expected) in [(0, 100), (25, 25)] {
        let request = ViewRequest { view: "stock".into(), limit, ..Default::default() };
        let mut pages = client.view(request).await.unwrap().into_inner();
        let mut rows = Vec::new();
        while let Some(page) = pages.message().await.unwrap() {
            rows.extend(page.rows);
        }
        assert_eq!(rows.len(), expected);
        assert_eq!(rows[24], "stock 24 false");
    }
    let at = ViewAtRequest { view: Some(ViewRequest::default()), at: Some(At::TimeMs(1)) };
    let page = client.view_at(at).await.unwrap().into_inner().message().await.unwrap().unwrap();
    assert_eq!(page.rows[0], " 0 true");
    let nowhere = ViewAtRequest { view: None, at: None };
    assert_eq!(client.view_at(nowhere).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_there_is_health_and_a_description_and_nothing_else() {
    let site = Site::start(Site::settings()).await;
    let channel = channel(&site).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel.clone());
    for service in ["gundb.v1.Peer", "gundb.v1.Application", ""] {
        let request = tonic_health::pb::HealthCheckRequest { service: service.into() };
        assert_eq!(health.check(request).await.unwrap().into_inner().status, 1, "{service}");
    }
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel.clone())
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) = answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("no list")
    };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    assert!(
        names.contains(&"gundb.v1.Application".to_owned()) && names.contains(&"gundb.v1.Peer".to_owned()),
        "{names:?}"
    );
    let mut client = ApplicationClient::new(channel);
    assert_eq!(client.append(append("readings")).await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(client.watch(ReadRequest::default()).await.unwrap_err().code(), Code::Unauthenticated);
}
