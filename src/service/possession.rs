//! Revocation by whoever holds a certificate's private key, without a token: they ask for a challenge and sign it.
//!
//! Nothing of this is stored. A challenge is bound to the authority, the serial number and the certificate's version,
//! which counts its changes of status: so a message works once, is harmless when it is repeated, and is worthless when it
//! was captured and the certificate has been reactivated since. Unknown serial numbers get challenges too, and everything
//! that fails afterwards fails in the same words and after the same work: no stranger learns which certificates exist.

use chrono::{DateTime, TimeDelta, Utc};

use crate::domain::authority::Authority;
use crate::domain::bulk::Wish;
use crate::domain::certificate::Certificate;
use crate::domain::id::AuthorityId;
use crate::domain::json::Members;
use crate::domain::reason::RevocationReason;
use crate::domain::serial::SerialNumber;
use crate::domain::status::Status;
use crate::domain::text::parse_timestamp;
use crate::keys::challenge::{Challenge, ChallengeSubject};
use crate::x509;
use crate::x509::jws::{Possession, SignedMessage};

use super::certificates::{MAX_DECISIONS, RevocationRequest, changed_by_many};
use super::changes::{self, Decision};
use super::{Service, ServiceError};

/// How long a challenge can be answered.
const VALIDITY: TimeDelta = TimeDelta::minutes(5);
/// How many changes of status ago a challenge may have been given out to be known again, so that a repeated message gets
/// its answer: asking and carrying out are one each.
const MEMORY: i32 = 8;
/// The version in challenges about serial numbers that nobody has. No certificate has it.
const NO_VERSION: i32 = -1 - MEMORY;

/// What has to be signed, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenChallenge {
    /// base64url.
    pub challenge: String,
    pub expires_on: DateTime<Utc>,
    /// The address that the answer is for; it must stand in the answer.
    pub url: String,
}

/// What a message asks for, once it is believed.
struct Asked {
    serial: SerialNumber,
    request: RevocationRequest,
}

/// How a challenge stands to the certificate as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Freshness {
    /// Nobody has asked for a change since.
    Fresh,
    /// Somebody has, perhaps with this very message.
    Passed,
}

impl Service {
    /// A challenge for a serial number of an authority, whether there is such a certificate or not.
    pub async fn revocation_challenge(
        &self,
        authority: Option<AuthorityId>,
        serial: SerialNumber,
    ) -> Result<GivenChallenge, ServiceError> {
        let authority = self.public_authority(authority).await?;
        let certificate = self.named(&authority, &serial).await?;
        let version = certificate.map_or(NO_VERSION, |certificate| certificate.version);
        let expires_on = self.clock.now() + VALIDITY;
        let subject = ChallengeSubject { authority: authority.id, serial, version };
        Ok(GivenChallenge {
            challenge: self.challenges.give(&subject, expires_on),
            expires_on,
            url: self.revocation_url(authority.id),
        })
    }

    /// Asks for the certificate to be revoked that the message names, if it is signed with that certificate's key.
    ///
    /// Returns the certificate as it then stands; repeating the message changes nothing.
    pub async fn revoke_by_holder(
        &self,
        authority: Option<AuthorityId>,
        body: &[u8],
        source: String,
    ) -> Result<Certificate, ServiceError> {
        let authority = self.public_authority(authority).await?;
        let unreadable = |why: String| ServiceError::invalid("", format!("the message cannot be read: {why}"));
        let message = SignedMessage::read(body).map_err(unreadable)?;
        let asked = Asked::read(message.payload()).map_err(|why| unreadable(format!("the payload: {why}")))?;
        // Before the proof, so that one signature does not fill the audit log.
        self.check_invalidity_date(asked.request.invalidity_date, "")?;
        let url = self.revocation_url(authority.id);
        if message.url() != url {
            return Err(ServiceError::invalid("", format!("url in the protected header must be {url}")));
        }
        for _ in 0..MAX_DECISIONS {
            let certificate = self.named(&authority, &asked.serial).await?;
            let freshness = self.freshness(&message, &authority, &asked.serial, certificate.as_ref());
            let possession = verify(&message, certificate.as_ref())?;
            let (Some(certificate), Some(freshness), Some(possession)) = (certificate, freshness, possession) else {
                return Err(ServiceError::Unproven);
            };
            if let Some(done) = self.revoke_proven(certificate, &asked, freshness, &possession, &source).await? {
                return Ok(done);
            }
        }
        Err(changed_by_many())
    }

