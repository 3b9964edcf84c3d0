//! What a peer's URL may be: what those who dial it take.

use crate::error::{Error, Result, state};
use crate::stamp;
use gundb_transport::url::PeerUrl;

/// Whether a peer's URL is one that the worker dials.
pub fn is_dialled(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

/// Refuses what cannot be a peer's URL. A message never repeats a URL that holds a password.
pub fn check(url: &str) -> Result<()> {
    let parsed = PeerUrl::parse(url).map_err(|why| {
        let error = Error::new(state::INVALID_PARAMETER, why.to_string());
        match why.hint() {
            Some(hint) => error.hint(hint),
            None => error,
        }
    })?;
    if matches!(parsed, PeerUrl::Postgres(_)) {
        return Ok(());
    }
    let scheme = url.split(':').next().unwrap_or_default();
    stamp::notice(format!("the server does not dial \"{scheme}:\" itself: gundb run serves such peers"))
}
