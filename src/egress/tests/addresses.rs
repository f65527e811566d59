//! No address is called that the policy does not permit, in whatever clothes it comes.

use super::server::{Server, Tls, ok};
use super::*;

fn guarded() -> Egress {
    Egress::new(EgressPolicy::default())
}

#[tokio::test]
async fn a_name_that_leads_to_loopback_is_refused() {
    let authority = Authority::new("server CA");
    let server = Server::start(Tls::of(&authority), |_| ok()).await;
    let exchange = guarded().send(get(&format!("https://localhost:{}/", server.address.port()), &authority)).await;
    assert_failure(&exchange, Stage::Address, "localhost is ");
    assert_failure(&exchange, Stage::Address, "is a loopback address; COUNTERSIGN_EGRESS_ALLOW can name it");
    assert!(exchange.timings.dns.is_some() && exchange.timings.connect.is_none());
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn an_address_in_the_url_is_judged_in_all_its_forms() {
    let authority = Authority::new("server CA");
    let server = Server::start(Tls::of(&authority), |_| ok()).await;
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0x7f000001",
        "2130706433",
        "0177.0.0.01",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "127。0。0。1",
        "①②⑦.0.0.1",
        "0.0.0.0",
        "0",
        "169.254.169.254",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[2002:7f00:1::]",
        "[fe80::1]",
    ] {
        let exchange = guarded().send(get(&format!("https://{host}:{}/", server.address.port()), &authority)).await;
        assert_failure(&exchange, Stage::Address, "COUNTERSIGN_EGRESS_ALLOW can name it");
        assert_eq!(exchange.timings.dns, None, "{host}");
    }
    assert_eq!(server.connections(), 0);
}

/// A name whose address changes between judgement and connection: there is one lookup for each connection, and what is
/// connected to is what was judged. 127.0.0.2 stands for the address that may be called.
#[tokio::test]
async fn a_name_that_changes_its_address_reaches_only_what_was_judged() {
    let authority = Authority::new("server CA");
    let good = Server::start_on("127.0.0.2:0", Tls::of(&authority), |_| ok()).await;
    let port = good.address.port();
    let inside = Server::start_on(&format!("127.0.0.1:{port}"), Tls::of(&authority), |_| ok()).await;
    let (egress, asked) = egress_with_names("127.0.0.2", &[&["127.0.0.2"], &["127.0.0.1"]]);
    let request = || get(&format!("https://partner.example:{port}/"), &authority);

    let exchange = egress.send(request()).await;
    assert_eq!(answer(&exchange).status, 200);
    assert_eq!(exchange.address, Some(good.address));
    assert_eq!(asked.lock().unwrap().len(), 1);

    let exchange = egress.send(request()).await;
    assert_failure(&exchange, Stage::Address, "partner.example is 127.0.0.1: 127.0.0.1 is a loopback address");
    assert_eq!((good.connections(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn of_several_addresses_only_the_permitted_are_called() {
    let authority = Authority::new("server CA");
    let good = Server::start_on("127.0.0.2:0", Tls::of(&authority), |_| ok()).await;
    let port = good.address.port();
    let inside = Server::start_on(&format!("127.0.0.1:{port}"), Tls::of(&authority), |_| ok()).await;
    let (egress, _) = egress_with_names("127.0.0.2", &[&["10.0.0.1", "127.0.0.1", "127.0.0.2", "::1"]]);
    let exchange = egress.send(get(&format!("https://partner.example:{port}/"), &authority)).await;
    assert_eq!(answer(&exchange).status, 200);
    assert_eq!(exchange.address, Some(good.address));
    assert_eq!(inside.connections(), 0);
}

#[tokio::test]
async fn an_address_that_refuses_gives_way_to_the_next() {
    let authority = Authority::new("server CA");
    let server = Server::start(Tls::of(&authority), |_| ok()).await;
    let (egress, _) = egress_with_names("127.0.0.0/8", &[&["127.0.0.3", "127.0.0.1"]]);
    let exchange = egress.send(get(&format!("https://partner.example:{}/", server.address.port()), &authority)).await;
    assert_eq!(answer(&exchange).status, 200);
    assert_eq!(exchange.address, Some(server.address));
}

#[tokio::test]
async fn what_does_not_resolve_or_listen_is_said_in_words() {
    let authority = Authority::new("server CA");
    let (nowhere, _) = egress_with_names("127.0.0.1", &[&[]]);
    let exchange = nowhere.send(get("https://partner.example/", &authority)).await;
    assert_failure(&exchange, Stage::Dns, "partner.example has no address");

    let failing: Lookup = Arc::new(|_| Box::pin(async { Err(std::io::Error::other("no such name")) }));
    let exchange =
        Egress::with_lookup(EgressPolicy::default(), failing).send(get("https://a.example/", &authority)).await;
    assert_failure(&exchange, Stage::Dns, "a.example does not resolve: no such name");

    let server = Server::start(Tls::of(&authority), |_| ok()).await;
    let (address, to) = (server.address, server.url());
    drop(server);
    tokio::task::yield_now().await;
    let exchange = egress().send(get(&to, &authority)).await;
    assert_failure(&exchange, Stage::Connect, &format!("{address} refused the connection; nothing listens there"));
    assert_eq!(exchange.address, None);
}
