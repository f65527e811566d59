//! Identities: certificates that others issued to us. Their sealed keys are read by one method and shown by none.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::host_pattern::HostPattern;
use crate::domain::id::{AccountId, IdentityId};
use crate::domain::identity::{Identity, IdentityEdit, IdentityFacts, IdentityFilter, MAX_IDENTITIES, Use};

use super::authorities::SealedKey;
use super::certificates::{Page, Window};
use super::connection::{Connection, MultiBackend};
use super::convert::{account_id, damaged, from_json, identity_id, millis, time, to_json};
use super::error::StoreError;
use super::managed_identities::{self, ManagedRow};
use super::schema::{identities, managed_identities as managed_table};
use super::{Store, audit, identity_uses};

/// An identity to be stored, with its sealed key if it has one.
#[derive(Clone)]
pub struct NewIdentity {
    pub identity: Identity,
    pub sealed_key: Option<SealedKey>,
}

/// What an identity is chosen by.
#[derive(Clone, Debug)]
pub struct Candidacy {
    pub id: IdentityId,
    pub name: String,
    pub hosts: Vec<HostPattern>,
    pub is_primary: bool,
}

/// What takes the place of an identity's certificate.
#[derive(Clone)]
pub struct Replacement {
    pub certificates: String,
    /// `None` leaves the bundle as it is.
    pub trusted_ca: Option<String>,
    pub facts: IdentityFacts,
    /// `None` leaves the key as it is: the new certificate is for the same one.
    pub sealed_key: Option<SealedKey>,
    pub replaced_on: DateTime<Utc>,
}

/// What became of an upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddOutcome {
    Added,
    /// The account has this very certificate already.
    Duplicate(IdentityId),
    /// The account has as many as it may have.
    TooMany,
}

/// Whose reliance on an identity its removal overrules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overruled {
    Nobody,
    /// These alone: it stays for whoever else relies on it by then.
    These(Vec<Use>),
    Everybody,
}

/// What became of a removal.
#[derive(Clone, Debug)]
pub enum RemoveOutcome {
    Removed,
    InUse(Vec<Use>),
    Unknown,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = identities)]
pub(super) struct IdentityRow {
    id: Vec<u8>,
    account_id: Vec<u8>,
    name: String,
    is_ca: bool,
    certificates: String,
    trusted_ca: String,
    hosts: String,
    is_primary: bool,
    labels: String,
    #[diesel(embed)]
    facts: FactsRow,
    version: i32,
    created_at: i64,
    updated_at: i64,
}

/// What a replacement changes with the certificate.
#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = identities)]
pub(super) struct FactsRow {
    subject: String,
    issuer: String,
    common_name: String,
    serial: Vec<u8>,
    signature: String,
    key_type: String,
    fingerprint_sha256: Vec<u8>,
    spki_sha256: Vec<u8>,
    subject_alternative_names: String,
    not_before: i64,
    not_after: i64,
}

impl Store {
    /// The account's identities under a filter, oldest first.
    pub async fn identities(
        &self,
        account: AccountId,
        filter: IdentityFilter,
        window: Window,
    ) -> Result<Page<Identity>, StoreError> {
        self.read(move |connection| of_account(connection, account, &filter, window)).await
    }

