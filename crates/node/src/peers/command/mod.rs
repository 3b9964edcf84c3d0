//! The commands about peers: `run`, `sync`, `peer`.
//!
//! | file | one noun |
//! |---|---|
//! | [`run`] | the daemon |
//! | [`site`] | the daemon of a PostgreSQL site |
//! | [`sync`] | everything exchanged once |
//! | [`peer`] | peers added, listed, paused, dropped |
//! | [`report`] | how peers are, as a file |

pub mod peer;
pub mod report;
pub mod run;
pub mod site;
pub mod sync;

use crate::peers::config::ConfigError;
use crate::peers::daemon::DaemonError;
use crate::peers::served::daemon::ServedError;
use gundb_core::store::StoreError;
use gundb_transport::courier::CourierFault;

/// Why a command did not do what it was told.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Peers could not be put to work.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The peers of a PostgreSQL site.
    #[error(transparent)]
    Served(#[from] ServedError),
    /// A courier's directory.
    #[error(transparent)]
    Courier(#[from] CourierFault),
    /// With some peers not everything was exchanged.
    #[error("not everything was exchanged with {}", .peers.join(", "))]
    Unsynced {
        /// Which.
        peers: Vec<String>,
    },
    /// Listening ended, and nobody had asked for that.
    #[error("listening ended: {why}")]
    Deaf {
        /// Why.
        why: String,
    },
}

impl CommandError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            CommandError::Config(error) => error.hint(),
            CommandError::Daemon(error) => error.hint(),
            CommandError::Courier(fault) => fault.hint().map(str::to_owned),
            CommandError::Served(ServedError::Busy) => {
                Some("One serves a database. Stop the other, or let it do the work.".to_owned())
            }
            _ => None,
        }
    }
}
