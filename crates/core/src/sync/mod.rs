//! What two sites say to each other so that each comes to hold what the other holds, and in which order: without I/O.
//!
//! A `Sender` is told what its peer holds and what stands in its own streams, and frames bundles; a `Receiver` says of each that arrives whether it may
//! be applied, and answers with a receipt. Both directions of a session are such a pair, whoever dialled.
//!
//! What must always hold here: nothing is taken before what its author had seen, in the streams that the receiver takes; a lost bundle is noticed before
//! anything that depends on it is let through; nothing is left out because it came from the receiver's own site.
//!
//! | module | one noun |
//! |---|---|
//! | [`filter`] | which streams flow |
//! | [`message`] | hellos and receipts |
//! | [`ways`] | by which ways events come to sites |
//! | [`routes`] | what follows: whose events go on to whom |
//! | [`scope`] | which lanes and transactions a direction ships; what is read for it |
//! | [`sender`] | the sending end of a direction |
//! | [`receiver`] | the receiving end of a direction |
//! | [`dialler`] | the end of a session that calls |
//! | `session` | what it keeps of a session |
//! | [`answerer`] | the end of a session that is called |
//! | [`coupling`] | two ends that are called, coupled |
//! | [`courier`] | bundles that are carried |
//! | `bases` | epochs told as differences |
//!
//! The protocol is in `docs/protocol.md`.

pub mod answerer;
mod bases;
pub mod coupling;
pub mod courier;
pub mod dialler;
pub mod filter;
pub mod message;
pub mod receiver;
pub mod routes;
pub mod scope;
pub mod sender;
mod session;
pub mod ways;

/// Whether a moment has come that was set so many milliseconds ahead. One that seems further ahead was set before the wall clock went back.
fn has_come(at_ms: u64, ahead_ms: u64, now_ms: u64) -> bool {
    now_ms >= at_ms || at_ms > now_ms.saturating_add(ahead_ms)
}
