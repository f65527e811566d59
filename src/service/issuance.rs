//! The one path to issuance: parse, decide, build, lint, sign, record, and only then release.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::FutureExt;
use tokio::sync::oneshot;

use crate::domain::audit::Action;
use crate::domain::authority::Authority;
use crate::domain::certificate::{Certificate, SubjectFields};
use crate::domain::event::{Event, Subject};
use crate::domain::id::{CertificateId, ZoneId};
use crate::domain::name::{AttributeType, Name};
use crate::domain::plan::{Plan, PlanKind};
use crate::domain::policy::{self, IssueRequest};
use crate::domain::profile;
use crate::domain::status::Status;
use crate::domain::subject_alternative_name::SubjectAlternativeName;
use crate::domain::violation::Violation;
use crate::keys::signer::Signer;
use crate::store::{self, Claimed, IdempotencyClaim, Issuance, IssueOutcome, NewCertificate};
use crate::telemetry::stage::Stage;
use crate::x509::certificate::SignedCertificate;
use crate::x509::{csr, lint, tbs};

use super::access::{IssueCertificate, ZonePermit};
use super::secrets::sha256;
use super::{Service, ServiceError, makers};

/// How long a repeated request is answered with the first result.
const IDEMPOTENCY_WINDOW: TimeDelta = TimeDelta::hours(24);

/// How many keys are cleared away in one transaction. There may be millions of a day, and everything else that is written
/// waits for it.
const FORGOTTEN_AT_ONCE: usize = 5_000;

/// What a caller sent: whatever of it could be read, and the faults of the rest. Faults are told together with those
/// that the policy finds, so that a caller mends everything at once.
#[derive(Clone, Debug, Default)]
pub struct IssueInput {
    pub csr: Option<String>,
    pub validity_days: Option<i64>,
    pub profile: Option<String>,
    pub subject_alternative_names: Vec<SubjectAlternativeName>,
    pub faults: Vec<Violation>,
    pub idempotency: Option<Idempotency>,
}

/// A caller's word that requests under this key are one and the same.
#[derive(Clone, Debug)]
pub struct Idempotency {
    pub key: String,
    /// The request body: another one under the same key is refused.
    pub body: Vec<u8>,
}

/// A request that is permitted, and on its way to the threads that make certificates.
struct Asked {
    permit: ZonePermit<IssueCertificate>,
    input: IssueInput,
    claim: Option<IdempotencyClaim>,
    now: DateTime<Utc>,
}

/// A certificate that may be released, and what was asked for and left out.
#[derive(Clone, Debug)]
pub struct Issued {
    pub certificate: Certificate,
    pub messages: Vec<String>,
}

impl Service {
    /// Issues a certificate in the permit's zone.
    ///
    /// Fails with all violations of the request, and with `Unavailable` when the certificate could not be recorded
    /// durably: it is then gone, and was never seen outside.
    pub async fn issue(
        self: &Arc<Self>,
        permit: &ZonePermit<IssueCertificate>,
        input: IssueInput,
    ) -> Result<Issued, ServiceError> {
        let outcome = self.issue_or_refuse(permit, input).await;
        if let Err(ServiceError::Invalid(_)) = &outcome {
            metrics::counter!("countersign_issuance_refused_total").increment(1);
        }
        self.recorded(permit, "", outcome).await
    }

    /// Clears away some idempotency keys that no repeated request can meet any more; `true` when there may be more of them.
    pub async fn forget_idempotency_keys(&self) -> Result<bool, ServiceError> {
        let limit = i64::try_from(FORGOTTEN_AT_ONCE).unwrap_or(i64::MAX);
        let forgotten = self.store.forget_idempotency_keys(self.clock.now() - IDEMPOTENCY_WINDOW, limit).await?;
        tracing::debug!(forgotten, "cleared away idempotency keys");
        Ok(forgotten >= FORGOTTEN_AT_ONCE)
    }

    async fn issue_or_refuse(
        self: &Arc<Self>,
        permit: &ZonePermit<IssueCertificate>,
        mut input: IssueInput,
    ) -> Result<Issued, ServiceError> {
        let now = self.clock.now();
        let claim = input.idempotency.take().map(|idempotency| claim(permit, &idempotency, now)).transpose()?;
        if let Some(claim) = &claim
            && let Some(first) = self.store.claimed(claim.clone(), now - IDEMPOTENCY_WINDOW).await?
        {
            return self.first_result(permit, claim, first).await;
        }

        let asked = Asked { permit: permit.clone(), input, claim: claim.clone(), now };
        match (self.make_and_record(asked).await?, claim) {
            (IssueOutcome::Recorded { certificate, messages }, _) => {
                metrics::counter!("countersign_certificates_issued_total").increment(1);
                Ok(Issued { certificate: *certificate, messages })
            }
            (IssueOutcome::Claimed(first), Some(claim)) => self.first_result(permit, &claim, first).await,
            (IssueOutcome::Claimed(_), None) => Err(ServiceError::Internal("a claim without a key".into())),
            (IssueOutcome::KeyBlocked, _) => Err(ServiceError::Invalid(vec![blocked_key()])),
        }
    }

