//! The CRDT value types. Thin: what each means, and what its bytes are, is in `gundb_core::crdt`.
//!
//! Must hold: what is stored is what core encodes, whose second byte names the kind. So one function serves all kinds,
//! and only reading from outside is told which kind to expect.
//!
//! | file | what lives there |
//! |---|---|
//! | `form` | text and binary, what a value is worth, what it is made of |
//! | `act` | what a site does to a value |
//! | `gather` | merging, and the aggregates |

mod act;
mod form;
mod gather;

use crate::call::Call;
use crate::error::{Error, Failure, Result, internal, state};
use crate::spi::varlena;
use gundb_core::crdt::{Crdt, MutationError};
use pgrx::pg_sys::Datum;

/// Argument `i`, a value of any kind.
fn value(call: Call, i: usize) -> Result<Crdt> {
    Crdt::decode(call.required(call.bytes(i), "value")?).map_err(damaged)
}

/// A value as a result.
fn stored(value: &Crdt) -> Result<Datum> {
    within_limit(value.encode()).map(|bytes| varlena(&bytes))
}

fn within_limit(bytes: Vec<u8>) -> Result<Vec<u8>> {
    if bytes.len() <= Crdt::BYTES_MAX {
        return Ok(bytes);
    }
    Err(too_large(format!(
        "A value has at most {} MB; this one would have {} bytes.",
        Crdt::BYTES_MAX >> 20,
        bytes.len()
    )))
}

fn too_large(detail: String) -> Failure {
    Error::new(state::TOO_LARGE, "the CRDT value would be too large")
        .detail(detail)
        .hint("Keep large content elsewhere and refer to it, or part the value into several.")
        .into()
}

fn damaged(why: impl core::fmt::Display) -> Failure {
    Error::new(state::CORRUPTED, "a stored CRDT value is damaged").detail(why.to_string()).into()
}

/// A function was declared for a kind that its body does not know.
fn misdeclared(value: &Crdt) -> Failure {
    internal(format!("this function is not for a {}", value.kind().name()))
}

impl From<MutationError> for Failure {
    fn from(error: MutationError) -> Failure {
        match error {
            MutationError::Overflow => {
                Error::new(state::OUT_OF_RANGE, "CRDT value out of range").detail(format!("{error}."))
            }
            MutationError::Rights { wanted, available } => {
                Error::new(state::CHECK, format!("{wanted} is more than the {available} that this site may take"))
                    .detail(
                        "A bcounter never falls below zero: a replica takes and gives only what it added or was given.",
                    )
                    .hint("Merge what others have given, or have one that has more give some with gundb.transfer().")
            }
            MutationError::Nul => Error::new(state::INVALID_PARAMETER, error.to_string()),
        }
        .into()
    }
}
