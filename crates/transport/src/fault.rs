//! Why there is no session with a peer, or no longer: a sentence each, for those who look at peers.
//!
//! What must always hold here: no password, no token and no content of a bundle stands in one, and what the peer says is cut to a length.

use std::time::Duration;

/// How much is repeated of what a peer says, in characters.
pub(crate) const SAID_MAX: usize = 1_000;

/// The SQLSTATE by which a peer says that the session is to begin anew.
pub(crate) const BEGIN_ANEW: &str = "55000";

/// Why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The name leads to no address.
    #[error("the host {host} cannot be found: {why}")]
    Host {
        /// Its name.
        host: String,
        /// What the resolver says.
        why: String,
    },
    /// Nobody listens there.
    #[error("nobody answers at {place}: the connection was refused")]
    Refused {
        /// Where.
        place: String,
    },
    /// It cannot be reached.
    #[error("{place} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        place: String,
        /// What the system says.
        why: String,
    },
    /// It did not answer in time.
    #[error("{place} did not answer within {} s", .waited.as_secs_f32())]
    Slow {
        /// Where.
        place: String,
        /// How long that was.
        waited: Duration,
    },
    /// A file of this side cannot be used.
    #[error("the {what} {path} cannot be used: {why}")]
    File {
        /// What it is: the parameter that names it.
        what: &'static str,
        /// Which file.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// The peer has no TLS, and the URL asks for it.
    #[error("the peer does not offer TLS, and the URL's sslmode={mode} asks for it")]
    NoTls {
        /// The mode.
        mode: &'static str,
    },
    /// TLS did not come about.
    #[error("TLS with {host} failed: {why}")]
    Tls {
        /// With whom.
        host: String,
        /// Why.
        why: String,
    },
    /// The peer asks for a password, and there is none.
    #[error("the peer asks for a password for the role {user}, and none is known here")]
    PasswordMissing {
        /// For whom.
        user: String,
    },
    /// It is the wrong one, or there is no such role.
    #[error("the peer does not take the password of the role {user}")]
    Password {
        /// Whose.
        user: String,
    },
    /// The role may not log in there, or not from here.
    #[error("the peer does not let the role {user} in: {said}")]
    Denied {
        /// Whom.
        user: String,
        /// What the peer says.
        said: String,
    },
    /// There is no such database.
    #[error("the peer's server has no database {database}")]
    NoDatabase {
        /// Which one.
        database: String,
    },
    /// It does not have the extension.
    #[error("the peer's database {database} does not have the extension gundb")]
    NoExtension {
        /// Which database.
        database: String,
    },
    /// It has the extension, from before there were sessions.
    #[error("the peer's gundb is version {version}, which has no sessions")]
    Older {
        /// Its version.
        version: String,
    },
    /// The role may not.
    #[error("the peer does not take the role {user} as a peer: {said}")]
    NotGranted {
        /// Whom.
        user: String,
        /// What the peer says.
        said: String,
    },
    /// It takes no writes.
    #[error("the peer's server takes no writes: it is a standby")]
    ReadOnly,
    /// The peer's server is not there for sessions now: it starts, stops, or is full.
    #[error("the peer's server is not ready: {said}")]
    NotReady {
        /// What it says.
        said: String,
    },
    /// The peer failed at what it was asked for.
    #[error("the peer reports an error: {said}")]
    Peer {
        /// The five characters of the SQLSTATE.
        sqlstate: String,
        /// What it says.
        said: String,
    },
    /// The connection ended.
    #[error("the connection was lost: {why}")]
    Lost {
        /// How.
        why: String,
    },
    /// What came is not what such a server says.
    #[error("the peer does not speak as a {server} does: {why}")]
    Rubbish {
        /// What it should be.
        server: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The peer asks for a token, or a certificate, and got none that it knows.
    #[error("the peer does not know this site: {said}")]
    Unknown {
        /// What it says.
        said: String,
    },
    /// It knows this site, and gives it nothing.
    #[error("the peer does not take this site as a peer: {said}")]
    Unwelcome {
        /// What it says.
        said: String,
    },
    /// What is there offers no sessions.
    #[error("what answers at {place} offers no gundb sessions: {said}")]
    NoSessions {
        /// Where.
        place: String,
        /// What it says.
        said: String,
    },
    /// A token would travel for everyone to read.
    #[error("a token is not sent to {place} without TLS")]
    InTheClear {
        /// Where.
        place: String,
    },
}

impl Fault {
    /// Whether the peer says that the session is to begin anew, by a hello.
    pub fn begins_anew(&self) -> bool {
        matches!(self, Fault::Peer { sqlstate, .. } if sqlstate == BEGIN_ANEW)
    }

    /// It, and what to do about it.
    pub fn told(&self) -> String {
        told(self.to_string(), self.hint())
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Fault::NoTls { .. } => "Turn on ssl there, or ask for less by sslmode.",
            Fault::PasswordMissing { .. } => {
                "Give it by gundb.set_peer_secret(name, secret), or name a file by the parameter passfile of the URL."
            }
            Fault::NoExtension { .. } => "Run CREATE EXTENSION gundb there.",
            Fault::Older { .. } => "Install a later release there, and run ALTER EXTENSION gundb UPDATE.",
            // What the peer says may say it already.
            Fault::NotGranted { said, .. } if !said.contains("grant_peer") => {
                "Run SELECT gundb.grant_peer(role) there."
            }
            Fault::Unknown { .. } => {
                "Name a file with the token by the URL's parameter tokenfile, or a certificate by sslcert and sslkey."
            }
            Fault::InTheClear { .. } => "Write grpcs:// instead of grpc://, or add cleartext=yes where nobody listens.",
            _ => return None,
        })
    }
}

/// A sentence, and another one that says what to do.
pub(crate) fn told(what: String, hint: Option<impl AsRef<str>>) -> String {
    let Some(hint) = hint else { return what };
    let end = if what.ends_with(['.', ';', '!', '?']) { "" } else { "." };
    format!("{what}{end} {}", hint.as_ref())
}

/// What a peer says, in one line of a bounded length.
#[cfg(any(feature = "postgres", feature = "grpc"))]
pub(crate) fn line(said: &str) -> String {
    said.chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_MAX).collect()
}

/// The innermost cause, which is the one that says something.
#[cfg(any(feature = "postgres", feature = "grpc"))]
pub(crate) fn source_text(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    line(&innermost.to_string())
}
