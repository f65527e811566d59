//! Who is calling, and what they may do: the only place that makes permits.
//!
//! A permit names its act in its type. Services take permits, so a handler that forgot to authorise does not compile,
//! and one that authorised the wrong act does not either.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use chrono::{DateTime, Utc};

use crate::domain::audit::{Action, Actor, ActorKind, AuditEvent, AuditResult};
use crate::domain::certificate::Certificate;
use crate::domain::id::{AccountId, AuditEventId, TokenId, ZoneId};
use crate::domain::permission::{Grants, Permission, Reach};
use crate::domain::token::{Token, TokenStatus};
use crate::x509::jws::Possession;

use super::issuers::ZoneIssuer;
use super::secrets::sha256;
use super::{Service, ServiceError};

/// Somebody whose token is valid, or who needs none.
#[derive(Clone, Debug)]
pub struct Caller {
    token: Arc<Token>,
    /// Who acts, where it is not the token's bearer.
    actor: Option<ActorKind>,
    /// The address the request came from.
    source: String,
}

/// What can be permitted.
pub trait Act {
    const PERMISSION: Permission;
    /// What a refusal is recorded as; acts that only read leave no trace.
    const ACTION: Option<Action>;
}

macro_rules! acts {
    ($($(#[$doc:meta])* $name:ident: $permission:ident, $action:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub struct $name;

            impl Act for $name {
                const PERMISSION: Permission = Permission::$permission;
                const ACTION: Option<Action> = $action;
            }
        )*
    };
}

acts! {
    ReadCertificates: ReadCertificates, None;
    IssueCertificate: IssueCertificates, Some(Action::IssueCertificate);
    RevokeCertificate: RevokeCertificates, Some(Action::RevokeCertificate);
    /// Lifting a hold takes the permission that placed it.
    ReactivateCertificate: RevokeCertificates, Some(Action::ReactivateCertificate);
    /// Who may ask for many changes may see how far they are.
    ReadJobs: RevokeCertificates, None;
    CreateJob: RevokeCertificates, Some(Action::CreateJob);
    CancelJob: RevokeCertificates, Some(Action::CancelJob);
    ReadAuthorities: ReadAuthorities, None;
    CreateAuthority: WriteAuthorities, Some(Action::CreateAuthority);
    WriteAuthorities: WriteAuthorities, Some(Action::AssociateHostnames);
    ReadZones: ReadZones, None;
    CreateZone: WriteZones, Some(Action::CreateZone);
    RenameZone: WriteZones, Some(Action::RenameZone);
    ReadWebhooks: ReadZones, None;
    WriteWebhooks: WriteZones, Some(Action::EditWebhook);
    ReadTokens: WriteTokens, None;
    /// Making a tenant hands out every permission there: the service asks for all of them.
    CreateAccount: WriteTokens, Some(Action::CreateAccount);
    CreateToken: WriteTokens, Some(Action::CreateToken);
    /// Whoever may hand out a token may hand out another value of it.
    RollToken: WriteTokens, Some(Action::RollToken);
    DeleteToken: WriteTokens, Some(Action::DeleteToken);
    ReadAuditLog: ReadAudit, None;
    ReadIdentities: ReadIdentities, None;
    AddIdentity: WriteIdentities, Some(Action::AddIdentity);
    EditIdentity: WriteIdentities, Some(Action::EditIdentity);
    ReplaceIdentity: WriteIdentities, Some(Action::ReplaceIdentity);
    RemoveIdentity: WriteIdentities, Some(Action::RemoveIdentity);
    /// Whoever uses an identity may say so.
    AssociateIdentity: UseIdentities, Some(Action::AssociateIdentity);
    UseIdentity: UseIdentities, Some(Action::UseIdentity);
    /// A check presents identities to hosts that its maker names, so making one is using them.
    WriteChecks: UseIdentities, Some(Action::EditCheck);
}

/// The right to do one thing in one zone.
#[derive(Clone, Debug)]
pub struct ZonePermit<A: Act> {
    caller: Caller,
    issuer: Arc<ZoneIssuer>,
    act: PhantomData<A>,
}

/// The right to do one thing in one account.
#[derive(Clone, Debug)]
pub struct AccountPermit<A: Act> {
    caller: Caller,
    account: AccountId,
    act: PhantomData<A>,
}

/// What every permit tells of itself.
pub trait Permit {
    type Act: Act;

    fn caller(&self) -> &Caller;

    /// The zone it is for; none for what belongs to an account.
    fn zone_id(&self) -> Option<ZoneId>;
}

impl<A: Act> Permit for ZonePermit<A> {
    type Act = A;

    fn caller(&self) -> &Caller {
        &self.caller
    }

    fn zone_id(&self) -> Option<ZoneId> {
        Some(self.zone())
    }
}

impl<A: Act> Permit for AccountPermit<A> {
    type Act = A;

    fn caller(&self) -> &Caller {
        &self.caller
    }

    fn zone_id(&self) -> Option<ZoneId> {
        None
    }
}

impl Caller {
    /// Whoever signed in with this token, which is good now.
    pub(super) fn with_token(token: Arc<Token>, source: String) -> Self {
        Self { token, actor: None, source }
    }

    pub fn token(&self) -> &Token {
        &self.token
    }

    pub fn account(&self) -> AccountId {
        self.token.grants.account
    }

    /// The address the request came from.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    pub(super) fn actor(&self) -> Actor {
        let bearer = || ActorKind::Token { id: self.token.id, name: self.token.name.clone() };
        Actor { kind: self.actor.clone().unwrap_or_else(bearer), source: self.source.clone() }
    }
}

