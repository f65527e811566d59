//! Identities: taking in certificates that others issued to us, and keeping them. The private key is opened once, sealed,
//! and from then on leaves the store only for an outgoing handshake.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::audit::Action;
use crate::domain::host_pattern::HostPattern;
use crate::domain::id::{AccountId, IdentityId};
use crate::domain::identity::{
    Identity, IdentityEdit, IdentityFilter, MAX_HOSTS, MAX_IDENTITIES, check_labels, check_name,
};
use crate::domain::violation::Violation;
use crate::store::{AddOutcome, NewIdentity, Overruled, Page, RemoveOutcome, Window};

use super::access::{AccountPermit, Act, AddIdentity, EditIdentity, ReadIdentities, RemoveIdentity};
use super::error::Noun;
use super::identity_material::{Material, default_name, what_a_bundle_has_not};
use super::identity_uses::mark;
use super::keyring::Record;
use super::{Service, ServiceError};

/// What a caller sent to be kept, as far as it could be read; and the faults of the rest.
#[derive(Default)]
pub struct IdentityInput {
    /// What the certificate calls itself, without.
    pub name: Option<String>,
    pub is_ca: bool,
    pub material: Material,
    pub hosts: Vec<String>,
    pub is_primary: bool,
    pub labels: BTreeMap<String, String>,
    /// Takes the place of the identity with the same key, else of the one with this name, if there is one.
    pub replaces: bool,
    pub faults: Vec<Violation>,
}

/// An identity as it is kept now, and what is odd about it.
#[derive(Clone, Debug)]
pub struct Kept {
    pub identity: Identity,
    pub messages: Vec<String>,
}

/// How many of those who rely on an identity are named when its removal is refused.
pub(super) const MAX_NAMED: usize = 20;

/// Which uploads are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duplicates {
    /// A certificate that the account has already.
    Refused,
    /// None: the same certificate may be kept for several hosts, each by itself.
    Allowed,
}

impl Service {
    /// The account's identities under a filter, oldest first.
    pub async fn identities(
        &self,
        permit: &AccountPermit<ReadIdentities>,
        filter: IdentityFilter,
        window: Window,
    ) -> Result<Page<Identity>, ServiceError> {
        Ok(self.store.identities(permit.account(), filter, window).await?)
    }

    pub async fn identity(
        &self,
        permit: &AccountPermit<ReadIdentities>,
        id: Option<IdentityId>,
    ) -> Result<Identity, ServiceError> {
        self.find_identity(permit, id).await
    }

    /// Takes in an identity, or with `is_ca` a bundle of CAs to trust.
    pub async fn add_identity(
        &self,
        permit: &AccountPermit<AddIdentity>,
        input: IdentityInput,
        duplicates: Duplicates,
    ) -> Result<Kept, ServiceError> {
        let outcome = self.add_or_refuse(permit, input, duplicates).await;
        self.recorded(permit, "", outcome).await
    }

    /// Renames, assigns hosts and labels, makes primary or takes that back.
    pub async fn edit_identity(
        &self,
        permit: &AccountPermit<EditIdentity>,
        id: Option<IdentityId>,
        edit: EditInput,
    ) -> Result<Kept, ServiceError> {
        let outcome = match self.find_identity(permit, id).await {
            Ok(identity) => self.edit_or_refuse(permit, identity, edit).await,
            Err(error) => Err(error),
        };
        self.recorded(permit, &written(id), outcome).await
    }

    /// Removes an identity and its key. One that others rely on goes only by force. Returns it with what its going
    /// means for the checks.
    pub async fn remove_identity(
        &self,
        permit: &AccountPermit<RemoveIdentity>,
        id: Option<IdentityId>,
        is_forced: bool,
    ) -> Result<Kept, ServiceError> {
        let overruled = if is_forced { Overruled::Everybody } else { Overruled::Nobody };
        let outcome = self.remove_or_refuse(permit, id, overruled).await;
        self.recorded(permit, &written(id), outcome).await
    }

