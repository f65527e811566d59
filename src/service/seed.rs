//! Very many certificates for a store to measure or to try things on. Each is decided, built, linted and signed as every
//! other; they are recorded in bulk, on keys that many share, and nothing of them is released.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, available_parallelism};

use tokio::runtime::Handle;
use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::audit::{Action, Actor, AuditEvent, AuditResult};
use crate::domain::authority::Authority;
use crate::domain::certificate::{Certificate, Receipt, Revocation};
use crate::domain::id::{AuditEventId, CertificateId};
use crate::domain::name::AttributeType;
use crate::domain::plan::{CertificationRequest, Issuer};
use crate::domain::policy::{self, IssueRequest};
use crate::domain::profile::{self, Profile};
use crate::domain::reason::RevocationReason;
use crate::domain::status::Status;
use crate::domain::zone::Zone;
use crate::keys::client_key::{ClientKey, ClientKeyKind};
use crate::keys::signer::Signer;
use crate::store::{NewCertificate, SeededCertificate, Seeder};
use crate::x509::{csr, name};

use super::issuance::{self, record};
use super::publication::Published;
use super::random::Random;
use super::{Service, ServiceError};

/// How many keys the certificates share.
const KEYS: usize = 1000;
const BATCH: u64 = 1000;
/// How many batches may wait to be stored, for each that is being signed.
const WAITING: usize = 2;
/// The shortest validity, in days, and how many lengths there are from there on: nothing ends or is told of soon.
const VALIDITY: (u64, u64) = (365, 365);

/// How many certificates.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    pub active: u64,
    pub revoked: u64,
}

impl Amount {
    pub fn total(self) -> u64 {
        self.active + self.revoked
    }
}

/// All that it takes to sign for a zone, without the store: to be had before the database is used by nobody else.
pub struct Seeding {
    pub zone: Zone,
    pub authority: Authority,
    issuer: Issuer,
    signer: Arc<Signer>,
    profile: Arc<Profile>,
    requests: Vec<CertificationRequest>,
    /// The number of the CRL that will list what is revoked.
    crl_number: i64,
    clock: Clock,
    random: Random,
}

impl Service {
    /// Gets ready to seed the zone of this name.
    pub async fn prepare_seeding(&self, zone: &str) -> Result<Seeding, ServiceError> {
        let mut found = None;
        for account in self.store.accounts().await? {
            found = self.store.zones(account.id).await?.into_iter().find(|known| known.name == zone).or(found);
        }
        let missing = || ServiceError::invalid("", format!("there is no zone {zone:?}"));
        let zone = found.ok_or_else(missing)?;
        let issuer =
            self.zone_issuer(zone.id).await?.ok_or_else(|| ServiceError::Internal("the zone is gone".into()))?;
        let publication = self.store.publication(issuer.authority.id).await?;
        let unpublished = || ServiceError::Internal("the zone's authority has never published".into());
        let profile = self.profiles.find(profile::DEFAULT);
        Ok(Seeding {
            zone,
            authority: issuer.authority.clone(),
            issuer: issuer.issuer.clone(),
            signer: self.keyring.signer(&self.store, &issuer.authority).await?,
            profile: profile.ok_or_else(|| ServiceError::Internal("there is no default profile".into()))?,
            requests: (0..KEYS).map(|_| request()).collect::<Result<_, _>>()?,
            crl_number: publication.ok_or_else(unpublished)?.number + 1,
            clock: self.clock.clone(),
            random: Random::system(),
        })
    }

    /// Publishes the CRLs that list what was seeded.
    pub async fn publish_seeded(&self, seeding: &Seeding) -> Result<(), ServiceError> {
        let lease = self.claim_lease(seeding.authority.id, Uuid::new_v4()).await?;
        let published = match lease {
            Some(lease) => self.publish(lease).await?,
            None => Published::LeaseLost,
        };
        match published {
            Published::Crl { .. } => Ok(()),
            Published::LeaseLost => Err(ServiceError::Internal("somebody else publishes for the zone".into())),
        }
    }
}

