//! A peer's URL: `postgres://user@host:port/database?parameter=value`, in libpq's words.
//!
//! What must always hold here: nothing is taken from the environment or a home directory, so that what a URL means does not depend on who runs the server; a
//! URL that holds a password is refused, and no error repeats it; a word that is not understood is an error, never passed over.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The longest URL that is looked at, in bytes.
pub const URL_BYTES_MAX: usize = 4_096;
/// The greatest number of hosts in one.
pub const HOSTS_MAX: usize = 16;

const PORT: u16 = 5_432;
/// How long one host may take to answer, if nothing is said.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What a URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Tried in this order.
    pub hosts: Vec<Host>,
    /// The role to be there.
    pub user: String,
    /// The database.
    pub database: String,
    /// How the connection is protected.
    pub tls: Tls,
    /// A file of passwords.
    pub passfile: Option<PathBuf>,
    /// How long a host may take to answer, all of the dialling included.
    pub connect_timeout: Duration,
    /// When a silent connection is given up.
    pub keepalive: Keepalive,
    /// What the peer's `pg_stat_activity` shows.
    pub application_name: String,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// A name, an address, or the directory of a socket, which begins with a slash.
    pub name: String,
    /// The address to connect to instead of looking the name up.
    pub address: Option<std::net::IpAddr>,
    /// The port.
    pub port: u16,
}

/// How a connection is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// How much is asked for.
    pub mode: SslMode,
    /// Who may have signed the peer's certificate.
    pub root: Option<Root>,
    /// The certificate that is shown to the peer.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// No TLS.
    Disable,
    /// TLS where the peer insists.
    Allow,
    /// TLS where the peer has it.
    Prefer,
    /// TLS, with whomever; verified as by `VerifyCa` where roots are given.
    Require,
    /// TLS with someone whose certificate one of the roots has signed.
    VerifyCa,
    /// TLS with someone who has such a certificate for the host's name.
    VerifyFull,
}

/// Whose signatures count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Root {
    /// Those that the operating system trusts.
    System,
    /// Those in this file, in PEM.
    File(PathBuf),
}

/// TCP's own watch over a silent connection. A peer that vanished is noticed after `idle + interval × count`, 25 s if nothing is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalive {
    /// Whether anything is sent while there is nothing to say.
    pub on: bool,
    /// How long nothing is heard before something is sent.
    pub idle: Duration,
    /// How long an answer to it may take before it is sent again.
    pub interval: Duration,
    /// How often.
    pub count: u32,
    /// How long what was sent may stay unacknowledged.
    pub user_timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Keepalive {
        Keepalive {
            on: true,
            idle: Duration::from_secs(10),
            interval: Duration::from_secs(5),
            count: 3,
            user_timeout: Duration::from_secs(25),
        }
    }
}

/// Why a text is not a URL to a PostgreSQL peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Another scheme, or none.
    #[error("a peer's URL begins with postgres:// or postgresql://")]
    Scheme,
    /// Longer than [`URL_BYTES_MAX`].
    #[error("a peer's URL has at most {URL_BYTES_MAX} bytes")]
    TooLong,
    /// It holds a password, or the passphrase of a key.
    #[error("a peer's URL must not hold a password")]
    Password,
    /// Something that is needed is not there.
    #[error("the URL names no {what}")]
    Missing {
        /// What.
        what: &'static str,
    },
    /// More than [`HOSTS_MAX`].
    #[error("the URL names more than {HOSTS_MAX} hosts")]
    TooManyHosts,
    /// Not as many ports, or addresses, as hosts.
    #[error("the URL has {found} values of {parameter} for {hosts} hosts")]
    Uneven {
        /// Of which parameter.
        parameter: &'static str,
        /// How many there are.
        found: usize,
        /// How many hosts.
        hosts: usize,
    },
    /// A parameter without a value, a percent sign without two digits, a zero byte.
    #[error("the URL is malformed: {why}")]
    Malformed {
        /// What is wrong.
        why: &'static str,
    },
    /// A parameter that nobody has.
    #[error("\"{name}\" is not a parameter of a peer's URL")]
    UnknownParameter {
        /// Its name.
        name: String,
        /// One that is written similarly.
        similar: Option<&'static str>,
    },
    /// A parameter that libpq has and a peer's URL has not.
    #[error("a peer's URL does not take libpq's parameter {name}")]
    NotTaken {
        /// Its name.
        name: &'static str,
    },
    /// A value that the parameter does not take.
    #[error("\"{value}\" is no value of {parameter}: {expected}")]
    Value {
        /// Of which parameter.
        parameter: &'static str,
        /// What was given.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// Two that contradict each other.
    #[error("{why}")]
    Contradiction {
        /// Which, and how.
        why: &'static str,
    },
}

