//! Peers of a store: whom it dials, who dials in, and whom couriers go to.
//!
//! What must always hold here: what is sent, and what is taken, decide `gundb_core::store` and `gundb_core::sync`; how bytes get there, `gundb-transport`. Here
//! it is driven: a thread a peer, which waits for one thing at a time.
//!
//! | file | one noun |
//! |---|---|
//! | [`config`] | the configuration file |
//! | [`edit`] | changing it |
//! | [`daemon`] | all peers at once |
//! | `dial` | one peer that is dialled |
//! | `line` | a dialled connection |
//! | `inbox` | what a peer's thread is told |
//! | `backoff` | when to try again |
//! | [`guests`] | who may dial in |
//! | [`listen`] | who dials in |
//! | [`relay`] | who dials in to a PostgreSQL site |
//! | [`served`] | the peers of a PostgreSQL site, served on its behalf |
//! | [`post`] | one peer by courier, a round at a time |
//! | [`desk`] | what a site does for couriers |
//! | `on_the_way` | bundles that lie on their way by courier |
//! | [`reading`] | events for applications |
//! | [`application`] | the service for applications |
//! | `words` | what a peer said of itself by courier |
//! | `carry` | when there is a round |
//! | [`state`] | how it goes with each peer |
//! | [`command`] | the commands about peers |

pub mod application;
mod backoff;
mod carry;
pub mod command;
pub mod config;
pub mod daemon;
pub mod desk;
mod dial;
pub mod edit;
pub mod guests;
mod inbox;
mod line;
pub mod listen;
mod on_the_way;
pub mod post;
pub mod reading;
pub mod relay;
pub mod served;
pub mod state;
mod words;

/// The wall clock, in milliseconds since 1970.
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}
