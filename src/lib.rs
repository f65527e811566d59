//! Countersign: a self-hosted certificate authority for client certificates.
//!
//! A CSR goes in, a certificate comes out, signed by the zone's own managed CA; it is revoked and reactivated through
//! pending states that an asynchronous worker carries out by publishing CRLs. The API is the one that Cloudflare
//! published for its zones' client certificates.
//!
//! Its other half keeps *identities*, certificates that others issued to us, sealed, and presents them in outgoing mutual
//! TLS: to the hosts they are assigned to, by checks and by calls made by hand.
//!
//! # The map
//!
//! ```text
//! main → cli → http, worker → service → egress → store | keys → x509 → domain
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | [`domain`] | values and rules: ids, the status table, profiles, the policy decision, permissions, names, host patterns, checks |
//! | [`x509`] | bytes in, bytes out: CSR checks, weak keys, TBS building, lint, certificate, CRL and OCSP encoding, others' certificates |
//! | [`keys`] | private keys: generation, sealing, signing, reading what people upload |
//! | [`store`] | the only SQL: one file for each noun, and the group-commit writer |
//! | [`service`] | the use cases: issue, revoke, reactivate, publish, answer OCSP, manage zones, authorities, tokens; keep, choose and present identities; tell what happened |
//! | [`egress`] | the only calls to the outside: HTTPS with a client certificate, guarded and measured |
//! | [`worker`] | when and how often transitions are carried out, CRLs re-signed, identities and responders renewed, bulk jobs worked through, checks run, webhooks told |
//! | [`http`] | envelope, authentication, one file for each noun under `api/`, one for each page under `console/`, public PKI addresses |
//! | [`cli`] | one file for each verb |
//! | [`config`], [`clock`], [`telemetry`] | used by all; use nothing of ours but `domain` |
//!
//! A noun has one file in each layer, with the same name. Imports go **down** only; `tests/architecture.rs` reads the
//! `use` lines and fails on one that goes up, or sideways where it must not.
//!
//! # Invariants: what is deliberately absent
//!
//! * No second path to issuance: front ends build a request, and `service::issuance` alone decides, builds, lints,
//!   signs and records. Types make skipping impossible: `Plan → Tbs → LintedTbs → SignedCertificate`.
//! * No act for a caller without a permit: it takes a `ZonePermit` or `AccountPermit`, which only `service::access` makes.
//!   Lists of what a caller may see (zones, accounts) take the caller and are filtered by it; what is public (`/pki`) and
//!   what only the operator's own machine can do (`authority export-key`) take neither. A holder's permit is made of a
//!   `Possession`, which only a verified signature with the certificate's own key yields.
//! * No leader among processes on one database: `store::writer` takes turns with the writers of all others, so what is
//!   read in a write stays true until its commit, and no answer is given from memory that is older than a second.
//! * No reply before the commit: a write returns after its transaction is durable (`store::writer`).
//! * No `revoked` before the CRL that says so: statuses settle only in `store::crls`, in the CRL's own transaction.
//! * No OCSP answer from memory alone: each request first learns from the store how far its authority has published
//!   (`store::barrier`), so no process says `good` once another has shown the revocation.
//! * No query about a zone's things without the zone's id in its WHERE; what goes by authority (CRLs, OCSP, the worker) names
//!   the authority, which belongs to one zone. A query about one account's identities or checks names the account; only
//!   the worker's look-out for what is due (runs, renewals, webhooks, ends that are near) goes over all of them.
//! * No private key that can be printed or serialised; at rest they are sealed under the master key, each bound to its
//!   record. An identity's key is opened for a handshake and for nothing else.
//! * No call to an address that `domain::egress` did not permit, judged at the moment of connecting: [`egress`] alone
//!   connects on behalf of a caller.
//! * No wall clock outside [`clock`], no secret, id or serial number made outside `service::random` and `keys`.

pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod egress;
pub mod http;
pub mod keys;
pub mod service;
pub mod store;
pub mod telemetry;
pub mod worker;
pub mod x509;