    /// Has the certificate made by the threads for that, and recorded by the writer, which answers here.
    async fn make_and_record(self: &Arc<Self>, asked: Asked) -> Result<IssueOutcome, ServiceError> {
        let signer = self.keyring.signer(&self.store, &asked.permit.issuer().authority).await;
        let (mut reply, outcome) = oneshot::channel();
        let service = Arc::clone(self);
        let wait = Stage::Wait.begin();
        let announcement = self.store.announce_issuance();
        makers::begin(async move {
            let _until_it_is_recorded = announcement;
            wait.end();
            let made = tokio::select! {
                biased;
                // Whoever hangs up before it is signed gets no certificate. Whoever does so later has one, which is in the list.
                () = reply.closed() => return,
                made = AssertUnwindSafe(service.make(asked, signer)).catch_unwind() => made,
            };
            match made.unwrap_or_else(|_| Err(ServiceError::Internal("making a certificate panicked".into()))) {
                Ok(issuance) => {
                    let commit = Stage::Commit.begin();
                    service.store.record_issuance(issuance, move |recorded| {
                        commit.end();
                        let _ = reply.send(recorded.map_err(ServiceError::from));
                    });
                }
                Err(refusal) => {
                    let _ = reply.send(Err(refusal));
                }
            }
        })?;
        store::confirmed(outcome).await
    }

    /// Decides, builds, lints and signs: what comes of it is not to be seen outside before it is recorded.
    ///
    /// That the key does not open is told only to whom nothing else is to be said.
    async fn make(&self, asked: Asked, signer: Result<Arc<Signer>, ServiceError>) -> Result<Issuance, ServiceError> {
        let Asked { permit, input, claim, now } = asked;
        let Decided { plan, csr_pem } = self.decide(&permit, input, now)?;
        let signed = sign(plan, &*signer?).await?;

        let id = CertificateId::new(self.random.ordered_id(now));
        let certificate = record(permit.zone(), &permit.issuer().authority, id, &signed, csr_pem)?;
        let mut event = self.event(
            permit.caller().actor(),
            permit.account(),
            Some(permit.zone()),
            Action::IssueCertificate,
            certificate.id.to_string(),
        );
        event.news = Some(Event::CertificateIssued {
            certificate: Subject::of(&certificate),
            common_name: certificate.subject.common_name.clone(),
            expires_on: certificate.not_after,
        });
        Ok(Issuance {
            account: permit.account(),
            new: NewCertificate { certificate, created_on: now },
            event,
            messages: signed.plan().messages.clone(),
            claim,
            oldest_claim: now - IDEMPOTENCY_WINDOW,
        })
    }

    /// Everything that can be said against the request, or the plan for its certificate.
    pub(super) fn decide(
        &self,
        permit: &ZonePermit<IssueCertificate>,
        input: IssueInput,
        now: DateTime<Utc>,
    ) -> Result<Decided, ServiceError> {
        let mut faults = input.faults;
        let parsed = input.csr.as_deref().map(|text| Stage::Parse.measure(|| csr::parse(text)));
        let csr = parsed.and_then(|parsed| parsed.map_err(|found| faults.extend(found)).ok());
        if csr.as_ref().is_some_and(|csr| self.blocked_keys.contain(&csr.public_key.spki_sha256)) {
            faults.push(blocked_key());
        }
        let name = input.profile.as_deref().unwrap_or(profile::DEFAULT);
        let Some(profile) = self.profiles.find(name) else {
            let known = self.profiles.described();
            faults.push(Violation::new("/profile", format!("there is no profile {name:?}; there are: {known}")));
            return Err(ServiceError::Invalid(faults));
        };
        let csr_pem = csr.as_ref().map(|csr| csr.pem.clone()).unwrap_or_default();
        let request = IssueRequest {
            csr,
            validity_days: input.validity_days,
            subject_alternative_names: input.subject_alternative_names,
            faults,
        };
        let (authority, mut issuer) = (&permit.issuer().authority, permit.issuer().issuer.clone());
        let serial = self.random.serial()?;
        if let Some(shards) = &authority.shards {
            issuer.crl_url = shards.url_of(authority.shard_of(&serial));
        }
        let plan = Stage::Decide.measure(|| policy::decide(&profile, request, issuer, serial, now));
        Ok(Decided { plan: plan.map_err(ServiceError::Invalid)?, csr_pem })
    }