    async fn revoke_proven(
        &self,
        certificate: Certificate,
        asked: &Asked,
        freshness: Freshness,
        possession: &Possession,
        source: &str,
    ) -> Result<Option<Certificate>, ServiceError> {
        let permit = self.permit_holder(possession, &certificate, source.to_owned()).await?;
        let subject = certificate.id.to_string();
        let RevocationRequest { reason, invalidity_date } = asked.request;
        let wish = Wish::Revoke { reason, invalidity_date };
        match freshness {
            Freshness::Fresh => {
                let outcome = self.change_as_read(&permit, certificate, wish).await;
                self.recorded(&permit, &subject, outcome).await
            }
            // A repeated message is answered as long as there is nothing left for it to do.
            Freshness::Passed => {
                let (actor, account) = (permit.caller().actor(), permit.account());
                let asked = changes::Asked { wish, actor, account, job: None };
                match self.decide_change(&asked, certificate, self.clock.now()) {
                    Decision::Unchanged { certificate, .. } => Ok(Some(*certificate)),
                    Decision::Changes(_) | Decision::Refused(_) => Err(ServiceError::Unproven),
                }
            }
        }
    }

    /// Whether the message answers a challenge of ours about this certificate that is not over; `None` if not. The work
    /// is the same for whatever is asked.
    fn freshness(
        &self,
        message: &SignedMessage,
        authority: &Authority,
        serial: &SerialNumber,
        certificate: Option<&Certificate>,
    ) -> Option<Freshness> {
        let challenge = Challenge::parse(message.nonce())?;
        let now = certificate.map_or(NO_VERSION, |certificate| certificate.version);
        let known = (0..=MEMORY).filter(|ago| {
            let version = now.saturating_sub(*ago);
            let subject = ChallengeSubject { authority: authority.id, serial: serial.clone(), version };
            self.challenges.gave(&challenge, &subject)
        });
        let ago = known.last().filter(|_| self.clock.now() < challenge.expires_on())?;
        // What the worker carries out counts as a change, but nobody has asked for anything new with it.
        let is_settled = certificate.is_some_and(|one| matches!(one.status, Status::Active | Status::Revoked));
        Some(if ago == 0 || (ago == 1 && is_settled) { Freshness::Fresh } else { Freshness::Passed })
    }

    /// The certificate that an authority gave this serial number. Authorities that belong to no zone gave none.
    async fn named(&self, authority: &Authority, serial: &SerialNumber) -> Result<Option<Certificate>, ServiceError> {
        let Some(zone) = authority.zone else { return Ok(None) };
        Ok(self.store.certificate_by_serial(zone, authority.id, serial.clone()).await?)
    }

    fn revocation_url(&self, authority: AuthorityId) -> String {
        format!("{}/pki/{authority}/revocation", self.options.public_url)
    }
}

impl Asked {
    fn read(payload: &[u8]) -> Result<Self, String> {
        let mut members = Members::read(payload)?;
        let serial = SerialNumber::parse(&members.text("serial_number")?);
        let reason = members.optional_text("reason")?;
        let invalidity_date = members.optional_text("invalidity_date")?;
        members.finish()?;
        // A holder who names no reason will not come back: unlike with a token, it is no hold.
        let known = |reason: String| {
            RevocationReason::parse(&reason).filter(|reason| RevocationReason::OF_HOLDERS.contains(reason))
        };
        let reason = reason.map_or(Some(RevocationReason::Unspecified), known);
        let names = || RevocationReason::OF_HOLDERS.map(RevocationReason::as_str).join(", ");
        let date = invalidity_date.map(|date| parse_timestamp(&date).ok_or("invalidity_date must be an RFC 3339 time"));
        Ok(Self {
            serial: serial.ok_or("serial_number must be a serial number in decimal or hex")?,
            request: RevocationRequest {
                reason: Some(reason.ok_or_else(|| format!("reason must be one of {}", names()))?),
                invalidity_date: date.transpose()?,
            },
        })
    }
}

/// By the key in the certificate that is stored.
fn verify(message: &SignedMessage, certificate: Option<&Certificate>) -> Result<Option<Possession>, ServiceError> {
    let facts = certificate.map(|certificate| x509::certificate::read(&certificate.der)).transpose()?;
    Ok(message.verify(facts.as_ref().map(|facts| facts.spki.as_slice())))
}
