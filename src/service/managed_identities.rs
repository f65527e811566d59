//! Managed identities: the key is made here and shown to nobody, one of the account's own zones issues the certificate,
//! and the worker renews it at two thirds of its life. The certificate before is revoked as superseded after a time of
//! grace, for whoever still has it in a connection.
//!
//! A crash between issuing and storing leaves a certificate whose key is gone with the process: nobody can use it.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::sync::Semaphore;

use crate::domain::audit::Action;
use crate::domain::certificate::Certificate;
use crate::domain::id::IdentityId;
use crate::domain::identity::{Identity, Managed, ManagedPlan};
use crate::domain::name::AttributeType;
use crate::domain::reason::RevocationReason;
use crate::domain::subject_alternative_name::{SubjectAlternativeName, SubjectAlternativeNameType};
use crate::domain::text::label;
use crate::domain::violation::Violation;
use crate::keys::client_key::{ClientKey, ClientKeyKind};
use crate::keys::private_key::PrivateKey;
use crate::keys::upload;
use crate::store::{NewIdentity, Renewal, Replacement, Supersession};
use crate::x509::foreign_certificate::ForeignCertificate;

use super::access::{AccountPermit, AddIdentity, IssueCertificate, RevokeCertificate, ZonePermit};
use super::certificates::RevocationRequest;
use super::identities::{Details, Duplicates, IdentityInput, Kept};
use super::identity_material::{facts_of, pem};
use super::issuance::{IssueInput, Issued};
use super::keyring::Record;
use super::{Service, ServiceError, in_turn};

pub const DEFAULT_VALIDITY_DAYS: i64 = 90;
pub const DEFAULT_GRACE: TimeDelta = TimeDelta::days(1);
pub const MAX_GRACE: TimeDelta = TimeDelta::days(30);
const DEFAULT_KEY: ClientKeyKind = ClientKeyKind::P256;
/// The upper bound of X.520 for a common name, an organization and its unit (RFC 5280, appendix A.1).
const MAX_ATTRIBUTE_LENGTH: usize = 64;
/// How many are renewed, or revoked, in one round of the worker.
const BATCH: i64 = 20;
/// A renewal that failed is tried again after this, doubled each time, up to the longest.
const FIRST_RETRY: TimeDelta = TimeDelta::minutes(1);
const LONGEST_RETRY: TimeDelta = TimeDelta::hours(6);

/// What a caller wants issued, as far as it could be read.
#[derive(Clone, Debug, Default)]
pub struct ManagedInput {
    pub common_name: Option<String>,
    pub organization: Option<String>,
    pub organizational_unit: Option<String>,
    pub subject_alternative_names: Vec<SubjectAlternativeName>,
    pub key_type: Option<String>,
    pub profile: Option<String>,
    pub validity_days: Option<i64>,
    pub grace_seconds: Option<i64>,
}

impl Service {
    /// Makes an identity whose certificate the permit's zone issues.
    pub async fn add_managed_identity(
        self: &Arc<Self>,
        permit: &AccountPermit<AddIdentity>,
        zone: &ZonePermit<IssueCertificate>,
        input: IdentityInput,
        managed: ManagedInput,
    ) -> Result<Kept, ServiceError> {
        let outcome = self.manage_or_refuse(permit, zone, input, managed).await;
        self.recorded(permit, "", outcome).await
    }

    /// Renews the managed identities whose time has come, and requests the revocation of certificates that were replaced
    /// long enough ago. What fails is tried again later; one failure does not hold up the others.
    pub async fn keep_identities_fresh(self: &Arc<Self>) -> Result<(), ServiceError> {
        let now = self.clock.now();
        for (identity, attempts) in self.store.renewals_due(now, BATCH).await? {
            let retry_on = now + pause(attempts);
            if !self.store.claim_renewal(identity.account, identity.id, attempts, now, retry_on).await? {
                continue;
            }
            if let Err(error) = self.renew(&identity).await {
                tracing::warn!(identity = %identity.id, %error, retry = %retry_on, "a managed identity was not renewed");
                metrics::counter!("countersign_identity_renewal_failures_total").increment(1);
            }
        }
        for supersession in self.store.supersessions_due(now, BATCH).await? {
            if let Err(error) = self.retire(supersession).await {
                tracing::warn!(certificate = %supersession.certificate, %error, "a replaced certificate was not revoked");
            }
        }
        Ok(())
    }

