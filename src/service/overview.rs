//! How a zone and its account stand, for the first pages that a person sees.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use tokio::try_join;

use crate::domain::authority::Authority;
use crate::domain::id::ZoneId;
use crate::domain::permission::Permission;
use crate::domain::zone::Zone;
use crate::store::{Freshness, Publication, Totals, WaitingChange};

use super::access::{Caller, ReadCertificates, ZonePermit};
use super::{Service, ServiceError};

/// How many pending transitions are named.
const MAX_WAITING: i64 = 10;

/// What publishes a zone's statuses, and how fresh that is.
#[derive(Clone, Debug)]
pub struct Publishing {
    /// The authority that signs now.
    pub authority: Authority,
    pub publication: Option<Publication>,
    /// The end of the certificate that OCSP answers are signed with; none before the first answer.
    pub responder_until: Option<DateTime<Utc>>,
    /// The oldest of those that wait.
    pub waiting: Vec<WaitingChange>,
}

impl Service {
    /// How many certificates of each status there are in every zone that the caller may read them in.
    pub async fn totals_of(&self, caller: &Caller, zones: &[Zone]) -> Result<BTreeMap<ZoneId, Totals>, ServiceError> {
        Ok(self.store.totals(readable(caller, zones)).await?)
    }

    /// How fresh what relying parties see is, of every zone that the caller may read the certificates of.
    pub async fn freshness_of(
        &self,
        caller: &Caller,
        zones: &[Zone],
    ) -> Result<BTreeMap<ZoneId, Freshness>, ServiceError> {
        Ok(self.store.freshness(caller.account(), readable(caller, zones), self.clock.now()).await?)
    }

    /// How many certificates of each zone end in a span, whatever their status. It reads through all of them, and takes
    /// turns with others that do.
    pub async fn ends_of(
        &self,
        permits: &[ZonePermit<ReadCertificates>],
        from: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<BTreeMap<ZoneId, i64>, ServiceError> {
        let Some(first) = permits.first() else { return Ok(BTreeMap::new()) };
        let turn = self.surveys.take(first.account()).await?;
        let zones = permits.iter().map(ZonePermit::zone).collect();
        Ok(self.store.count_ends_of(zones, from, until, turn).await?)
    }

    pub async fn publishing(&self, permit: &ZonePermit<ReadCertificates>) -> Result<Publishing, ServiceError> {
        let authority = permit.issuer().authority.clone();
        let (responder, publication, waiting) = try_join!(
            self.store.responder(authority.id, self.clock.now()),
            self.store.publication(authority.id),
            self.store.oldest_waiting(authority.id, MAX_WAITING),
        )?;
        let responder_until = responder.map(|responder| responder.not_after);
        Ok(Publishing { publication, responder_until, waiting, authority })
    }
}

fn readable(caller: &Caller, zones: &[Zone]) -> Vec<ZoneId> {
    let grants = &caller.token().grants;
    let readable =
        zones.iter().filter(|zone| grants.allow_in_zone(Permission::ReadCertificates, zone.account.id, zone.id));
    readable.map(|zone| zone.id).collect()
}