impl UrlError {
    /// It, and what to do about it.
    pub fn told(&self) -> String {
        crate::fault::told(self.to_string(), self.hint())
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            UrlError::Password => Some(
                "Give it by gundb.set_peer_secret(name, secret), or name a file by the parameter passfile.".to_owned(),
            ),
            UrlError::UnknownParameter { similar: Some(similar), .. } => {
                Some(format!("Perhaps you meant \"{similar}\"."))
            }
            UrlError::UnknownParameter { similar: None, .. } => Some(format!("It takes {}.", PARAMETERS.join(", "))),
            UrlError::Missing { .. } | UrlError::Scheme => {
                Some("It is written postgres://user@host:port/database?parameter=value.".to_owned())
            }
            _ => None,
        }
    }
}

/// What a URL may say after the question mark.
const PARAMETERS: [&str; 22] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "passfile",
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "application_name",
    "target_session_attrs",
    "channel_binding",
    "gssencmode",
    "client_encoding",
    "sslcompression",
];

/// What libpq takes and a peer's URL does not: what would change a session's settings, or needs what is not built in.
const NOT_TAKEN: [&str; 21] = [
    "options",
    "service",
    "servicefile",
    "replication",
    "fallback_application_name",
    "requirepeer",
    "require_auth",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "sslcertmode",
    "sslnegotiation",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "load_balance_hosts",
    "min_protocol_version",
    "max_protocol_version",
    "tty",
];

/// The values of a URL, before they are put together.
#[derive(Default)]
struct Words {
    hosts: Vec<String>,
    addresses: Vec<String>,
    ports: Vec<String>,
    user: Option<String>,
    database: Option<String>,
    mode: Option<SslMode>,
    root: Option<Root>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    passfile: Option<PathBuf>,
    connect_timeout: Option<Duration>,
    keepalive: Keepalive,
    /// Whether the keep-alive's last word was given, or is to follow from the others.
    user_timeout_given: bool,
    application_name: Option<String>,
}

impl Target {
    /// Parses a URL.
    pub fn parse(url: &str) -> Result<Target, UrlError> {
        if url.len() > URL_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let rest = ["postgres://", "postgresql://"].iter().find_map(|scheme| url.strip_prefix(scheme));
        let rest = rest.ok_or(UrlError::Scheme)?;
        let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = place.split_once('/').unwrap_or((place, ""));
        let mut words = Words::default();
        // The last @ ends the user: a password may hold others.
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        if user.contains(':') {
            return Err(UrlError::Password);
        }
        if !user.is_empty() {
            words.user = Some(decoded(user)?);
        }
        if !database.is_empty() {
            words.database = Some(decoded(database)?);
        }
        if !hosts.is_empty() {
            for host in hosts.split(',') {
                let (name, port) = split_host(host)?;
                words.hosts.push(decoded(name)?);
                words.ports.push(port.to_owned());
            }
        }
        for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) =
                parameter.split_once('=').ok_or(UrlError::Malformed { why: "a parameter has no value" })?;
            words.take(&decoded(name)?, decoded(value)?)?;
        }
        words.target()
    }
}

/// The name and port of `name:port` or `[address]:port`.
fn split_host(host: &str) -> Result<(&str, &str), UrlError> {
    let Some(bracketed) = host.strip_prefix('[') else {
        return Ok(host.split_once(':').unwrap_or((host, "")));
    };
    let malformed = UrlError::Malformed { why: "an address in brackets does not end" };
    let (name, port) = bracketed.split_once(']').ok_or(malformed.clone())?;
    match port.strip_prefix(':') {
        Some(port) => Ok((name, port)),
        None if port.is_empty() => Ok((name, "")),
        None => Err(malformed),
    }
}

fn decoded(text: &str) -> Result<String, UrlError> {
    let digits =
        |at: usize| text.as_bytes().get(at + 1..at + 3).is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit));
    if text.match_indices('%').any(|(at, _)| !digits(at)) {
        return Err(UrlError::Malformed { why: "a percent sign is not followed by two hexadecimal digits" });
    }
    let text = percent_decode_str(text).decode_utf8().map_err(|_| UrlError::Malformed { why: "it is not UTF-8" })?;
    if text.contains('\0') {
        return Err(UrlError::Malformed { why: "it has a zero byte" });
    }
    Ok(text.into_owned())
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::to_owned).collect()
}

