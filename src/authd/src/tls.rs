//! How both programs speak TLS: 1.2 and 1.3, and whom they believe.

use std::sync::{Arc, OnceLock};

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    SignatureScheme,
};

use crate::credentials::Credentials;
use crate::fingerprint::Fingerprint;

/// What the original's option `-c` may name, as OpenSSL calls it.
const CIPHERS: [(&str, rustls::CipherSuite); 6] = [
    ("ECDHE-ECDSA-AES256-GCM-SHA384", rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    (
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
    ("ECDHE-RSA-AES256-GCM-SHA384", rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-AES128-GCM-SHA256", rustls::CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    (
        "ECDHE-RSA-CHACHA20-POLY1305",
        rustls::CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ),
];

/// The ciphers in use: those of TLS 1.3, and of TLS 1.2 all, or the ones that `list` names. A list of classes only
/// (`HIGH:!ADH`) means all: none of what such lists exclude exists here.
pub fn provider(list: Option<&str>) -> Arc<CryptoProvider> {
    let mut provider = ring::default_provider();
    let named: Vec<_> = list
        .unwrap_or_default()
        .split([':', ',', ' '])
        .filter_map(|name| CIPHERS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)))
        .map(|(_, suite)| *suite)
        .collect();
    if !named.is_empty() {
        let modern = rustls::ProtocolVersion::TLSv1_3;
        provider
            .cipher_suites
            .retain(|suite| suite.version().version == modern || named.contains(&suite.suite()));
    }
    Arc::new(provider)
}

/// The manager's side. With `clients`, only agents with a certificate of these authorities are heard.
///
/// # Errors
/// Key and certificate do not fit, or a certificate can't be used.
pub fn server(
    provider: Arc<CryptoProvider>,
    credentials: Credentials,
    clients: Option<RootCertStore>,
) -> Result<ServerConfig, Error> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(roots) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .build()
                .map_err(|error| Error::General(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(credentials.chain, credentials.key)?;
    // Each agent comes once.
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    Ok(config)
}

/// The agent's side.
///
/// # Errors
/// Key and certificate do not fit, or a certificate can't be used.
pub fn client(
    provider: Arc<CryptoProvider>,
    verifier: Arc<Verifier>,
    credentials: Option<Credentials>,
) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match credentials {
        None => builder.with_no_client_auth(),
        Some(own) => builder.with_client_auth_cert(own.chain, own.key)?,
    };
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Whom an agent takes for its manager.
#[derive(Debug)]
pub enum Trust {
    /// Who shows exactly this certificate.
    Pinned(Fingerprint),
    /// Who shows a certificate of these authorities for the name in use, or exactly one of theirs.
    Authorities {
        /// Checks chain and name.
        chain: Arc<WebPkiServerVerifier>,
        /// The certificates themselves.
        own: Vec<CertificateDer<'static>>,
    },
    /// Anyone.
    Anyone,
}

/// Checks a manager, and remembers what it showed.
#[derive(Debug)]
pub struct Verifier {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    seen: OnceLock<Fingerprint>,
}

impl Verifier {
    /// One for one connection.
    pub fn new(trust: Trust, provider: Arc<CryptoProvider>) -> Self {
        Self { trust, provider, seen: OnceLock::new() }
    }

    /// One that believes the authorities in `own`.
    ///
    /// # Errors
    /// None of them can be used.
    pub fn of_authorities(
        own: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        let (good, _) = roots.add_parsable_certificates(own.iter().cloned());
        if good == 0 {
            return Err("none of the CA certificates can be used".to_owned());
        }
        let chain =
            WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                .build()
                .map_err(|error| error.to_string())?;
        Ok(Self::new(Trust::Authorities { chain, own }, provider))
    }

    /// The certificate that the manager showed.
    pub fn seen(&self) -> Option<Fingerprint> {
        self.seen.get().copied()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Fingerprint::of(end_entity);
        // The first of a connection counts; there is one connection.
        let _ = self.seen.set(shown);
        match &self.trust {
            Trust::Anyone => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(expected) if *expected == shown => Ok(ServerCertVerified::assertion()),
            Trust::Pinned(_) => Err(CertificateError::ApplicationVerificationFailure.into()),
            // openssl's self-signed ones say that they are authorities, which no chain may end with.
            Trust::Authorities { own, .. } if own.iter().any(|own| own == end_entity) => {
                Ok(ServerCertVerified::assertion())
            }
            Trust::Authorities { chain, .. } => {
                chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_ciphers_limits_tls_1_2_and_a_list_of_classes_limits_nothing() {
        let all = provider(None).cipher_suites.len();
        let one = provider(Some("ECDHE-RSA-AES256-GCM-SHA384:NOSUCH")).cipher_suites.len();
        assert_eq!(one, all - 5);
        assert_eq!(provider(Some("EECDH+AESGCM:HIGH:!ADH")).cipher_suites.len(), all);
    }
}
