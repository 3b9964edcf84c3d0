//! A peer's URL, whatever the way to it.
//!
//! | URL | way |
//! |---|---|
//! | `postgres://user@host/database?…` | a session over SQL |
//! | `grpc://host:port?…`, `grpcs://host:port?…` | a session over gRPC; with an s over TLS |
//! | `file:///directory?…` | parcels in a directory |
//! | `exec:command` | parcels through a command, run by `/bin/sh` |
//!
//! What must always hold here: logs and views show URLs, so one that holds a secret is refused, and no error repeats it; a word that is not understood is an
//! error, never passed over; nothing is taken from the environment.

use percent_encoding::percent_decode_str;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The longest URL that is looked at, in bytes.
pub const URL_BYTES_MAX: usize = 4_096;
/// Where gRPC is listened for, if nothing is said.
pub const GRPC_PORT: u16 = 4_862;
/// The largest file that a courier writes, if nothing is said, in bytes.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// No file may be smaller, in bytes: a hello with a large clock must fit.
pub const FILE_BYTES_LEAST: u64 = 64 << 10;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const SCHEMES: [&str; 6] = ["postgres", "postgresql", "grpc", "grpcs", "file", "exec"];
const GRPC_PARAMETERS: [&str; 7] =
    ["cleartext", "connect_timeout", "server_name", "sslcert", "sslkey", "sslrootcert", "tokenfile"];
const FILE_PARAMETERS: [&str; 1] = ["file_bytes"];
/// Parameters that hold a secret.
const SECRETS: [&str; 3] = ["password", "sslpassword", "token"];

/// What a URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerUrl {
    /// A session over SQL.
    #[cfg(feature = "postgres")]
    Postgres(Box<crate::postgres::Target>),
    /// A session over gRPC.
    Grpc(GrpcTarget),
    /// Parcels in a directory.
    File(FileTarget),
    /// Parcels through a command.
    Exec(ExecTarget),
}

/// What a `grpc:` URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcTarget {
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS, where it is a `grpcs:` URL.
    pub tls: Option<GrpcTls>,
    /// A file that holds the token that is shown to the peer.
    pub token_file: Option<PathBuf>,
    /// Whether a token may be sent without TLS to another machine.
    pub cleartext: bool,
    /// How long all of the dialling may take.
    pub connect_timeout: Duration,
}

/// How TLS is done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrpcTls {
    /// A file of roots in PEM; none: those that the operating system trusts.
    pub roots: Option<PathBuf>,
    /// The certificate that is shown to the peer, and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The name that the peer's certificate must have, where that is not the host's.
    pub server_name: Option<String>,
}

/// What a `file:` URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTarget {
    /// The directory that both sides name.
    pub root: PathBuf,
    /// The largest file that is written, in bytes.
    pub file_bytes: u64,
}

/// What an `exec:` URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecTarget {
    /// The command line, for `/bin/sh -c`.
    pub command: String,
}

