//! What an error of a PostgreSQL connection means.

use crate::fault::{Fault, line, source_text};
use crate::postgres::certificate;
use crate::postgres::url::{Host, Target};
use std::io;
use tokio_postgres::error::SqlState;

/// What is meant to be at the other end.
pub(crate) const SERVER: &str = "PostgreSQL server";

impl Fault {
    /// What an error means that came while a host was dialled.
    pub(crate) fn of_dialling(error: tokio_postgres::Error, target: &Target, host: &Host) -> Fault {
        if let Some(said) = error.as_db_error() {
            return Fault::of_peer(said, target);
        }
        if error.is_closed() {
            return Fault::Lost { why: "the peer closed it before the session began".to_owned() };
        }
        let text = error.to_string();
        let why = source_text(&error);
        // The kind of an error has no other name: its text is the crate's own.
        if text.contains("TLS") {
            return if why.contains("does not support TLS") {
                Fault::NoTls { mode: target.tls.mode.name() }
            } else {
                Fault::Tls { host: host.name.clone(), why: certificate::in_words(why) }
            };
        }
        if why.contains("password missing") {
            return Fault::PasswordMissing { user: target.user.clone() };
        }
        Fault::of_connection(error)
    }

    /// What an error means that came in a session.
    pub fn of_session(error: tokio_postgres::Error, target: &Target) -> Fault {
        match error.as_db_error() {
            Some(said) => Fault::of_peer(said, target),
            None => Fault::of_connection(error),
        }
    }

    /// What an error means that the peer did not tell of.
    fn of_connection(error: tokio_postgres::Error) -> Fault {
        if error.is_closed() {
            return Fault::Lost { why: "the peer closed it".to_owned() };
        }
        let why = source_text(&error);
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
        match source.map(io::Error::kind) {
            Some(io::ErrorKind::TimedOut) => Fault::Lost { why: "the peer has fallen silent".to_owned() },
            Some(io::ErrorKind::UnexpectedEof) => Fault::Lost { why: "the peer closed it".to_owned() },
            Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => Fault::Rubbish { server: SERVER, why },
            Some(_) => Fault::Lost { why },
            None => Fault::Rubbish { server: SERVER, why },
        }
    }

    /// What the peer's own words mean.
    fn of_peer(error: &tokio_postgres::error::DbError, target: &Target) -> Fault {
        let code = error.code();
        let said = said(error);
        let user = target.user.clone();
        let database = target.database.clone();
        if *code == SqlState::INVALID_PASSWORD {
            Fault::Password { user }
        } else if *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION {
            Fault::Denied { user, said }
        } else if *code == SqlState::INVALID_CATALOG_NAME {
            Fault::NoDatabase { database }
        } else if *code == SqlState::INVALID_SCHEMA_NAME {
            Fault::NoExtension { database }
        } else if *code == SqlState::READ_ONLY_SQL_TRANSACTION {
            Fault::ReadOnly
        } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            Fault::NotGranted { user, said }
        } else if code.code().starts_with("57P") || *code == SqlState::TOO_MANY_CONNECTIONS {
            Fault::NotReady { said }
        } else {
            Fault::Peer { sqlstate: code.code().to_owned(), said }
        }
    }
}

/// What a server says, in one line.
fn said(error: &tokio_postgres::error::DbError) -> String {
    let mut said = error.message().to_owned();
    for more in [error.detail(), error.hint()].into_iter().flatten() {
        said.push_str(" — ");
        said.push_str(more);
    }
    line(&said)
}
