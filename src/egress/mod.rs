//! Calls to the outside: HTTPS with a client certificate, guarded and measured.
//!
//! Somebody else names the URL, so each step is taken by hand where it can be judged: the name is resolved, each address
//! is put to the [`EgressPolicy`], and the connection goes to a permitted address itself, never to a name again. What a
//! client library would do by itself does not exist here: no proxy from the environment, no cookies, no referer, no
//! decompression, no kept connection, no resumed TLS session, no redirect to another host.
//!
//! Each step is timed, and what is known so far survives a failure and the deadline: an expired server certificate is a
//! failure, and its chain is in the [`Exchange`].

mod call;
mod connect;
mod failure;
mod hop;
mod identity;
mod observed;
mod outcome;
mod p521;
mod redirect;
mod request;
mod stream;
#[cfg(test)]
mod tests;
mod tls;

use std::sync::Arc;
use std::time::Instant;

use rustls::crypto::CryptoProvider;
use tokio::time::timeout;

use crate::domain::egress::EgressPolicy;

pub use connect::Lookup;
pub use outcome::{Exchange, Failure, Response, Stage, Timings};
pub use request::{OutgoingRequest, Presented};

use call::Call;
use hop::{Hop, Trace};
use tls::SystemRoots;

/// Makes calls to the outside. Clones share the system's roots, which are read once, at the first call that needs them.
#[derive(Clone)]
pub struct Egress {
    policy: Arc<EgressPolicy>,
    lookup: Lookup,
    provider: Arc<CryptoProvider>,
    system_roots: SystemRoots,
}

impl Egress {
    /// Calls what the policy permits; names are resolved by the operating system.
    pub fn new(policy: EgressPolicy) -> Self {
        Self::with_lookup(policy, connect::system_lookup())
    }

    /// The same with another way to resolve names: for tests.
    pub fn with_lookup(policy: EgressPolicy, lookup: Lookup) -> Self {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.kx_groups.push(p521::SECP521R1);
        let provider = Arc::new(provider);
        Self { policy: Arc::new(policy), lookup, provider, system_roots: SystemRoots::default() }
    }

    /// Makes one call, with the redirects that stay on its host, and always comes back within the request's timeout.
    /// Dropping the future ends the call and closes its connection.
    pub async fn send(&self, request: OutgoingRequest) -> Exchange {
        let started = Instant::now();
        let limit = request.timeout;
        let mut trace = Trace::default();
        let finished = timeout(limit, self.follow(request, &mut trace)).await;
        let outcome = finished.unwrap_or_else(|_| Err(failure::timed_out(limit, &trace.doing)));
        trace.into_exchange(outcome, started.elapsed())
    }

    async fn follow(&self, request: OutgoingRequest, trace: &mut Trace) -> Result<Response, Failure> {
        let mut call = Call::prepare(self, request).await?;
        loop {
            match hop::run(self, &call, trace).await? {
                Hop::Answer(response) => return Ok(response),
                Hop::Redirect(next) => {
                    trace.redirects.push(next.url.to_string());
                    call.redirect(next);
                }
            }
        }
    }
}
