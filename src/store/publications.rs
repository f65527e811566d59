//! Where each authority's publishing stands, and the lease of the worker that publishes next.

use chrono::{DateTime, Utc};
use diesel::prelude::*;
use uuid::Uuid;

use crate::domain::id::AuthorityId;

use super::connection::Connection;
use super::convert::{authority_id, millis, time};
use super::error::StoreError;
use super::schema::publications;
use super::{Store, bulk_work, check_runs, webhook_deliveries};

/// Where an authority's publishing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication {
    pub authority: AuthorityId,
    /// The number of its last CRL.
    pub number: i64,
    pub this_update: DateTime<Utc>,
    pub next_update: DateTime<Utc>,
    /// How often publishing has failed in a row.
    pub attempts: i32,
    /// Not to be tried again before.
    pub retry_at: DateTime<Utc>,
    /// The complete CRL that the deltas go from.
    pub base: Base,
    /// The thisUpdate of the oldest CRL in force, be it complete or a shard.
    pub oldest_update: DateTime<Utc>,
}

/// The complete CRL that deltas go from: its number and its thisUpdate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    pub number: i64,
    pub this_update: DateTime<Utc>,
}

/// The right to publish for an authority, as long as nobody else has taken a higher fence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    pub authority: AuthorityId,
    /// Grows with every claim; a publication under an older one is refused.
    pub fence: i64,
    pub until: DateTime<Utc>,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = publications)]
struct PublicationRow {
    authority_id: Vec<u8>,
    number: i64,
    this_update: i64,
    next_update: i64,
    attempts: i32,
    retry_at: i64,
    base_number: i64,
    base_at: i64,
    oldest_update: i64,
}

impl Store {
    /// Where publishing stands, for one authority.
    pub async fn publication(&self, authority: AuthorityId) -> Result<Option<Publication>, StoreError> {
        self.read(move |connection| {
            let row = publications::table
                .find(authority.as_bytes().as_slice())
                .select(PublicationRow::as_select())
                .first(connection);
            row.optional()?.map(into_domain).transpose()
        })
        .await
    }

    /// Where publishing stands, for all authorities.
    pub async fn publications(&self) -> Result<Vec<Publication>, StoreError> {
        self.read(|connection| {
            let rows: Vec<PublicationRow> = publications::table.select(PublicationRow::as_select()).load(connection)?;
            rows.into_iter().map(into_domain).collect()
        })
        .await
    }

