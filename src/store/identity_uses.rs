//! Who relies on an identity: those who said so, the checks that name it, and the zones whose host names do.

use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::id::{AccountId, IdentityId};
use crate::domain::identity::Use;

use super::connection::{Connection, on_either};
use super::convert::{check_id, millis, time, zone_id};
use super::error::StoreError;
use super::schema::{checks, hostname_associations, identity_associations, zones};
use super::{Store, audit, identities};

/// What checks and zones are called among the uses.
pub const CHECK: &str = "check";
pub const ZONE: &str = "zone";
/// A hand-set list of host names that was cleared is no use.
const NO_HOSTNAMES: &str = "[]";

impl Store {
    /// Everybody who relies on an identity of an account; `None` when there is no such identity.
    pub async fn identity_uses(&self, account: AccountId, id: IdentityId) -> Result<Option<Vec<Use>>, StoreError> {
        self.read(move |connection| match identities::find(connection, account, id)? {
            Some(_) => of(connection, account, id).map(Some),
            None => Ok(None),
        })
        .await
    }

    /// Notes that somebody relies on an identity, in place of what was said under the same name; `false` when there is
    /// no such identity, `None` when too many rely on it already.
    pub async fn associate_identity(
        &self,
        account: AccountId,
        id: IdentityId,
        using: Use,
        limit: i64,
        event: AuditEvent,
    ) -> Result<Option<bool>, StoreError> {
        self.write(move |connection| {
            if identities::find(connection, account, id)?.is_none() {
                return Ok(Some(false));
            }
            let others: i64 = identity_associations::table
                .filter(identity_associations::identity_id.eq(id.as_bytes().as_slice()))
                .filter(identity_associations::account_id.eq(account.as_bytes().as_slice()))
                .filter(identity_associations::name.ne(&using.name))
                .count()
                .get_result(connection)?;
            if others >= limit {
                return Ok(None);
            }
            let said = (identity_associations::kind.eq(&using.kind), identity_associations::link.eq(&using.link));
            let upsert = diesel::insert_into(identity_associations::table)
                .values((
                    identity_associations::identity_id.eq(id.as_bytes().as_slice()),
                    identity_associations::name.eq(&using.name),
                    identity_associations::account_id.eq(account.as_bytes().as_slice()),
                    identity_associations::created_at.eq(millis(using.since)),
                    said,
                ))
                .on_conflict((identity_associations::identity_id, identity_associations::name))
                .do_update()
                .set(said);
            on_either!(connection, |connection| upsert.execute(connection))?;
            audit::insert(connection, &event)?;
            Ok(Some(true))
        })
        .await
    }

    /// Takes back that somebody relies on an identity; `false` when nobody of that name said so.
    pub async fn dissociate_identity(
        &self,
        account: AccountId,
        id: IdentityId,
        name: String,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let said = identity_associations::table
                .filter(identity_associations::identity_id.eq(id.as_bytes().as_slice()))
                .filter(identity_associations::account_id.eq(account.as_bytes().as_slice()))
                .filter(identity_associations::name.eq(&name));
            let deleted = diesel::delete(said).execute(connection)?;
            if deleted > 0 {
                audit::insert(connection, &event)?;
            }
            Ok(deleted > 0)
        })
        .await
    }
}

/// In the order in which they came to rely on it.
pub(super) fn of(connection: &mut Connection, account: AccountId, id: IdentityId) -> Result<Vec<Use>, StoreError> {
    let said: Vec<(String, String, String, i64)> = identity_associations::table
        .filter(identity_associations::identity_id.eq(id.as_bytes().as_slice()))
        .filter(identity_associations::account_id.eq(account.as_bytes().as_slice()))
        .select((
            identity_associations::name,
            identity_associations::kind,
            identity_associations::link,
            identity_associations::created_at,
        ))
        .load(connection)?;
    let mut uses = Vec::new();
    for (name, kind, link, since) in said {
        uses.push(Use { name, kind, link, since: time(since)? });
    }
    uses.extend(checks_with(connection, account, id)?);
    uses.extend(zones_with(connection, account, id)?);
    uses.sort_by_key(|using| using.since);
    Ok(uses)
}

fn checks_with(connection: &mut Connection, account: AccountId, id: IdentityId) -> Result<Vec<Use>, StoreError> {
    let named: Vec<(Vec<u8>, String, i64)> = checks::table
        .filter(checks::account_id.eq(account.as_bytes().as_slice()))
        .filter(checks::identity_id.eq(id.as_bytes().as_slice()).or(checks::trusted_ca_id.eq(id.as_bytes().as_slice())))
        .select((checks::id, checks::name, checks::created_at))
        .load(connection)?;
    let using = |(check, name, since): (Vec<u8>, String, i64)| {
        let link = format!("/client/v4/accounts/{account}/checks/{}", check_id(&check)?);
        Ok(Use { name, kind: CHECK.into(), link, since: time(since)? })
    };
    named.into_iter().map(using).collect()
}

fn zones_with(connection: &mut Connection, account: AccountId, id: IdentityId) -> Result<Vec<Use>, StoreError> {
    let named: Vec<(Vec<u8>, String, i64)> = hostname_associations::table
        .inner_join(zones::table)
        .filter(zones::account_id.eq(account.as_bytes().as_slice()))
        .filter(hostname_associations::mtls_certificate_id.eq(id.to_string()))
        .filter(hostname_associations::hostnames.ne(NO_HOSTNAMES))
        .select((zones::id, zones::name, hostname_associations::updated_at))
        .load(connection)?;
    let using = |(zone, name, since): (Vec<u8>, String, i64)| {
        let zone = zone_id(&zone)?;
        let link =
            format!("/client/v4/zones/{zone}/certificate_authorities/hostname_associations?mtls_certificate_id={id}");
        Ok(Use { name, kind: ZONE.into(), link, since: time(since)? })
    };
    named.into_iter().map(using).collect()
}

/// What was said about an identity that goes. Checks keep its id and fail with it; zones lose their host names for it.
pub(super) fn forget(connection: &mut Connection, account: AccountId, id: IdentityId) -> Result<(), StoreError> {
    let said = identity_associations::table
        .filter(identity_associations::identity_id.eq(id.as_bytes().as_slice()))
        .filter(identity_associations::account_id.eq(account.as_bytes().as_slice()));
    diesel::delete(said).execute(connection)?;
    let own_zones = zones::table.filter(zones::account_id.eq(account.as_bytes().as_slice())).select(zones::id);
    let hostnames = hostname_associations::table
        .filter(hostname_associations::mtls_certificate_id.eq(id.to_string()))
        .filter(hostname_associations::zone_id.eq_any(own_zones));
    diesel::delete(hostnames).execute(connection)?;
    Ok(())
}
