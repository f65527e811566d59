//! Figures for people: from counters and indexes, each bounded.

use std::collections::BTreeMap;

use diesel::prelude::*;

use crate::domain::id::ZoneId;
use crate::domain::status::Status;

use super::Store;
use super::convert::{status, zone_id};
use super::error::StoreError;
use super::schema::certificate_counters;

/// How many certificates have each status.
pub type Totals = BTreeMap<Status, i64>;

impl Store {
    /// The totals of these zones, as they are counted.
    pub async fn totals(&self, zones: Vec<ZoneId>) -> Result<BTreeMap<ZoneId, Totals>, StoreError> {
        self.read(move |connection| {
            let ids: Vec<Vec<u8>> = zones.iter().map(|zone| zone.as_bytes().to_vec()).collect();
            let rows: Vec<(Vec<u8>, i16, i64)> = certificate_counters::table
                .filter(certificate_counters::zone_id.eq_any(ids))
                .select((certificate_counters::zone_id, certificate_counters::status, certificate_counters::total))
                .load(connection)?;
            let mut totals: BTreeMap<ZoneId, Totals> = zones.iter().map(|zone| (*zone, Totals::new())).collect();
            for (zone, code, total) in rows {
                totals.entry(zone_id(&zone)?).or_default().insert(status(code)?, total);
            }
            Ok(totals)
        })
        .await
    }
}
