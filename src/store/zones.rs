//! Zones.

use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::id::{AccountId, ZoneId};
use crate::domain::zone::Zone;

use super::accounts::AccountRow;
use super::authorities::NewAuthority;
use super::connection::{Connection, on_either};
use super::convert::{millis, time, zone_id};
use super::error::StoreError;
use super::schema::{accounts, zones};
use super::{Store, audit, authorities};

#[derive(Queryable, Selectable)]
#[diesel(table_name = zones)]
struct ZoneRow {
    id: Vec<u8>,
    name: String,
    created_at: i64,
}

impl Store {
    /// One zone, by id, with its account.
    pub async fn zone(&self, id: ZoneId) -> Result<Option<Zone>, StoreError> {
        self.read(move |connection| {
            let row = zones::table
                .inner_join(accounts::table)
                .filter(zones::id.eq(id.as_bytes().as_slice()))
                .select((ZoneRow::as_select(), AccountRow::as_select()))
                .first(connection);
            row.optional()?.map(into_domain).transpose()
        })
        .await
    }

    /// All zones of an account, oldest first.
    pub async fn zones(&self, account: AccountId) -> Result<Vec<Zone>, StoreError> {
        self.read(move |connection| {
            let rows: Vec<(ZoneRow, AccountRow)> = zones::table
                .inner_join(accounts::table)
                .filter(zones::account_id.eq(account.as_bytes().as_slice()))
                .order((zones::created_at, zones::id))
                .select((ZoneRow::as_select(), AccountRow::as_select()))
                .load(connection)?;
            rows.into_iter().map(into_domain).collect()
        })
        .await
    }

    /// Stores a zone with its issuing authority; `false` when the account has a zone of that name already.
    pub async fn create_zone(
        &self,
        zone: Zone,
        authority: NewAuthority,
        events: Vec<AuditEvent>,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            if !insert(connection, &zone)? {
                return Ok(false);
            }
            authorities::insert(connection, &authority)?;
            events.iter().try_for_each(|event| audit::insert(connection, event))?;
            Ok(true)
        })
        .await
    }

    /// Gives a zone of the account another name; `false` when another one has it. Nothing happens where it has that name by
    /// now, whatever it was called when its caller last looked.
    pub async fn rename_zone(
        &self,
        account: AccountId,
        zone: ZoneId,
        name: String,
        event: AuditEvent,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let of_zone = zones::table
                .filter(zones::id.eq(zone.as_bytes().as_slice()))
                .filter(zones::account_id.eq(account.as_bytes().as_slice()));
            let before: String = of_zone.select(zones::name).first(connection)?;
            if before == name {
                return Ok(true);
            }
            let others = zones::table
                .filter(zones::account_id.eq(account.as_bytes().as_slice()))
                .filter(zones::name.eq(&name))
                .filter(zones::id.ne(zone.as_bytes().as_slice()));
            if others.count().get_result::<i64>(connection)? > 0 {
                return Ok(false);
            }
            diesel::update(of_zone).set(zones::name.eq(&name)).execute(connection)?;
            audit::insert(connection, &AuditEvent { detail: format!("{before:?} is now {name:?}"), ..event.clone() })?;
            Ok(true)
        })
        .await
    }
}

pub(super) fn insert(connection: &mut Connection, zone: &Zone) -> Result<bool, StoreError> {
    let upsert = diesel::insert_into(zones::table)
        .values((
            zones::id.eq(zone.id.as_bytes().as_slice()),
            zones::account_id.eq(zone.account.id.as_bytes().as_slice()),
            zones::name.eq(&zone.name),
            zones::created_at.eq(millis(zone.created_on)),
        ))
        .on_conflict((zones::account_id, zones::name))
        .do_nothing();
    let inserted = on_either!(connection, |connection| upsert.execute(connection))?;
    Ok(inserted == 1)
}

fn into_domain((zone, account): (ZoneRow, AccountRow)) -> Result<Zone, StoreError> {
    Ok(Zone {
        id: zone_id(&zone.id)?,
        account: account.into_domain()?,
        name: zone.name,
        created_on: time(zone.created_at)?,
    })
}
