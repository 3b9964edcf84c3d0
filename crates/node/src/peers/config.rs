//! The configuration file: whom this site dials, who may dial in, where it listens. `docs/transports.md` documents it.
//!
//! What must always hold here: no secret stands in it, only the names of files that hold one; a word that is not understood is an error, never passed over.

use gundb_core::store::{Link, Terms};
use gundb_core::sync::filter::{Filter, FilterError};
use gundb_core::sync::message::Accept;
use gundb_core::sync::sender::BUNDLE_BYTES;
use gundb_transport::url::{PeerUrl, UrlError, host_and_port};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The file's name in a store's directory.
pub const FILE_NAME: &str = "gundb.toml";
/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where this site listens; absent: nowhere.
    pub listen: Option<Listen>,
    /// Whom it dials, and whom couriers go to.
    #[serde(rename = "peer")]
    pub peers: Vec<Peer>,
    /// Who may dial in as a peer.
    #[serde(rename = "grant")]
    pub grants: Vec<Grant>,
    /// The longest pause between attempts to reach a peer, in seconds.
    pub reconnect_max: Option<u64>,
    /// After so many seconds of silence a peer is asked for a sign of life.
    pub keep_alive: Option<u64>,
}

/// Where it listens.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listen {
    /// Host and port, as in `[::]:4862`.
    pub address: String,
    /// Its certificate, in PEM; none: no TLS.
    pub certificate: Option<PathBuf>,
    /// The certificate's key.
    pub key: Option<PathBuf>,
    /// Who may have signed callers' certificates.
    pub client_roots: Option<PathBuf>,
    /// Whether callers must have one.
    #[serde(default)]
    pub client_certificate_required: bool,
    /// Sessions at once.
    pub sessions_max: Option<usize>,
    /// Connections at once.
    pub connections_max: Option<usize>,
}

/// One peer.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    /// By what it is known here; of a courier's directory, the name of its site.
    pub name: String,
    /// The way there.
    pub url: String,
    /// Which streams are sent there.
    #[serde(default = "all")]
    pub push: Vec<String>,
    /// Which are taken from there.
    #[serde(default = "all")]
    pub pull: Vec<String>,
    /// Whose events are taken.
    #[serde(default)]
    pub accept: Accepts,
    /// Whether it is left alone.
    #[serde(default)]
    pub paused: bool,
    /// The largest bundle that is taken, in bytes before compression.
    pub bundle_bytes: Option<u64>,
    /// How tightly bundles are packed: zstd's level, 0 for not at all.
    pub compression: Option<i32>,
    /// Of couriers: seconds between rounds.
    pub interval: Option<u64>,
    /// Of commands: how many seconds one run may take.
    pub timeout: Option<u64>,
    /// Of commands: what was given and not confirmed within so many seconds is given again.
    pub resend: Option<u64>,
}

/// One who may dial in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// By what it is known here.
    pub name: String,
    /// A file that holds the token that it shows.
    pub token_file: Option<PathBuf>,
    /// A name in the certificate that it shows.
    pub certificate: Option<String>,
    /// Of a PostgreSQL site: as which role it is there. What was granted the role says what flows.
    pub role: Option<String>,
    /// What it may bring.
    #[serde(default = "all")]
    pub push: Vec<String>,
    /// What it may take.
    #[serde(default = "all")]
    pub pull: Vec<String>,
    /// Whose events it may bring.
    #[serde(default = "own")]
    pub accept: Accepts,
    /// Whether it may be a peer.
    #[serde(default = "yes")]
    pub peer: bool,
    /// Whether it may use the service for applications: append to what it may bring, read what it may take.
    #[serde(default)]
    pub application: bool,
}

/// Whose events are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accepts {
    /// Those that the peer wrote itself.
    Own,
    /// Anybody's.
    #[default]
    Any,
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

fn own() -> Accepts {
    Accepts::Own
}

fn yes() -> bool {
    true
}

/// Why a file is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It cannot be read or written.
    #[error("the configuration {} cannot be used: {why}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        why: String,
    },
    /// It is not TOML, or says something that is not understood.
    #[error("the configuration {} says what is not understood: {why}", .path.display())]
    Malformed {
        /// Which.
        path: PathBuf,
        /// What is wrong, and where.
        why: String,
    },
    /// A peer's URL is none.
    #[error("peer \"{name}\": {error}")]
    Url {
        /// Whose.
        name: String,
        /// What is wrong with it.
        error: UrlError,
    },
    /// A list of streams is none.
    #[error("peer \"{name}\": {error}")]
    Filter {
        /// Whose.
        name: String,
        /// What is wrong with it.
        error: FilterError,
    },
    /// Something else.
    #[error("{why}")]
    Wrong {
        /// What.
        why: String,
    },
}

impl ConfigError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            ConfigError::Url { error, .. } => error.hint(),
            _ => None,
        }
    }
}