impl Seeding {
    /// Signs on all cores and stores meanwhile; call it on a blocking thread. `progress` is told how many are stored.
    pub fn run(&self, mut seeder: Seeder, amount: Amount, progress: impl Fn(u64)) -> Result<(), ServiceError> {
        let cores = available_parallelism().map_or(1, usize::from);
        let (next, handle) = (AtomicU64::new(0), Handle::current());
        let (finished, waiting) = mpsc::sync_channel(cores * WAITING);
        thread::scope(|scope| {
            for _ in 0..cores {
                let (finished, next, handle) = (finished.clone(), &next, handle.clone());
                scope.spawn(move || {
                    loop {
                        let first = next.fetch_add(BATCH, Ordering::Relaxed);
                        let numbers = first..amount.total().min(first + BATCH);
                        if numbers.is_empty() {
                            return;
                        }
                        let batch: Result<Vec<_>, _> =
                            numbers.map(|number| handle.block_on(self.sign(number, amount))).collect();
                        let is_last = batch.is_err();
                        // Whoever stores them has stopped at a fault.
                        if finished.send(batch).is_err() || is_last {
                            return;
                        }
                    }
                });
            }
            drop(finished);
            let mut stored = 0;
            for batch in waiting {
                let batch = batch?;
                seeder.add(&batch)?;
                stored += batch.len() as u64;
                progress(stored);
            }
            Ok(seeder.finish()?)
        })
    }

    async fn sign(&self, number: u64, amount: Amount) -> Result<SeededCertificate, ServiceError> {
        let now = self.clock.now();
        let serial = self.random.serial()?;
        let shard = self.authority.shard_of(&serial);
        let mut issuer = self.issuer.clone();
        if let Some(shards) = &self.authority.shards {
            issuer.crl_url = shards.url_of(shard);
        }
        let plan = policy::decide(&self.profile, self.request(number)?, issuer, serial, now);
        let signed = issuance::sign(plan.map_err(ServiceError::Invalid)?, &self.signer).await?;
        let id = CertificateId::new(self.random.ordered_id(now));
        let mut certificate = record(self.zone.id, &self.authority, id, &signed, self.csr_of(number)?.pem.clone())?;
        if is_revoked(number, amount) {
            self.revoke(&mut certificate, number);
        }
        let event = AuditEvent {
            id: AuditEventId::new(self.random.ordered_id(now)),
            at: now,
            account: self.zone.account.id,
            zone: Some(self.zone.id),
            actor: Actor::system(),
            action: Action::IssueCertificate,
            subject: certificate.id.to_string(),
            result: AuditResult::Done,
            detail: String::new(),
            news: None,
        };
        Ok(SeededCertificate { new: NewCertificate { certificate, created_on: now }, shard, event })
    }

    /// A request under a name of its own, by a key that others have too.
    fn request(&self, number: u64) -> Result<IssueRequest, ServiceError> {
        let subject = name::build(&[(AttributeType::CommonName, format!("device-{number:07}"))])?;
        let (shortest, lengths) = VALIDITY;
        Ok(IssueRequest {
            csr: Some(CertificationRequest { subject, ..self.csr_of(number)?.clone() }),
            validity_days: i64::try_from(shortest + number % lengths).ok(),
            subject_alternative_names: Vec::new(),
            faults: Vec::new(),
        })
    }

    fn csr_of(&self, number: u64) -> Result<&CertificationRequest, ServiceError> {
        let place = usize::try_from(number).unwrap_or_default() % KEYS;
        self.requests.get(place).ok_or_else(|| ServiceError::Internal("there is no such key".into()))
    }

    fn revoke(&self, certificate: &mut Certificate, number: u64) {
        let now = self.clock.now();
        let reasons = RevocationReason::OF_HOLDERS.into_iter().filter(|reason| !reason.is_hold());
        let place = usize::try_from(number).unwrap_or_default();
        let reason = reasons.cycle().nth(place % RevocationReason::OF_HOLDERS.len());
        certificate.status = Status::Revoked;
        certificate.version = 2;
        certificate.revocation = Some(Revocation {
            reason: reason.unwrap_or(RevocationReason::Unspecified),
            requested_on: now,
            invalidity_date: None,
            revoked_on: Some(now),
            crl_number: Some(self.crl_number),
        });
        let receipt = Receipt { status: Status::Revoked, crl_number: self.crl_number, published_on: now };
        certificate.receipt = Some(receipt);
    }
}

/// Revoked ones stand evenly among the others.
fn is_revoked(number: u64, amount: Amount) -> bool {
    let before = |number: u64| number * amount.revoked / amount.total().max(1);
    before(number + 1) > before(number)
}

fn request() -> Result<CertificationRequest, ServiceError> {
    let key = ClientKey::generate(ClientKeyKind::P256)?;
    let text = key.certification_request(&[(AttributeType::CommonName, "seed".to_owned())], &[])?;
    csr::parse(&text).map_err(ServiceError::Invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_revoked_as_were_asked_for() {
        for (active, revoked) in [(0, 7), (7, 0), (10, 3), (3, 10), (1000, 1000)] {
            let amount = Amount { active, revoked };
            let count = (0..amount.total()).filter(|number| is_revoked(*number, amount)).count();
            assert_eq!(count as u64, revoked);
        }
    }
}
