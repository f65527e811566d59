//! What a command can guess about the server of this machine from the same configuration that the server reads.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::sources::{self, Environment, Flags};
use super::{DEFAULT_DATA_DIR, DEFAULT_LISTEN, values};

/// Where the local server is, as far as the configuration tells. Problems are not reported here: a command that talks
/// to a server elsewhere must not fail over the configuration of one it does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalServer {
    /// Without a slash at the end.
    pub url: String,
    pub data_dir: PathBuf,
}

impl LocalServer {
    pub fn find(flags: &Flags, environment: &Environment, folder: &Path) -> Self {
        let (values, _) = sources::collect(flags, environment, folder);
        let text = |key: &str| values.get(key).map(|value| value.text.as_str());
        let listen = text("listen").and_then(|text| values::listen(text).ok()).filter(|address| address.port() != 0);
        let public_url = text("public_url").and_then(|text| values::public_url(text).ok());
        let speaks_tls = text("tls_cert").is_some();
        let data_dir = text("data_dir").unwrap_or(DEFAULT_DATA_DIR);
        Self { url: local_url(listen, public_url, speaks_tls), data_dir: PathBuf::from(data_dir) }
    }
}

/// With TLS the public address goes first, because its host is the one in the certificate; without, the listen address
/// does, because the public one may belong to a proxy that this machine does not reach.
pub fn local_url(listen: Option<SocketAddr>, public_url: Option<String>, speaks_tls: bool) -> String {
    match (listen, public_url) {
        (_, Some(public_url)) if speaks_tls => public_url,
        (None, Some(public_url)) => public_url,
        (listen, _) => {
            let scheme = if speaks_tls { "https" } else { "http" };
            format!("{scheme}://{}", reachable(listen.unwrap_or(DEFAULT_LISTEN)))
        }
    }
}

/// A server that listens on every address is reached on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        other => other,
    };
    SocketAddr::new(ip, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<const N: usize>(pairs: [(&str, &str); N]) -> LocalServer {
        LocalServer::find(&Flags::default(), &Environment::from(pairs), Path::new("/nonexistent"))
    }

    #[test]
    fn the_address_follows_the_servers_own_settings() {
        assert_eq!(found([]).url, "http://127.0.0.1:8080");
        assert_eq!(found([("COUNTERSIGN_LISTEN", "127.0.0.1:9000")]).url, "http://127.0.0.1:9000");
        assert_eq!(found([("COUNTERSIGN_LISTEN", "0.0.0.0:9000")]).url, "http://127.0.0.1:9000");
        assert_eq!(found([("COUNTERSIGN_LISTEN", "[::]:9000")]).url, "http://[::1]:9000");
        assert_eq!(found([("COUNTERSIGN_PUBLIC_URL", "https://ca.example/")]).url, "https://ca.example");
        let both = [("COUNTERSIGN_PUBLIC_URL", "https://ca.example"), ("COUNTERSIGN_LISTEN", "127.0.0.1:1")];
        assert_eq!(found(both).url, "http://127.0.0.1:1");
        let tls = [("COUNTERSIGN_TLS_CERT", "a"), ("COUNTERSIGN_PUBLIC_URL", "https://ca.example")];
        assert_eq!(found(tls).url, "https://ca.example");
    }

    #[test]
    fn what_cannot_be_read_falls_back_to_the_default() {
        let broken = found([("COUNTERSIGN_LISTEN", "nonsense"), ("COUNTERSIGN_DATA_DIR", "/srv/x")]);
        assert_eq!(broken, LocalServer { url: "http://127.0.0.1:8080".into(), data_dir: "/srv/x".into() });
    }
}
