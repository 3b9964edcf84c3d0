//! Sessions over SQL with another site's PostgreSQL.
//!
//! | module | one noun |
//! |---|---|
//! | [`url`] | a peer's URL, in libpq's words |
//! | [`passfile`] | a password from a file, as libpq looks it up |
//! | [`tls`] | TLS, as libpq's `sslmode` understands it |
//! | [`certificate`] | whose certificate it is, and until when |
//! | [`link`] | one connection: dialled, settled, called |
//! | [`home`] | this site's own database, asked by `gundb run` |
//! | [`bounded`] | the length of what a peer may say |
//! | `fault` | what an error of such a connection means |
//! | [`network`] | the thread that all connections live on |

pub mod bounded;
pub mod certificate;
mod fault;
pub mod home;
pub mod link;
pub mod network;
pub mod passfile;
pub mod tls;
pub mod url;

pub use crate::fault::Fault;
pub use crate::session::Function;
pub use network::{Event, Link, Network, Refusal};
pub use url::{Target, UrlError};