    /// The account's identities as far as choosing looks at them, oldest first; bundles of CAs are never chosen.
    pub async fn candidates(&self, account: AccountId) -> Result<Vec<Candidacy>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<(Vec<u8>, String, String, bool)> = identities::table
                .filter(identities::account_id.eq(account.as_bytes().as_slice()))
                .filter(identities::is_ca.eq(false))
                .order(identities::id)
                .select((identities::id, identities::name, identities::hosts, identities::is_primary))
                .load(connection)?;
            let read = |(id, name, hosts, is_primary): (Vec<u8>, String, String, bool)| {
                Ok(Candidacy { id: identity_id(&id)?, name, hosts: hosts_from_json(&hosts)?, is_primary })
            };
            rows.into_iter().map(read).collect()
        })
        .await
    }

    /// One identity of an account.
    pub async fn identity(&self, account: AccountId, id: IdentityId) -> Result<Option<Identity>, StoreError> {
        self.read(move |connection| find(connection, account, id)).await
    }

    /// An identity with its sealed key, as they stood at one moment.
    pub async fn identity_with_key(
        &self,
        account: AccountId,
        id: IdentityId,
    ) -> Result<Option<(Identity, Option<SealedKey>)>, StoreError> {
        self.read(move |connection| {
            let row: Option<(IdentityRow, Option<i32>, Option<Vec<u8>>)> = own(account, id)
                .select((IdentityRow::as_select(), identities::key_version, identities::sealed_key))
                .first(connection)
                .optional()?;
            let Some((row, version, bytes)) = row else { return Ok(None) };
            let key = version.zip(bytes).map(|(version, bytes)| SealedKey { version, bytes });
            Ok(Some((row.into_domain(None)?, key)))
        })
        .await
    }

    /// Stores an identity; a primary one takes the place of the one before. With `refuses_duplicates` the account must
    /// not have the same certificate already.
    pub async fn add_identity(
        &self,
        new: NewIdentity,
        refuses_duplicates: bool,
        event: AuditEvent,
    ) -> Result<AddOutcome, StoreError> {
        self.write(move |connection| {
            let identity = &new.identity;
            let of_account =
                identities::table.filter(identities::account_id.eq(identity.account.as_bytes().as_slice()));
            let count: i64 = of_account.count().get_result(connection)?;
            if count >= MAX_IDENTITIES {
                return Ok(AddOutcome::TooMany);
            }
            if refuses_duplicates && let Some(duplicate) = duplicate_of(connection, identity)? {
                return Ok(AddOutcome::Duplicate(duplicate));
            }
            if identity.is_primary {
                demote(connection, identity.account)?;
            }
            insert(connection, &new)?;
            if let Some(managed) = &identity.managed {
                managed_identities::insert(connection, identity, managed)?;
            }
            audit::insert(connection, &event)?;
            Ok(AddOutcome::Added)
        })
        .await
    }

    /// Changes what a PATCH changes, and returns the identity as it then stands; `None` when there is none.
    pub async fn edit_identity(
        &self,
        account: AccountId,
        id: IdentityId,
        edit: IdentityEdit,
        now: DateTime<Utc>,
        event: AuditEvent,
    ) -> Result<Option<Identity>, StoreError> {
        self.write(move |connection| {
            let Some(mut identity) = find(connection, account, id)? else { return Ok(None) };
            if edit.is_primary == Some(true) {
                demote(connection, account)?;
            }
            identity.name = edit.name.clone().unwrap_or(identity.name);
            identity.hosts = edit.hosts.clone().unwrap_or(identity.hosts);
            identity.is_primary = edit.is_primary.unwrap_or(identity.is_primary);
            identity.labels = edit.labels.clone().unwrap_or(identity.labels);
            identity.updated_on = now;
            diesel::update(own(account, id))
                .set((
                    identities::name.eq(&identity.name),
                    identities::hosts.eq(hosts_to_json(&identity.hosts)?),
                    identities::is_primary.eq(identity.is_primary),
                    identities::labels.eq(to_json(&identity.labels)?),
                    identities::updated_at.eq(millis(now)),
                ))
                .execute(connection)?;
            audit::insert(connection, &event)?;
            Ok(Some(identity))
        })
        .await
    }

    /// Puts another certificate in an identity's place, if it still is of this version; its hosts, uses and rank stay.
    pub async fn replace_identity(
        &self,
        account: AccountId,
        id: IdentityId,
        version: i32,
        replacement: Replacement,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            if !replace(connection, account, id, version, &replacement)? {
                return Ok(false);
            }
            audit::insert(connection, &event)?;
            Ok(true)
        })
        .await
    }

    /// Removes an identity with its key, unless somebody relies on it who is not overruled.
    pub async fn remove_identity(
        &self,
        account: AccountId,
        id: IdentityId,
        overruled: Overruled,
        now: DateTime<Utc>,
        event: AuditEvent,
    ) -> Result<RemoveOutcome, StoreError> {
        self.write(move |connection| {
            let Some(identity) = find(connection, account, id)? else { return Ok(RemoveOutcome::Unknown) };
            let uses = identity_uses::of(connection, account, id)?;
            if !overruled.covers(&uses) {
                return Ok(RemoveOutcome::InUse(uses));
            }
            identity_uses::forget(connection, account, id)?;
            managed_identities::forget(connection, &identity, now)?;
            diesel::delete(own(account, id)).execute(connection)?;
            audit::insert(connection, &event)?;
            Ok(RemoveOutcome::Removed)
        })
        .await
    }

    /// Identities of all accounts that end between two times and of which no notice of so few days was given, the nearest
    /// end first, at most `limit`; each with the last notice.
    pub async fn identities_to_announce(
        &self,
        now: DateTime<Utc>,
        before: DateTime<Utc>,
        within_days: i16,
        limit: i64,
    ) -> Result<Vec<(Identity, Option<i16>)>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<(IdentityRow, Option<i16>)> = identities::table
                .filter(identities::not_after.gt(millis(now)))
                .filter(identities::not_after.le(millis(before)))
                .filter(identities::expiry_notice.is_null().or(identities::expiry_notice.gt(within_days)))
                .order(identities::not_after)
                .limit(limit)
                .select((IdentityRow::as_select(), identities::expiry_notice))
                .load(connection)?;
            rows.into_iter().map(|(row, notice)| Ok((row.into_domain(None)?, notice))).collect()
        })
        .await
    }

    /// Records that an expiry notice was given; `false` when another process gave it, or the certificate changed.
    pub async fn note_expiry(
        &self,
        identity: Identity,
        given: Option<i16>,
        now_given: i16,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let unchanged = || own(identity.account, identity.id).filter(identities::version.eq(identity.version));
            let before: Option<Option<i16>> =
                unchanged().select(identities::expiry_notice).first(connection).optional()?;
            if before != Some(given) {
                return Ok(false);
            }
            diesel::update(unchanged()).set(identities::expiry_notice.eq(now_given)).execute(connection)?;
            audit::insert(connection, &event)?;
            Ok(true)
        })
        .await
    }

    /// How many identities there are whose end lies before each of the times, over all accounts.
    pub async fn count_identities_ending(&self, before: Vec<DateTime<Utc>>) -> Result<Vec<i64>, StoreError> {
        self.read(move |connection| {
            let count = |end: &DateTime<Utc>| {
                let ending = identities::table.filter(identities::not_after.le(millis(*end)));
                Ok(ending.count().get_result(connection)?)
            };
            before.iter().map(count).collect()
        })
        .await
    }
}