/// Why a text is not a peer's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It does not begin with a word and a colon.
    #[error("a peer's URL begins with how to get there")]
    NoScheme,
    /// Another way than those that there are.
    #[error("a peer's URL cannot begin with \"{found}:\"")]
    Scheme {
        /// The word.
        found: String,
    },
    /// The way was left out when this program was built.
    #[error("this program was built without {scheme}: URLs")]
    NotBuiltIn {
        /// Which way.
        scheme: &'static str,
    },
    /// Longer than [`URL_BYTES_MAX`].
    #[error("a peer's URL has at most {URL_BYTES_MAX} bytes")]
    TooLong,
    /// It holds one.
    #[error("a peer's URL must not hold a password or a token: logs and views show it")]
    Secret,
    /// Something about its form.
    #[error("the URL is malformed: {why}")]
    Malformed {
        /// What is wrong.
        why: &'static str,
    },
    /// A parameter that such URLs do not have.
    #[error("\"{name}\" is not a parameter of {scheme}: URLs")]
    UnknownParameter {
        /// Of which URLs.
        scheme: &'static str,
        /// Its name.
        name: String,
    },
    /// A value that the parameter does not take.
    #[error("\"{value}\" is no value of {parameter}: it takes {expected}")]
    Value {
        /// Of which parameter.
        parameter: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// A `postgres:` URL that is none.
    #[cfg(feature = "postgres")]
    #[error(transparent)]
    Postgres(#[from] crate::postgres::UrlError),
}

impl UrlError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            UrlError::Scheme { found } => Some(match gundb_core::similar(found, SCHEMES) {
                Some(similar) => format!("Did you mean \"{similar}:\"?"),
                None => format!("Ways are {}.", SCHEMES.join(", ")),
            }),
            UrlError::NoScheme => {
                Some("As in postgres://user@host/database, grpcs://tokyo.example or file:///media/stick.".to_owned())
            }
            UrlError::Secret => Some("Leave it out, and name a file: ?passfile=… or ?tokenfile=….".to_owned()),
            UrlError::UnknownParameter { scheme, name } => {
                let all: &[&str] = if *scheme == "file" { &FILE_PARAMETERS } else { &GRPC_PARAMETERS };
                Some(match gundb_core::similar(name, all.iter().copied()) {
                    Some(similar) => format!("Perhaps you meant \"{similar}\"."),
                    None => format!("They take {}.", all.join(", ")),
                })
            }
            #[cfg(feature = "postgres")]
            UrlError::Postgres(error) => error.hint(),
            _ => None,
        }
    }
}

impl PeerUrl {
    /// Parses a URL.
    pub fn parse(url: &str) -> Result<PeerUrl, UrlError> {
        if url.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        if url.chars().any(char::is_control) {
            return Err(UrlError::Malformed { why: "it has control characters" });
        }
        let (scheme, rest) = url.split_once(':').ok_or(UrlError::NoScheme)?;
        match scheme {
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => Ok(PeerUrl::Postgres(Box::new(crate::postgres::Target::parse(url)?))),
            #[cfg(not(feature = "postgres"))]
            "postgres" | "postgresql" => Err(UrlError::NotBuiltIn { scheme: "postgres" }),
            "grpc" => grpc(rest, false).map(PeerUrl::Grpc),
            "grpcs" => grpc(rest, true).map(PeerUrl::Grpc),
            "file" => file(rest).map(PeerUrl::File),
            "exec" => exec(rest).map(PeerUrl::Exec),
            found => Err(UrlError::Scheme { found: found.chars().take(20).collect() }),
        }
    }

    /// Whether it leads to a live exchange, not to parcels.
    pub fn is_session(&self) -> bool {
        !matches!(self, PeerUrl::File(_) | PeerUrl::Exec(_))
    }
}

fn grpc(rest: &str, is_tls: bool) -> Result<GrpcTarget, UrlError> {
    let rest = rest.strip_prefix("//").ok_or(UrlError::Malformed { why: "after grpc: goes //" })?;
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = place.split_once('/').unwrap_or((place, ""));
    if let Some((user, _)) = authority.rsplit_once('@') {
        return Err(match user.contains(':') {
            true => UrlError::Secret,
            false => UrlError::Malformed { why: "no user is named: the token or the certificate says who dials" },
        });
    }
    if !path.is_empty() {
        return Err(UrlError::Malformed { why: "nothing but parameters follows the host and the port" });
    }
    let (host, port) = host_and_port(authority)?;
    let mut target = GrpcTarget {
        host,
        port,
        tls: is_tls.then(GrpcTls::default),
        token_file: None,
        cleartext: false,
        connect_timeout: CONNECT_TIMEOUT,
    };
    let (mut certificate, mut key) = (None, None);
    for (name, value) in pairs(parameters)? {
        let path = (!value.is_empty()).then(|| PathBuf::from(&value));
        match (name.as_str(), &mut target.tls) {
            ("tokenfile", _) => target.token_file = path,
            ("connect_timeout", _) => target.connect_timeout = seconds("connect_timeout", value)?,
            ("cleartext", _) => target.cleartext = yes("cleartext", value)?,
            ("sslrootcert", Some(tls)) if value == "system" => tls.roots = None,
            ("sslrootcert", Some(tls)) => tls.roots = path,
            ("server_name", Some(tls)) => tls.server_name = (!value.is_empty()).then_some(value),
            ("sslcert", Some(_)) => certificate = path,
            ("sslkey", Some(_)) => key = path,
            ("sslrootcert" | "server_name" | "sslcert" | "sslkey", None) => {
                return Err(UrlError::Malformed {
                    why: "it speaks of TLS, which grpcs:// URLs have and grpc:// have not",
                });
            }
            _ => return Err(unknown("grpc", name)),
        }
    }
    match (certificate, key, &mut target.tls) {
        (Some(certificate), Some(key), Some(tls)) => tls.certificate = Some((certificate, key)),
        (None, None, _) => {}
        _ => return Err(UrlError::Malformed { why: "sslcert and sslkey go together" }),
    }
    Ok(target)
}

