//! Webhooks: defining, editing, deleting and showing them. The secret is handed out when it is made, and never again.

use secrecy::SecretString;
use url::{Host, Url};

use crate::domain::audit::Action;
use crate::domain::egress::check_url;
use crate::domain::event_stream::Kinds;
use crate::domain::id::{WebhookId, ZoneId};
use crate::domain::permission::Permission;
use crate::domain::text::label;
use crate::domain::violation::Violation;
use crate::domain::webhook::{Definition, Delivery, MAX_NAME_LENGTH, MAX_WEBHOOKS, Webhook};
use crate::keys::upload;
use crate::store::{Page, SealedKey, StoredWebhook, WebhookStored, Window};

use super::access::{ReadWebhooks, WriteWebhooks, ZonePermit};
use super::error::Noun;
use super::keyring::Record;
use super::outgoing::shown;
use super::{Service, ServiceError, in_turn};

/// How often an edit is decided anew because the webhook was changed or told in between.
const MAX_DECISIONS: usize = 16;

/// What a caller sent of a webhook, as far as it could be read; what is `None` has its default, or stays.
#[derive(Clone, Default)]
pub struct WebhookInput {
    pub name: Option<String>,
    pub url: Option<String>,
    pub kinds: Option<Vec<String>>,
    /// PEM; `Some(None)` goes back to the CAs of the system.
    pub trusted_ca: Option<Option<String>>,
    pub is_enabled: Option<bool>,
    pub rotates_secret: bool,
    pub faults: Vec<Violation>,
}

/// A webhook as it was made or changed.
pub struct DefinedWebhook {
    pub webhook: Webhook,
    pub last_delivery: Option<Delivery>,
    /// Where a new one was made: shown this once.
    pub secret: Option<SecretString>,
    /// What is odd about the CAs that were sent.
    pub messages: Vec<String>,
}

impl Service {
    /// The webhooks of a zone, oldest first, each with its last delivery.
    pub async fn webhooks(
        &self,
        permit: &ZonePermit<ReadWebhooks>,
    ) -> Result<Vec<(Webhook, Option<Delivery>)>, ServiceError> {
        Ok(self.store.webhooks(permit.zone()).await?)
    }

    pub async fn webhook(
        &self,
        permit: &ZonePermit<ReadWebhooks>,
        id: Option<WebhookId>,
    ) -> Result<(Webhook, Option<Delivery>), ServiceError> {
        let stored = self.stored_webhook(permit.zone(), id).await?;
        let last = self.store.last_delivery(permit.zone(), stored.webhook.id).await?;
        Ok((stored.webhook, last))
    }

