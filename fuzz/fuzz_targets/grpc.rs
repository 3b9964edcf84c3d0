//! What comes by gRPC: each message is the same when it is written and read again, and a session or the service for applications answers whatever it says.
//!
//! The first byte says which message the rest is.
#![no_main]

use gundb_core::store::Store;
use gundb_fuzz::{KEPT, edge};
use gundb_node::Edge;
use gundb_node::peers::application::Counter;
use gundb_node::peers::config::Config;
use gundb_node::peers::daemon::Daemon;
use gundb_transport::grpc::wire::{
    AppendBatchRequest, AppendBatchResponse, AppendRequest, AppendResponse, ReadRequest, ReadResponse, SessionAnswer,
    SessionCall, StatusRequest, StatusResponse, ViewAtRequest, ViewRequest, ViewResponse, session_call::Call,
};
use gundb_transport::grpc::{Answers, Application, Credentials, Sessions};
use gundb_transport::session::Function;
use libfuzzer_sys::fuzz_target;
use prost::Message;
use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

/// A node that lets the caller `fuzz` do everything; how many messages it has had.
struct Node {
    edge: Arc<Edge>,
    daemon: Daemon,
    counter: Counter,
    messages: u32,
}

impl Node {
    fn new() -> Node {
        let edge = Arc::new(edge());
        let mut daemon = Daemon::new(Arc::clone(&edge) as Arc<dyn Store>, Edge::limits()).unwrap();
        let text = "[[grant]]\nname = \"fuzz\"\ncertificate = \"fuzz\"\naccept = \"any\"\napplication = true\n";
        daemon.apply(Config::parse(text, Path::new("gundb.toml")).unwrap()).unwrap();
        let counter =
            Counter::new(Arc::clone(&edge), Arc::clone(daemon.door()), daemon.states().clone(), daemon.news());
        Node { edge, daemon, counter, messages: 0 }
    }
}

thread_local! {
    static NODE: RefCell<Option<Node>> = const { RefCell::new(None) };
}

/// Reads a message. One that is read is read again as it is.
fn read<M: Message + Default + PartialEq + std::fmt::Debug>(bytes: &[u8]) -> Option<M> {
    let message = M::decode(bytes).ok()?;
    assert_eq!(M::decode(message.encode_to_vec().as_slice()).as_ref(), Ok(&message));
    Some(message)
}

fn answers(node: &Node, which: u8, bytes: &[u8]) {
    let shown = Credentials { names: vec!["fuzz".to_owned()], ..Credentials::default() };
    let guest = node.counter.admit(&shown).unwrap();
    match which % 8 {
        0 => {
            // Calls, each behind its length.
            let mut visit = node.daemon.door().admit(&shown).unwrap();
            let mut rest = bytes;
            while let Ok(call) = SessionCall::decode_length_delimited(&mut rest) {
                let (function, argument) = match call.call {
                    Some(Call::Hello(bytes)) => (Function::Hello, Some(bytes)),
                    Some(Call::Push(bytes)) => (Function::Push, Some(bytes)),
                    Some(Call::Pull(pull)) => (Function::Pull, pull.receipt),
                    Some(Call::Compare(bytes)) => (Function::Compare, Some(bytes)),
                    None => break,
                };
                if visit.answer(function, argument.as_deref()).is_err() || rest.is_empty() {
                    break;
                }
            }
        }
        1 => {
            let _ = read::<SessionCall>(bytes);
            let _ = read::<SessionAnswer>(bytes);
        }
        2 => {
            if let Some(request) = read::<AppendRequest>(bytes) {
                let events = request.event.into_iter().collect();
                let batch = AppendBatchRequest { stream: request.stream, events, depends_on: request.depends_on };
                let _ = node.counter.append(&guest, batch);
            }
        }
        3 => {
            if let Some(request) = read::<AppendBatchRequest>(bytes) {
                let count = request.events.len();
                if let Ok(appended) = node.counter.append(&guest, request) {
                    assert_eq!(appended.len(), count);
                }
            }
        }
        4 => {
            if let Some(request) = read::<ReadRequest>(bytes)
                && let Ok(page) = node.counter.read(&guest, &request)
            {
                page.clock.parse::<gundb_core::Clock>().unwrap();
            }
        }
        5 => {
            if let Some(request) = read::<ViewRequest>(bytes) {
                let _ = node.counter.view(&guest, &request, None, None);
            }
        }
        6 => {
            if let Some(request) = read::<ViewAtRequest>(bytes) {
                let view = request.view.unwrap_or_default();
                let _ = node.counter.view(&guest, &view, request.at.as_ref(), None);
            }
        }
        _ => {
            if read::<StatusRequest>(bytes).is_some() {
                node.counter.status(&guest).unwrap();
            }
            let _ = read::<StatusResponse>(bytes);
            let _ = read::<AppendResponse>(bytes);
            let _ = read::<AppendBatchResponse>(bytes);
            let _ = read::<ReadResponse>(bytes);
            let _ = read::<ViewResponse>(bytes);
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((which, bytes)) = bytes.split_first() else { return };
    NODE.with_borrow_mut(|node| {
        let used = node.get_or_insert_with(Node::new);
        answers(used, *which, bytes);
        used.messages += 1;
        // What was taken in stays, so that messages meet what others did; for a while.
        if used.messages == KEPT {
            assert_eq!(used.edge.verify().unwrap(), Vec::<String>::new());
            if let Some(node) = node.take() {
                node.daemon.stop();
            }
        }
    });
});
