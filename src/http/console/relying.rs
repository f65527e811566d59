//! Ready pieces of configuration for servers that rely on a zone's certificates, with the zone's own addresses in them.
//!
//! Each server reads two files, the bundle of CAs and the CRLs of the whole chain; those that know no CRLs say so. Sessions
//! are not resumed: whoever is revoked would come back with one. What each word means is the server's to say; these pieces
//! are judged by the servers that the tests have.

/// Where a zone's files are fetched.
pub struct Addresses<'a> {
    /// Of this service, as its certificates name it.
    pub public_url: &'a str,
    pub zone: String,
    /// Of the CA certificates, the signing one's bundle first.
    pub trusted: Vec<String>,
}

/// How one server is told.
pub struct Piece {
    /// In addresses of the page.
    pub id: &'static str,
    pub server: &'static str,
    /// Where the text belongs.
    pub file: &'static str,
    pub text: String,
    /// What it does not do, or what to heed.
    pub note: Option<&'static str>,
}

/// The folder and the command that makes the server read its files anew.
struct Server {
    id: &'static str,
    name: &'static str,
    file: &'static str,
    folder: &'static str,
    reload: Option<&'static str>,
    template: &'static str,
    note: Option<&'static str>,
}

pub fn pieces(addresses: &Addresses<'_>) -> Vec<Piece> {
    SERVERS.iter().map(|server| server.piece(addresses)).collect()
}

impl Server {
    fn piece(&self, addresses: &Addresses<'_>) -> Piece {
        let mut text = String::new();
        if !self.folder.is_empty() {
            text.push_str(&self.fetching(addresses));
        }
        let template = self.template.replace("{folder}", self.folder);
        text.push_str(
            &template.replace("{crl}", &crl_chain_url(addresses)).replace("{ca}", &addresses.trusted.join(" ")),
        );
        Piece { id: self.id, server: self.name, file: self.file, text, note: self.note }
    }

    /// How the files come and stay current, as comments before the configuration.
    fn fetching(&self, addresses: &Addresses<'_>) -> String {
        let folder = self.folder;
        let mut lines =
            format!("# The CAs, once:\n#   curl -fsS {} > {folder}/clients-ca.pem\n", addresses.trusted.join(" "));
        if let Some(reload) = self.reload {
            lines.push_str(&format!(
                "# Their CRLs, kept current within a second by a service that runs this:\n\
                 #   countersign crl sync --zone {} --url {} \\\n\
                 #     --out {folder}/clients-crl.pem --exec '{reload}'\n",
                addresses.zone, addresses.public_url,
            ));
        }
        lines
    }
}

/// Where the CRLs of the whole chain are.
pub fn crl_chain_url(addresses: &Addresses<'_>) -> String {
    format!("{}/pki/{}/crl-chain.pem", addresses.public_url, addresses.zone)
}

const NO_CRL: &str = "This server knows no CRLs by itself: it goes on to accept revoked certificates until they end. Use \
                      the profile short-lived with it, or put a server before it that heeds CRLs.";

