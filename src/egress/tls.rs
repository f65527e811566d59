//! TLS for one connection: the server is verified as usual, and everything is written down on the way.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, DigitallySignedStruct, Error, ProtocolVersion, RootCertStore, SignatureScheme};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Egress;
use super::call::{Call, unsendable};
use super::failure;
use super::observed::Observed;
use super::outcome::{Failure, Stage};
use super::stream::Wire;

/// The verifier over the system's roots. They are read once; new ones are seen after a restart. `SSL_CERT_FILE` and
/// `SSL_CERT_DIR` name others.
pub(super) type SystemRoots = Arc<OnceCell<Arc<dyn ServerCertVerifier>>>;

/// A verifier that trusts these certificates, or the system's roots if there are none.
pub(super) async fn verifier(egress: &Egress, trusted_ca: &[Vec<u8>]) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
    if trusted_ca.is_empty() {
        return egress.system_roots.get_or_try_init(|| system_verifier(egress)).await.cloned();
    }
    let mut roots = RootCertStore::empty();
    for (number, certificate) in trusted_ca.iter().enumerate() {
        roots.add(CertificateDer::from(certificate.as_slice()).into_owned()).map_err(|_| {
            unsendable(format!("the trusted CA certificate number {} cannot be read as X.509 in DER", number + 1))
        })?;
    }
    over(egress, roots).map_err(unsendable)
}

/// Shakes hands over a fresh connection. What is seen is in `observed`, whatever comes of it.
pub(super) async fn handshake(
    egress: &Egress,
    call: &Call,
    wire: Wire,
    observed: &Observed,
) -> Result<TlsStream<Wire>, Failure> {
    let name = call.server_name()?;
    let config = config(egress, call, observed)?;
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, wire).await;
    let stream = shaken.map_err(|error| failure::of_handshake(&error, call.host(), &observed.seen()))?;
    observed.note(|seen| {
        seen.version = stream.get_ref().1.protocol_version().and_then(version_name);
        seen.identity_requested.get_or_insert(false);
    });
    Ok(stream)
}

fn config(egress: &Egress, call: &Call, observed: &Observed) -> Result<ClientConfig, Failure> {
    let verifier = Witness { inner: call.verifier.clone(), observed: observed.clone() };
    let wallet = Wallet { identity: call.identity.clone(), observed: observed.clone() };
    let mut config = ClientConfig::builder_with_provider(egress.provider.clone())
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|error| Failure::new(Stage::Tls, error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_cert_resolver(Arc::new(wallet));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Each call shows the whole handshake, and none is tied to another.
    config.resumption = Resumption::disabled();
    Ok(config)
}

async fn system_verifier(egress: &Egress) -> Result<Arc<dyn ServerCertVerifier>, Failure> {
    let missing = || {
        let message = "this machine has no CA certificates to trust (on Debian: apt-get install ca-certificates); \
                       name the server's CA instead";
        Failure::new(Stage::Certificate, message)
    };
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await.map_err(|_| missing())?;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    over(egress, roots).map_err(|_| missing())
}

fn over(egress: &Egress, roots: RootCertStore) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let builder = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), egress.provider.clone());
    builder.build().map(|verifier| verifier as Arc<dyn ServerCertVerifier>).map_err(|error| error.to_string())
}

fn version_name(version: ProtocolVersion) -> Option<&'static str> {
    match version {
        ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
        _ => None,
    }
}

/// Leaves every decision to the verifier inside, and writes down what that was shown.
#[derive(Debug)]
struct Witness {
    inner: Arc<dyn ServerCertVerifier>,
    observed: Observed,
}

impl Witness {
    fn proven(
        &self,
        version: &'static str,
        verified: Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.observed.note(|seen| {
            seen.version = Some(version);
            seen.is_server_proven = verified.is_ok();
        });
        verified
    }
}

impl ServerCertVerifier for Witness {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.observed.note(|seen| seen.server_certificates(leaf, others));
        self.inner.verify_server_cert(leaf, others, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.proven("TLSv1.2", self.inner.verify_tls12_signature(message, leaf, signature))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.proven("TLSv1.3", self.inner.verify_tls13_signature(message, leaf, signature))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Hands out the identity when the server asks. It goes also to a server whose list of CAs does not name its issuer:
/// such lists are hints, often incomplete, and the server's refusal tells more than our silence.
struct Wallet {
    identity: Option<Arc<CertifiedKey>>,
    observed: Observed,
}

impl ResolvesClientCert for Wallet {
    fn resolve(&self, issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let fitting = self.identity.as_ref().filter(|identity| identity.key.choose_scheme(schemes).is_some());
        self.observed.note(|seen| {
            seen.certificate_request(issuers);
            seen.identity_offered = fitting.is_some();
            seen.identity_does_not_fit = self.identity.is_some() && fitting.is_none();
        });
        fitting.cloned()
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Wallet").finish_non_exhaustive()
    }
}
