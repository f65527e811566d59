//! Recording an issued certificate: everything that belongs to it in one transaction.

use chrono::{DateTime, Utc};

use crate::domain::audit::AuditEvent;
use crate::domain::id::AccountId;

use super::certificates::NewCertificate;
use super::error::StoreError;
use super::idempotency::{Claimed, IdempotencyClaim};
use super::{Store, audit, blocked_keys, certificates, idempotency};

/// What became of a signed certificate.
#[derive(Clone, Debug)]
pub enum IssueOutcome {
    /// It is durable, with its audit event and counters, and may be released.
    Recorded,
    /// Nothing was stored: another request under the same idempotency key was first.
    Claimed(Claimed),
    /// Nothing was stored: the key is on the account's block list.
    KeyBlocked,
}

impl Store {
    /// Stores a signed certificate, its audit event, its counters and, if there is one, its idempotency key.
    /// Keys used since `oldest` count as used.
    pub async fn record_issuance(
        &self,
        account: AccountId,
        new: NewCertificate,
        event: AuditEvent,
        claim: Option<(IdempotencyClaim, Vec<String>)>,
        oldest: DateTime<Utc>,
    ) -> Result<IssueOutcome, StoreError> {
        self.write(move |connection| {
            let certificate = &new.certificate;
            if blocked_keys::contain(connection, account, &certificate.spki_sha256)? {
                return Ok(IssueOutcome::KeyBlocked);
            }
            if let Some((claim, messages)) = &claim {
                if let Some(first) = idempotency::find(connection, claim, oldest)? {
                    return Ok(IssueOutcome::Claimed(first));
                }
                idempotency::insert(connection, claim, certificate.zone, certificate.id, messages)?;
            }
            certificates::insert(connection, &new)?;
            audit::insert(connection, &event)?;
            Ok(IssueOutcome::Recorded)
        })
        .await
    }
}
