//! What stands in the table `meta`, by the words that name it.

use gundb_core::StreamId;

/// The version of the file's format: one byte.
pub const FORMAT: &str = "format";
/// The site's uuid.
pub const SITE: &str = "site";
/// The run that wrote last.
pub const RUN: &str = "run";
/// Its last epoch.
pub const EPOCH: &str = "epoch";
/// The number of the last bundle that was carried from here.
pub const BUNDLE: &str = "bundle";
/// A stamp of a transaction that ends in a stream which has not come: no stamp issued here is smaller.
pub const STAMP: &str = "stamp";
/// What is remembered of the site's links.
pub const LINKS: &str = "links";
/// The last group that was given to a stream or a view.
pub const GROUP: &str = "group";

/// Stands where a stream holds reverts.
pub fn reverting(stream: StreamId) -> String {
    format!("reverting {stream}")
}