#[diesel::dsl::auto_type(no_type_alias)]
fn own(account: AccountId, id: IdentityId) -> _ {
    let id: Vec<u8> = id.as_bytes().to_vec();
    let account: Vec<u8> = account.as_bytes().to_vec();
    identities::table.filter(identities::account_id.eq(account)).filter(identities::id.eq(id))
}

pub(super) fn find(
    connection: &mut Connection,
    account: AccountId,
    id: IdentityId,
) -> Result<Option<Identity>, StoreError> {
    let row: Option<(IdentityRow, Option<ManagedRow>)> = identities::table
        .left_join(managed_table::table)
        .filter(identities::account_id.eq(account.as_bytes().as_slice()))
        .filter(identities::id.eq(id.as_bytes().as_slice()))
        .select((IdentityRow::as_select(), Option::<ManagedRow>::as_select()))
        .first(connection)
        .optional()?;
    row.map(|(row, managed)| row.into_domain(managed)).transpose()
}

fn of_account(
    connection: &mut Connection,
    account: AccountId,
    filter: &IdentityFilter,
    window: Window,
) -> Result<Page<Identity>, StoreError> {
    // Labels are JSON to the database: for those, all the others are looked through.
    let in_database = if filter.label.is_none() { window } else { Window::ALL };
    let rows: Vec<IdentityRow> = filtered(account, filter)
        .order(identities::id)
        .offset(in_database.offset)
        .limit(in_database.length)
        .select(IdentityRow::as_select())
        .load(connection)?;
    let mut plans = managed_identities::of_account(connection, account)?;
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        let plan = plans.remove(&row.id);
        items.push(row.into_domain(plan)?);
    }
    let Some((key, value)) = &filter.label else {
        let total = filtered(account, filter).count().get_result(connection)?;
        return Ok(Page { items, total });
    };
    let wanted = |held: &String| value.as_ref().is_none_or(|text| text == held);
    items.retain(|identity| identity.labels.get(key).is_some_and(wanted));
    Ok(Page::of_list(items, window))
}

