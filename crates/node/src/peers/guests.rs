//! Who may come in, and how each is known.

use crate::peers::config::{Config, ConfigError, Grant};
use gundb_core::store::Terms;
use gundb_transport::grpc::{Credentials, Refusal, RefusalKind, Token};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

/// All of them.
#[derive(Debug)]
pub struct Guests(RwLock<Vec<Guest>>);

/// One who may come in.
#[derive(Debug, Clone)]
pub struct Guest {
    /// As it is configured.
    pub grant: Grant,
    /// What is agreed with it as a peer.
    pub terms: Terms,
    token: Option<Token>,
}

impl Guests {
    /// Those of a configuration. Reads their tokens.
    pub fn new(config: &Config) -> Result<Guests, ConfigError> {
        Ok(Guests(RwLock::new(guests(config)?)))
    }

    /// Another configuration holds.
    pub fn renew(&self, config: &Config) -> Result<(), ConfigError> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = guests(config)?;
        Ok(())
    }

    /// The grant that fits what is shown.
    pub fn guest(&self, shown: &Credentials) -> Result<Guest, Refusal> {
        let guests = self.0.read().unwrap_or_else(PoisonError::into_inner);
        // All are compared, so that it takes as long whoever comes.
        let fits = |guest: &&Guest| {
            let by_token = guest.token.is_some() && guest.token == shown.token;
            let by_name = guest.grant.certificate.as_ref().is_some_and(|name| shown.names.contains(name));
            by_token || by_name
        };
        let found: Vec<&Guest> = guests.iter().filter(fits).collect();
        let unknown = || {
            let said = match (&shown.token, shown.names.is_empty()) {
                (None, true) => "it showed neither a token nor a certificate",
                (None, false) => "its certificate bears no name that was granted anything here",
                (Some(_), _) => "its token is none that is known here",
            };
            Refusal::new(RefusalKind::Unknown, said)
        };
        found.first().map(|guest| (*guest).clone()).ok_or_else(unknown)
    }
}

fn guests(config: &Config) -> Result<Vec<Guest>, ConfigError> {
    let guest = |grant: &Grant| {
        let token = grant.token_file.as_deref().map(token).transpose()?;
        Ok(Guest { grant: grant.clone(), terms: config.terms_of_grant(grant)?, token })
    };
    config.grants.iter().map(guest).collect()
}

/// The token in a file of which others know nothing.
fn token(path: &Path) -> Result<Token, ConfigError> {
    let fault = |why: String| ConfigError::File { path: path.to_owned(), why };
    let metadata = fs::metadata(path).map_err(|error| fault(error.to_string()))?;
    let forbidden = if metadata.uid() == 0 { 0o037 } else { 0o077 };
    if !metadata.is_file() || metadata.mode() & forbidden != 0 {
        return Err(fault("others than its owner can read it; take their rights away (chmod 0600)".to_owned()));
    }
    let text = fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    Token::of_text(&text).ok_or_else(|| fault("it holds no token: at least 16 letters, digits and signs".to_owned()))
}
