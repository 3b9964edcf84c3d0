//! The peers of a PostgreSQL site whose URLs its worker does not dial, served by `gundb run`.
//!
//! What must always hold here: what flows, what is taken and what is known of a peer is the database's alone; here nothing of it is kept. A peer's thread ends
//! with the connection that holds the lock of the database's one daemon, and what one peer does holds no other up.
//!
//! | file | one noun |
//! |---|---|
//! | [`daemon`] | all of them at once |
//! | `coupled` | one that is called: its end of the session and the database's, coupled |
//! | `exchange` | one session of it |
//! | `carried` | one that couriers go to |
//! | `desk` | what the database does for couriers |
//! | [`once`] | everything exchanged once |

mod carried;
mod coupled;
pub mod daemon;
mod desk;
mod exchange;
pub mod once;

use crate::peers::state::States;
use gundb_core::bundle::WireLimits;
use gundb_transport::fault::Fault;
use gundb_transport::postgres::Target;
use gundb_transport::postgres::link::Session;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

/// A database, and what is needed to serve its peers.
#[derive(Clone)]
pub struct Home {
    target: Arc<Target>,
    network: Handle,
    limits: WireLimits,
    keep_alive: Duration,
    reconnect_max: Duration,
    states: States,
}

impl Home {
    /// This database.
    pub fn new(
        target: Target,
        network: Handle,
        limits: WireLimits,
        keep_alive: Duration,
        reconnect_max: Duration,
    ) -> Home {
        Home { target: Arc::new(target), network, limits, keep_alive, reconnect_max, states: States::default() }
    }

    async fn dial(&self) -> Result<Session, Fault> {
        Session::dial(&self.target, None).await
    }
}

/// What a peer's thread is told.
#[derive(Clone)]
struct Orders {
    stops: watch::Receiver<bool>,
    /// All is to be exchanged now.
    hurry: Arc<Notify>,
}

impl Orders {
    async fn stopped(&mut self) {
        // Who could tell it is gone as well.
        let _ = self.stops.wait_for(|stops| *stops).await;
    }
}

/// What is wrong with this site's own database.
fn at_home(fault: &Fault) -> String {
    match fault {
        Fault::NotGranted { user, .. } => format!("the role {user} may not serve peers. {}", grant(user)),
        _ => format!("this site's own database: {}", sentence(fault)),
    }
}

/// What lets a role serve peers.
fn grant(user: &str) -> String {
    format!("In the database: SELECT gundb.grant_daemon('{}');", user.replace('\'', "''"))
}

/// A fault, and what to do about it.
fn sentence(fault: &Fault) -> String {
    match fault.hint() {
        Some(hint) => format!("{fault}. {hint}"),
        None => fault.to_string(),
    }
}