type Filtered<'a> = identities::BoxedQuery<'a, MultiBackend>;

/// The account's identities under a filter, but for labels.
fn filtered(account: AccountId, filter: &IdentityFilter) -> Filtered<'static> {
    let mut query = identities::table.into_boxed().filter(identities::account_id.eq(account.as_bytes().to_vec()));
    if let Some(is_ca) = filter.is_ca {
        query = query.filter(identities::is_ca.eq(is_ca));
    }
    if let Some(name) = &filter.name {
        query = query.filter(identities::name.eq(name.clone()));
    }
    if let Some(is_primary) = filter.is_primary {
        query = query.filter(identities::is_primary.eq(is_primary));
    }
    if let Some(end) = filter.expires_before {
        query = query.filter(identities::not_after.le(millis(end)));
    }
    query
}

fn duplicate_of(connection: &mut Connection, identity: &Identity) -> Result<Option<IdentityId>, StoreError> {
    let same: Option<Vec<u8>> = identities::table
        .filter(identities::account_id.eq(identity.account.as_bytes().as_slice()))
        .filter(identities::fingerprint_sha256.eq(&identity.facts.fingerprint_sha256))
        .filter(identities::certificates.eq(&identity.certificates))
        .filter(identities::is_ca.eq(identity.is_ca))
        .select(identities::id)
        .first(connection)
        .optional()?;
    same.map(|id| identity_id(&id)).transpose()
}

/// There is one primary: whoever becomes it takes it from the one before, in the same transaction.
fn demote(connection: &mut Connection, account: AccountId) -> Result<(), StoreError> {
    let primary = identities::table
        .filter(identities::account_id.eq(account.as_bytes().as_slice()))
        .filter(identities::is_primary.eq(true));
    diesel::update(primary).set(identities::is_primary.eq(false)).execute(connection)?;
    Ok(())
}

fn insert(connection: &mut Connection, new: &NewIdentity) -> Result<(), StoreError> {
    let identity = &new.identity;
    let key = new.sealed_key.as_ref();
    diesel::insert_into(identities::table)
        .values((
            (
                identities::id.eq(identity.id.as_bytes().as_slice()),
                identities::account_id.eq(identity.account.as_bytes().as_slice()),
                identities::name.eq(&identity.name),
                identities::is_ca.eq(identity.is_ca),
                identities::trusted_ca.eq(&identity.trusted_ca),
                identities::hosts.eq(hosts_to_json(&identity.hosts)?),
                identities::is_primary.eq(identity.is_primary),
                identities::labels.eq(to_json(&identity.labels)?),
                identities::version.eq(identity.version),
                identities::created_at.eq(millis(identity.created_on)),
                identities::updated_at.eq(millis(identity.updated_on)),
            ),
            (
                identities::certificates.eq(&identity.certificates),
                identities::sealed_key.eq(key.map(|key| key.bytes.as_slice())),
                identities::key_version.eq(key.map(|key| key.version)),
            ),
            FactsRow::of(&identity.facts)?,
        ))
        .execute(connection)?;
    Ok(())
}