impl Words {
    fn take(&mut self, name: &str, value: String) -> Result<(), UrlError> {
        let path = |value: String| (!value.is_empty()).then(|| PathBuf::from(value));
        match name {
            "password" | "sslpassword" => return Err(UrlError::Password),
            "host" => self.hosts = list(&value),
            "hostaddr" => self.addresses = list(&value),
            "port" => self.ports = list(&value),
            "dbname" => self.database = Some(value),
            "user" => self.user = Some(value),
            "sslmode" => self.mode = Some(SslMode::parse(value)?),
            "sslrootcert" if value == "system" => self.root = Some(Root::System),
            "sslrootcert" => self.root = path(value).map(Root::File),
            "sslcert" => self.certificate = path(value),
            "sslkey" => self.key = path(value),
            "passfile" => self.passfile = path(value),
            // As with libpq, 0 and less mean no limit; here a peer is never waited for for ever.
            "connect_timeout" => {
                self.connect_timeout = seconds("connect_timeout", value)?.filter(|timeout| !timeout.is_zero());
            }
            "keepalives" => self.keepalive.on = number("keepalives", value)? != 0,
            "keepalives_idle" => set(&mut self.keepalive.idle, seconds("keepalives_idle", value)?),
            "keepalives_interval" => set(&mut self.keepalive.interval, seconds("keepalives_interval", value)?),
            "keepalives_count" => match number("keepalives_count", value)? {
                0 => {}
                count => self.keepalive.count = count.min(127),
            },
            "tcp_user_timeout" => match number("tcp_user_timeout", value)? {
                0 => {}
                millis => {
                    self.keepalive.user_timeout = Duration::from_millis(u64::from(millis));
                    self.user_timeout_given = true;
                }
            },
            "application_name" => self.application_name = Some(value),
            // What is no choice here is taken where it says what is done anyway: a session writes at both ends, so a host that takes no writes is passed over.
            "target_session_attrs" => only(&["any", "read-write", "primary"], "target_session_attrs", value)?,
            "channel_binding" => only(&["prefer"], "channel_binding", value)?,
            "gssencmode" => only(&["disable", "prefer"], "gssencmode", value)?,
            "client_encoding" => only(&["UTF8", "utf8", "auto"], "client_encoding", value)?,
            "sslcompression" => only(&["0"], "sslcompression", value)?,
            _ => return Err(unknown(name)),
        }
        Ok(())
    }

    fn target(self) -> Result<Target, UrlError> {
        let missing = |what| UrlError::Missing { what };
        // Addresses alone will do.
        let names = if self.hosts.is_empty() { self.addresses.clone() } else { self.hosts };
        if names.iter().any(String::is_empty) || names.is_empty() {
            return Err(missing("host"));
        }
        if names.len() > HOSTS_MAX {
            return Err(UrlError::TooManyHosts);
        }
        let uneven = |parameter, found| Err(UrlError::Uneven { parameter, found, hosts: names.len() });
        // One port is everybody's.
        if self.ports.len() > 1 && self.ports.len() != names.len() {
            return uneven("port", self.ports.len());
        }
        if !self.addresses.is_empty() && self.addresses.len() != names.len() {
            return uneven("hostaddr", self.addresses.len());
        }
        let mut hosts = Vec::with_capacity(names.len());
        for (at, name) in names.into_iter().enumerate() {
            let port = self.ports.get(at).or(self.ports.first()).map_or("", String::as_str);
            let address = self.addresses.get(at).map_or("", String::as_str);
            hosts.push(Host {
                name,
                address: if address.is_empty() { None } else { Some(parse_address(address)?) },
                port: if port.is_empty() { PORT } else { parse_port(port)? },
            });
        }
        let tls = tls(self.mode, self.root, self.certificate, self.key)?;
        let mut keepalive = self.keepalive;
        if !self.user_timeout_given {
            keepalive.user_timeout = keepalive.idle + keepalive.interval * keepalive.count;
        }
        Ok(Target {
            hosts,
            user: self.user.filter(|user| !user.is_empty()).ok_or(missing("user"))?,
            database: self.database.filter(|database| !database.is_empty()).ok_or(missing("database"))?,
            tls,
            passfile: self.passfile,
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            keepalive,
            application_name: self.application_name.unwrap_or_else(|| "gundb".to_owned()),
        })
    }
}

