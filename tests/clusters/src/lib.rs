//! Real PostgreSQL servers for tests: started, killed, copied and dumped here.
//!
//! - [`machine`]: the clock and the disk that processes see;
//! - [`postgres`]: an installed PostgreSQL, and running its programs;
//! - [`cluster`]: one server, from its data directory to its death;
//! - [`daemon`]: `gundb run`, a process
//! - [`session`]: SQL to it, and its errors by SQLSTATE;
//! - [`proxy`]: the cable between two servers;
//! - [`events`]: what must hold of a stream's lanes, and the log of who saw which event under which dot;
//! - [`history`]: what sessions saw, and whether that is causally consistent;
//! - [`sites`]: several sites and the cables between them;
//! - [`subject`]: a session that is given bad input and must survive it;
//! - [`wire`]: certificates, and a wire that delays or swallows what is sent;
//! - [`seed`]: random numbers that can be had again.
//!
//! What must hold: a test ends the servers that it started, and signals no other process; everything it writes lies in
//! temporary directories that go with it. When a test fails, the end of its server's log is printed.

pub mod cluster;
pub mod daemon;
pub mod events;
pub mod history;
pub mod machine;
pub mod postgres;
pub mod proxy;
pub mod seed;
pub mod session;
pub mod sites;
pub mod subject;
pub mod wire;

pub use cluster::{Cluster, Stop};
pub use postgres::Postgres;
pub use session::Session;
