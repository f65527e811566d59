//! Who relies on an identity, and what its removal would mean for them.

use std::collections::HashMap;

use crate::domain::audit::Action;
use crate::domain::host_pattern::HostName;
use crate::domain::id::IdentityId;
use crate::domain::identity::{Identity, Use};
use crate::domain::text::label;
use crate::domain::violation::Violation;

use super::access::{AccountPermit, AssociateIdentity, ReadIdentities};
use super::error::Noun;
use super::secrets::sha256;
use super::{Service, ServiceError};

const MAX_USES: i64 = 1000;
const MAX_NAME_LENGTH: usize = 120;
const MAX_LINK_LENGTH: usize = 2048;
/// So many checks are named, and so many hosts looked at.
const MAX_NAMED: usize = 20;
const MAX_EXAMINED: usize = 50;

/// Somebody who says that they rely on an identity.
#[derive(Clone, Debug)]
pub struct UseInput {
    pub kind: Option<String>,
    pub link: Option<String>,
    pub faults: Vec<Violation>,
}

impl Service {
    /// Everybody who relies on an identity, in the order in which they came to.
    pub async fn identity_uses(
        &self,
        permit: &AccountPermit<ReadIdentities>,
        id: Option<IdentityId>,
    ) -> Result<Vec<Use>, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Identity))?;
        self.store.identity_uses(permit.account(), id).await?.ok_or(ServiceError::NotFound(Noun::Identity))
    }

    /// Notes that somebody relies on an identity; saying it again changes kind and link.
    pub async fn associate_identity(
        &self,
        permit: &AccountPermit<AssociateIdentity>,
        id: Option<IdentityId>,
        name: &str,
        input: UseInput,
    ) -> Result<Use, ServiceError> {
        let outcome = self.associate_or_refuse(permit, id, name, input).await;
        self.recorded(permit, &id.map(|id| id.to_string()).unwrap_or_default(), outcome).await
    }

    async fn associate_or_refuse(
        &self,
        permit: &AccountPermit<AssociateIdentity>,
        id: Option<IdentityId>,
        name: &str,
        input: UseInput,
    ) -> Result<Use, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Identity))?;
        let mut faults = input.faults;
        let mut checked = |pointer: &str, text: Result<String, String>| {
            text.unwrap_or_else(|why| {
                faults.push(Violation::new(pointer, why));
                String::new()
            })
        };
        let using = Use {
            name: checked("", label(name, MAX_NAME_LENGTH)),
            kind: checked("/kind", label(input.kind.as_deref().unwrap_or("custom"), MAX_NAME_LENGTH)),
            link: checked("/link", check_link(input.link.unwrap_or_default())),
            since: self.clock.now(),
        };
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        let account = permit.account();
        let mut event = self.event(permit.caller().actor(), account, None, Action::AssociateIdentity, id.to_string());
        event.detail = format!("{} {:?} {}", using.kind, using.name, using.link);
        match self.store.associate_identity(account, id, using.clone(), MAX_USES, event).await? {
            Some(true) => Ok(using),
            Some(false) => Err(ServiceError::NotFound(Noun::Identity)),
            None => Err(ServiceError::invalid("", format!("an identity can have at most {MAX_USES} associations"))),
        }
    }

    /// Takes back that somebody relies on an identity.
    pub async fn dissociate_identity(
        &self,
        permit: &AccountPermit<AssociateIdentity>,
        id: Option<IdentityId>,
        name: &str,
    ) -> Result<(), ServiceError> {
        let outcome = self.dissociate_or_refuse(permit, id, name).await;
        self.recorded(permit, &id.map(|id| id.to_string()).unwrap_or_default(), outcome).await
    }

    async fn dissociate_or_refuse(
        &self,
        permit: &AccountPermit<AssociateIdentity>,
        id: Option<IdentityId>,
        name: &str,
    ) -> Result<(), ServiceError> {
        let identity = self.find_identity(permit, id).await?;
        let subject = identity.id.to_string();
        let mut event =
            self.event(permit.caller().actor(), identity.account, None, Action::DissociateIdentity, subject);
        event.detail = format!("{:?}", name.chars().take(MAX_NAME_LENGTH).collect::<String>());
        if self.store.dissociate_identity(identity.account, identity.id, name.trim().to_owned(), event).await? {
            return Ok(());
        }
        Err(ServiceError::NotFound(Noun::Use))
    }

    /// For each check that chooses by host and would choose this identity: what it will present instead.
    pub(super) async fn what_removal_means(&self, identity: &Identity) -> Result<Vec<String>, ServiceError> {
        if identity.is_ca || (identity.hosts.is_empty() && !identity.is_primary) {
            return Ok(Vec::new());
        }
        let mut instead: HashMap<HostName, Option<String>> = HashMap::new();
        let mut messages = Vec::new();
        for (name, url) in self.store.checks_by_host(identity.account).await? {
            let Some(host) = HostName::of_url(&url) else { continue };
            if messages.len() == MAX_NAMED || (instead.len() == MAX_EXAMINED && !instead.contains_key(&host)) {
                messages.push("further checks may be affected, and are not named".into());
                break;
            }
            if !instead.contains_key(&host) {
                let next = self.presented_instead(identity, host.clone()).await?;
                instead.insert(host.clone(), next);
            }
            if let Some(Some(next)) = instead.get(&host) {
                messages.push(format!(
                    "the check {:?} on {} presented this identity and now presents {next}",
                    name,
                    host.as_str()
                ));
            }
        }
        Ok(messages)
    }

    /// What a host that is shown this identity would be shown without it; `None` if it is not shown it.
    async fn presented_instead(&self, identity: &Identity, host: HostName) -> Result<Option<String>, ServiceError> {
        let mut ranked = self.rank(identity.account, host).await?.into_iter();
        if ranked.next().is_none_or(|first| first.id != identity.id) {
            return Ok(None);
        }
        // The runners-up are what would come without the choice.
        Ok(Some(match ranked.next() {
            Some(next) => format!("{:?} ({})", next.name, next.reason),
            None => "no identity".to_owned(),
        }))
    }
}

/// What tells one who relies on an identity from all others, and from whoever had the same name before.
pub fn mark(using: &Use) -> String {
    let Use { name, kind, link, .. } = using;
    let text = format!("{} {kind}{} {name}{link}", kind.len(), name.len());
    hex::encode(sha256(text.as_bytes()))
}

fn check_link(link: String) -> Result<String, String> {
    let is_web = |text: &str| text.starts_with("https://") || text.starts_with("http://") || text.starts_with('/');
    let is_plain = |text: &str| text.len() <= MAX_LINK_LENGTH && text.bytes().all(|byte| byte.is_ascii_graphic());
    if link.is_empty() || (is_web(&link) && is_plain(&link)) {
        return Ok(link);
    }
    Err(format!("link must be an http or https address or a path, of at most {MAX_LINK_LENGTH} characters"))
}
