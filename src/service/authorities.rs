//! Managed authorities: making them, and showing a zone's chain.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::domain::audit::{Action, Actor};
use crate::domain::authority::{Authority, AuthorityState, Shards};
use crate::domain::event::Event;
use crate::domain::id::{AccountId, AuthorityId, ZoneId};
use crate::domain::key::AuthorityKeyType;
use crate::domain::name::{AttributeType, Name};
use crate::domain::plan::{Issuer, Plan, PlanKind};
use crate::domain::policy;
use crate::domain::violation::Violation;
use crate::domain::zone::Zone;
use crate::keys::signer::Signer;
use crate::store::{NewAuthority, Publication, SealedKey};
use crate::x509;
use crate::x509::certificate::SignedCertificate;
use crate::x509::{lint, tbs};

use super::access::{CreateAuthority, ReadAuthorities, ZonePermit};
use super::error::Noun;
use super::keyring::Record;
use super::pki::Bundle;
use super::{Service, ServiceError, in_turn};

const ROOT_LIFETIME: TimeDelta = TimeDelta::days(30 * 365 + 8);
const ISSUING_LIFETIME: TimeDelta = TimeDelta::days(25 * 365 + 7);
/// An authority's notBefore lies before that of anything it will sign, also by a relying party whose clock is late.
const AUTHORITY_BACKDATING: TimeDelta = TimeDelta::hours(1);

/// An authority as it is shown: with where its publishing stands.
#[derive(Clone, Debug)]
pub struct ShownAuthority {
    pub authority: Authority,
    pub publication: Option<Publication>,
}

/// What an issuing authority shall be like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthorityOptions {
    /// The configured kind without.
    pub key_type: Option<AuthorityKeyType>,
    /// In how many shards its CRL is published beside the complete one, from 2 to [`Shards::MOST`]; none without.
    pub crl_shards: Option<i32>,
}

impl Service {
    /// The zone's authorities, the active one first, then the roots above them.
    pub async fn authorities(&self, permit: &ZonePermit<ReadAuthorities>) -> Result<Vec<ShownAuthority>, ServiceError> {
        let mut shown = Vec::new();
        for authority in self.chain(permit).await? {
            let publication = self.store.publication(authority.id).await?;
            shown.push(ShownAuthority { authority, publication });
        }
        Ok(shown)
    }

    /// One of the authorities of the zone's chain.
    pub async fn authority(
        &self,
        permit: &ZonePermit<ReadAuthorities>,
        id: Option<AuthorityId>,
    ) -> Result<ShownAuthority, ServiceError> {
        let found = self.authorities(permit).await?.into_iter().find(|shown| Some(shown.authority.id) == id);
        found.ok_or(ServiceError::NotFound(Noun::Authority))
    }

    /// The certificates that a relying party of the zone trusts: also of retired authorities, while anything they
    /// signed lives.
    pub async fn bundle(&self, permit: &ZonePermit<ReadAuthorities>) -> Result<Bundle, ServiceError> {
        let now = self.clock.now();
        let mut trusted = Vec::new();
        for authority in self.chain(permit).await? {
            let needed = match authority.state {
                AuthorityState::Active => true,
                AuthorityState::Retired => self.store.latest_end(authority.id).await?.is_some_and(|end| now <= end),
                AuthorityState::Disabled => false,
            };
            if needed {
                trusted.push(authority);
            }
        }
        Ok(Bundle::of(&trusted))
    }