impl<A: Act> ZonePermit<A> {
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    pub fn zone(&self) -> ZoneId {
        self.issuer.zone.id
    }

    pub(super) fn account(&self) -> AccountId {
        self.issuer.zone.account.id
    }

    /// The zone with the authority that signs for it.
    pub fn issuer(&self) -> &ZoneIssuer {
        &self.issuer
    }
}

impl<A: Act> AccountPermit<A> {
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    pub fn account(&self) -> AccountId {
        self.account
    }
}

impl Service {
    /// The caller behind a token's value; `None` when it is unknown, expired or not valid yet.
    pub async fn authenticate(&self, value: &str, source: String) -> Result<Option<Caller>, ServiceError> {
        let now = self.clock.now();
        let token = self.token_of(value).await?.filter(|token| token.status(now) == TokenStatus::Active);
        if token.is_none() {
            self.refused_callers.note(now, &source);
        }
        Ok(token.map(|token| Caller { token, actor: None, source }))
    }

    /// The token behind a value, whatever its state.
    pub(super) async fn token_of(&self, value: &str) -> Result<Option<Arc<Token>>, ServiceError> {
        let now = self.clock.now();
        let value_sha256 = sha256(value.as_bytes());
        if let Some(token) = self.tokens.find(&value_sha256, now) {
            return Ok(Some(token));
        }
        let before = self.tokens.before();
        let found = self.store.token_by_value(value_sha256).await?;
        Ok(found.map(|token| self.tokens.keep_since(value_sha256, token, now, before)))
    }

    /// Permits an act in a zone. An unknown zone and a foreign one are refused alike.
    pub async fn permit_in_zone<A: Act>(&self, caller: Caller, zone: ZoneId) -> Result<ZonePermit<A>, ServiceError> {
        let issuer = self.zone_issuer(zone).await?;
        let allowed =
            |issuer: &Arc<ZoneIssuer>| caller.token.grants.allow_in_zone(A::PERMISSION, issuer.zone.account.id, zone);
        match issuer.filter(allowed) {
            Some(issuer) => Ok(ZonePermit { caller, issuer, act: PhantomData }),
            None => {
                // Under the caller's own account, and without the zone: it may be somebody else's.
                self.record_denial::<A>(&caller, &format!("zone {zone}")).await;
                Err(ServiceError::Forbidden)
            }
        }
    }

    /// The service's own right in a zone, for what somebody who had the right asked it to go on doing: renewing a managed
    /// identity, and revoking the certificate before.
    pub(super) async fn permit_itself<A: Act>(&self, zone: ZoneId) -> Result<ZonePermit<A>, ServiceError> {
        self.permit_without_token(zone, ActorKind::System, String::new()).await
    }

    /// The right to revoke a certificate, for whoever has just shown that they hold its private key. None where that was
    /// another key. The permit is for the zone, so it must be used for this certificate alone.
    pub(super) async fn permit_holder(
        &self,
        possession: &Possession,
        certificate: &Certificate,
        source: String,
    ) -> Result<ZonePermit<RevokeCertificate>, ServiceError> {
        if possession.spki_sha256().as_slice() != certificate.spki_sha256 {
            return Err(ServiceError::Unproven);
        }
        let holder = ActorKind::Holder { serial: certificate.serial.clone() };
        self.permit_without_token(certificate.zone, holder, source).await
    }

