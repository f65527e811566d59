//! What is to be called.

use std::time::Duration;

use secrecy::SecretString;
use url::Url;
use zeroize::Zeroizing;

/// One call. It cannot be printed: headers and body hold secrets. Method, URL and headers are held to `domain::egress`
/// before anything is sent.
pub struct OutgoingRequest {
    pub url: Url,
    /// One of [`METHODS`](crate::domain::egress::METHODS).
    pub method: String,
    /// Sent in this order after our own. `User-Agent` and `Accept` have defaults.
    pub headers: Vec<(String, SecretString)>,
    pub body: Option<Zeroizing<Vec<u8>>>,
    /// For everything together: name, connections, redirects, and the body to its end.
    pub timeout: Duration,
    /// How many bytes of the answer's body are read.
    pub max_body: usize,
    /// How many redirects on the same scheme, host and port are followed.
    pub max_redirects: usize,
    /// Presented to the server if it asks for a client certificate.
    pub identity: Option<Presented>,
    /// Certificates in DER that the server's chain may end in, self-signed or not; none: the system's roots.
    pub trusted_ca: Vec<Vec<u8>>,
}

/// A certificate chain with its private key. It cannot be printed or copied.
pub struct Presented {
    /// In DER, the leaf first.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8 in DER.
    pub private_key: Zeroizing<Vec<u8>>,
}
