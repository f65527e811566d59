//! The audit log: who did what, on what, from where, with which result. Every act of change has an event, written in
//! the same transaction; a refused one has an event too.

use chrono::{DateTime, Utc};

use super::event::Event;
use super::id::{AccountId, AuditEventId, TokenId, ZoneId};
use super::serial::SerialNumber;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEvent {
    pub id: AuditEventId,
    pub at: DateTime<Utc>,
    pub account: AccountId,
    pub zone: Option<ZoneId>,
    pub actor: Actor,
    pub action: Action,
    /// The written id of what was acted on; empty when nothing came into being.
    pub subject: String,
    pub result: AuditResult,
    /// Further facts in words or JSON. Never a secret.
    pub detail: String,
    /// What others hear of it, if it is of interest to them: numbered and stored beside it.
    pub news: Option<Event>,
}

/// Who acted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub kind: ActorKind,
    /// The address the request came from; empty for the service itself.
    pub source: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActorKind {
    Token {
        id: TokenId,
        name: String,
    },
    /// Whoever showed that they hold the private key of a certificate.
    Holder {
        serial: SerialNumber,
    },
    /// The service itself: first start, worker.
    System,
}

impl ActorKind {
    const SYSTEM: &'static str = "system";
    const HOLDER: &'static str = "holder of ";

    /// What the audit log calls them.
    pub fn name(&self) -> String {
        match self {
            Self::Token { name, .. } => name.clone(),
            Self::Holder { serial } => format!("{}{serial}", Self::HOLDER),
            Self::System => Self::SYSTEM.to_owned(),
        }
    }

    /// The token they used.
    pub fn token(&self) -> Option<TokenId> {
        if let Self::Token { id, .. } = self { Some(*id) } else { None }
    }

    /// The octets of that token's id.
    pub fn token_bytes(&self) -> Option<&[u8]> {
        if let Self::Token { id, .. } = self { Some(id.as_bytes()) } else { None }
    }

    /// Reads what [`ActorKind::name`] and [`ActorKind::token`] wrote; `None` for what they never write.
    pub fn of(token: Option<TokenId>, name: String) -> Option<Self> {
        match (token, name.strip_prefix(Self::HOLDER)) {
            (Some(id), _) => Some(Self::Token { id, name }),
            (None, Some(serial)) => Some(Self::Holder { serial: SerialNumber::parse(serial)? }),
            (None, None) => (name == Self::SYSTEM).then_some(Self::System),
        }
    }
}

impl Actor {
    pub fn system() -> Self {
        Self { kind: ActorKind::System, source: String::new() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    CreateAccount,
    CreateZone,
    CreateAuthority,
    ExportAuthorityKey,
    CreateToken,
    DeleteToken,
    /// Into the console.
    SignIn,
    /// Signing out, or ending a session elsewhere.
    EndSession,
    IssueCertificate,
    RevokeCertificate,
    ReactivateCertificate,
    FinishRevocation,
    FinishReactivation,
    PublishCrl,
    IssueResponder,
    CreateJob,
    CancelJob,
    AssociateHostnames,
    AddIdentity,
    EditIdentity,
    ReplaceIdentity,
    RenewIdentity,
    RemoveIdentity,
    AssociateIdentity,
    DissociateIdentity,
    UseIdentity,
    NoteExpiry,
    CreateCheck,
    EditCheck,
    DeleteCheck,
    RunCheck,
    ChangeCheckState,
    CreateWebhook,
    EditWebhook,
    DeleteWebhook,
    TestWebhook,
    /// By the service itself: the receiver is gone, or has failed for too long.
    DisableWebhook,
    /// On the server's own machine: everything was put back to an earlier time.
    RestoreInstallation,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateAccount => "account.create",
            Self::CreateZone => "zone.create",
            Self::CreateAuthority => "authority.create",
            Self::ExportAuthorityKey => "authority.export_key",
            Self::CreateToken => "token.create",
            Self::DeleteToken => "token.delete",
            Self::SignIn => "session.start",
            Self::EndSession => "session.end",
            Self::IssueCertificate => "certificate.issue",
            Self::RevokeCertificate => "certificate.revoke",
            Self::ReactivateCertificate => "certificate.reactivate",
            Self::FinishRevocation => "certificate.revoked",
            Self::FinishReactivation => "certificate.reactivated",
            Self::PublishCrl => "crl.publish",
            Self::IssueResponder => "responder.issue",
            Self::CreateJob => "job.create",
            Self::CancelJob => "job.cancel",
            Self::AssociateHostnames => "hostnames.associate",
            Self::AddIdentity => "identity.add",
            Self::EditIdentity => "identity.edit",
            Self::ReplaceIdentity => "identity.replace",
            Self::RenewIdentity => "identity.renew",
            Self::RemoveIdentity => "identity.remove",
            Self::AssociateIdentity => "identity.associate",
            Self::DissociateIdentity => "identity.dissociate",
            Self::UseIdentity => "identity.use",
            Self::NoteExpiry => "identity.expiring",
            Self::CreateCheck => "check.create",
            Self::EditCheck => "check.edit",
            Self::DeleteCheck => "check.delete",
            Self::RunCheck => "check.run",
            Self::ChangeCheckState => "check.state",
            Self::CreateWebhook => "webhook.create",
            Self::EditWebhook => "webhook.edit",
            Self::DeleteWebhook => "webhook.delete",
            Self::TestWebhook => "webhook.test",
            Self::DisableWebhook => "webhook.disable",
            Self::RestoreInstallation => "installation.restore",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditResult {
    Done,
    Refused,
}

impl AuditResult {
    pub fn code(self) -> i16 {
        match self {
            Self::Done => 0,
            Self::Refused => 1,
        }
    }
}
