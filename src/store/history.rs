//! What became of one certificate, out of the audit log.
//!
//! Its issuance is found by the time in its id, everything after by an index that leaves issuances out, so that issuing
//! costs nothing more.

use chrono::{DateTime, TimeDelta, Utc};
use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use crate::domain::id::{AccountId, CertificateId, ZoneId};

use super::Store;
use super::convert::{millis, time};
use super::error::StoreError;
use super::schema::audit_events;

/// How long after a certificate got its id its event is made at the latest.
pub(super) const ISSUED_WITHIN: TimeDelta = TimeDelta::seconds(5);

/// An event of the audit log, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedAct {
    pub at: DateTime<Utc>,
    pub actor_name: String,
    /// Whether it was somebody with a token.
    pub is_by_token: bool,
    pub source: String,
    pub action: String,
    pub is_refused: bool,
    pub detail: String,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = audit_events)]
struct ActRow {
    account_id: Vec<u8>,
    at: i64,
    actor_token_id: Option<Vec<u8>>,
    actor_name: String,
    source: String,
    action: String,
    result: i16,
    detail: String,
}

impl Store {
    /// What was done to a certificate in its zone, the latest first, at most `limit` acts, its issuance last. What was
    /// tried on its id in another zone is no part of its history, and takes nothing's place in it.
    pub async fn acts_on(
        &self,
        account: AccountId,
        zone: ZoneId,
        id: CertificateId,
        limit: i64,
    ) -> Result<Vec<RecordedAct>, StoreError> {
        self.read(move |connection| {
            // Letter for letter what the index says: a bound value would keep it from being used. The account is looked at
            // afterwards, since another index begins with it, under which there are very many: a zone is of one account.
            let later: Vec<ActRow> = audit_events::table
                .filter(audit_events::subject.eq(id.to_string()))
                .filter(sql::<Bool>("action <> 'certificate.issue'"))
                .filter(audit_events::zone_id.eq(zone.as_bytes().as_slice()))
                .order(audit_events::at.desc())
                .limit(limit)
                .select(ActRow::as_select())
                .load(connection)?;
            let made = id.made_on();
            let issued: Vec<ActRow> = audit_events::table
                .filter(audit_events::account_id.eq(account.as_bytes().as_slice()))
                .filter(audit_events::zone_id.eq(zone.as_bytes().as_slice()))
                .filter(audit_events::at.ge(millis(made)))
                .filter(audit_events::at.le(millis(made + ISSUED_WITHIN)))
                .filter(audit_events::subject.eq(id.to_string()))
                .filter(audit_events::action.eq("certificate.issue"))
                .order(audit_events::at)
                .limit(1)
                .select(ActRow::as_select())
                .load(connection)?;
            let all = later.into_iter().chain(issued);
            all.filter(|row| row.account_id == account.as_bytes()).map(ActRow::into_domain).collect()
        })
        .await
    }
}

impl ActRow {
    fn into_domain(self) -> Result<RecordedAct, StoreError> {
        Ok(RecordedAct {
            at: time(self.at)?,
            actor_name: self.actor_name,
            is_by_token: self.actor_token_id.is_some(),
            source: self.source,
            action: self.action,
            is_refused: self.result != 0,
            detail: self.detail,
        })
    }
}
