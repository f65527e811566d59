//! Client certificates: asked for, presented, missed, refused.

use rcgen::{KeyPair, PKCS_ED25519};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

use super::server::{Server, Tls, http, ok};
use super::*;
use crate::egress::Presented;

fn tls(server: &Authority, version: &str) -> Tls {
    if version == "TLSv1.2" { Tls::of(server).version_1_2() } else { Tls::of(server) }
}

#[tokio::test]
async fn an_identity_is_presented_to_a_server_that_asks() {
    let (authority, clients) = (Authority::new("server CA"), Authority::new("client CA"));
    for version in ["TLSv1.2", "TLSv1.3"] {
        let server = Server::start(tls(&authority, version).clients_of(&clients), |_| ok()).await;
        let mut request = get(&server.url(), &authority);
        request.identity = Some(clients.identity());
        let exchange = egress().send(request).await;
        assert_eq!(answer(&exchange).status, 200);
        assert_eq!(exchange.tls_version, Some(version));
        assert_eq!((exchange.identity_requested, exchange.identity_presented), (Some(true), true));
        let issuer = x509_parser::parse_x509_certificate(&clients.certificate()).unwrap().1.subject().as_raw().to_vec();
        assert_eq!(exchange.accepted_issuers, [issuer]);
        assert!(exchange.timings.tls.is_some() && exchange.timings.first_byte.is_some());
    }
}

#[tokio::test]
async fn an_identity_stays_at_home_if_nobody_asks() {
    let (authority, clients) = (Authority::new("server CA"), Authority::new("client CA"));
    for version in ["TLSv1.2", "TLSv1.3"] {
        let server = Server::start(tls(&authority, version), |_| ok()).await;
        let mut request = get(&server.url(), &authority);
        request.identity = Some(clients.identity());
        let exchange = egress().send(request).await;
        assert_eq!(answer(&exchange).status, 200);
        assert_eq!((exchange.identity_requested, exchange.identity_presented), (Some(false), false));
    }
}

#[tokio::test]
async fn a_server_that_refuses_the_identity_is_quoted() {
    let (authority, clients) = (Authority::new("server CA"), Authority::new("client CA"));
    let others = Authority::new("another client CA");
    for version in ["TLSv1.2", "TLSv1.3"] {
        for (identity, words) in [
            (others.identity(), "the server refused the client certificate: unknown CA"),
            (clients.expired_identity(), "the server refused the client certificate: the certificate is expired"),
        ] {
            let server = Server::start(tls(&authority, version).clients_of(&clients), |_| ok()).await;
            let mut request = get(&server.url(), &authority);
            request.identity = Some(identity);
            let exchange = egress().send(request).await;
            assert_failure(&exchange, Stage::ClientCertificate, words);
            assert_eq!((exchange.identity_requested, exchange.identity_presented), (Some(true), true));
            assert_eq!(exchange.tls_version, Some(version));
            assert_eq!(exchange.server_chain.len(), 1);
        }
    }
}

#[tokio::test]
async fn a_server_that_misses_a_client_certificate_is_understood() {
    let (authority, clients) = (Authority::new("server CA"), Authority::new("client CA"));
    for version in ["TLSv1.2", "TLSv1.3"] {
        let server = Server::start(tls(&authority, version).clients_of(&clients), |_| ok()).await;
        let exchange = egress().send(get(&server.url(), &authority)).await;
        assert_failure(
            &exchange,
            Stage::ClientCertificate,
            "the server wants a client certificate, and none was presented",
        );
        assert_eq!((exchange.identity_requested, exchange.identity_presented), (Some(true), false));
    }
}