    async fn manage_or_refuse(
        self: &Arc<Self>,
        permit: &AccountPermit<AddIdentity>,
        zone: &ZonePermit<IssueCertificate>,
        input: IdentityInput,
        managed: ManagedInput,
    ) -> Result<Kept, ServiceError> {
        let now = self.clock.now();
        let mut faults = input.faults;
        let account = permit.account();
        let details = self.read_details(account, None, input.name, Some(input.hosts), Some(&input.labels)).await?;
        let Details { name, hosts, mut messages, faults: found } = details;
        faults.extend(found);
        let trusted_ca = input.material.trusted_ca.filter(|text| !text.trim().is_empty());
        let trusted_ca = trusted_ca.map(|text| upload::read_authorities(&text, now, upload::TRUSTED_CA)).transpose();
        let (trusted_ca, odd) = trusted_ca.map_err(|found| faults.extend(found)).ok().flatten().unwrap_or_default();
        messages.extend(odd);
        let plan = plan(managed).map_err(|found| faults.extend(found)).ok();
        let Some(plan) = plan.filter(|_| faults.is_empty()) else { return Err(ServiceError::Invalid(faults)) };
        let name = name.unwrap_or_else(|| plan.common_name.clone());

        let fresh = self.issue_for(zone, &plan, &self.key_generation).await.map_err(below_managed)?;
        messages.extend(fresh.messages.iter().cloned());
        let id = IdentityId::new(self.random.ordered_id(now));
        let (not_before, not_after) = (fresh.certificate.not_before, fresh.certificate.not_after);
        let identity = Identity {
            id,
            account: permit.account(),
            name,
            is_ca: false,
            certificates: pem(&fresh.chain),
            trusted_ca: pem(&trusted_ca),
            hosts: hosts.unwrap_or_default(),
            is_primary: input.is_primary,
            labels: input.labels,
            facts: fresh.chain.first().map(facts_of).ok_or_else(no_certificate)?,
            managed: Some(Managed {
                zone: zone.zone(),
                certificate: fresh.certificate.id,
                renew_on: plan.renewal_of(not_before, not_after),
                plan,
            }),
            version: 0,
            created_on: now,
            updated_on: now,
        };
        let sealed_key = Some(self.keyring.seal(Record::Identity(id), fresh.key.pkcs8_der())?);
        let new = NewIdentity { identity: identity.clone(), sealed_key };
        if let Err(error) = self.keep_identity(permit, new, Duplicates::Refused).await {
            // Nobody has the key of what was just issued.
            let reason = RevocationReason::CessationOfOperation;
            let unused = Supersession { zone: zone.zone(), certificate: fresh.certificate.id, revoke_on: now, reason };
            self.store.supersede(unused).await?;
            return Err(error);
        }
        Ok(Kept { identity, messages })
    }

    async fn renew(self: &Arc<Self>, identity: &Identity) -> Result<(), ServiceError> {
        let Some(managed) = &identity.managed else { return Ok(()) };
        let zone = self.permit_itself::<IssueCertificate>(managed.zone).await?;
        let fresh = self.issue_for(&zone, &managed.plan, &self.renewal).await?;
        let now = self.clock.now();
        let supersession = Supersession {
            zone: managed.zone,
            certificate: managed.certificate,
            revoke_on: now + TimeDelta::seconds(managed.plan.grace_seconds),
            reason: RevocationReason::Superseded,
        };
        let renewal = Renewal {
            replacement: Replacement {
                certificates: pem(&fresh.chain),
                trusted_ca: None,
                facts: fresh.chain.first().map(facts_of).ok_or_else(no_certificate)?,
                sealed_key: Some(self.keyring.seal(Record::Identity(identity.id), fresh.key.pkcs8_der())?),
                replaced_on: now,
            },
            certificate: fresh.certificate.id,
            renew_on: managed.plan.renewal_of(fresh.certificate.not_before, fresh.certificate.not_after),
            supersession,
        };
        let actor = zone.caller().actor();
        let subject = identity.id.to_string();
        let mut event = self.event(actor, identity.account, Some(managed.zone), Action::RenewIdentity, subject);
        event.detail = format!("certificate {} in place of {}", fresh.certificate.id, managed.certificate);
        let renewed =
            self.store.renew_identity(identity.account, identity.id, identity.version, renewal, event).await?;
        if !renewed {
            // Somebody else renewed or removed it meanwhile: what was just issued is presented by nobody.
            let unused = Supersession { certificate: fresh.certificate.id, revoke_on: now, ..supersession };
            self.store.supersede(unused).await?;
        }
        self.candidates.clear();
        Ok(())
    }

