//! What a peer's URL may be. What its words mean knows who dials, who is asked; here it is refused what nobody dials, and what
//! must not stand where logs and views show it.

use crate::error::{Error, Result, state};
use crate::stamp;
use gundb_transport::postgres::Target;

/// Ways to a peer: PostgreSQL's the worker dials, the others `gundb run`.
const SCHEMES: [&str; 6] = ["postgres", "postgresql", "grpc", "grpcs", "file", "exec"];

/// Parameters that hold a secret.
const SECRETS: [&str; 3] = ["password", "sslpassword", "token"];

/// Whether a peer's URL is one that the worker dials.
pub fn is_dialled(url: &str) -> bool {
    url.starts_with("postgres:") || url.starts_with("postgresql:")
}

/// Refuses what cannot be a peer's URL. A message never repeats a URL that holds a password.
pub fn check(url: &str) -> Result<()> {
    let malformed = |why: &str| Error::new(state::INVALID_PARAMETER, format!("a peer's URL {why}"));
    let (scheme, rest) = url
        .split_once(':')
        .ok_or_else(|| malformed("begins with how to get there").hint("As in postgres://user@host/database."))?;
    if !SCHEMES.contains(&scheme) {
        let shown: String = scheme.chars().take(20).collect();
        let error = malformed(&format!("cannot begin with \"{shown}:\""));
        return Err(match gundb_core::suggest::similar(scheme, SCHEMES) {
            Some(similar) => error.hint(format!("Did you mean \"{similar}:\"?")),
            None => error.hint(format!("Ways are {}.", SCHEMES.join(", "))),
        }
        .into());
    }
    if url.chars().any(char::is_control) {
        return Err(malformed("has no control characters").into());
    }
    if has_authority(scheme) {
        refuse_secret(rest)?;
    }
    if is_dialled(url) {
        Target::parse(url).map_err(|why| {
            let error = Error::new(state::INVALID_PARAMETER, why.to_string());
            match why.hint() {
                Some(hint) => error.hint(hint),
                None => error,
            }
        })?;
        return Ok(());
    }
    if rest.trim_matches('/').is_empty() {
        return Err(malformed(&format!("says where to go after \"{scheme}:\"")).into());
    }
    stamp::notice(format!("the server does not dial \"{scheme}:\" itself: gundb run serves such peers"))
}

/// Refuses a password. A message never repeats it.
fn refuse_secret(rest: &str) -> Result<()> {
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (before_query, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = before_query.split('/').next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let names = query.split('&').map(|parameter| parameter.split('=').next().unwrap_or_default());
    let holds_secret = names.map(decoded).any(|name| SECRETS.contains(&name.as_str()));
    if !holds_secret && !user.is_some_and(|user| user.contains(':')) {
        return Ok(());
    }
    Err(Error::new(state::INVALID_PARAMETER, "a peer's URL must not hold a password: logs and views show it")
        .hint("Leave it out, then SELECT gundb.set_peer_secret('name', 'password'), or name a file: ?passfile=….")
        .into())
}

/// Whether a user, a host and parameters stand in URLs of this kind.
fn has_authority(scheme: &str) -> bool {
    !["file", "exec"].contains(&scheme)
}

/// A parameter's name, where it is written with percent signs.
fn decoded(name: &str) -> String {
    let mut bytes = name.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        if byte == b'%'
            && let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next()))
        {
            out.push((high * 16 + low) as u8);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8_lossy(&out).to_ascii_lowercase()
}
