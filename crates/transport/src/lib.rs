//! The ways to a peer: a feature each.
//!
//! What must always hold here: nothing that the network causes panics or waits for ever, and no secret stands in an error or in what is printed. Bundles are
//! bytes here; what they mean is `gundb-core`'s. Nothing here may touch PostgreSQL's own memory or functions: it runs beside a server's main thread.
//!
//! | module | one noun |
//! |---|---|
//! | [`url`] | a peer's URL, whatever the way |
//! | [`session`] | live exchanges: what calls, and what is called |
//! | [`fault`] | why there is no session |
//! | [`courier`] | exchanges by storing and forwarding: where parcels are put, and where they come from |
//! | [`postgres`] | sessions over SQL with another site's PostgreSQL: the feature `postgres` |
//! | [`grpc`] | sessions over gRPC, both ends, and the service for applications: the feature `grpc` |
//! | [`file`] | parcels in a directory: the feature `file` |
//! | [`exec`] | parcels through a command: the feature `exec` |

pub mod courier;
#[cfg(feature = "exec")]
pub mod exec;
pub mod fault;
#[cfg(feature = "file")]
pub mod file;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "postgres", feature = "grpc"))]
mod secret_file;
pub mod session;
pub mod url;