fn file(rest: &str) -> Result<FileTarget, UrlError> {
    let malformed = UrlError::Malformed { why: "it is written file:///directory, with three slashes" };
    let rest = rest.strip_prefix("//").ok_or(malformed.clone())?;
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    if !path.starts_with('/') {
        return Err(malformed);
    }
    let mut target = FileTarget { root: PathBuf::from(decoded(path)?), file_bytes: FILE_BYTES_MAX };
    for (name, value) in pairs(parameters)? {
        match name.as_str() {
            "file_bytes" => target.file_bytes = bytes("file_bytes", value)?,
            _ => return Err(unknown("file", name)),
        }
    }
    Ok(target)
}

fn exec(rest: &str) -> Result<ExecTarget, UrlError> {
    let command = rest.trim().to_owned();
    match command.is_empty() {
        true => Err(UrlError::Malformed { why: "after exec: goes a command" }),
        false => Ok(ExecTarget { command }),
    }
}

/// The host and the port of `name:port` or `[address]:port`.
pub fn host_and_port(authority: &str) -> Result<(String, u16), UrlError> {
    let malformed = |why| UrlError::Malformed { why };
    let (host, port) = match authority.strip_prefix('[') {
        Some(bracketed) => {
            let (host, port) = bracketed.split_once(']').ok_or(malformed("an address in brackets does not end"))?;
            let port = match port.strip_prefix(':') {
                None if port.is_empty() => "",
                port => port.ok_or(malformed("after an address in brackets goes a colon and the port"))?,
            };
            (host, port)
        }
        None => authority.split_once(':').unwrap_or((authority, "")),
    };
    let host = decoded(host)?;
    if host.is_empty() {
        return Err(malformed("it names no host"));
    }
    let is_of_a_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if !host.chars().all(is_of_a_host) {
        return Err(malformed("a host has letters, digits, dots and hyphens"));
    }
    let port = match port {
        "" => GRPC_PORT,
        port => port.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Value {
            parameter: "port",
            value: port.chars().take(20).collect(),
            expected: "a number from 1 to 65535",
        })?,
    };
    Ok((host, port))
}

fn pairs(parameters: &str) -> Result<Vec<(String, String)>, UrlError> {
    let given = parameters.split('&').filter(|parameter| !parameter.is_empty());
    let pairs = given.map(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name = decoded(name)?;
        if SECRETS.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(UrlError::Secret);
        }
        Ok((name, decoded(value)?))
    });
    pairs.collect()
}

fn decoded(text: &str) -> Result<String, UrlError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| UrlError::Malformed { why: "it is not UTF-8" })?;
    if text.contains('\0') {
        return Err(UrlError::Malformed { why: "it has a zero byte" });
    }
    Ok(text.into_owned())
}

fn unknown(scheme: &'static str, name: String) -> UrlError {
    UrlError::UnknownParameter { scheme, name: name.chars().take(64).collect() }
}

fn seconds(parameter: &'static str, value: String) -> Result<Duration, UrlError> {
    match value.parse::<u32>().ok().filter(|seconds| *seconds > 0) {
        Some(seconds) => Ok(Duration::from_secs(u64::from(seconds))),
        None => Err(UrlError::Value { parameter, value, expected: "a number of seconds" }),
    }
}

fn yes(parameter: &'static str, value: String) -> Result<bool, UrlError> {
    match value.as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(UrlError::Value { parameter, value, expected: "yes or no" }),
    }
}

