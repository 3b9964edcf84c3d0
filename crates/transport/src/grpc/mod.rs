//! Sessions over gRPC, both ends, and the service for applications (`proto/session.proto`, `proto/application.proto`).
//!
//! What must always hold here: who has not shown a token or a certificate that is known costs a connection for a few seconds and nothing else; who has, and
//! sends rubbish, floods, or never reads, costs one message each way and ends alone; nothing is waited for without a limit.
//!
//! | module | one noun |
//! |---|---|
//! | [`client`] | the end that dials |
//! | [`server`] | the end that listens |
//! | [`credentials`] | what a caller shows: a token, a certificate |
//! | [`refusal`] | why a caller gets nothing |
//! | [`answering`] | one session at the end that listens |
//! | [`application`] | the service for applications |
//! | `door` | connections, as they come in |
//! | [`wire`] | what the build makes of the proto files |

pub mod answering;
pub mod application;
pub mod client;
pub mod credentials;
mod door;
pub mod refusal;
pub mod server;

/// What the build makes of the proto files.
#[allow(clippy::all, clippy::pedantic, missing_docs, reason = "generated")]
pub mod wire {
    include!(concat!(env!("OUT_DIR"), "/gundb.v1.rs"));

    /// What is served, for those who ask.
    pub const SERVICES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/services.bin"));
}

pub use answering::{Answers, Sessions};
pub use application::Application;
pub use client::dial;
pub use credentials::{Credentials, Token};
pub use refusal::{Refusal, RefusalKind};
pub use server::{ServerSettings, ServerTls, serve};
