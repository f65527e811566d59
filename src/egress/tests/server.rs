//! Servers on loopback that write down what they were sent.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::authority::{Authority, Issued};
use crate::clock::Clock;

/// Stops when it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    log: Arc<Mutex<Log>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Log {
    connections: usize,
    requests: Vec<String>,
}

/// What comes back to a request.
#[derive(Clone)]
pub(super) enum Answer {
    /// These bytes, then the end of the connection.
    Once(Vec<u8>),
    /// These bytes, and then others again and again with pauses between.
    Trickle { first: Vec<u8>, again: Vec<u8>, pause: Duration },
}

pub(super) struct Tls {
    pub(super) certificate: Issued,
    pub(super) version: &'static SupportedProtocolVersion,
    /// Clients need a certificate of this CA.
    pub(super) clients: Option<Vec<u8>>,
    /// They need none, but are asked.
    pub(super) is_optional: bool,
    /// Only RSA keys count.
    pub(super) is_rsa_only: bool,
}

impl Tls {
    /// TLS 1.3 on 127.0.0.1, clients not asked for anything.
    pub(super) fn of(authority: &Authority) -> Self {
        let certificate = authority.server(&["127.0.0.1", "partner.example"]);
        Self { certificate, version: &TLS13, clients: None, is_optional: false, is_rsa_only: false }
    }

    pub(super) fn version_1_2(self) -> Self {
        Self { version: &TLS12, ..self }
    }

    pub(super) fn clients_of(self, authority: &Authority) -> Self {
        Self { clients: Some(authority.certificate()), ..self }
    }

    pub(super) fn optionally(self) -> Self {
        Self { is_optional: true, ..self }
    }

    pub(super) fn rsa_only(self) -> Self {
        Self { is_rsa_only: true, ..self }
    }

    fn config(self) -> ServerConfig {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_protocol_versions(&[self.version]).unwrap();
        let chain = self.certificate.chain.into_iter().map(CertificateDer::from).collect();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.certificate.key));
        let builder = match self.clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from(authority)).unwrap();
                let provider = if self.is_rsa_only { with_rsa_only(&provider) } else { provider };
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = if self.is_optional { verifier.allow_unauthenticated() } else { verifier };
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        builder.with_single_cert(chain, key).unwrap()
    }
}

impl Server {
    pub(super) async fn start(tls: Tls, answers: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", tls, answers).await
    }

    pub(super) async fn start_on(
        address: &str,
        tls: Tls,
        answers: impl Fn(&str) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(tls.config()));
        let answers = Arc::new(answers);
        Self::raw(address, move |socket, log| {
            let (acceptor, answers) = (acceptor.clone(), answers.clone());
            async move {
                if let Ok(mut stream) = acceptor.accept(socket).await {
                    while let Some(request) = read_request(&mut stream).await {
                        log.lock().unwrap().requests.push(request.clone());
                        reply(&mut stream, answers(&request)).await;
                    }
                }
            }
        })
        .await
    }

    /// A server that answers as soon as it has read something, and closes without having read the rest.
    pub(super) async fn early(tls: Tls, answer: &'static [u8]) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(tls.config()));
        Self::raw("127.0.0.1:0", move |socket, _| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(mut stream) = acceptor.accept(socket).await {
                    let _ = stream.read(&mut [0; 100]).await;
                    let _ = stream.write_all(answer).await;
                    let _ = stream.flush().await;
                }
            }
        })
        .await
    }

    /// A server without TLS that does as told with each connection.
    pub(super) async fn tcp<F: Future<Output = ()> + Send>(
        serve: impl Fn(TcpStream) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::raw("127.0.0.1:0", move |socket, _| serve(socket)).await
    }

    async fn raw<F: Future<Output = ()> + Send>(
        address: &str,
        serve: impl Fn(TcpStream, Arc<Mutex<Log>>) -> F + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Log::default()));
        let kept = log.clone();
        let task = tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                kept.lock().unwrap().connections += 1;
                // Or else what was written last is lost where the end of the connection is a reset.
                socket.set_nodelay(true).unwrap();
                serve(socket, kept.clone()).await;
            }
        });
        Self { address, log, task }
    }

    pub(super) fn url(&self) -> String {
        super::url(self.address)
    }

    pub(super) fn connections(&self) -> usize {
        self.log.lock().unwrap().connections
    }

    /// Heads and bodies as they came.
    pub(super) fn requests(&self) -> Vec<String> {
        self.log.lock().unwrap().requests.clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn with_rsa_only(provider: &CryptoProvider) -> Arc<CryptoProvider> {
    let mut provider = provider.clone();
    let algorithms = &mut provider.signature_verification_algorithms;
    let is_rsa = |scheme: &SignatureScheme| scheme.as_str().is_some_and(|name| name.contains("RSA"));
    let rsa: Vec<_> = algorithms.mapping.iter().filter(|(scheme, _)| is_rsa(scheme)).copied().collect();
    algorithms.mapping = rsa.leak();
    Arc::new(provider)
}

/// A whole answer with this status and body.
pub(super) fn http(status: &str, headers: &str, body: &str) -> Answer {
    Answer::Once(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes())
}

pub(super) fn ok() -> Answer {
    http("200 OK", "", "hello")
}

async fn reply(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), answer: Answer) {
    let clock = Clock::system();
    match answer {
        Answer::Once(bytes) => {
            let _ = stream.write_all(&bytes).await;
            let _ = stream.shutdown().await;
        }
        Answer::Trickle { first, again, pause } => {
            let mut written = stream.write_all(&first).await;
            while written.is_ok() {
                let _ = stream.flush().await;
                if !pause.is_zero() {
                    clock.sleep(pause).await;
                }
                written = stream.write_all(&again).await;
            }
        }
    }
}

/// Head and body, or nothing from a client that went away.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |digits| digits.parse().unwrap()) {
                return Some(text);
            }
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