const SERVERS: [Server; 7] = [
    Server {
        id: "nginx",
        name: "nginx",
        file: "/etc/nginx/conf.d/clients.conf",
        folder: "/etc/nginx",
        reload: Some("nginx -s reload"),
        template: r#"server {
  listen 443 ssl;
  server_name service.example.com;
  ssl_certificate {folder}/server.pem;
  ssl_certificate_key {folder}/server.key;

  ssl_client_certificate {folder}/clients-ca.pem;
  ssl_crl {folder}/clients-crl.pem;
  ssl_verify_client on;
  ssl_verify_depth 2;
  ssl_session_cache off;
  ssl_session_tickets off;

  location / {
    proxy_set_header X-Client-Subject $ssl_client_s_dn;
    proxy_set_header X-Client-Serial $ssl_client_serial;
    proxy_pass http://127.0.0.1:8000;
  }
}
"#,
        note: None,
    },
    Server {
        id: "haproxy",
        name: "HAProxy",
        file: "/etc/haproxy/haproxy.cfg",
        folder: "/etc/haproxy",
        reload: Some("systemctl reload haproxy"),
        template: r"frontend clients
  mode http
  timeout client 30s
  bind :443 ssl crt {folder}/server.pem ca-file {folder}/clients-ca.pem crl-file {folder}/clients-crl.pem verify required no-tls-tickets
  http-request set-header X-Client-Subject %[ssl_c_s_dn]
  http-request set-header X-Client-Serial %[ssl_c_serial,hex]
  default_backend service

backend service
  mode http
  timeout connect 5s
  timeout server 30s
  server service 127.0.0.1:8000
",
        note: Some("server.pem holds the server’s certificate and its key, one after the other."),
    },
    Server {
        id: "envoy",
        name: "Envoy",
        file: "the transport_socket of a listener’s filter chain",
        folder: "/etc/envoy",
        reload: Some("systemctl restart envoy"),
        template: r#"transport_socket:
  name: envoy.transport_sockets.tls
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
    require_client_certificate: true
    disable_stateless_session_resumption: true
    disable_stateful_session_resumption: true
    common_tls_context:
      tls_certificates:
        - certificate_chain: { filename: {folder}/server.pem }
          private_key: { filename: {folder}/server.key }
      validation_context:
        trusted_ca: { filename: {folder}/clients-ca.pem }
        crl: { filename: {folder}/clients-crl.pem }
"#,
        note: Some(
            "Envoy reads these files when it starts. Given by SDS, with a watched_directory, they are read anew without a \
             restart.",
        ),
    },
    Server {
        id: "traefik",
        name: "Traefik",
        file: "a file of the dynamic configuration",
        folder: "/etc/traefik",
        reload: None,
        template: r"tls:
  certificates:
    - certFile: {folder}/server.pem
      keyFile: {folder}/server.key
  options:
    default:
      clientAuth:
        caFiles:
          - {folder}/clients-ca.pem
        clientAuthType: RequireAndVerifyClientCert
",
        note: Some(NO_CRL),
    },
    Server {
        id: "caddy",
        name: "Caddy",
        file: "/etc/caddy/Caddyfile",
        folder: "/etc/caddy",
        reload: None,
        template: r"service.example.com {
	tls {
		client_auth {
			mode require_and_verify
			trust_pool file {folder}/clients-ca.pem
		}
	}
	reverse_proxy 127.0.0.1:8000 {
		header_up X-Client-Subject {tls_client_subject}
		header_up X-Client-Serial {tls_client_serial}
	}
}
",
        note: Some(NO_CRL),
    },
    Server {
        id: "apache",
        name: "Apache",
        file: "/etc/apache2/sites-available/clients.conf",
        folder: "/etc/apache2",
        reload: Some("apachectl graceful"),
        template: r#"<VirtualHost *:443>
  ServerName service.example.com
  SSLEngine on
  SSLCertificateFile {folder}/server.pem
  SSLCertificateKeyFile {folder}/server.key

  SSLCACertificateFile {folder}/clients-ca.pem
  SSLCARevocationFile {folder}/clients-crl.pem
  SSLCARevocationCheck chain
  SSLVerifyClient require
  SSLVerifyDepth 2
  SSLSessionTickets off

  RequestHeader set X-Client-Subject "%{SSL_CLIENT_S_DN}s"
  RequestHeader set X-Client-Serial "%{SSL_CLIENT_M_SERIAL}s"
  ProxyPass / http://127.0.0.1:8000/
</VirtualHost>
"#,
        note: Some("Needs the modules ssl, headers, proxy and proxy_http: a2enmod ssl headers proxy proxy_http."),
    },
    Server {
        id: "curl",
        name: "curl",
        file: "a shell",
        folder: "",
        reload: None,
        template: r"# What a client presents: its certificate with the issuer's, and its key.
curl --cert device.chain.pem --key device.key https://service.example.com/

# What a relying party needs, and whether it takes the certificate.
curl -fsS {ca} > clients-ca.pem
curl -fsS {crl} > clients-crl.pem
openssl verify -purpose sslclient -crl_check_all -CAfile clients-ca.pem -CRLfile clients-crl.pem device.pem
",
        note: None,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_names_the_zone_s_own_addresses_and_nothing_is_left_open() {
        let addresses = Addresses {
            public_url: "https://ca.test",
            zone: "0f".repeat(16),
            trusted: vec!["https://ca.test/pki/one/bundle.pem".into(), "https://ca.test/pki/two/ca.pem".into()],
        };
        for piece in pieces(&addresses) {
            let text = &piece.text;
            assert!(text.contains("https://ca.test/pki/one/bundle.pem https://ca.test/pki/two/ca.pem"), "{text}");
            assert!(!["{folder}", "{crl}", "{ca}"].iter().any(|place| text.contains(place)), "{text}");
            let heeds_crl = text.contains(&"0f".repeat(16));
            assert_eq!(heeds_crl, piece.note != Some(NO_CRL), "{text}");
        }
    }
}