    /// The same for somebody who saw who relies on it, by their marks: for whoever came since it stays.
    pub async fn remove_identity_seeing(
        &self,
        permit: &AccountPermit<RemoveIdentity>,
        id: Option<IdentityId>,
        seen: &BTreeSet<String>,
    ) -> Result<Kept, ServiceError> {
        let outcome = match self.find_identity(permit, id).await {
            Ok(identity) => {
                let uses = self.store.identity_uses(permit.account(), identity.id).await?.unwrap_or_default();
                let seen = uses.into_iter().filter(|using| seen.contains(&mark(using))).collect();
                self.remove_or_refuse(permit, id, Overruled::These(seen)).await
            }
            Err(error) => Err(error),
        };
        self.recorded(permit, &written(id), outcome).await
    }

    /// Removes what has a key; a CA bundle is not there for callers who know of none.
    pub async fn remove_client_certificate(
        &self,
        permit: &AccountPermit<RemoveIdentity>,
        id: Option<IdentityId>,
    ) -> Result<Kept, ServiceError> {
        let is_bundle = self.find_identity(permit, id).await.is_ok_and(|identity| identity.is_ca);
        self.remove_identity(permit, id.filter(|_| !is_bundle), false).await
    }

    async fn add_or_refuse(
        &self,
        permit: &AccountPermit<AddIdentity>,
        input: IdentityInput,
        duplicates: Duplicates,
    ) -> Result<Kept, ServiceError> {
        let now = self.clock.now();
        let IdentityInput { name, is_ca, material, hosts, is_primary, labels, replaces, mut faults } = input;
        let details = self.read_details(permit.account(), None, name, Some(hosts), Some(&labels)).await?;
        let (name, hosts, mut messages) = (details.name, details.hosts.unwrap_or_default(), details.messages);
        faults.extend(details.faults);
        if is_ca {
            faults.extend(what_a_bundle_has_not(&material, &hosts, is_primary));
        }
        let has_bundle = material.trusted_ca.is_some();
        let kept_key = if replaces { self.kept_key_of(permit.account(), &material).await? } else { None };
        let read = match kept_key {
            Some(spki) => self.read_for_key(material, spki, now).await?,
            None => self.read_material(material, is_ca, now).await?,
        };
        let read = read.map_err(|found| faults.extend(found)).ok();
        let Some(read) = read.filter(|_| faults.is_empty()) else { return Err(ServiceError::Invalid(faults)) };
        if replaces && let Some(before) = self.predecessor(permit.account(), &read, is_ca, name.as_deref()).await? {
            let is_renamed = name.is_some_and(|name| name != before.name);
            let mut kept = self.put_in_place(permit, before, read, has_bundle).await?;
            if is_renamed {
                kept.messages.push(format!("the name stays {:?}; a PATCH changes it", kept.identity.name));
            }
            if !hosts.is_empty() || is_primary || !labels.is_empty() {
                kept.messages.push("hosts, rank and labels stay as they were; a PATCH changes them".into());
            }
            return Ok(kept);
        }
        messages.extend(read.messages.iter().cloned());
        if replaces {
            messages.push("there was no identity with this key or name to replace: it was added".into());
        }
        let facts = read.facts()?;
        let id = IdentityId::new(self.random.ordered_id(now));
        let identity = Identity {
            id,
            account: permit.account(),
            name: name.unwrap_or_else(|| default_name(&read)),
            is_ca,
            certificates: read.certificates(),
            trusted_ca: read.trusted_ca(),
            hosts,
            is_primary,
            labels,
            facts,
            managed: None,
            version: 0,
            created_on: now,
            updated_on: now,
        };
        let sealed_key = match &read.private_key {
            Some(key) => Some(self.keyring.seal(Record::Identity(id), key.pkcs8_der())?),
            None => None,
        };
        let new = NewIdentity { identity: identity.clone(), sealed_key };
        self.keep_identity(permit, new, duplicates).await?;
        Ok(Kept { identity, messages })
    }

