//! What a caller shows: a token, a certificate, or nothing.
//!
//! What must always hold here: a token is kept and compared as its hash, in constant time, and never printed.

use std::fmt;
use std::net::SocketAddr;
use tonic::metadata::MetadataMap;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// The longest token that is looked at, in bytes.
const TOKEN_BYTES_MAX: usize = 4_096;
/// A shorter one can be guessed, in bytes.
const TOKEN_BYTES_LEAST: usize = 16;

/// A token, of which only the hash is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(blake3::Hash);

/// What a caller shows. What is wrong with it decides who is asked to let it in.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The token.
    pub token: Option<Token>,
    /// The names in its certificate, which one of the roots has signed: the subject's common name, and DNS names.
    pub names: Vec<String>,
    /// Where it comes from.
    pub address: Option<SocketAddr>,
}

impl Token {
    /// The token of a text, without white space around it; none if it is too short to be one.
    pub fn of_text(text: &str) -> Option<Token> {
        let text = text.trim();
        let fits = (TOKEN_BYTES_LEAST..=TOKEN_BYTES_MAX).contains(&text.len());
        (fits && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| Token(blake3::hash(text.as_bytes())))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// The token of `authorization: Bearer …`.
pub(super) fn token_of(metadata: &MetadataMap) -> Option<Token> {
    let value = metadata.get("authorization")?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") { Token::of_text(token) } else { None }
}

/// The names in a certificate.
pub(super) fn names_of(certificate: &[u8]) -> Vec<String> {
    let Ok(certificate) = Certificate::from_der(certificate) else { return Vec::new() };
    let certificate = certificate.tbs_certificate;
    let attributes = certificate.subject.0.iter().flat_map(|names| names.0.iter());
    let mut names: Vec<String> = attributes
        .filter(|attribute| attribute.oid == COMMON_NAME)
        .filter_map(|attribute| {
            let value = &attribute.value;
            let text = Utf8StringRef::try_from(value).map(|text| text.as_str().to_owned());
            text.or_else(|_| PrintableStringRef::try_from(value).map(|text| text.as_str().to_owned())).ok()
        })
        .collect();
    if let Ok(Some((_, alternatives))) = certificate.get::<SubjectAltName>() {
        names.extend(alternatives.0.iter().filter_map(|name| match name {
            GeneralName::DnsName(name) => Some(name.as_str().to_owned()),
            _ => None,
        }));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_printed_and_a_short_one_is_none() {
        let token = Token::of_text(" 0123456789abcdef\n").unwrap();
        assert_eq!(token, Token::of_text("0123456789abcdef").unwrap());
        assert_ne!(token, Token::of_text("0123456789abcdeF").unwrap());
        assert!(!format!("{token:?}").contains("0123"));
        assert!(Token::of_text("short").is_none() && Token::of_text("with a space in between").is_none());
    }
}
