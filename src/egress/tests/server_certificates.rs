//! Which servers are trusted, and what is kept of those that are not.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, date_time_ymd};

use super::authority::{Issued, expired};
use super::server::{Server, Tls, ok};
use super::*;

async fn call(certificate: Issued, trusted: &[&Authority]) -> Exchange {
    let authority = Authority::new("unused");
    let server = Server::start(Tls { certificate, ..Tls::of(&authority) }, |_| ok()).await;
    let mut request = get(&server.url(), &authority);
    request.trusted_ca = trusted.iter().map(|authority| authority.certificate()).collect();
    let exchange = egress().send(request).await;
    assert_eq!(server.requests().is_empty(), exchange.outcome.is_err());
    exchange
}

#[tokio::test]
async fn a_certificate_that_cannot_be_trusted_fails_and_its_chain_is_kept() {
    let authority = Authority::new("server CA");
    let other = Authority::new("another CA");
    let loopback = ["127.0.0.1"];
    let future = |params: &mut CertificateParams| params.not_before = date_time_ymd(3000, 1, 1);
    let for_clients =
        |params: &mut CertificateParams| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for (certificate, trusted, words) in [
        (authority.server(&loopback), &other, "is of an unknown CA, or an intermediate certificate is missing"),
        (authority.issue(&loopback, expired), &authority, "is expired since 2021-02-03 00:00:00 UTC"),
        (authority.issue(&loopback, future), &authority, "is not valid before 3000-01-01 00:00:00 UTC"),
        (authority.issue(&loopback, for_clients), &authority, "is not for servers"),
        (
            authority.server(&["api.example"]),
            &authority,
            "is not valid for 127.0.0.1, but for DnsName(\"api.example\")",
        ),
        (authority.server(&[]), &authority, "is not valid for 127.0.0.1: it has no alternative names"),
    ] {
        let chain = certificate.chain.clone();
        let exchange = call(certificate, &[trusted]).await;
        assert_failure(&exchange, Stage::Certificate, words);
        assert_eq!(exchange.server_chain, chain);
        assert!(exchange.timings.connect.is_some() && exchange.timings.tls.is_none());
        assert!(!exchange.identity_presented);
    }
}

#[tokio::test]
async fn a_name_must_be_in_the_certificate() {
    let authority = Authority::new("server CA");
    let server = Server::start(Tls::of(&authority), |_| ok()).await;
    let (egress, _) = egress_with_names("127.0.0.1", &[&["127.0.0.1"]]);
    let exchange = egress.send(get(&format!("https://other.example:{}/", server.address.port()), &authority)).await;
    assert_failure(&exchange, Stage::Certificate, "is not valid for other.example, but for ");
}

#[tokio::test]
async fn a_trusted_ca_need_not_sign_itself() {
    let root = Authority::new("root");
    let intermediate = root.intermediate("intermediate");
    let exchange = call(intermediate.server(&["127.0.0.1"]), &[&intermediate]).await;
    assert_eq!(answer(&exchange).status, 200);

    let mut certificate = intermediate.server(&["127.0.0.1"]);
    certificate.chain.push(intermediate.certificate());
    let exchange = call(certificate, &[&Authority::new("another"), &root]).await;
    assert_eq!(answer(&exchange).status, 200);
    assert_eq!(exchange.server_chain.len(), 2);

    let exchange = call(intermediate.server(&["127.0.0.1"]), &[&root]).await;
    assert_failure(&exchange, Stage::Certificate, "or an intermediate certificate is missing");
}

#[tokio::test]
async fn without_a_trusted_ca_the_systems_roots_count() {
    let exchange = call(Authority::new("of nobody").server(&["127.0.0.1"]), &[]).await;
    // A machine without any roots says so.
    assert_eq!(failure(&exchange).stage, Stage::Certificate);
}

#[tokio::test]
async fn a_ca_certificate_of_a_server_is_refused() {
    let authority = Authority::new("server CA");
    let ca = |params: &mut CertificateParams| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let exchange = call(authority.issue(&["127.0.0.1"], ca), &[&authority]).await;
    assert_failure(&exchange, Stage::Certificate, "the server's certificate is not accepted");
}