fn tls(
    mode: Option<SslMode>,
    root: Option<Root>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Tls, UrlError> {
    let contradiction = |why| Err(UrlError::Contradiction { why });
    // As with libpq: whoever trusts all the world's authorities must ask for the name.
    let mode = match (mode, &root) {
        (None, Some(Root::System)) => SslMode::VerifyFull,
        (Some(mode), Some(Root::System)) if mode != SslMode::VerifyFull => {
            return contradiction("sslrootcert=system needs sslmode=verify-full");
        }
        (mode, _) => mode.unwrap_or(SslMode::Prefer),
    };
    if mode >= SslMode::VerifyCa && root.is_none() {
        return contradiction("sslmode=verify-ca and verify-full need sslrootcert: a file, or system");
    }
    if certificate.is_some() != key.is_some() {
        return contradiction("sslcert and sslkey go together");
    }
    Ok(Tls { mode, root, certificate, key })
}

fn unknown(name: &str) -> UrlError {
    if let Some(name) = NOT_TAKEN.iter().find(|taken| **taken == name) {
        return UrlError::NotTaken { name };
    }
    let similar = gundb_core::similar(name, PARAMETERS).and_then(|similar| PARAMETERS.iter().find(|p| **p == similar));
    UrlError::UnknownParameter { name: name.chars().take(64).collect(), similar: similar.copied() }
}

fn set(to: &mut Duration, given: Option<Duration>) {
    if let Some(given) = given.filter(|given| !given.is_zero()) {
        *to = given;
    }
}

fn number(parameter: &'static str, value: String) -> Result<u32, UrlError> {
    value.parse().map_err(|_| UrlError::Value { parameter, value, expected: "it takes a number" })
}

/// Seconds; none if less than zero.
fn seconds(parameter: &'static str, value: String) -> Result<Option<Duration>, UrlError> {
    let seconds: i32 =
        value.parse().map_err(|_| UrlError::Value { parameter, value, expected: "it takes a number of seconds" })?;
    Ok(u64::try_from(seconds).ok().map(Duration::from_secs))
}

fn only(values: &[&str], parameter: &'static str, value: String) -> Result<(), UrlError> {
    if values.contains(&value.as_str()) {
        return Ok(());
    }
    Err(UrlError::Value { parameter, value, expected: "a peer's URL takes only what is done anyway" })
}

fn parse_port(port: &str) -> Result<u16, UrlError> {
    port.parse().ok().filter(|port| *port != 0).ok_or_else(|| UrlError::Value {
        parameter: "port",
        value: port.to_owned(),
        expected: "it takes a number from 1 to 65535",
    })
}

fn parse_address(address: &str) -> Result<std::net::IpAddr, UrlError> {
    address.parse().map_err(|_| UrlError::Value {
        parameter: "hostaddr",
        value: address.to_owned(),
        expected: "it takes an IP address",
    })
}

impl SslMode {
    const ALL: [(SslMode, &'static str); 6] = [
        (SslMode::Disable, "disable"),
        (SslMode::Allow, "allow"),
        (SslMode::Prefer, "prefer"),
        (SslMode::Require, "require"),
        (SslMode::VerifyCa, "verify-ca"),
        (SslMode::VerifyFull, "verify-full"),
    ];

    fn parse(value: String) -> Result<SslMode, UrlError> {
        SslMode::ALL.iter().find(|(_, name)| *name == value).map(|(mode, _)| *mode).ok_or(UrlError::Value {
            parameter: "sslmode",
            value,
            expected: "it takes disable, allow, prefer, require, verify-ca and verify-full",
        })
    }

    /// libpq's word for it.
    pub fn name(self) -> &'static str {
        SslMode::ALL.iter().find(|(mode, _)| *mode == self).map_or("", |(_, name)| name)
    }
}

impl Host {
    /// Whether it is the directory of a socket.
    pub fn is_socket(&self) -> bool {
        self.name.starts_with('/')
    }
}

/// What has a meaning of its own in a URL.
const RESERVED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b',')
    .add(b'/')
    .add(b':')
    .add(b'=')
    .add(b'?')
    .add(b'@')
    .add(b'[')
    .add(b']');

/// The place that a URL leads to, without parameters: nothing in it is secret.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", utf8_percent_encode(&self.user, RESERVED))?;
        for (at, host) in self.hosts.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let port = if host.port == PORT { String::new() } else { format!(":{}", host.port) };
            if host.name.contains(':') {
                write!(f, "{comma}[{}]{port}", host.name)?;
            } else {
                write!(f, "{comma}{}{port}", utf8_percent_encode(&host.name, RESERVED))?;
            }
        }
        write!(f, "/{}", utf8_percent_encode(&self.database, RESERVED))
    }
}