    /// The last deliveries of a webhook, the newest first.
    pub async fn webhook_deliveries(
        &self,
        permit: &ZonePermit<ReadWebhooks>,
        id: Option<WebhookId>,
        window: Window,
    ) -> Result<Page<Delivery>, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Webhook))?;
        let found = self.store.deliveries(permit.zone(), id, window).await?;
        found.ok_or(ServiceError::NotFound(Noun::Webhook))
    }

    /// Makes a webhook, which hears of what happens from now on.
    pub async fn create_webhook(
        &self,
        permit: &ZonePermit<WriteWebhooks>,
        input: WebhookInput,
    ) -> Result<DefinedWebhook, ServiceError> {
        let outcome = self.create_webhook_or_refuse(permit, input).await;
        self.recorded(permit, "", outcome).await
    }

    /// Changes what a PATCH names.
    pub async fn edit_webhook(
        &self,
        permit: &ZonePermit<WriteWebhooks>,
        id: Option<WebhookId>,
        input: WebhookInput,
    ) -> Result<DefinedWebhook, ServiceError> {
        let outcome = self.edit_webhook_or_refuse(permit, id, input).await;
        self.recorded(permit, &id.map(|id| id.to_string()).unwrap_or_default(), outcome).await
    }

    /// Deletes a webhook and the log of its deliveries.
    pub async fn delete_webhook(
        &self,
        permit: &ZonePermit<WriteWebhooks>,
        id: Option<WebhookId>,
    ) -> Result<WebhookId, ServiceError> {
        let outcome = self.delete_webhook_or_refuse(permit, id).await;
        self.recorded(permit, &id.map(|id| id.to_string()).unwrap_or_default(), outcome).await
    }

    async fn create_webhook_or_refuse(
        &self,
        permit: &ZonePermit<WriteWebhooks>,
        input: WebhookInput,
    ) -> Result<DefinedWebhook, ServiceError> {
        let now = self.clock.now();
        let before = Definition { hears_account: may_hear_account(permit), ..blank() };
        let (definition, messages) = self.define_webhook(permit, before, input).await?;
        let webhook = Webhook {
            id: WebhookId::new(self.random.ordered_id(now)),
            account: permit.account(),
            zone: permit.zone(),
            definition,
            last_event: 0,
            attempts: 0,
            retry_on: chrono::DateTime::UNIX_EPOCH,
            failing_since: None,
            created_on: now,
            updated_on: now,
        };
        let (secret, sealed_secret) = self.make_secret(webhook.id)?;
        let event = self.event_of_webhook(permit, Action::CreateWebhook, &webhook);
        let new = StoredWebhook { webhook, sealed_secret, fence: 0 };
        match self.store.create_webhook(new, MAX_WEBHOOKS, event).await? {
            WebhookStored::Stored(webhook) => {
                Ok(DefinedWebhook { webhook: *webhook, last_delivery: None, secret: Some(secret), messages })
            }
            WebhookStored::NameIsTaken => Err(ServiceError::invalid("/name", NAME_IS_TAKEN)),
            WebhookStored::Full => {
                Err(ServiceError::invalid("", format!("a zone can have at most {MAX_WEBHOOKS} webhooks")))
            }
            WebhookStored::Overtaken => Err(changed_by_many()),
        }
    }

    async fn edit_webhook_or_refuse(
        &self,
        permit: &ZonePermit<WriteWebhooks>,
        id: Option<WebhookId>,
        input: WebhookInput,
    ) -> Result<DefinedWebhook, ServiceError> {
        let goes_elsewhere = input.url.is_some() || input.kinds.is_some() || input.trusted_ca.is_some();
        // Whoever corrects an address wants to see at once whether it works.
        let begins_anew = input.url.is_some() || input.trusted_ca.is_some() || input.is_enabled.is_some();
        for _ in 0..MAX_DECISIONS {
            let StoredWebhook { mut webhook, mut sealed_secret, fence } =
                self.stored_webhook(permit.zone(), id).await?;
            let rotates = input.rotates_secret;
            let before = webhook.definition.clone();
            // Nobody has told what they may not hear themselves, by sending it where they can.
            let hears_account = before.hears_account && (!goes_elsewhere || may_hear_account(permit));
            let old_url = before.url.clone();
            let laid = Definition { hears_account, ..before };
            let (definition, messages) = self.define_webhook(permit, laid, input.clone()).await?;
            if origin(&definition.url) != origin(&old_url) && !rotates {
                return Err(ServiceError::invalid("/url", ELSEWHERE));
            }
            webhook.definition = definition;
            webhook.updated_on = self.clock.now();
            let mut secret = None;
            if rotates {
                let (made, sealed) = self.make_secret(webhook.id)?;
                (secret, sealed_secret) = (Some(made), sealed);
            }
            if begins_anew {
                (webhook.attempts, webhook.failing_since) = (0, None);
                webhook.retry_on = chrono::DateTime::UNIX_EPOCH;
            }
            let event = self.event_of_webhook(permit, Action::EditWebhook, &webhook);
            let edited = StoredWebhook { webhook, sealed_secret, fence };
            match self.store.edit_webhook(edited, begins_anew, event).await? {
                WebhookStored::Stored(webhook) => {
                    let last_delivery = self.store.last_delivery(permit.zone(), webhook.id).await?;
                    return Ok(DefinedWebhook { webhook: *webhook, last_delivery, secret, messages });
                }
                WebhookStored::NameIsTaken => return Err(ServiceError::invalid("/name", NAME_IS_TAKEN)),
                WebhookStored::Full | WebhookStored::Overtaken => {}
            }
        }
        Err(changed_by_many())
    }

    async fn delete_webhook_or_refuse(
        &self,
        permit: &ZonePermit<WriteWebhooks>,
        id: Option<WebhookId>,
    ) -> Result<WebhookId, ServiceError> {
        let webhook = self.stored_webhook(permit.zone(), id).await?.webhook;
        let event = self.event_of_webhook(permit, Action::DeleteWebhook, &webhook);
        if !self.store.delete_webhook(permit.zone(), webhook.id, event).await? {
            return Err(ServiceError::NotFound(Noun::Webhook));
        }
        Ok(webhook.id)
    }

    pub(super) async fn stored_webhook(
        &self,
        zone: ZoneId,
        id: Option<WebhookId>,
    ) -> Result<StoredWebhook, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Webhook))?;
        self.store.webhook(zone, id).await?.ok_or(ServiceError::NotFound(Noun::Webhook))
    }

    /// Lays what was sent over what is there, and says everything that is wrong with the result.
    async fn define_webhook(
        &self,
        permit: &ZonePermit<WriteWebhooks>,
        mut definition: Definition,
        input: WebhookInput,
    ) -> Result<(Definition, Vec<String>), ServiceError> {
        let grants = &permit.caller().token().grants;
        if !grants.allow_in_zone(Permission::ReadCertificates, permit.account(), permit.zone()) {
            return Err(ServiceError::invalid("", UNREADABLE));
        }
        let mut faults = input.faults;
        let mut messages = Vec::new();
        let mut refuse = |pointer: &str, why: String| {
            // What could not be read is told once, not a second time as missing.
            if !faults.iter().any(|fault| fault.pointer.starts_with(pointer)) {
                faults.push(Violation::new(pointer, why));
            }
        };
        match label(input.name.as_deref().unwrap_or(&definition.name), MAX_NAME_LENGTH) {
            Ok(name) => definition.name = name,
            Err(why) => refuse("/name", why),
        }
        definition.is_enabled = input.is_enabled.unwrap_or(definition.is_enabled);
        // What the operator permits may have changed since; only a new address is judged by it.
        let is_new = input.url.is_some();
        definition.url = input.url.unwrap_or(definition.url);
        match check_url(&definition.url) {
            Ok(url) => {
                if is_new && let Err(why) = self.check_address(&url) {
                    refuse("/url", why);
                }
                definition.url = url.to_string();
            }
            Err(_) if definition.url.is_empty() => refuse("/url", "url is required: an https address".into()),
            Err(why) => refuse("/url", why),
        }
        if let Some(words) = input.kinds {
            match Kinds::parse(words.iter().map(String::as_str)) {
                Ok(kinds) if kinds.names_account_kind() && !definition.hears_account => {
                    refuse("/kinds", UNHEARD.into());
                }
                Ok(kinds) => definition.kinds = kinds,
                Err(why) => refuse("/kinds", why),
            }
        }
        match input.trusted_ca {
            None => {}
            Some(None) => definition.trusted_ca.clear(),
            Some(Some(pem)) => {
                let now = self.clock.now();
                let read = in_turn(&self.upload_reading, move || upload::read_authorities(&pem, now, "/trusted_ca"));
                match read.await? {
                    Ok((authorities, notes)) => {
                        definition.trusted_ca = authorities.iter().map(|authority| authority.to_pem()).collect();
                        messages = notes;
                    }
                    Err(found) => faults.extend(found),
                }
            }
        }
        if faults.is_empty() { Ok((definition, messages)) } else { Err(ServiceError::Invalid(faults)) }
    }

    /// Refuses an address that deliveries could never go to. What a name stands for is judged at each delivery.
    fn check_address(&self, url: &Url) -> Result<(), String> {
        match url.host() {
            Some(Host::Ipv4(address)) => self.options.egress.check(address.into()),
            Some(Host::Ipv6(address)) => self.options.egress.check(address.into()),
            Some(Host::Domain(_)) | None => Ok(()),
        }
    }

    fn make_secret(&self, id: WebhookId) -> Result<(SecretString, SealedKey), ServiceError> {
        let secret = self.random.webhook_secret()?;
        let sealed = self.keyring.seal(Record::Webhook(id), secret.as_bytes())?;
        Ok((SecretString::from(secret.as_str()), sealed))
    }

    /// The audit event of an act by hand; it says where the news goes, without what may be secret in the address.
    pub(super) fn event_of_webhook(
        &self,
        permit: &ZonePermit<WriteWebhooks>,
        action: Action,
        webhook: &Webhook,
    ) -> crate::domain::audit::AuditEvent {
        let zone = Some(permit.zone());
        let mut event = self.event(permit.caller().actor(), permit.account(), zone, action, webhook.id.to_string());
        let definition = &webhook.definition;
        let kinds: Vec<_> = definition.kinds.words().collect();
        event.detail = format!(
            "{:?} to {}: {}{}",
            definition.name,
            Url::parse(&definition.url).map(|url| shown(&url)).unwrap_or_default(),
            if kinds.is_empty() { "every kind".to_owned() } else { kinds.join(", ") },
            if definition.is_enabled { "" } else { "; disabled" },
        );
        event
    }
}

