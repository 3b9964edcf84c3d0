//! A dialled connection, seen from the thread of its peer.
//!
//! What must always hold here: events of one dial carry its number, so what is late from an earlier one counts for nothing.

use crate::peers::inbox::{Event, Slot};
use gundb_transport::fault::Fault;
use gundb_transport::grpc;
use gundb_transport::postgres;
use gundb_transport::session::{Call, Session, Told, converse};
use gundb_transport::url::PeerUrl;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// Calls to one peer that may wait to be sent. The protocol's own window is smaller.
const CALLS_MAX: usize = 64;

/// What happens on a line.
#[derive(Debug)]
pub(super) enum Happened {
    /// The peer may be called.
    Connected,
    /// It says something.
    Told(Told),
    /// The line is gone, or never was.
    Closed(Fault),
}

/// A line. Its end says goodbye.
pub(super) struct Line {
    calls: mpsc::Sender<Call>,
}

impl Line {
    /// Dials. What happens is posted with this number.
    pub(super) fn dial(
        network: &Handle,
        url: PeerUrl,
        message_bytes_max: usize,
        keep_alive: Duration,
        number: u64,
        slot: Slot,
    ) -> Line {
        let (calls, mut called) = mpsc::channel(CALLS_MAX);
        network.spawn(async move {
            let ended = dialled(url, message_bytes_max, keep_alive, &mut called, number, &slot).await;
            if let Err(fault) = ended {
                slot.put(Event::Line(number, Happened::Closed(fault)));
            }
        });
        Line { calls }
    }

    /// Makes a call.
    pub(super) fn call(&self, call: Call) -> Result<(), Fault> {
        let lost = |_| Fault::Lost { why: "the connection is gone, or too many calls wait".to_owned() };
        self.calls.try_send(call).map_err(lost)
    }
}

async fn dialled(
    url: PeerUrl,
    message_bytes_max: usize,
    keep_alive: Duration,
    called: &mut mpsc::Receiver<Call>,
    number: u64,
    slot: &Slot,
) -> Result<(), Fault> {
    match url {
        PeerUrl::Postgres(target) => {
            let session = unless_gone(called, postgres::link::Session::dial(&Arc::new(*target), None)).await?;
            talk(session, called, keep_alive, number, slot).await
        }
        PeerUrl::Grpc(target) => {
            let session = unless_gone(called, grpc::dial(&target, message_bytes_max, keep_alive)).await?;
            talk(session, called, keep_alive, number, slot).await
        }
        PeerUrl::File(_) | PeerUrl::Exec(_) => Err(Fault::Lost { why: "no session goes this way".to_owned() }),
    }
}

/// Dials, unless nobody wants it any more.
async fn unless_gone<S>(
    called: &mut mpsc::Receiver<Call>,
    dialling: impl Future<Output = Result<S, Fault>>,
) -> Result<S, Fault> {
    tokio::select! {
        dialled = dialling => dialled,
        // Nothing is called before the line stands, so this is its end.
        _ = called.recv() => Err(Fault::Lost { why: "the line was given up".to_owned() }),
    }
}

async fn talk<S: Session>(
    mut session: S,
    called: &mut mpsc::Receiver<Call>,
    keep_alive: Duration,
    number: u64,
    slot: &Slot,
) -> Result<(), Fault> {
    slot.put(Event::Line(number, Happened::Connected));
    let tell = |told| {
        slot.put(Event::Line(number, Happened::Told(told)));
        std::future::ready(())
    };
    converse(&mut session, called, Some(keep_alive), tell).await?;
    session.close().await;
    Ok(())
}