#[tokio::test]
async fn a_key_that_the_server_cannot_verify_is_not_tried() {
    let (authority, clients) = (Authority::new("server CA"), Authority::new("client CA"));
    let server = Server::start(Tls::of(&authority).clients_of(&clients).rsa_only(), |_| ok()).await;
    let mut request = get(&server.url(), &authority);
    request.identity = Some(clients.identity());
    let exchange = egress().send(request).await;
    assert_failure(&exchange, Stage::ClientCertificate, "the identity's key fits none of the signature algorithms");
    assert_eq!((exchange.identity_requested, exchange.identity_presented), (Some(true), false));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_request_does_not_hide_the_refusal() {
    let (authority, clients) = (Authority::new("server CA"), Authority::new("client CA"));
    let server = Server::start(Tls::of(&authority).clients_of(&clients), |_| ok()).await;
    let mut request = get(&server.url(), &authority);
    request.method = "POST".into();
    request.body = Some(Zeroizing::new(vec![0; 16 << 20]));
    request.identity = Some(Authority::new("another client CA").identity());
    let exchange = egress().send(request).await;
    assert_failure(&exchange, Stage::ClientCertificate, "unknown CA");
}

/// As nginx does it: the certificate is optional for TLS, and missed by HTTP.
#[tokio::test]
async fn a_refusal_by_http_is_an_ordinary_answer() {
    let (authority, clients) = (Authority::new("server CA"), Authority::new("client CA"));
    let refuse = |_: &str| http("400 Bad Request", "", "No required SSL certificate was sent");
    let server = Server::start(Tls::of(&authority).clients_of(&clients).optionally(), refuse).await;
    let exchange = egress().send(get(&server.url(), &authority)).await;
    assert_eq!(answer(&exchange).status, 400);
    assert_eq!((exchange.identity_requested, exchange.identity_presented), (Some(true), false));
}

/// Some servers close without a word.
#[tokio::test]
async fn a_silent_close_after_asking_points_to_the_certificate() {
    let (authority, clients) = (Authority::new("server CA"), Authority::new("client CA"));
    for version in ["TLSv1.2", "TLSv1.3"] {
        let server = Server::early(tls(&authority, version).clients_of(&clients).optionally(), b"").await;
        let exchange = egress().send(get(&server.url(), &authority)).await;
        assert_failure(&exchange, Stage::ClientCertificate, "none was presented and it closed the connection");

        let mut request = get(&server.url(), &authority);
        request.identity = Some(clients.identity());
        let exchange = egress().send(request).await;
        assert_failure(&exchange, Stage::Response, "may have refused the one presented");
    }
    let server = Server::early(Tls::of(&authority), b"").await;
    let exchange = egress().send(get(&server.url(), &authority)).await;
    assert_failure(&exchange, Stage::Response, "the server closed the connection without an answer");
}

#[tokio::test]
async fn a_server_that_cannot_be_trusted_gets_no_identity() {
    let (authority, clients) = (Authority::new("server CA"), Authority::new("client CA"));
    for version in ["TLSv1.2", "TLSv1.3"] {
        let server = Server::start(tls(&authority, version).clients_of(&clients), |_| ok()).await;
        let mut request = get(&server.url(), &Authority::new("not the server's CA"));
        request.identity = Some(clients.identity());
        let exchange = egress().send(request).await;
        assert_failure(&exchange, Stage::Certificate, "unknown CA");
        assert_eq!((exchange.identity_requested, exchange.identity_presented), (Some(true), false));
        assert!(server.requests().is_empty());
    }
}

#[tokio::test]
async fn an_identity_that_cannot_work_is_refused_here() {
    let authority = Authority::new("server CA");
    let server = Server::start(Tls::of(&authority), |_| ok()).await;
    let leaf = authority.server(&["client.example"]);
    let other_key = KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_der();
    for (chain, key, words) in [
        (leaf.chain.clone(), b"hunter2".to_vec(), "private key is not a PKCS#8 key"),
        (leaf.chain.clone(), other_key, "private key does not belong to its certificate"),
        (vec![b"hunter2".to_vec()], leaf.key.clone(), "certificate cannot be read as X.509"),
        (Vec::new(), leaf.key.clone(), "the identity has no certificate"),
    ] {
        let mut request = get(&server.url(), &authority);
        request.identity = Some(Presented { chain, private_key: Zeroizing::new(key) });
        let exchange = egress().send(request).await;
        assert_failure(&exchange, Stage::Request, words);
        assert!(!format!("{exchange:?}").contains("hunter2"));
    }
    assert_eq!(server.connections(), 0);
}

/// Alerts in the clear, before the server has said anything else.
#[tokio::test]
async fn alerts_of_a_server_that_did_not_ask_are_no_refusals_of_an_identity() {
    let authority = Authority::new("server CA");
    for (number, words) in [
        (40, "handshake_failure: it shares no cipher or key exchange with us"),
        (70, "protocol_version: it speaks neither TLS 1.2 nor 1.3"),
        (112, "unrecognized_name: it knows no site of this name"),
        (48, "unknown_ca"),
        (99, "number 99"),
    ] {
        let server = Server::tcp(move |mut socket| async move {
            let _ = socket.read(&mut [0; 4096]).await;
            let _ = socket.write_all(&[21, 3, 3, 0, 2, 2, number]).await;
        })
        .await;
        let exchange = egress().send(get(&server.url(), &authority)).await;
        assert_failure(&exchange, Stage::Tls, words);
        assert_eq!(exchange.identity_requested, None);
    }
}
