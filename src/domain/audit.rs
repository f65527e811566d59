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

/// Which events somebody wants to see; what is `None` leaves nothing out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    pub who: Option<Who>,
    pub what: Option<What>,
    /// The written id of what was acted on.
    pub subject: Option<String>,
    pub result: Option<AuditResult>,
    /// From then on.
    pub from: Option<DateTime<Utc>>,
    /// Before then.
    pub until: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Token(TokenId),
    /// What the log calls them, or the address they came from.
    Named(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Action(String),
    /// Everything done to things of one kind: `certificate` is for `certificate.issue`, `certificate.revoke` and so on.
    Noun(String),
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
    RenameZone,
    CreateAuthority,
    ExportAuthorityKey,
    CreateToken,
    /// Another value for the same token.
    RollToken,
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
    /// Every act there is, for whoever chooses among them; a test holds the list complete.
    pub const ALL: [Self; 40] = [
        Self::CreateAccount,
        Self::CreateZone,
        Self::RenameZone,
        Self::CreateAuthority,
        Self::ExportAuthorityKey,
        Self::CreateToken,
        Self::RollToken,
        Self::DeleteToken,
        Self::SignIn,
        Self::EndSession,
        Self::IssueCertificate,
        Self::RevokeCertificate,
        Self::ReactivateCertificate,
        Self::FinishRevocation,
        Self::FinishReactivation,
        Self::PublishCrl,
        Self::IssueResponder,
        Self::CreateJob,
        Self::CancelJob,
        Self::AssociateHostnames,
        Self::AddIdentity,
        Self::EditIdentity,
        Self::ReplaceIdentity,
        Self::RenewIdentity,
        Self::RemoveIdentity,
        Self::AssociateIdentity,
        Self::DissociateIdentity,
        Self::UseIdentity,
        Self::NoteExpiry,
        Self::CreateCheck,
        Self::EditCheck,
        Self::DeleteCheck,
        Self::RunCheck,
        Self::ChangeCheckState,
        Self::CreateWebhook,
        Self::EditWebhook,
        Self::DeleteWebhook,
        Self::TestWebhook,
        Self::DisableWebhook,
        Self::RestoreInstallation,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::CreateAccount => "account.create",
            Self::CreateZone => "zone.create",
            Self::RenameZone => "zone.rename",
            Self::CreateAuthority => "authority.create",
            Self::ExportAuthorityKey => "authority.export_key",
            Self::CreateToken => "token.create",
            Self::RollToken => "token.roll",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_act_is_listed_once_and_in_groups() {
        let words: Vec<_> = Action::ALL.map(Action::as_str).to_vec();
        let distinct: std::collections::BTreeSet<_> = words.iter().collect();
        assert_eq!(distinct.len(), words.len());
        // A fieldless enum counts from 0: the last one made says how many there are.
        assert_eq!(Action::RestoreInstallation as usize + 1, words.len());
    }
}
