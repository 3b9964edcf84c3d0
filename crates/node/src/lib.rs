//! The edge node of gundb: the streams, folds, bundles and sessions of a PostgreSQL site, in one key-value file and a few megabytes of memory.
//!
//! | module | one noun |
//! |---|---|
//! | [`store`] | the edge store, on redb |
//! | [`view`] | its views |
//! | [`site`] | a site as the command line sees it: an edge store, or a PostgreSQL site |
//! | [`typed`] | events and rows as values of Rust's |
//! | [`command`] | the command line |
//! | [`peers`] | sessions and couriers with other sites, and the daemon that runs them |
//! | [`progress`] | how far long work is |
//! | [`error`] | what went wrong, and what to do |
//!
//! Nothing about clocks, folds, bundles or sync is written again here: that is `gundb_core`.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

pub mod command;
pub mod error;
pub mod peers;
pub mod progress;
pub mod site;
pub mod store;
pub mod typed;
pub mod view;

pub use error::{Error, Kind, Result};
pub use store::{Appended, Durability, Edge, New, Options};

/// The examples of `docs/edge.md` run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/edge.md")]
struct EdgePage;
