//! TLS as libpq's `sslmode` understands it, by rustls with ring.
//!
//! | sslmode | who may be at the other end |
//! |---|---|
//! | allow, prefer, require | whoever holds the key of the certificate shown; with sslrootcert as verify-ca |
//! | verify-ca | one whose certificate a root has signed, or is one |
//! | verify-full | the same, and the certificate names the host |
//!
//! What must always hold here: the handshake's signature is checked in every mode; nothing is taken from rustls' defaults of the process, which is a server's.

use crate::fault::Fault;
use crate::postgres::certificate;
use crate::postgres::url::{Root, SslMode, Tls};
use crate::secret_file::read_private;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::path::Path;
use std::sync::Arc;
use tokio_postgres_rustls::MakeRustlsConnect;

/// What makes TLS connections as a URL asks for them. Reads the files that it names.
pub fn connector(tls: &Tls) -> Result<MakeRustlsConnect, Fault> {
    let provider = Arc::new(ring::default_provider());
    let trust = match &tls.root {
        None => Trust::Anyone,
        Some(root) => {
            let (roots, pinned) = roots(root)?;
            Trust::Signed { roots, pinned, is_named: tls.mode == SslMode::VerifyFull }
        }
    };
    let verifier = Arc::new(Verifier { provider: Arc::clone(&provider), trust });
    let own = own(tls)?;
    let broken = |error: Error| Fault::Tls { host: "the peer".to_owned(), why: error.to_string() };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(broken)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match own {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
            let why = error.to_string();
            let (what, path) = match certificate::is_old(&why) {
                true => ("sslcert", &tls.certificate),
                false => ("sslkey", &tls.key),
            };
            let path = path.as_deref().map_or_else(String::new, |path| path.display().to_string());
            Fault::File { what, path, why: certificate::in_words(why) }
        })?,
        None => builder.with_no_client_auth(),
    };
    // A session lasts; what would be kept to resume it is of no use.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(MakeRustlsConnect::new(config))
}

/// The certificate and key that are shown to the peer.
fn own(tls: &Tls) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, Fault> {
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else { return Ok(None) };
    let chain = certificates("sslcert", certificate)?;
    let pem = read_private("sslkey", key, 0o077)?;
    let key = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| Fault::File {
        what: "sslkey",
        path: key.display().to_string(),
        why: format!("it holds no unencrypted private key in PEM ({error})"),
    })?;
    Ok(Some((chain, key)))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let fault = |why: String| Fault::File { what, path: path.display().to_string(), why };
    let pem = read_private(what, path, 0)?;
    let all = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let all = all.map_err(|error| fault(error.to_string()))?;
    if all.is_empty() { Err(fault("it holds no certificate in PEM".to_owned())) } else { Ok(all) }
}

/// The roots, and what may be a server's certificate and root in one.
fn roots(root: &Root) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), Fault> {
    let mut roots = RootCertStore::empty();
    match root {
        Root::System => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _) = roots.add_parsable_certificates(found.certs);
            if added == 0 {
                let why = found.errors.first().map_or_else(|| "none are there".to_owned(), ToString::to_string);
                return Err(Fault::File { what: "sslrootcert", path: "system".to_owned(), why });
            }
            Ok((roots, Vec::new()))
        }
        Root::File(path) => {
            let all = certificates("sslrootcert", path)?;
            roots.add_parsable_certificates(all.iter().cloned());
            Ok((roots, all))
        }
    }
}

/// Who may be at the other end.
#[derive(Debug)]
enum Trust {
    Anyone,
    Signed { roots: RootCertStore, pinned: Vec<CertificateDer<'static>>, is_named: bool },
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    trust: Trust,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Trust::Signed { roots, pinned, is_named } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        let parsed = ParsedCertificate::try_from(shown)?;
        if pinned.contains(shown) {
            // It is a root itself, which webpki does not take for a server's certificate.
            if !certificate::is_of_now(shown, now) {
                return Err(CertificateError::Expired.into());
            }
        } else {
            let algorithms = self.provider.signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&parsed, roots, intermediates, now, algorithms)?;
        }
        if *is_named
            && let Err(error) = verify_server_name(&parsed, host)
            && !certificate::is_named(shown, host)
        {
            return Err(error);
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