    /// Claims or prolongs the lease; `None` while somebody else holds it.
    pub async fn claim_lease(
        &self,
        authority: AuthorityId,
        owner: Uuid,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Option<Lease>, StoreError> {
        self.write(move |connection| {
            // A lease that reaches further than leases do was made before the clock was set back.
            let is_over = publications::lease_until.lt(millis(now)).or(publications::lease_until.gt(millis(until)));
            let free_or_ours = publications::table
                .find(authority.as_bytes().as_slice())
                .filter(is_over.or(publications::lease_owner.eq(owner.as_bytes().as_slice())));
            let fence: Option<i64> = diesel::update(free_or_ours)
                .set((
                    publications::lease_owner.eq(Some(owner.as_bytes().as_slice())),
                    publications::lease_until.eq(millis(until)),
                    publications::fence.eq(publications::fence + 1),
                ))
                .returning(publications::fence)
                .get_result(connection)
                .optional()?;
            Ok(fence.map(|fence| Lease { authority, fence, until }))
        })
        .await
    }

    /// Frees every lease. Only for whoever holds the database alone: leases of a killed process then need not run out.
    pub async fn release_leases(&self) -> Result<(), StoreError> {
        self.write(|connection| {
            diesel::update(publications::table).set(publications::lease_until.eq(0)).execute(connection)?;
            bulk_work::release_all(connection)?;
            check_runs::release_all(connection)?;
            webhook_deliveries::release_all(connection)
        })
        .await
    }

    /// Frees the leases of one owner, who goes: others then need not wait until they run out.
    pub async fn let_go_leases(&self, owner: Uuid) -> Result<(), StoreError> {
        self.write(move |connection| {
            let ours = publications::table.filter(publications::lease_owner.eq(owner.as_bytes().as_slice()));
            diesel::update(ours).set(publications::lease_until.eq(0)).execute(connection)?;
            Ok(())
        })
        .await
    }

    /// Notes a failed attempt: nobody tries again before `retry_at`.
    pub async fn postpone_publication(
        &self,
        authority: AuthorityId,
        retry_at: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.write(move |connection| {
            diesel::update(publications::table.find(authority.as_bytes().as_slice()))
                .set((
                    publications::attempts.eq(publications::attempts + 1),
                    publications::retry_at.eq(millis(retry_at)),
                ))
                .execute(connection)?;
            Ok(())
        })
        .await
    }

    /// Has the authority's CRLs signed anew at the next opportunity, whether or not anything changes.
    pub async fn call_for_publication(&self, authority: AuthorityId) -> Result<(), StoreError> {
        self.write(move |connection| {
            diesel::update(publications::table.find(authority.as_bytes().as_slice()))
                .set(publications::oldest_update.eq(0))
                .execute(connection)?;
            Ok(())
        })
        .await
    }
}

/// The state of publishing at an authority's very first CRL.
pub(super) fn insert(connection: &mut Connection, first: &Publication) -> Result<(), StoreError> {
    diesel::insert_into(publications::table)
        .values((
            publications::authority_id.eq(first.authority.as_bytes().as_slice()),
            publications::lease_until.eq(0),
            publications::fence.eq(0),
            columns(first),
        ))
        .execute(connection)?;
    Ok(())
}

/// Where publishing stands, for some authorities.
pub(super) fn of(connection: &mut Connection, authorities: &[&[u8]]) -> Result<Vec<Publication>, StoreError> {
    let rows: Vec<PublicationRow> = publications::table
        .filter(publications::authority_id.eq_any(authorities))
        .select(PublicationRow::as_select())
        .load(connection)?;
    rows.into_iter().map(into_domain).collect()
}

/// Moves the authority on, if the lease still holds and the number is the next one.
pub(super) fn advance(connection: &mut Connection, lease: &Lease, next: &Publication) -> Result<bool, StoreError> {
    let still_ours = publications::table
        .find(lease.authority.as_bytes().as_slice())
        .filter(publications::fence.eq(lease.fence))
        .filter(publications::number.eq(next.number - 1));
    Ok(diesel::update(still_ours).set(columns(next)).execute(connection)? == 1)
}

#[diesel::dsl::auto_type(no_type_alias)]
fn columns(publication: &Publication) -> _ {
    let (number, attempts, base): (i64, i32, i64) = (publication.number, publication.attempts, publication.base.number);
    let (this_update, next_update): (i64, i64) = (millis(publication.this_update), millis(publication.next_update));
    let (retry_at, base_at): (i64, i64) = (millis(publication.retry_at), millis(publication.base.this_update));
    let oldest_update: i64 = millis(publication.oldest_update);
    (
        publications::number.eq(number),
        publications::this_update.eq(this_update),
        publications::next_update.eq(next_update),
        publications::attempts.eq(attempts),
        publications::retry_at.eq(retry_at),
        publications::base_number.eq(base),
        publications::base_at.eq(base_at),
        publications::oldest_update.eq(oldest_update),
    )
}

fn into_domain(row: PublicationRow) -> Result<Publication, StoreError> {
    Ok(Publication {
        authority: authority_id(&row.authority_id)?,
        number: row.number,
        this_update: time(row.this_update)?,
        next_update: time(row.next_update)?,
        attempts: row.attempts,
        retry_at: time(row.retry_at)?,
        base: Base { number: row.base_number, this_update: time(row.base_at)? },
        oldest_update: time(row.oldest_update)?,
    })
}