impl Config {
    /// Reads a file; one that is not there says nothing.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        match text_of(path)? {
            None => Ok(Config::default()),
            Some(text) => Config::parse(&text, path),
        }
    }

    /// Reads a file's text, and looks whether it makes sense.
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        let malformed = |error: toml_edit::de::Error| ConfigError::Malformed {
            path: path.to_owned(),
            why: error.to_string().trim_end().to_owned(),
        };
        let config: Config = toml_edit::de::from_str(text).map_err(malformed)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |why: String| Err(ConfigError::Wrong { why });
        let mut names = BTreeSet::new();
        for name in self.peers.iter().map(|peer| &peer.name).chain(self.grants.iter().map(|grant| &grant.name)) {
            check_name(name)?;
            if !names.insert(name) {
                return wrong(format!("two peers or grants have the name \"{name}\""));
            }
        }
        for peer in &self.peers {
            peer.url()?;
            self.terms_of(peer)?;
        }
        for grant in &self.grants {
            self.terms_of_grant(grant)?;
            if grant.token_file.is_none() == grant.certificate.is_none() {
                return wrong(format!("grant \"{}\" has a token_file or a certificate, one of the two", grant.name));
            }
        }
        if let Some(listen) = &self.listen {
            listen.place()?;
            if listen.certificate.is_some() != listen.key.is_some() {
                return wrong("listen: certificate and key go together".to_owned());
            }
            if listen.certificate.is_none() && listen.client_roots.is_some() {
                return wrong(
                    "listen: client_roots needs a certificate and a key: without TLS nobody shows one".to_owned(),
                );
            }
            if listen.client_certificate_required && listen.client_roots.is_none() {
                return wrong("listen: client_certificate_required needs client_roots".to_owned());
            }
        }
        Ok(())
    }

    /// What is agreed with a peer.
    pub fn terms_of(&self, peer: &Peer) -> Result<Terms, ConfigError> {
        Ok(Terms {
            link: peer_link(peer),
            is_dialled: true,
            push: filter(&peer.name, &peer.push)?,
            pull: filter(&peer.name, &peer.pull)?,
            accept: peer.accept.into(),
            links: self.links()?,
            bundle_bytes_max: peer.bundle_bytes.unwrap_or(BUNDLE_BYTES).clamp(64 << 10, 64 << 20),
            compression: peer.compression.unwrap_or(1).clamp(0, 19),
        })
    }

    /// What is agreed with one who dials in: what it brings is taken, what it takes is sent.
    pub fn terms_of_grant(&self, grant: &Grant) -> Result<Terms, ConfigError> {
        Ok(Terms {
            link: grant_link(grant),
            is_dialled: false,
            push: filter(&grant.name, &grant.pull)?,
            pull: filter(&grant.name, &grant.push)?,
            accept: grant.accept.into(),
            links: self.links()?,
            bundle_bytes_max: BUNDLE_BYTES,
            compression: 1,
        })
    }

    /// All links by which events may come.
    fn links(&self) -> Result<Arc<Vec<Link>>, ConfigError> {
        let mut links = Vec::new();
        for peer in self.peers.iter().filter(|peer| !peer.paused) {
            let pull = filter(&peer.name, &peer.pull)?;
            links.push(Link { name: peer_link(peer), pull, accept: peer.accept.into(), is_dialled: true });
        }
        for grant in self.grants.iter().filter(|grant| grant.peer) {
            let pull = filter(&grant.name, &grant.push)?;
            links.push(Link { name: grant_link(grant), pull, accept: grant.accept.into(), is_dialled: false });
        }
        Ok(Arc::new(links))
    }

    /// The longest pause between attempts.
    pub fn reconnect_max(&self) -> Duration {
        Duration::from_secs(self.reconnect_max.unwrap_or(60).max(1))
    }

    /// The longest silence.
    pub fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive.unwrap_or(20).max(1))
    }
}

impl Peer {
    /// The way there.
    pub fn url(&self) -> Result<PeerUrl, ConfigError> {
        PeerUrl::parse(&self.url).map_err(|error| ConfigError::Url { name: self.name.clone(), error })
    }

    /// Between rounds.
    pub fn interval(&self) -> Duration {
        let usual = if self.url.starts_with("exec:") { 300 } else { 5 };
        Duration::from_secs(self.interval.unwrap_or(usual).max(1))
    }

    /// After which what was not confirmed is given again.
    pub fn resend(&self) -> Duration {
        Duration::from_secs(self.resend.unwrap_or(3_600).max(1))
    }
}

impl Listen {
    /// The host and the port.
    pub fn place(&self) -> Result<(String, u16), ConfigError> {
        let wrong = |error: UrlError| ConfigError::Wrong { why: format!("listen: \"{}\": {error}", self.address) };
        host_and_port(&self.address).map_err(wrong)
    }
}

impl From<Accepts> for Accept {
    fn from(accepts: Accepts) -> Accept {
        match accepts {
            Accepts::Own => Accept::Own,
            Accepts::Any => Accept::Any,
        }
    }
}

/// What the link to a peer is known by: a grant may have the name of a peer.
fn peer_link(peer: &Peer) -> String {
    format!("peer {}", peer.name)
}

fn grant_link(grant: &Grant) -> String {
    format!("grant {}", grant.name)
}

fn filter(name: &str, patterns: &[String]) -> Result<Filter, ConfigError> {
    Filter::parse(patterns).map_err(|error| ConfigError::Filter { name: name.to_owned(), error })
}

/// A name that stands in the way of nothing: as PostgreSQL sites name peers.
pub fn check_name(name: &str) -> Result<(), ConfigError> {
    let fits = !name.is_empty()
        && name.len() <= 63
        && !name.chars().any(|c| c.is_control() || c == '/')
        && uuid::Uuid::parse_str(name).is_err();
    if fits {
        return Ok(());
    }
    let shown: String = name.chars().take(100).collect();
    Err(ConfigError::Wrong {
        why: format!(
            "\"{shown}\" cannot name a peer: a name has 1 to 63 bytes, no control characters and no /, and is no uuid"
        ),
    })
}

/// A file's text, if it is there.
pub(super) fn text_of(path: &Path) -> Result<Option<String>, ConfigError> {
    let fault = |why: String| ConfigError::File { path: path.to_owned(), why };
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fault(error.to_string())),
        Ok(metadata) if metadata.len() > FILE_BYTES_MAX => Err(fault("it is larger than 1 MB".to_owned())),
        Ok(_) => std::fs::read_to_string(path).map(Some).map_err(|error| fault(error.to_string())),
    }
}