pub(super) fn replace(
    connection: &mut Connection,
    account: AccountId,
    id: IdentityId,
    version: i32,
    replacement: &Replacement,
) -> Result<bool, StoreError> {
    let unchanged = || own(account, id).filter(identities::version.eq(version));
    if let Some(key) = &replacement.sealed_key {
        let key = (identities::sealed_key.eq(&key.bytes), identities::key_version.eq(key.version));
        diesel::update(unchanged()).set(key).execute(connection)?;
    }
    if let Some(trusted_ca) = &replacement.trusted_ca {
        diesel::update(unchanged()).set(identities::trusted_ca.eq(trusted_ca)).execute(connection)?;
    }
    let updated = diesel::update(unchanged())
        .set((
            identities::certificates.eq(&replacement.certificates),
            identities::expiry_notice.eq(None::<i16>),
            identities::version.eq(version + 1),
            identities::updated_at.eq(millis(replacement.replaced_on)),
            FactsRow::of(&replacement.facts)?,
        ))
        .execute(connection)?;
    Ok(updated == 1)
}

impl Overruled {
    fn covers(&self, uses: &[Use]) -> bool {
        match self {
            Self::Nobody => uses.is_empty(),
            Self::These(overruled) => uses.iter().all(|using| overruled.contains(using)),
            Self::Everybody => true,
        }
    }
}

impl IdentityRow {
    pub(super) fn into_domain(self, managed: Option<ManagedRow>) -> Result<Identity, StoreError> {
        Ok(Identity {
            id: identity_id(&self.id)?,
            account: account_id(&self.account_id)?,
            name: self.name,
            is_ca: self.is_ca,
            certificates: self.certificates,
            trusted_ca: self.trusted_ca,
            hosts: hosts_from_json(&self.hosts)?,
            is_primary: self.is_primary,
            labels: from_json::<BTreeMap<String, String>>(&self.labels)?,
            facts: self.facts.into_domain()?,
            managed: managed.map(ManagedRow::into_domain).transpose()?,
            version: self.version,
            created_on: time(self.created_at)?,
            updated_on: time(self.updated_at)?,
        })
    }
}

impl FactsRow {
    fn of(facts: &IdentityFacts) -> Result<Self, StoreError> {
        Ok(Self {
            subject: facts.subject.clone(),
            issuer: facts.issuer.clone(),
            common_name: facts.common_name.clone(),
            serial: facts.serial.clone(),
            signature: facts.signature.clone(),
            key_type: facts.key_type.clone(),
            fingerprint_sha256: facts.fingerprint_sha256.clone(),
            spki_sha256: facts.spki_sha256.clone(),
            subject_alternative_names: to_json(&facts.subject_alternative_names)?,
            not_before: millis(facts.not_before),
            not_after: millis(facts.not_after),
        })
    }

    fn into_domain(self) -> Result<IdentityFacts, StoreError> {
        Ok(IdentityFacts {
            subject: self.subject,
            issuer: self.issuer,
            common_name: self.common_name,
            serial: self.serial,
            signature: self.signature,
            key_type: self.key_type,
            fingerprint_sha256: self.fingerprint_sha256,
            spki_sha256: self.spki_sha256,
            subject_alternative_names: from_json(&self.subject_alternative_names)?,
            not_before: time(self.not_before)?,
            not_after: time(self.not_after)?,
        })
    }
}

fn hosts_to_json(hosts: &[HostPattern]) -> Result<String, StoreError> {
    to_json(&hosts.iter().map(HostPattern::as_str).collect::<Vec<_>>())
}

fn hosts_from_json(text: &str) -> Result<Vec<HostPattern>, StoreError> {
    let hosts: Vec<String> = from_json(text)?;
    hosts.iter().map(|host| HostPattern::parse(host).map_err(|_| damaged("a host pattern"))).collect()
}