/// Bytes, perhaps in kB, MB or GB of 1,024 each.
fn bytes(parameter: &'static str, value: String) -> Result<u64, UrlError> {
    let units = [("GB", 30), ("MB", 20), ("kB", 10), ("", 0)];
    let (digits, shift) =
        units.iter().find_map(|(unit, shift)| Some((value.strip_suffix(unit)?, *shift))).unwrap_or(("", 0));
    let found = digits.parse::<u64>().ok().and_then(|count| count.checked_mul(1 << shift));
    match found.filter(|found| *found >= FILE_BYTES_LEAST) {
        Some(found) => Ok(found),
        None => Err(UrlError::Value { parameter, value, expected: "bytes from 64kB on, as in 700MB" }),
    }
}

/// The place, without parameters.
impl fmt::Display for GrpcTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "grpcs" } else { "grpc" };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grpc_target(url: &str) -> GrpcTarget {
        match PeerUrl::parse(url) {
            Ok(PeerUrl::Grpc(target)) => target,
            other => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn a_grpc_url_says_where_and_how_it_is_protected() {
        let target = grpc_target("grpc://tokyo.example");
        assert_eq!((target.host.as_str(), target.port, target.tls.as_ref()), ("tokyo.example", GRPC_PORT, None));
        let target = grpc_target("grpcs://[::1]:99/?sslcert=/c.pem&sslkey=/k%20y.pem&sslrootcert=/r.pem&tokenfile=/t");
        assert_eq!((target.host.as_str(), target.port), ("::1", 99));
        let tls = target.tls.clone().unwrap();
        assert_eq!(tls.certificate, Some(("/c.pem".into(), "/k y.pem".into())));
        assert_eq!((tls.roots, target.token_file.clone()), (Some("/r.pem".into()), Some("/t".into())));
        assert_eq!(target.to_string(), "grpcs://[::1]:99");
    }

    #[test]
    fn a_secret_is_refused_and_not_repeated() {
        for url in [
            "grpcs://user:hunter2@host",
            "grpcs://host?token=hunter2",
            "grpcs://host?to%6ben=hunter2",
            "grpc://host/?Password=hunter2",
            "file:///media/stick?password=hunter2",
        ] {
            let error = PeerUrl::parse(url).unwrap_err();
            assert_eq!(error, UrlError::Secret, "{url}");
            assert!(!format!("{error} {:?}", error.hint()).contains("hunter2"));
        }
        #[cfg(feature = "postgres")]
        assert!(!PeerUrl::parse("postgres://u:hunter2@h/d").unwrap_err().to_string().contains("hunter2"));
    }

    #[test]
    fn a_directory_and_a_command_are_taken_as_they_are() {
        let Ok(PeerUrl::File(target)) = PeerUrl::parse("file:///media/a%20stick?file_bytes=700MB") else { panic!() };
        assert_eq!((target.root.to_str(), target.file_bytes), (Some("/media/a stick"), 700 << 20));
        let Ok(PeerUrl::Exec(target)) = PeerUrl::parse("exec: mail --to 'x@y' | tee 100% ") else { panic!() };
        assert_eq!(target.command, "mail --to 'x@y' | tee 100%");
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for url in [
            "",
            "tokyo",
            "http://tokyo",
            "grpc:tokyo",
            "grpc://",
            "grpc://a b",
            "grpc://h:0",
            "grpc://h/x",
            "grpc://h?sslcert=/c",
            "grpcs://h?sslcert=/c",
            "grpcs://h?sslmode=require",
            "grpc://u@h",
            "file:/x",
            "file://host/x",
            "file:///x?file_bytes=1",
            "exec:",
            "grpc://h\n",
            "grpc://h?cleartext=maybe",
        ] {
            assert!(PeerUrl::parse(url).is_err(), "{url}");
        }
        let hint = |url| PeerUrl::parse(url).unwrap_err().hint().unwrap_or_default();
        assert!(hint("grcp://h").contains("grpc"));
        assert!(hint("grpcs://h?tokenfle=/x").contains("tokenfile"));
    }
}