    /// The answer to a repeated request: the certificate that the first one made.
    async fn first_result(
        &self,
        permit: &ZonePermit<IssueCertificate>,
        claim: &IdempotencyClaim,
        first: Claimed,
    ) -> Result<Issued, ServiceError> {
        if first.request_sha256 != claim.request_sha256 {
            return Err(ServiceError::invalid(
                "",
                "this Idempotency-Key was used with another request in the last 24 hours; use a new key",
            ));
        }
        let certificate = self.store.certificate(permit.zone(), first.certificate).await?;
        let lost = || ServiceError::Internal("an idempotency key names no certificate".into());
        Ok(Issued { certificate: certificate.ok_or_else(lost)?, messages: first.messages })
    }
}

/// What is stored of a signed certificate.
pub(super) fn record(
    zone: ZoneId,
    authority: &Authority,
    id: CertificateId,
    signed: &SignedCertificate,
    csr: String,
) -> Result<Certificate, ServiceError> {
    let plan = signed.plan();
    let validity_days = i32::try_from((plan.not_after - plan.not_before).num_days());
    Ok(Certificate {
        id,
        zone,
        authority: authority.id,
        authority_name: authority.name.clone(),
        serial: plan.serial.clone(),
        der: signed.der().to_vec(),
        csr,
        ski: plan.public_key.ski.to_vec(),
        fingerprint_sha256: signed.fingerprint_sha256().to_vec(),
        spki_sha256: plan.public_key.spki_sha256.to_vec(),
        signature: authority.key_type.signature_name().to_owned(),
        subject: subject_fields(&plan.subject),
        subject_alternative_names: names(plan),
        profile: plan.profile.clone(),
        validity_days: validity_days.map_err(|_| ServiceError::Internal("a validity without end".into()))?,
        not_before: plan.not_before,
        not_after: plan.not_after,
        status: Status::Active,
        version: 0,
        revocation: None,
        receipt: None,
    })
}

pub(super) struct Decided {
    pub(super) plan: Plan,
    csr_pem: String,
}

fn claim(
    permit: &ZonePermit<IssueCertificate>,
    idempotency: &Idempotency,
    now: DateTime<Utc>,
) -> Result<IdempotencyClaim, ServiceError> {
    let visible = idempotency.key.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || !(1..=255).contains(&idempotency.key.len()) {
        return Err(ServiceError::invalid("", "the header Idempotency-Key must be 1 to 255 visible ASCII characters"));
    }
    let mut request = permit.zone().as_bytes().to_vec();
    request.extend_from_slice(&idempotency.body);
    Ok(IdempotencyClaim {
        token: permit.caller().token().id,
        key_sha256: sha256(idempotency.key.as_bytes()),
        request_sha256: sha256(&request),
        created_on: now,
    })
}

/// Builds, lints and signs what was decided.
pub(super) async fn sign(plan: Plan, signer: &Signer) -> Result<SignedCertificate, ServiceError> {
    let tbs = Stage::Build.measure(|| tbs::build(plan))?;
    let linted = Stage::Lint.measure(|| lint::lint(tbs)).map_err(lint_failure)?;
    Ok(Stage::Sign.measure_async(signer.sign_certificate(linted)).await?)
}

/// What the lint finds in the request's own parts is for the caller; anything else is a fault of ours.
pub(super) fn lint_failure(violations: Vec<Violation>) -> ServiceError {
    if violations.iter().all(|violation| !violation.pointer.is_empty()) {
        return ServiceError::Invalid(violations);
    }
    let all = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    ServiceError::Internal(format!("the lint stopped a certificate: {all}"))
}

fn blocked_key() -> Violation {
    Violation::csr("the key is on the block list: it is known or reported to be compromised; make a new one")
}

fn names(plan: &Plan) -> Vec<SubjectAlternativeName> {
    match &plan.kind {
        PlanKind::Client { subject_alternative_names, .. } => subject_alternative_names.clone(),
        PlanKind::Authority { .. } | PlanKind::Responder => Vec::new(),
    }
}

fn subject_fields(subject: &Name) -> SubjectFields {
    SubjectFields {
        common_name: subject.joined(AttributeType::CommonName),
        organization: subject.joined(AttributeType::Organization),
        organizational_unit: subject.joined(AttributeType::OrganizationalUnit),
        country: subject.joined(AttributeType::Country),
        state: subject.joined(AttributeType::State),
        location: subject.joined(AttributeType::Locality),
    }
}
