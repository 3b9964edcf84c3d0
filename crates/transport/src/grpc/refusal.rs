//! Why a caller gets nothing, as gRPC says it.

use crate::fault::{BEGIN_ANEW, Fault, line};
use tonic::{Code, Status};

/// A sentence, and of which kind it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{said}")]
pub struct Refusal {
    /// Of which kind.
    pub kind: RefusalKind,
    /// What the caller is told. No secret stands in it.
    pub said: String,
}

/// Kinds of refusals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// It showed nothing that is known.
    Unknown,
    /// It is known, and may not.
    Denied,
    /// There is no such thing.
    NotFound,
    /// What it said cannot be.
    Invalid,
    /// There is such a thing, and it is another one.
    Exists,
    /// Somebody was faster.
    Conflict,
    /// Something else has to come first: a hello, or what a clock says.
    NotYet,
    /// Too large, or too many.
    TooMuch,
    /// Later perhaps.
    NotReady,
    /// A failure of this side.
    Failed,
}

impl Refusal {
    /// A refusal of this kind.
    pub fn new(kind: RefusalKind, said: impl Into<String>) -> Refusal {
        Refusal { kind, said: said.into() }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Status {
        let code = match refusal.kind {
            RefusalKind::Unknown => Code::Unauthenticated,
            RefusalKind::Denied => Code::PermissionDenied,
            RefusalKind::NotFound => Code::NotFound,
            RefusalKind::Invalid => Code::InvalidArgument,
            RefusalKind::Exists => Code::AlreadyExists,
            RefusalKind::Conflict => Code::Aborted,
            RefusalKind::NotYet => Code::FailedPrecondition,
            RefusalKind::TooMuch => Code::ResourceExhausted,
            RefusalKind::NotReady => Code::Unavailable,
            RefusalKind::Failed => Code::Internal,
        };
        Status::new(code, line(&refusal.said))
    }
}

/// What a status means to who has dialled.
pub(super) fn fault(status: &Status, place: &str) -> Fault {
    let said = line(status.message());
    let why = crate::fault::source_text(status);
    if why.contains("fatal alert") || why.contains("invalid peer certificate") {
        return Fault::Tls { host: place.to_owned(), why };
    }
    match status.code() {
        Code::Unauthenticated => Fault::Unknown { said },
        Code::PermissionDenied => Fault::Unwelcome { said },
        Code::Unimplemented => Fault::NoSessions { place: place.to_owned(), said },
        // What the peer itself says; what the connection says is wrapped.
        Code::Unavailable if std::error::Error::source(status).is_none() => Fault::NotReady { said },
        Code::Unavailable | Code::Cancelled | Code::Unknown => {
            Fault::Lost { why: if why.is_empty() { said } else { why } }
        }
        Code::FailedPrecondition => Fault::Peer { sqlstate: BEGIN_ANEW.to_owned(), said },
        code => Fault::Peer { sqlstate: format!("{code:?}"), said },
    }
}
