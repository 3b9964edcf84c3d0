//! Both ends of a session, between two edge nodes, and whatever may happen to what they say: it is lost, spoilt, answered by something else, or comes after
//! the connection is gone. Once nothing happens any more, both hold the same.
//!
//! An input is what happens, one thing after the other; the first byte of each says what.
#![no_main]

use gundb_core::store::{Called, Caller, Next, Request, Response, Terms};
use gundb_fuzz::{edge, empty};
use gundb_node::{Edge, New};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;

/// So many inputs meet one pair of nodes.
const KEPT: u32 = 300;
/// Calls, at most, until two nodes to which nothing happens hold the same.
const CALLS_MAX: usize = 200;

struct Pair {
    boat: Edge,
    shore: Edge,
    inputs: u32,
    now_ms: u64,
}

impl Pair {
    fn new() -> Pair {
        Pair { boat: edge(), shore: empty(), inputs: 0, now_ms: 1_800_000_000_000 }
    }
}

thread_local! {
    static PAIR: RefCell<Option<Pair>> = const { RefCell::new(None) };
}

fn append(edge: &Edge, n: u8) {
    let event = New { stream: "s".into(), kind: "B".into(), data: format!("[{n}]"), ..New::default() };
    // The other node may not have heard of the stream yet.
    let _ = edge.append_one(event);
}

/// What the end that is called says.
fn answer(called: &mut Called, shore: &Edge, request: Request, now_ms: u64) -> Option<Response> {
    Some(match request {
        Request::Hello(hello) => Response::Hello(called.hello(shore, &hello, now_ms).ok()?),
        Request::Push(bundle) => Response::Receipt(called.push(shore, &bundle).ok()?),
        Request::Pull(receipt) => Response::Bundle(called.pull(shore, receipt.as_deref(), now_ms).ok()?),
    })
}

/// Changes a byte of a message.
fn spoil(bytes: &mut [u8], at: u8, by: u8) {
    if let Some(length) = bytes.len().checked_sub(1) {
        bytes[length * usize::from(at) / 255] ^= by;
    }
}

fn spoilt(response: Response, at: u8, by: u8) -> Response {
    let (Response::Hello(mut bytes) | Response::Receipt(mut bytes) | Response::Bundle(Some(mut bytes))) =
        response.clone()
    else {
        return response;
    };
    spoil(&mut bytes, at, by);
    match response {
        Response::Hello(_) => Response::Hello(bytes),
        Response::Receipt(_) => Response::Receipt(bytes),
        Response::Bundle(_) => Response::Bundle(Some(bytes)),
    }
}

fn happen(pair: &mut Pair, mut input: &[u8]) {
    let mut caller = Caller::new("shore", Terms::all(), Edge::limits());
    let mut called = Called::new("boat", Terms::all(), Edge::limits());
    caller.connected();
    while let [what, at, by, rest @ ..] = input {
        input = rest;
        match what % 12 {
            0 => append(&pair.boat, *at),
            1 => append(&pair.shore, *at),
            2 => caller.news_here(),
            3 => caller.news_there(),
            4 => pair.now_ms += u64::from(*at) * 100,
            5 => {
                caller.closed();
                caller.connected();
                called = Called::new("boat", Terms::all(), Edge::limits());
            }
            what => {
                let Ok(Next::Call(call, mut request)) = caller.next(&pair.boat, pair.now_ms) else { continue };
                if what == 6
                    && let Request::Hello(bytes) | Request::Push(bytes) | Request::Pull(Some(bytes)) = &mut request
                {
                    spoil(bytes, *at, *by);
                }
                let answered = answer(&mut called, &pair.shore, request, pair.now_ms);
                let response = match what {
                    // It was done, and nobody hears of it.
                    7 => None,
                    8 => answered.map(|response| spoilt(response, *at, *by)),
                    // Another answer than what was asked for, with bytes of the input.
                    9 => {
                        let (bytes, rest) = input.split_at(usize::from(*at).min(input.len()));
                        input = rest;
                        Some(match by % 3 {
                            0 => Response::Hello(bytes.to_vec()),
                            1 => Response::Receipt(bytes.to_vec()),
                            _ => Response::Bundle(Some(bytes.to_vec()).filter(|bytes| !bytes.is_empty())),
                        })
                    }
                    _ => answered,
                };
                match response {
                    Some(response) => {
                        let _ = caller.answered(call, response, pair.now_ms);
                    }
                    None => caller.failed(pair.now_ms),
                }
            }
        }
    }
    settle(pair);
}

/// Nothing happens any more.
fn settle(pair: &mut Pair) {
    let mut caller = Caller::new("shore", Terms::all(), Edge::limits());
    let mut called = Called::new("boat", Terms::all(), Edge::limits());
    caller.connected();
    let digests = |pair: &Pair| [&pair.boat, &pair.shore].map(|edge| edge.digest(None).unwrap());
    for _ in 0..CALLS_MAX {
        match caller.next(&pair.boat, pair.now_ms) {
            Ok(Next::Call(call, request)) => match answer(&mut called, &pair.shore, request, pair.now_ms) {
                Some(response) => caller.answered(call, response, pair.now_ms).unwrap(),
                None => caller.failed(pair.now_ms),
            },
            Ok(Next::Wait(until_ms)) => {
                let [boat, shore] = digests(pair);
                if boat == shore {
                    return;
                }
                pair.now_ms = until_ms.unwrap_or(pair.now_ms).max(pair.now_ms + 10);
                caller.news_there();
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("they do not come to hold the same: {:?}, {:?}", pair.boat.clock(), pair.shore.clock());
}

fuzz_target!(|input: &[u8]| {
    PAIR.with_borrow_mut(|pair| {
        let used = pair.get_or_insert_with(Pair::new);
        happen(used, input);
        used.inputs += 1;
        if used.inputs == KEPT {
            for edge in [&used.boat, &used.shore] {
                assert_eq!(edge.verify().unwrap(), Vec::<String>::new());
            }
            *pair = None;
        }
    });
});
