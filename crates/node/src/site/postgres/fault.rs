//! What an error of PostgreSQL is, in the kinds of [`crate::error`]. Its SQLSTATE and HINT are kept.

use gundb_transport::fault::Fault;
use gundb_transport::postgres::Target;

use crate::error::{Error, Kind};

/// What an error means that came while the database was dialled.
pub fn of_dialling(fault: Fault) -> Error {
    let (kind, message, hint) = match &fault {
        Fault::NoDatabase { database } => (
            Kind::NotFound,
            format!("there is no database \"{database}\" there"),
            Some("Make it: CREATE DATABASE; then gundb init --store URL --name NAME"),
        ),
        Fault::PasswordMissing { .. } => (
            Kind::Storage,
            fault.to_string(),
            Some("Name a file with the password by the parameter passfile of the URL."),
        ),
        Fault::File { .. } => (Kind::NotFound, fault.to_string(), fault.hint()),
        Fault::Host { .. } | Fault::Refused { .. } | Fault::Unreachable { .. } | Fault::Slow { .. } => {
            (Kind::Storage, fault.to_string(), Some("Is the server up, and does the URL lead there?"))
        }
        _ => (Kind::Storage, fault.to_string(), fault.hint()),
    };
    let error = Error::new(kind, message);
    hint.map_or_else(|| error.clone(), |hint| error.clone().hint(hint))
}

/// What an error means that a statement met.
pub fn of_statement(error: tokio_postgres::Error, target: &Target) -> Error {
    let Some(said) = error.as_db_error() else {
        return Error::new(Kind::Storage, Fault::of_session(error, target).to_string())
            .hint("Is the server up? What was acknowledged is there.");
    };
    let code = said.code().code();
    let mut message = said.message().to_owned();
    if let Some(detail) = said.detail() {
        message = format!("{message}: {}", detail.trim_end_matches('.'));
    }
    let error = Error { sqlstate: Some(code.to_owned()), ..Error::new(kind_of(code), message) };
    match (said.hint(), code) {
        (Some(hint), _) => error.hint(hint),
        (None, "42501") => error.hint("Ask the database's owner: GRANT, or SELECT gundb.grant_admin(role)."),
        (None, "42883") => error.hint("Perhaps the extension is of an older version: ALTER EXTENSION gundb UPDATE."),
        (None, _) => error,
    }
}

/// Of what kind an SQLSTATE is.
fn kind_of(sqlstate: &str) -> Kind {
    match sqlstate {
        // No such stream, consumer, table, object, or schema.
        "GD008" | "GD009" | "42P01" | "42704" | "3F000" => Kind::NotFound,
        // Another version, id or definition is there; something else depends on it; it is so already.
        "GD005" | "GD006" | "GD007" | "23505" | "42710" | "42P07" | "2BP01" | "55000" => Kind::Conflict,
        // Somebody else has it: the same may do later.
        "40001" | "40P01" | "55P03" | "55006" => Kind::Busy,
        "XX001" | "XX002" => Kind::Damaged,
        // The role has no right, or the server takes no writes.
        "42501" | "25006" => Kind::Storage,
        _ => match sqlstate.get(..2) {
            Some("GD" | "0A" | "21" | "22" | "23" | "42" | "54") => Kind::Invalid,
            _ => Kind::Storage,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_sqlstate_is_of_one_kind() {
        for (sqlstate, kind) in [
            ("GD008", Kind::NotFound),
            ("GD005", Kind::Conflict),
            ("GD003", Kind::Invalid),
            ("22P02", Kind::Invalid),
            ("42501", Kind::Storage),
            ("40001", Kind::Busy),
            ("57P01", Kind::Storage),
            ("XX001", Kind::Damaged),
            ("", Kind::Storage),
        ] {
            assert_eq!(kind_of(sqlstate), kind, "{sqlstate}");
        }
    }
}