    async fn permit_without_token<A: Act>(
        &self,
        zone: ZoneId,
        actor: ActorKind,
        source: String,
    ) -> Result<ZonePermit<A>, ServiceError> {
        let missing = || ServiceError::Internal(format!("zone {zone} is missing"));
        let issuer = self.zone_issuer(zone).await?.ok_or_else(missing)?;
        let token = Token {
            id: TokenId::new(uuid::Uuid::nil()),
            name: "countersign".into(),
            grants: Grants {
                account: issuer.zone.account.id,
                permissions: BTreeSet::from([A::PERMISSION]),
                reach: Reach::Zones(BTreeSet::from([zone])),
            },
            created_on: self.clock.now(),
            not_before: None,
            expires_on: None,
        };
        let caller = Caller { token: Arc::new(token), actor: Some(actor), source };
        Ok(ZonePermit { caller, issuer, act: PhantomData })
    }

    /// Permits an act on what belongs to an account as a whole.
    pub async fn permit_in_account<A: Act>(
        &self,
        caller: Caller,
        account: AccountId,
    ) -> Result<AccountPermit<A>, ServiceError> {
        if caller.token.grants.allow_in_account(A::PERMISSION, account) {
            return Ok(AccountPermit { caller, account, act: PhantomData });
        }
        self.record_denial::<A>(&caller, &format!("account {account}")).await;
        Err(ServiceError::Forbidden)
    }

    /// Records a refusal, if that is what came of a permitted act; then hands the outcome on.
    pub(super) async fn recorded<T, P: Permit>(
        &self,
        permit: &P,
        subject: &str,
        outcome: Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        if let Err(refusal) = &outcome
            && refusal.is_refusal()
        {
            self.record_fault(permit, subject, &refusal.to_string()).await;
        }
        outcome
    }

    /// Records that a permitted act came to nothing, because what was sent could not be read or was refused.
    pub async fn record_fault<P: Permit>(&self, permit: &P, subject: &str, detail: &str) {
        if let Some(action) = P::Act::ACTION {
            self.record_refusal(permit.caller(), permit.zone_id(), action, subject, detail).await;
        }
    }

    async fn record_refusal(&self, caller: &Caller, zone: Option<ZoneId>, action: Action, subject: &str, detail: &str) {
        let event = self.event(caller.actor(), caller.account(), zone, action, shortened(subject));
        let event = AuditEvent { result: AuditResult::Refused, detail: shortened(detail), ..event };
        if let Err(error) = self.store.record(event).await {
            tracing::error!(%error, action = action.as_str(), "a refusal could not be recorded");
        }
    }

    /// An audit event of something done now.
    pub(super) fn event(
        &self,
        actor: Actor,
        account: AccountId,
        zone: Option<ZoneId>,
        action: Action,
        subject: String,
    ) -> AuditEvent {
        let now = self.clock.now();
        AuditEvent {
            id: AuditEventId::new(self.random.ordered_id(now)),
            at: now,
            account,
            zone,
            actor,
            action,
            subject,
            result: AuditResult::Done,
            detail: String::new(),
            news: None,
        }
    }

    async fn record_denial<A: Act>(&self, caller: &Caller, place: &str) {
        if let Some(action) = A::ACTION {
            let detail = format!("{place}: the token lacks {}", A::PERMISSION);
            self.record_refusal(caller, None, action, "", &detail).await;
        }
    }
}

/// Tells the log of callers whose tokens are unknown or over, at most once a second, so that they cannot fill it.
#[derive(Default)]
pub(super) struct RefusedCallers {
    /// Unix seconds.
    told_at: AtomicI64,
    since: AtomicU64,
}

impl RefusedCallers {
    fn note(&self, now: DateTime<Utc>, source: &str) {
        let count = self.since.fetch_add(1, Ordering::Relaxed) + 1;
        if self.told_at.swap(now.timestamp(), Ordering::Relaxed) != now.timestamp() {
            self.since.store(0, Ordering::Relaxed);
            tracing::warn!(count, last = source, "callers with an unknown or expired token were refused");
        }
    }
}

/// Details of refusals hold words of strangers: bounded.
fn shortened(detail: &str) -> String {
    const MAX_CHARACTERS: usize = 2000;
    detail.chars().take(MAX_CHARACTERS).collect()
}