    /// Stores a new identity with its audit event.
    pub(super) async fn keep_identity(
        &self,
        permit: &AccountPermit<AddIdentity>,
        new: NewIdentity,
        duplicates: Duplicates,
    ) -> Result<(), ServiceError> {
        let (id, account) = (new.identity.id, permit.account());
        let mut event = self.event(permit.caller().actor(), account, None, Action::AddIdentity, id.to_string());
        event.detail = described(&new.identity);
        let outcome = self.store.add_identity(new, duplicates == Duplicates::Refused, event).await?;
        self.candidates.clear();
        match outcome {
            AddOutcome::Added => Ok(()),
            AddOutcome::TooMany => {
                Err(ServiceError::invalid("", format!("an account can have at most {MAX_IDENTITIES} identities")))
            }
            AddOutcome::Duplicate(id) => Err(ServiceError::Duplicate(format!(
                "this certificate is kept already, as {id}; change the hosts or the name of that one instead"
            ))),
        }
    }

    async fn edit_or_refuse(
        &self,
        permit: &AccountPermit<EditIdentity>,
        identity: Identity,
        input: EditInput,
    ) -> Result<Kept, ServiceError> {
        let EditInput { name, hosts, is_primary, labels, mut faults } = input;
        let details = self.read_details(identity.account, Some(identity.id), name, hosts, labels.as_ref()).await?;
        let Details { name, hosts, messages, faults: found } = details;
        faults.extend(found);
        if identity.is_ca {
            let asked = hosts.clone().unwrap_or_default();
            faults.extend(what_a_bundle_has_not(&Material::default(), &asked, is_primary == Some(true)));
        }
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        let edit = IdentityEdit { name, hosts, is_primary, labels };
        if edit.is_empty() {
            return Ok(Kept { identity, messages });
        }
        let mut event =
            self.event(permit.caller().actor(), identity.account, None, Action::EditIdentity, identity.id.to_string());
        event.detail = described_edit(&edit);
        let edited = self.store.edit_identity(identity.account, identity.id, edit, self.clock.now(), event).await?;
        self.candidates.clear();
        Ok(Kept { identity: edited.ok_or(ServiceError::NotFound(Noun::Identity))?, messages })
    }

    async fn remove_or_refuse(
        &self,
        permit: &AccountPermit<RemoveIdentity>,
        id: Option<IdentityId>,
        overruled: Overruled,
    ) -> Result<Kept, ServiceError> {
        let identity = self.find_identity(permit, id).await?;
        let messages = self.what_removal_means(&identity).await?;
        let mut event = self.event(
            permit.caller().actor(),
            identity.account,
            None,
            Action::RemoveIdentity,
            identity.id.to_string(),
        );
        let is_forced = !matches!(&overruled, Overruled::Nobody) && overruled != Overruled::These(Vec::new());
        event.detail = format!("{}{}", described(&identity), if is_forced { "; by force" } else { "" });
        let removed =
            self.store.remove_identity(identity.account, identity.id, overruled, self.clock.now(), event).await?;
        self.candidates.clear();
        match removed {
            RemoveOutcome::Removed => Ok(Kept { identity, messages }),
            RemoveOutcome::Unknown => Err(ServiceError::NotFound(Noun::Identity)),
            RemoveOutcome::InUse(uses) => {
                let mut named: Vec<String> =
                    uses.iter().take(MAX_NAMED).map(|using| format!("{} {:?}", using.kind, using.name)).collect();
                if uses.len() > MAX_NAMED {
                    named.push(format!("{} more", uses.len() - MAX_NAMED));
                }
                Err(ServiceError::InUse(format!(
                    "Certificate cannot be deleted while in use. It is used by {}",
                    named.join(", ")
                )))
            }
        }
    }