    async fn retire(&self, supersession: Supersession) -> Result<(), ServiceError> {
        let permit = self.permit_itself::<RevokeCertificate>(supersession.zone).await?;
        let request = RevocationRequest { reason: Some(supersession.reason), ..RevocationRequest::default() };
        let revoked = self.revoke(&permit, Some(supersession.certificate), request).await;
        match revoked {
            // What cannot be revoked any more (it has expired) needs no further attempt.
            Ok(_) | Err(ServiceError::Invalid(_) | ServiceError::NotFound(_)) => {
                Ok(self.store.forget_supersession(supersession).await?)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes a key and has the zone issue for it, by the one path that everybody's requests take.
    async fn issue_for(
        self: &Arc<Self>,
        zone: &ZonePermit<IssueCertificate>,
        plan: &ManagedPlan,
        turns: &Arc<Semaphore>,
    ) -> Result<Fresh, ServiceError> {
        let (key, csr) = self.request_for(plan, turns).await?;
        let input = IssueInput {
            csr: Some(csr),
            validity_days: Some(plan.validity_days),
            profile: plan.profile.clone(),
            ..IssueInput::default()
        };
        let Issued { certificate, messages } = self.issue(zone, input).await?;
        let authority = &zone.issuer().authority.certificate;
        let chain = [&certificate.der, authority].map(|der| ForeignCertificate::from_der(der));
        let chain: Result<Vec<_>, _> = chain.into_iter().collect();
        Ok(Fresh { key, chain: chain.map_err(ServiceError::Internal)?, certificate, messages })
    }

    async fn request_for(
        &self,
        plan: &ManagedPlan,
        turns: &Arc<Semaphore>,
    ) -> Result<(PrivateKey, String), ServiceError> {
        let kind = ClientKeyKind::parse(&plan.key_type)
            .ok_or_else(|| ServiceError::Internal(format!("{:?} is no kind of key", plan.key_type)))?;
        let subject = subject(plan);
        let names: Vec<_> = plan.subject_alternative_names.iter().filter_map(|name| read_name(name)).collect();
        in_turn(turns, move || {
            let key = ClientKey::generate(kind)?;
            let csr = key.certification_request(&subject, &names)?;
            Ok((PrivateKey::from_pkcs8(key.pkcs8_der())?, csr))
        })
        .await?
    }
}

/// A certificate that was just issued, with its key and its chain without the root.
struct Fresh {
    key: PrivateKey,
    chain: Vec<ForeignCertificate>,
    certificate: Certificate,
    messages: Vec<String>,
}

/// The words of the keys that can be made here, the usual one first.
pub fn key_types() -> Vec<&'static str> {
    let others = ClientKeyKind::ALL.into_iter().filter(|kind| *kind != DEFAULT_KEY);
    std::iter::once(DEFAULT_KEY).chain(others).map(ClientKeyKind::as_str).collect()
}

/// The plan, checked as far as issuance does not check it; or all faults with their places.
fn plan(input: ManagedInput) -> Result<ManagedPlan, Vec<Violation>> {
    let mut faults = Vec::new();
    let mut attribute = |pointer: &str, text: Option<String>| {
        let checked = label(&text?, MAX_ATTRIBUTE_LENGTH);
        let why = format!("it must be 1 to {MAX_ATTRIBUTE_LENGTH} printable characters");
        checked.map_err(|_| faults.push(Violation::new(format!("/managed/{pointer}"), why))).ok()
    };
    let is_named = input.common_name.is_some();
    let common_name = attribute("common_name", input.common_name);
    let organization = attribute("organization", input.organization);
    let organizational_unit = attribute("organizational_unit", input.organizational_unit);
    if !is_named {
        let message = "common_name is required: what the certificate calls its holder";
        faults.push(Violation::new("/managed/common_name", message));
    }
    let kind = input.key_type.as_deref().map_or(Some(DEFAULT_KEY), ClientKeyKind::parse);
    if kind.is_none() {
        let kinds = ClientKeyKind::ALL.map(ClientKeyKind::as_str).join(", ");
        faults.push(Violation::new("/managed/key_type", format!("key_type must be one of {kinds}")));
    }
    let grace_seconds = input.grace_seconds.unwrap_or(DEFAULT_GRACE.num_seconds());
    if !(0..=MAX_GRACE.num_seconds()).contains(&grace_seconds) {
        let message = format!("grace_seconds must be from 0 to {}", MAX_GRACE.num_seconds());
        faults.push(Violation::new("/managed/grace_seconds", message));
    }
    match common_name.zip(kind) {
        Some((common_name, kind)) if faults.is_empty() => Ok(ManagedPlan {
            common_name,
            organization,
            organizational_unit,
            subject_alternative_names: input.subject_alternative_names.iter().map(ToString::to_string).collect(),
            key_type: kind.as_str().to_owned(),
            profile: input.profile,
            validity_days: input.validity_days.unwrap_or(DEFAULT_VALIDITY_DAYS),
            grace_seconds,
        }),
        _ => Err(faults),
    }
}

fn subject(plan: &ManagedPlan) -> Vec<(AttributeType, String)> {
    let mut subject = Vec::new();
    subject.extend(plan.organization.clone().map(|text| (AttributeType::Organization, text)));
    subject.extend(plan.organizational_unit.clone().map(|text| (AttributeType::OrganizationalUnit, text)));
    subject.push((AttributeType::CommonName, plan.common_name.clone()));
    subject
}

fn read_name(written: &str) -> Option<SubjectAlternativeName> {
    let (kind, value) = written.split_once(':')?;
    SubjectAlternativeName::parse(SubjectAlternativeNameType::parse(kind)?, value).ok()
}

/// Faults that issuance finds are about what stands under `managed`; nobody sent a CSR.
fn below_managed(error: ServiceError) -> ServiceError {
    let ServiceError::Invalid(violations) = error else { return error };
    let moved = violations.into_iter().map(|violation| match violation.pointer.as_str() {
        "" | "/csr" => Violation::new("/managed", violation.message),
        pointer => Violation::new(format!("/managed{pointer}"), violation.message),
    });
    ServiceError::Invalid(moved.collect())
}

fn pause(attempts: i32) -> TimeDelta {
    let doublings = u32::try_from(attempts).unwrap_or_default().min(16);
    (FIRST_RETRY * 2_i32.saturating_pow(doublings)).min(LONGEST_RETRY)
}

fn no_certificate() -> ServiceError {
    ServiceError::Internal("a certificate was issued and is not there".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals_that_fail_are_tried_again_ever_later() {
        assert_eq!(pause(0), TimeDelta::minutes(1));
        assert_eq!(pause(3), TimeDelta::minutes(8));
        assert_eq!(pause(1000), LONGEST_RETRY);
    }

    #[test]
    fn a_plan_has_sound_defaults_and_bounds() {
        let input = ManagedInput { common_name: Some("client".into()), ..ManagedInput::default() };
        let made = plan(input.clone()).unwrap();
        assert_eq!((made.key_type.as_str(), made.validity_days, made.grace_seconds), ("p256", 90, 86_400));
        let wrong = ManagedInput { key_type: Some("dsa".into()), grace_seconds: Some(-1), ..ManagedInput::default() };
        let faults = plan(wrong).unwrap_err();
        let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(pointers, ["/managed/common_name", "/managed/key_type", "/managed/grace_seconds"]);
        for wrong in ["", " ", "a\nb", &"x".repeat(65)] {
            let input = ManagedInput { organization: Some(wrong.into()), ..input.clone() };
            assert_eq!(plan(input).unwrap_err().len(), 1, "{wrong:?}");
        }
    }

    #[test]
    fn names_survive_being_written() {
        let name = SubjectAlternativeName::parse(SubjectAlternativeNameType::Uri, "spiffe://a.b/c:d").unwrap();
        assert_eq!(read_name(&name.to_string()), Some(name));
    }
}
