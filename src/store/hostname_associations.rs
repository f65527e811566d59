//! Host names for which a relying party asks for certificates of a zone's authority, in the order given.

use chrono::{DateTime, Utc};
use diesel::prelude::*;

use crate::domain::audit::AuditEvent;
use crate::domain::id::ZoneId;

use super::connection::on_either;
use super::convert::{from_json, millis, to_json};
use super::error::StoreError;
use super::schema::hostname_associations;
use super::{Store, audit};

impl Store {
    /// The host names of a zone; `mtls_certificate` is empty for the zone's own managed authority.
    pub async fn hostnames(&self, zone: ZoneId, mtls_certificate: String) -> Result<Vec<String>, StoreError> {
        self.read(move |connection| {
            let row: Option<String> = hostname_associations::table
                .find((zone.as_bytes().as_slice(), mtls_certificate))
                .select(hostname_associations::hostnames)
                .first(connection)
                .optional()?;
            row.map_or_else(|| Ok(Vec::new()), |text| from_json(&text))
        })
        .await
    }

    /// Replaces the whole list.
    pub async fn associate_hostnames(
        &self,
        zone: ZoneId,
        mtls_certificate: String,
        hostnames: Vec<String>,
        now: DateTime<Utc>,
        event: AuditEvent,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            let list = (
                hostname_associations::hostnames.eq(to_json(&hostnames)?),
                hostname_associations::updated_at.eq(millis(now)),
            );
            let upsert = diesel::insert_into(hostname_associations::table)
                .values((
                    hostname_associations::zone_id.eq(zone.as_bytes().as_slice()),
                    hostname_associations::mtls_certificate_id.eq(&mtls_certificate),
                    list.clone(),
                ))
                .on_conflict((hostname_associations::zone_id, hostname_associations::mtls_certificate_id))
                .do_update()
                .set(list);
            on_either!(connection, |connection| upsert.execute(connection))?;
            audit::insert(connection, &event)
        })
        .await
    }
}