    /// Makes another issuing authority for the zone, which signs from now on. The one before is retired: it goes on to
    /// publish CRLs and to answer OCSP for what it signed.
    pub async fn create_authority(
        &self,
        permit: &ZonePermit<CreateAuthority>,
        options: AuthorityOptions,
    ) -> Result<ShownAuthority, ServiceError> {
        let (zone, now) = (&permit.issuer().zone, self.clock.now());
        let root = self.active_root(zone.account.id).await?;
        let root_signer = self.keyring.signer(&self.store, &root).await?;
        let new = self.make_issuing_authority(zone, &root, &root_signer, options, now).await?;
        let (authority, publication) = (new.authority.clone(), new.publication);
        let subject = authority.id.to_string();
        let mut event = self.event(
            permit.caller().actor(),
            permit.account(),
            Some(permit.zone()),
            Action::CreateAuthority,
            subject,
        );
        event.detail = format!("takes the place of {}", permit.issuer().authority.id);
        event.news = Some(first_crl_news(&new));
        self.store.replace_authority(zone.id, new, event).await?;
        self.issuers.clear();
        Ok(ShownAuthority { authority, publication: Some(publication) })
    }

    /// The root that signs issuing authorities of the account.
    pub(super) async fn active_root(&self, account: AccountId) -> Result<Authority, ServiceError> {
        let roots = self.store.roots(account).await?;
        let root = roots.into_iter().rev().find(|root| root.state == AuthorityState::Active);
        root.ok_or_else(|| ServiceError::Internal("the account has no active root authority".into()))
    }

    /// An authority's private key as encrypted PKCS#8 in PEM: for whoever runs the service, never for a caller.
    pub async fn export_key(
        &self,
        id: AuthorityId,
        passphrase: SecretString,
    ) -> Result<Zeroizing<String>, ServiceError> {
        let authority = self.public_authority(Some(id)).await?;
        let exported = self.keyring.export(&self.store, &authority, passphrase).await?;
        let event =
            self.event(Actor::system(), authority.account, authority.zone, Action::ExportAuthorityKey, id.to_string());
        self.store.record(event).await?;
        Ok(exported)
    }

    async fn chain(&self, permit: &ZonePermit<ReadAuthorities>) -> Result<Vec<Authority>, ServiceError> {
        let mut authorities = self.store.zone_authorities(permit.zone()).await?;
        authorities.reverse();
        authorities.sort_by_key(|authority| authority.state != AuthorityState::Active);
        let roots = self.store.roots(permit.account()).await?;
        authorities.extend(roots.into_iter().rev());
        Ok(authorities)
    }

    /// Makes a root authority with its key and first CRL. Nothing is stored yet.
    pub(super) async fn make_root_authority(
        &self,
        account: AccountId,
        key_type: AuthorityKeyType,
        now: DateTime<Utc>,
    ) -> Result<(NewAuthority, Arc<Signer>), ServiceError> {
        let name = format!("Root CA for account {account}");
        let options = AuthorityOptions { key_type: Some(key_type), crl_shards: None };
        let draft = self.draft(account, None, name, options, now, ROOT_LIFETIME).await?;
        let issuer = Issuer {
            subject: draft.subject.der.clone(),
            ski: draft.signer.public_key().ski.to_vec(),
            key_type,
            not_after: draft.not_after,
            crl_url: String::new(),
            certificate_url: String::new(),
            ocsp_url: None,
        };
        let signed = self.sign_authority(&draft, issuer, None, &draft.signer).await?;
        self.finish(draft, signed, None).await
    }

    /// Makes a zone's issuing authority under a root, with its key and first CRL. Nothing is stored yet.
    pub(super) async fn make_issuing_authority(
        &self,
        zone: &Zone,
        root: &Authority,
        root_signer: &Signer,
        options: AuthorityOptions,
        now: DateTime<Utc>,
    ) -> Result<NewAuthority, ServiceError> {
        // Each has a name of its own: a CRL speaks for the name of its issuer (RFC 5280, 5).
        let generation = self.store.zone_authorities(zone.id).await?.len() + 1;
        let name = match generation {
            1 => format!("Managed CA for zone {}", zone.id),
            _ => format!("Managed CA {generation} for zone {}", zone.id),
        };
        let mut draft = self.draft(zone.account.id, Some(zone), name, options, now, ISSUING_LIFETIME).await?;
        draft.not_after = draft.not_after.min(root.not_after);
        let issuer = self.issuer(root)?;
        let signed = self.sign_authority(&draft, issuer, Some(0), root_signer).await?;
        Ok(self.finish(draft, signed, Some(root.id)).await?.0)
    }

