//! Recording issued certificates: everything that belongs to them in one transaction, many at once.

use std::collections::{BTreeMap, HashSet};

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

use crate::domain::audit::AuditEvent;
use crate::domain::certificate::Certificate;
use crate::domain::id::{AccountId, ZoneId};
use crate::domain::status::Status;

use super::bulk_insert::{self, Row};
use super::certificates::NewCertificate;
use super::connection::Connection;
use super::error::StoreError;
use super::gathering::Announcement;
use super::idempotency::{Claimed, Claims, IdempotencyClaim};
use super::{Store, audit, blocked_keys, certificates, counters, events, idempotency, schema, writer};

/// A signed certificate with everything that is stored with it.
pub struct Issuance {
    pub account: AccountId,
    pub new: NewCertificate,
    pub event: AuditEvent,
    /// What its caller is told beside it, also by the answer to a repeated request.
    pub messages: Vec<String>,
    /// Its idempotency key, if there is one.
    pub claim: Option<IdempotencyClaim>,
    /// Keys used since then count as used.
    pub oldest_claim: DateTime<Utc>,
}

/// What became of a signed certificate.
#[derive(Clone, Debug)]
pub enum IssueOutcome {
    /// It is durable, with its audit event and counters, and may be released.
    Recorded { certificate: Box<Certificate>, messages: Vec<String> },
    /// Nothing was stored: another request under the same idempotency key was first.
    Claimed(Claimed),
    /// Nothing was stored: the key is on the account's block list.
    KeyBlocked,
}

/// What is to be done with one of many.
#[derive(Debug)]
pub(super) enum Verdict {
    Record,
    Claimed(Claimed),
    KeyBlocked,
}

impl Verdict {
    /// What its caller is told after the commit.
    pub(super) fn outcome(self, issuance: Issuance) -> IssueOutcome {
        match self {
            Self::Record => {
                IssueOutcome::Recorded { certificate: Box::new(issuance.new.certificate), messages: issuance.messages }
            }
            Self::Claimed(first) => IssueOutcome::Claimed(first),
            Self::KeyBlocked => IssueOutcome::KeyBlocked,
        }
    }
}

impl Store {
    /// Says that a certificate is being made, which may soon be recorded.
    pub fn announce_issuance(&self) -> Announcement {
        self.writer.announce()
    }

    /// Has a signed certificate stored, with its audit event, its counters and, if there is one, its idempotency key.
    ///
    /// `told` hears once what became of it: after the commit on the writer's thread, which it must not hold up, or at once
    /// when the queue is full. So the thread that signed need not be woken to pass it on: who waits for it may do so
    /// elsewhere, by [`confirmed`].
    pub fn record_issuance(
        &self,
        issuance: Issuance,
        told: impl FnOnce(Result<IssueOutcome, StoreError>) + Send + 'static,
    ) {
        self.writer.submit_issuance(issuance, Box::new(told));
    }
}

/// Waits for what becomes of a write; [`StoreError::Unavailable`] when that is not known in 30 seconds.
pub async fn confirmed<T, E: From<StoreError>>(outcome: oneshot::Receiver<Result<T, E>>) -> Result<T, E> {
    writer::confirmed(outcome).await
}

/// Stores all of them, but those that must not be, in the caller's transaction. The verdicts are in the order of the
/// issuances.
pub(super) fn record_all(connection: &mut Connection, issuances: &[&Issuance]) -> Result<Vec<Verdict>, StoreError> {
    let keys = issuances.iter().map(|issuance| (issuance.account, issuance.new.certificate.spki_sha256.as_slice()));
    let blocked: HashSet<(AccountId, Vec<u8>)> = blocked_keys::among(connection, keys)?;
    let asked = issuances.iter().filter_map(|issuance| issuance.claim.as_ref());
    let mut claims = Claims::among(connection, asked)?;
    let mut verdicts = Vec::with_capacity(issuances.len());
    let mut recorded: Vec<&Issuance> = Vec::with_capacity(issuances.len());
    for issuance in issuances {
        let is_blocked =
            !blocked.is_empty() && blocked.contains(&(issuance.account, issuance.new.certificate.spki_sha256.clone()));
        let verdict = if is_blocked { Verdict::KeyBlocked } else { claim(&mut claims, issuance) };
        if let Verdict::Record = verdict {
            recorded.push(issuance);
        }
        verdicts.push(verdict);
    }
    if recorded.is_empty() {
        return Ok(verdicts);
    }
    write(connection, &recorded, &claims)?;
    Ok(verdicts)
}

fn write(connection: &mut Connection, recorded: &[&Issuance], claims: &Claims) -> Result<(), StoreError> {
    let new: Vec<&NewCertificate> = recorded.iter().map(|issuance| &issuance.new).collect();
    let certificates: Result<Vec<Row<'_>>, StoreError> = new.iter().map(|one| certificates::row(one)).collect();
    let (certificates, claims, totals) = (certificates?, claims.rows()?, totals(&new));
    let events: Vec<&AuditEvent> = recorded.iter().map(|issuance| &issuance.event).collect();
    match connection {
        Connection::Sqlite(_) => {
            bulk_insert::insert::<schema::certificates::table>(connection, "certificates", &certificates)?;
            bulk_insert::upsert::<schema::idempotency_keys::table>(
                connection,
                "idempotency_keys",
                &claims,
                idempotency::TAKE_OVER,
            )?;
            let totals: Vec<Row<'_>> =
                totals.iter().map(|(zone, count)| counters::row(zone, Status::Active, *count)).collect();
            bulk_insert::upsert::<schema::certificate_counters::table>(
                connection,
                "certificate_counters",
                &totals,
                counters::ADD,
            )?;
            audit::insert_all(connection, &events)
        }
        Connection::Postgres(connection) => {
            let audit: Vec<Row<'_>> = events.iter().map(|event| audit::row(event)).collect();
            let news: Vec<Row<'_>> = events.iter().filter_map(|event| events::row_of(event)).collect();
            let totals: Vec<Row<'_>> =
                totals.iter().map(|(zone, count)| counters::row(zone, Status::Active, *count)).collect();
            bulk_insert::insert_together(
                connection,
                &[
                    ("certificates", &certificates, ""),
                    ("idempotency_keys", &claims, idempotency::TAKE_OVER),
                    ("audit_events", &audit, ""),
                    ("events", &news, ""),
                    ("certificate_counters", &totals, counters::ADD),
                ],
            )
        }
    }
}

/// Takes the issuance's idempotency key, unless somebody was first: also one before it in the same batch.
fn claim(claims: &mut Claims, issuance: &Issuance) -> Verdict {
    let Some(claim) = &issuance.claim else { return Verdict::Record };
    let certificate = &issuance.new.certificate;
    let result = Claimed {
        request_sha256: claim.request_sha256.to_vec(),
        zone: certificate.zone,
        certificate: certificate.id,
        messages: issuance.messages.clone(),
        created_on: claim.created_on,
    };
    match claims.take(claim.key(), result, issuance.oldest_claim) {
        Some(first) => Verdict::Claimed(first),
        None => Verdict::Record,
    }
}

fn totals(new: &[&NewCertificate]) -> BTreeMap<ZoneId, i64> {
    let mut totals = BTreeMap::new();
    for one in new {
        *totals.entry(one.certificate.zone).or_default() += 1;
    }
    totals
}