const UNREADABLE: &str = "a webhook carries the news of the zone's certificates away: a token that defines one must be \
                          allowed client_certificates:read in the zone, too";
const UNHEARD: &str = "identity.expiring and check.state belong to the account as a whole: only a webhook that was defined \
                       by a token with identities:read in the account hears of them";
const ELSEWHERE: &str = "the webhook goes to another server: send \"rotate_secret\": true with the new address, so that \
                         nothing that was signed for the one can be passed off on the other";

const NAME_IS_TAKEN: &str = "the zone has a webhook of this name already; choose another name";

fn changed_by_many() -> ServiceError {
    ServiceError::Unavailable("the webhook is being changed or told by many at once".into())
}

/// Whether the caller may hear of what belongs to the account as a whole.
fn may_hear_account(permit: &ZonePermit<WriteWebhooks>) -> bool {
    permit.caller().token().grants.allow_in_account(Permission::ReadIdentities, permit.account())
}

fn origin(url: &str) -> Option<url::Origin> {
    Url::parse(url).ok().map(|url| url.origin())
}

fn blank() -> Definition {
    Definition {
        name: String::new(),
        url: String::new(),
        kinds: Kinds::default(),
        hears_account: false,
        trusted_ca: String::new(),
        is_enabled: true,
    }
}
