//! Exchanging events with other sites: what is configured, what is read to be sent, what comes, and how it goes.
//!
//! What is said, and in which order, decides [`gundb_core::sync`]; here it is told what stands in the database, and what
//! it decides is done. Nothing here waits for another site: the worker and whoever dials in carry what is said.
//!
//! Must hold: what is sent is seen through one snapshot; what comes is applied in one transaction with the clock, the
//! epochs and the views; before anything else a session's role is looked at; names from a peer never reach SQL unquoted.
//!
//! | file | one noun |
//! |---|---|
//! | `peer` | adding, altering, dropping, pausing, granting |
//! | `url` | what a peer's URL may be |
//! | `flows` | which streams flow, and this site's hello |
//! | `lanes` | whole events of a lane, read by its index |
//! | `outgoing` | pages of transactions to be sent |
//! | `incoming` | bundles into this database |
//! | `adopt` | streams of peers that become tables here |
//! | `session` | what the other site calls |
//! | `settings` | what is set for a connection that is called |
//! | `served` | what `gundb run` calls for the peers that it serves |
//! | `courier` | bundles that go by other ways |
//! | `seeing` | lag, waiting, figures |
//! | `compare` | what this site and a peer hold, compared |
//! | `identity` | a copy that becomes a site of its own |

mod adopt;
pub mod compare;
mod courier;
mod flows;
mod identity;
mod incoming;
mod lanes;
mod outgoing;
mod peer;
mod seeing;
mod served;
pub mod session;
mod settings;
mod url;

pub use adopt::adopt;
pub use courier::open_kept;
pub use flows::{Terms, With, hear, hello};
pub use incoming::{Here, apply, known_streams, limits, stage};
pub use outgoing::page;
pub use peer::{Options, pause};
pub use url::is_dialled;
