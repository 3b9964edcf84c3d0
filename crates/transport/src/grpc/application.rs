//! The service for applications: what is common to all of it. What the calls mean is the node's.
//!
//! What must always hold here: what is streamed is read page by page, the next once the caller has taken the one before; a caller that takes none for a
//! while is let go. At most so many calls work at once, whoever makes them.

use crate::grpc::credentials::Credentials;
use crate::grpc::refusal::{Refusal, RefusalKind};
use crate::grpc::server::Desk;
use crate::grpc::wire::application_server::Application as Service;
use crate::grpc::wire::{
    AppendBatchRequest, AppendBatchResponse, AppendRequest, AppendResponse, Appended, Event, ReadRequest, ReadResponse,
    StatusRequest, StatusResponse, ViewAtRequest, ViewRequest, ViewResponse, view_at_request::At,
};
use prost::Message;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

/// gRPC's clients take messages of 4 MiB unless they are told otherwise.
const MESSAGE_BYTES: usize = 3 << 20;

/// What a node offers to applications. Everything is called on threads that may wait.
pub trait Application: Send + Sync + 'static {
    /// One who was let in, and what it may.
    type Caller: Send + Sync + 'static;

    /// Lets a caller in, or not.
    fn admit(&self, shown: &Credentials) -> Result<Self::Caller, Refusal>;

    /// Appends events in one transaction; durable when it returns.
    fn append(&self, caller: &Self::Caller, request: AppendBatchRequest) -> Result<Vec<Appended>, Refusal>;

    /// The next page of events after `request.after`, of whole transactions, causes before effects.
    fn read(&self, caller: &Self::Caller, request: &ReadRequest) -> Result<EventPage, Refusal>;

    /// The next page of a view's rows, after the one whose place is `after`.
    fn view(
        &self,
        caller: &Self::Caller,
        request: &ViewRequest,
        at: Option<&At>,
        after: Option<&str>,
    ) -> Result<RowPage, Refusal>;

    /// How it goes.
    fn status(&self, caller: &Self::Caller) -> Result<StatusResponse, Refusal>;

    /// Changes when something was committed here, or came.
    fn news(&self) -> watch::Receiver<u64>;
}

/// Nobody serves applications.
impl Application for std::convert::Infallible {
    type Caller = ();

    fn admit(&self, _: &Credentials) -> Result<(), Refusal> {
        match *self {}
    }

    fn append(&self, (): &(), _: AppendBatchRequest) -> Result<Vec<Appended>, Refusal> {
        match *self {}
    }

    fn read(&self, (): &(), _: &ReadRequest) -> Result<EventPage, Refusal> {
        match *self {}
    }

    fn view(&self, (): &(), _: &ViewRequest, _: Option<&At>, _: Option<&str>) -> Result<RowPage, Refusal> {
        match *self {}
    }

    fn status(&self, (): &()) -> Result<StatusResponse, Refusal> {
        match *self {}
    }

    fn news(&self) -> watch::Receiver<u64> {
        match *self {}
    }
}

/// Events.
#[derive(Debug, Default)]
pub struct EventPage {
    /// Them.
    pub events: Vec<Event>,
    /// What the request for the next page says as `after`.
    pub clock: String,
    /// Whether there are more, now.
    pub more: bool,
}

/// Rows of a view.
#[derive(Debug, Default)]
pub struct RowPage {
    /// Each a JSON object.
    pub rows: Vec<String>,
    /// The place after which the next page begins, if there is one.
    pub next: Option<String>,
}

/// What serves it.
pub(super) struct Clerk<A> {
    application: Arc<A>,
    desk: Desk,
    /// Calls that work.
    working: Arc<Semaphore>,
    /// Streams that stand.
    streams: Arc<Semaphore>,
}

type Stream<T> = ReceiverStream<Result<T, Status>>;