    /// One at a time and off the async threads: an RSA key takes a large part of a second.
    async fn generate(&self, key_type: AuthorityKeyType) -> Result<(Signer, Zeroizing<Vec<u8>>), ServiceError> {
        Ok(in_turn(&self.key_generation, move || Signer::generate(key_type)).await??)
    }

    async fn draft(
        &self,
        account: AccountId,
        zone: Option<&Zone>,
        name: String,
        options: AuthorityOptions,
        now: DateTime<Utc>,
        lifetime: TimeDelta,
    ) -> Result<Draft, ServiceError> {
        let not_before = policy::not_before(now) - AUTHORITY_BACKDATING;
        let key_type = options.key_type.unwrap_or(self.options.issuing_key_type);
        let (signer, pkcs8) = self.generate(key_type).await?;
        let id = AuthorityId::new(self.random.ordered_id(now));
        Ok(Draft {
            id,
            account,
            zone: zone.map(|zone| zone.id),
            subject: x509::name::build(&[(AttributeType::CommonName, name.clone())])?,
            name,
            key_type,
            shards: options.crl_shards.map(|count| Shards { count, url: self.crl_url(id) }),
            sealed_key: self.keyring.seal(Record::Authority(id), &pkcs8)?,
            signer: Arc::new(signer),
            not_before,
            not_after: not_before + lifetime,
        })
    }

    async fn sign_authority(
        &self,
        draft: &Draft,
        issuer: Issuer,
        path_length: Option<u8>,
        signer: &Signer,
    ) -> Result<SignedCertificate, ServiceError> {
        let plan = Plan {
            profile: String::new(),
            kind: PlanKind::Authority { path_length, self_signed: path_length.is_none() },
            issuer,
            serial: self.random.serial()?,
            subject: draft.subject.clone(),
            public_key: draft.signer.public_key(),
            not_before: draft.not_before,
            not_after: draft.not_after,
            messages: Vec::new(),
        };
        let linted = lint::lint(tbs::build(plan)?).map_err(fault_of_ours)?;
        Ok(signer.sign_certificate(linted).await?)
    }

    async fn finish(
        &self,
        draft: Draft,
        signed: SignedCertificate,
        parent: Option<AuthorityId>,
    ) -> Result<(NewAuthority, Arc<Signer>), ServiceError> {
        let authority = Authority {
            id: draft.id,
            account: draft.account,
            zone: draft.zone,
            parent,
            name: draft.name,
            state: AuthorityState::Active,
            key_type: draft.key_type,
            serial: signed.plan().serial.clone(),
            certificate: signed.der().to_vec(),
            ski: draft.signer.public_key().ski.to_vec(),
            not_before: draft.not_before,
            not_after: draft.not_after,
            shards: draft.shards,
        };
        let (publication, first_crls) = self.first_crls(&authority, &draft.signer).await?;
        Ok((NewAuthority { authority, sealed_key: draft.sealed_key, publication, first_crls }, draft.signer))
    }
}

/// The file of the zone's chain gets another CRL with it.
pub(super) fn first_crl_news(new: &NewAuthority) -> Event {
    let Publication { authority, number, this_update, next_update, .. } = new.publication;
    Event::CrlPublished { authority, number, this_update, next_update }
}

/// An authority that is being made.
struct Draft {
    id: AuthorityId,
    account: AccountId,
    zone: Option<ZoneId>,
    subject: Name,
    name: String,
    key_type: AuthorityKeyType,
    shards: Option<Shards>,
    sealed_key: SealedKey,
    signer: Arc<Signer>,
    not_before: DateTime<Utc>,
    not_after: DateTime<Utc>,
}

/// Nobody asked for what stands in an authority's certificate but us.
fn fault_of_ours(violations: Vec<Violation>) -> ServiceError {
    let all = violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    ServiceError::Internal(format!("the lint stopped an authority: {all}"))
}