    /// Reads name, hosts and labels, for an identity that is `own` or to be made.
    pub(super) async fn read_details(
        &self,
        account: AccountId,
        own: Option<IdentityId>,
        name: Option<String>,
        hosts: Option<Vec<String>>,
        labels: Option<&BTreeMap<String, String>>,
    ) -> Result<Details, ServiceError> {
        let (mut faults, mut messages) = (Vec::new(), Vec::new());
        let name =
            name.and_then(|name| check_name(&name).map_err(|why| faults.push(Violation::new("/name", why))).ok());
        let hosts = hosts.map(|hosts| read_hosts(&hosts, &mut faults, &mut messages));
        let wrong_labels = labels.and_then(|labels| check_labels(labels).err());
        faults.extend(wrong_labels.map(|why| Violation::new("/labels", why)));
        faults.extend(self.check_cost(account, hosts.as_deref().unwrap_or_default(), own).await?);
        Ok(Details { name, hosts, messages, faults })
    }

    pub(super) async fn find_identity<A: Act>(
        &self,
        permit: &AccountPermit<A>,
        id: Option<IdentityId>,
    ) -> Result<Identity, ServiceError> {
        let id = id.ok_or(ServiceError::NotFound(Noun::Identity))?;
        self.store.identity(permit.account(), id).await?.ok_or(ServiceError::NotFound(Noun::Identity))
    }
}

/// What people give to an identity beside its certificate, as far as it could be read.
pub(super) struct Details {
    pub(super) name: Option<String>,
    pub(super) hosts: Option<Vec<HostPattern>>,
    /// What is odd about the hosts.
    pub(super) messages: Vec<String>,
    pub(super) faults: Vec<Violation>,
}

/// What a PATCH asks for; what is `None` stays.
#[derive(Default)]
pub struct EditInput {
    pub name: Option<String>,
    pub hosts: Option<Vec<String>>,
    pub is_primary: Option<bool>,
    pub labels: Option<BTreeMap<String, String>>,
    pub faults: Vec<Violation>,
}

/// The patterns that could be read; each fault with its place. A pattern that stands twice counts once.
fn read_hosts(hosts: &[String], faults: &mut Vec<Violation>, messages: &mut Vec<String>) -> Vec<HostPattern> {
    if hosts.len() > MAX_HOSTS {
        faults.push(Violation::new("/hosts", format!("an identity can have at most {MAX_HOSTS} hosts")));
        return Vec::new();
    }
    let mut read: Vec<HostPattern> = Vec::new();
    for (index, host) in hosts.iter().enumerate() {
        match HostPattern::parse(host) {
            Ok(pattern) if !read.contains(&pattern) => {
                messages.extend(pattern.warning());
                read.push(pattern);
            }
            Ok(_) => {}
            Err(why) => faults.push(Violation::new(format!("/hosts/{index}"), why)),
        }
    }
    read
}

/// For the audit log: what was taken in, by public facts only.
fn described(identity: &Identity) -> String {
    let hosts: Vec<&str> = identity.hosts.iter().map(HostPattern::as_str).collect();
    format!(
        "{:?}, SHA-256 {}, hosts [{}]{}",
        identity.name,
        hex::encode(&identity.facts.fingerprint_sha256),
        hosts.join(" "),
        if identity.is_primary { ", primary" } else { "" }
    )
}

fn described_edit(edit: &IdentityEdit) -> String {
    let mut parts = Vec::new();
    parts.extend(edit.name.as_ref().map(|name| format!("name {name:?}")));
    parts.extend(
        edit.hosts
            .as_ref()
            .map(|hosts| format!("hosts [{}]", hosts.iter().map(HostPattern::as_str).collect::<Vec<_>>().join(" "))),
    );
    parts.extend(edit.is_primary.map(|is_primary| format!("primary {is_primary}")));
    parts.extend(edit.labels.as_ref().map(|labels| format!("{} labels", labels.len())));
    parts.join(", ")
}

pub(super) fn written(id: Option<IdentityId>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}