impl<A: Application> Clerk<A> {
    pub(super) fn new(application: Arc<A>, desk: Desk) -> Clerk<A> {
        let (working, streams) = (desk.settings.working_max, desk.settings.streams_max);
        Clerk {
            application,
            desk,
            working: Arc::new(Semaphore::new(working)),
            streams: Arc::new(Semaphore::new(streams)),
        }
    }

    async fn admit<T>(&self, request: &Request<T>) -> Result<Arc<A::Caller>, Status> {
        let shown = self.desk.shown(request);
        let caller = self.work(move |application| application.admit(&shown)).await?;
        self.desk.let_in(request);
        Ok(Arc::new(caller))
    }

    fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&A) -> Result<T, Refusal> + Send + 'static,
    ) -> impl Future<Output = Result<T, Status>> + Send + 'static {
        on_thread(Arc::clone(&self.application), Arc::clone(&self.working), work)
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        let place = Arc::clone(&self.streams).try_acquire_owned();
        place.map_err(|_| Status::resource_exhausted("too many streams stand already"))
    }

    /// Streams events; at their end waits for more, or ends.
    async fn events(
        &self,
        request: Request<ReadRequest>,
        watches: bool,
    ) -> Result<Response<Stream<ReadResponse>>, Status> {
        let caller = self.admit(&request).await?;
        let place = self.place()?;
        let (application, working) = (Arc::clone(&self.application), Arc::clone(&self.working));
        let (stall, mut stop) = (self.desk.settings.stall, self.desk.stop.clone());
        let mut request = request.into_inner();
        let is_limited = request.limit > 0;
        let (to, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            let _place = place;
            let mut news = application.news();
            loop {
                news.mark_unchanged();
                let (asked, who) = (request.clone(), Arc::clone(&caller));
                let read = move |application: &A| application.read(&who, &asked);
                let page = match on_thread(Arc::clone(&application), Arc::clone(&working), read).await {
                    Ok(page) => page,
                    Err(status) => {
                        let _ = timeout(stall, to.send(Err(status))).await;
                        return;
                    }
                };
                let count = page.events.len() as u64;
                request.after.clone_from(&page.clock);
                request.limit = request.limit.saturating_sub(count);
                let is_end = !page.more && !watches || is_limited && request.limit == 0;
                if count > 0 || is_end {
                    let mut messages = in_messages(page.events, Event::encoded_len);
                    let last = messages.pop().unwrap_or_default();
                    let before = messages.into_iter().map(|events| ReadResponse { events, clock: String::new() });
                    for response in before.chain([ReadResponse { events: last, clock: page.clock }]) {
                        if !matches!(timeout(stall, to.send(Ok(response))).await, Ok(Ok(()))) {
                            return;
                        }
                    }
                }
                if is_end {
                    return;
                }
                if page.more {
                    continue;
                }
                tokio::select! {
                    changed = news.changed() => if changed.is_err() { return },
                    () = to.closed() => return,
                    _ = stop.wait_for(|stops| *stops) => {
                        let _ = to.try_send(Err(Status::unavailable("this site is being stopped")));
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn rows<T>(
        &self,
        request: Request<T>,
        what: impl FnOnce(T) -> (ViewRequest, Option<At>),
    ) -> Result<Response<Stream<ViewResponse>>, Status> {
        let caller = self.admit(&request).await?;
        let place = self.place()?;
        let (application, working) = (Arc::clone(&self.application), Arc::clone(&self.working));
        let stall = self.desk.settings.stall;
        let (asked, at) = what(request.into_inner());
        let asked = Arc::new((asked, at));
        let mut left = Some(asked.0.limit).filter(|limit| *limit > 0);
        let (to, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            let _place = place;
            let mut after: Option<String> = None;
            loop {
                let (asked, who, place) = (Arc::clone(&asked), Arc::clone(&caller), after.take());
                let read = move |application: &A| application.view(&who, &asked.0, asked.1.as_ref(), place.as_deref());
                let page = on_thread(Arc::clone(&application), Arc::clone(&working), read).await;
                let page = page.map(|mut page| {
                    if let Some(left) = &mut left {
                        page.rows.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                        *left -= page.rows.len() as u64;
                    }
                    page
                });
                let is_end = page.as_ref().map_or(true, |page| page.next.is_none()) || left == Some(0);
                after = page.as_ref().ok().and_then(|page| page.next.clone());
                let messages = match page {
                    Ok(page) => {
                        in_messages(page.rows, String::len).into_iter().map(|rows| Ok(ViewResponse { rows })).collect()
                    }
                    Err(status) => vec![Err(status)],
                };
                for message in messages {
                    if !matches!(timeout(stall, to.send(message)).await, Ok(Ok(()))) {
                        return;
                    }
                }
                if is_end {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// As many things to a message as every client takes without being told to take more.
fn in_messages<T>(things: Vec<T>, length: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut messages = vec![Vec::new()];
    let mut bytes = 0;
    for thing in things {
        // And what stands around it.
        bytes += length(&thing) + 8;
        if bytes > MESSAGE_BYTES {
            messages.push(Vec::new());
            bytes = length(&thing) + 8;
        }
        if let Some(last) = messages.last_mut() {
            last.push(thing);
        }
    }
    messages.retain(|message| !message.is_empty());
    messages
}

/// Works on a thread that may wait, once there is a place.
async fn on_thread<A: Application, T: Send + 'static>(
    application: Arc<A>,
    working: Arc<Semaphore>,
    work: impl FnOnce(&A) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Status> {
    let closed = |_| Status::unavailable("this site is being stopped");
    let place = working.acquire_owned().await.map_err(closed)?;
    let worked = tokio::task::spawn_blocking(move || {
        let _place = place;
        work(&application)
    });
    let failed = |_| Refusal::new(RefusalKind::Failed, "a defect of gundb's: the call panicked");
    Ok(worked.await.map_err(failed)??)
}

#[tonic::async_trait]
impl<A: Application> Service for Clerk<A> {
    type ReadStream = Stream<ReadResponse>;
    type WatchStream = Stream<ReadResponse>;
    type ViewStream = Stream<ViewResponse>;
    type ViewAtStream = Stream<ViewResponse>;

    async fn append(&self, request: Request<AppendRequest>) -> Result<Response<AppendResponse>, Status> {
        let caller = self.admit(&request).await?;
        let AppendRequest { stream, event, depends_on } = request.into_inner();
        let event = event.ok_or_else(|| Status::invalid_argument("there is no event to append"))?;
        let request = AppendBatchRequest { stream, events: vec![event], depends_on };
        let appended = self.work(move |application| application.append(&caller, request)).await?;
        Ok(Response::new(AppendResponse { appended: appended.into_iter().next() }))
    }

    async fn append_batch(
        &self,
        request: Request<AppendBatchRequest>,
    ) -> Result<Response<AppendBatchResponse>, Status> {
        let caller = self.admit(&request).await?;
        let request = request.into_inner();
        let appended = self.work(move |application| application.append(&caller, request)).await?;
        Ok(Response::new(AppendBatchResponse { appended }))
    }

    async fn read(&self, request: Request<ReadRequest>) -> Result<Response<Self::ReadStream>, Status> {
        self.events(request, false).await
    }

    async fn watch(&self, request: Request<ReadRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.events(request, true).await
    }

    async fn view(&self, request: Request<ViewRequest>) -> Result<Response<Self::ViewStream>, Status> {
        self.rows(request, |request| (request, None)).await
    }

    async fn view_at(&self, request: Request<ViewAtRequest>) -> Result<Response<Self::ViewAtStream>, Status> {
        if request.get_ref().at.is_none() {
            return Err(Status::invalid_argument("at which clock, or time?"));
        }
        self.rows(request, |request| (request.view.unwrap_or_default(), request.at)).await
    }

    async fn status(&self, request: Request<StatusRequest>) -> Result<Response<StatusResponse>, Status> {
        let caller = self.admit(&request).await?;
        let status = self.work(move |application| application.status(&caller)).await?;
        Ok(Response::new(status))
    }
}
