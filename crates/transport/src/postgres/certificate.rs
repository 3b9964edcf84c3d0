//! What a certificate says of itself, where the name or the chain of web certificates is not the measure.
//!
//! PostgreSQL's servers are often given certificates as its manual shows how to make them: signed by themselves, with the name in the subject alone. libpq
//! takes both, so that is understood here too. The rules of names are those of libpq: the subject's name counts only where no alternative names are there.

use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::COMMON_NAME;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Whether the time is within what the certificate says of itself.
pub fn is_of_now(certificate: &CertificateDer<'_>, now: UnixTime) -> bool {
    let Ok(certificate) = Certificate::from_der(certificate) else { return false };
    let validity = certificate.tbs_certificate.validity;
    let (from, until) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
    (from.as_secs()..=until.as_secs()).contains(&now.as_secs())
}

/// Whether the subject's common name is the host's, in a certificate without alternative names of hosts.
pub fn is_named(certificate: &CertificateDer<'_>, host: &ServerName<'_>) -> bool {
    let Ok(certificate) = Certificate::from_der(certificate) else { return false };
    let certificate = certificate.tbs_certificate;
    let alternatives = match certificate.get::<SubjectAltName>() {
        Ok(alternatives) => alternatives.map(|(_, names)| names.0).unwrap_or_default(),
        Err(_) => return false,
    };
    if alternatives.iter().any(|name| matches!(name, GeneralName::DnsName(_) | GeneralName::IpAddress(_))) {
        return false;
    }
    let host = host.to_str();
    let attributes = certificate.subject.0.iter().flat_map(|names| names.0.iter());
    let mut names = attributes.filter(|attribute| attribute.oid == COMMON_NAME).filter_map(|attribute| {
        let value = &attribute.value;
        Utf8StringRef::try_from(value)
            .map(|text| text.as_str().to_owned())
            .or_else(|_| PrintableStringRef::try_from(value).map(|text| text.as_str().to_owned()))
            .or_else(|_| Ia5StringRef::try_from(value).map(|text| text.as_str().to_owned()))
            .or_else(|_| TeletexStringRef::try_from(value).map(|text| text.as_str().to_owned()))
            .ok()
    });
    names.any(|name| fits(&name, &host))
}

/// Whether a name, whose first label may be an asterisk, is a host's.
fn fits(name: &str, host: &str) -> bool {
    if name.contains('\0') {
        return false;
    }
    if let Some(domain) = name.strip_prefix("*.") {
        return host
            .split_once('.')
            .is_some_and(|(first, rest)| !first.is_empty() && rest.eq_ignore_ascii_case(domain))
            && host.parse::<std::net::IpAddr>().is_err();
    }
    name.eq_ignore_ascii_case(host)
}

/// Whether rustls says of a certificate that it is of an earlier version of X.509 than 3.
pub(crate) fn is_old(why: &str) -> bool {
    why.contains("UnsupportedCertVersion")
}

/// What rustls says, where it says it in words of its own.
pub(crate) fn in_words(why: String) -> String {
    if is_old(&why) {
        "it is a certificate of X.509 version 1, and version 3 is needed (openssl writes that where it is given extensions, as by -extfile)".to_owned()
    } else {
        why
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn an_asterisk_stands_for_one_label() {
        assert!(fits("db.example", "DB.example") && fits("*.example", "db.example"));
        assert!(!fits("*.example", "a.db.example") && !fits("*.example", "example") && !fits("*.0.0.1", "127.0.0.1"));
    }
}
