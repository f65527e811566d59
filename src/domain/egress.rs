//! What this program may call on behalf of others: which addresses, which URLs, which headers.
//!
//! A caller names the URL, so the URL is hostile: it may lead into the machine itself, its network or a cloud's metadata
//! service. Names are not judged here. What counts is the address that a connection goes to, judged when it is made.

mod address;
mod policy;
mod request;

pub use policy::{EgressPolicy, Network};
pub use request::{METHODS, check_header, check_method, check_url};
