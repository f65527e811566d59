//! Between rows and domain values: times as Unix milliseconds, ids as 16 bytes, small codes as enums.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::domain::id::{
    AccountId, AuthorityId, CertificateId, CheckId, DeliveryId, IdentityId, JobId, RunId, SessionId, TokenId,
    WebhookId, ZoneId,
};
use crate::domain::reason::RevocationReason;
use crate::domain::serial::SerialNumber;
use crate::domain::status::Status;

use super::error::StoreError;

pub(super) fn millis(time: DateTime<Utc>) -> i64 {
    time.timestamp_millis()
}

pub(super) fn time(millis: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(millis).ok_or_else(|| damaged("a time"))
}

pub(super) fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("{what} cannot be read"))
}

fn uuid(bytes: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes).map_err(|_| damaged("an id"))
}

pub(super) fn account_id(bytes: &[u8]) -> Result<AccountId, StoreError> {
    uuid(bytes).map(AccountId::new)
}

pub(super) fn zone_id(bytes: &[u8]) -> Result<ZoneId, StoreError> {
    uuid(bytes).map(ZoneId::new)
}

pub(super) fn token_id(bytes: &[u8]) -> Result<TokenId, StoreError> {
    uuid(bytes).map(TokenId::new)
}

pub(super) fn session_id(bytes: &[u8]) -> Result<SessionId, StoreError> {
    uuid(bytes).map(SessionId::new)
}

pub(super) fn authority_id(bytes: &[u8]) -> Result<AuthorityId, StoreError> {
    uuid(bytes).map(AuthorityId::new)
}

pub(super) fn certificate_id(bytes: &[u8]) -> Result<CertificateId, StoreError> {
    uuid(bytes).map(CertificateId::new)
}

pub(super) fn identity_id(bytes: &[u8]) -> Result<IdentityId, StoreError> {
    uuid(bytes).map(IdentityId::new)
}

pub(super) fn check_id(bytes: &[u8]) -> Result<CheckId, StoreError> {
    uuid(bytes).map(CheckId::new)
}

pub(super) fn run_id(bytes: &[u8]) -> Result<RunId, StoreError> {
    uuid(bytes).map(RunId::new)
}

pub(super) fn job_id(bytes: &[u8]) -> Result<JobId, StoreError> {
    uuid(bytes).map(JobId::new)
}

pub(super) fn webhook_id(bytes: &[u8]) -> Result<WebhookId, StoreError> {
    uuid(bytes).map(WebhookId::new)
}

pub(super) fn delivery_id(bytes: &[u8]) -> Result<DeliveryId, StoreError> {
    uuid(bytes).map(DeliveryId::new)
}

pub(super) fn serial(bytes: &[u8]) -> Result<SerialNumber, StoreError> {
    SerialNumber::from_be_bytes(bytes).ok_or_else(|| damaged("a serial number"))
}

pub(super) fn status(code: i16) -> Result<Status, StoreError> {
    Status::from_code(code).ok_or_else(|| damaged("a status"))
}

pub(super) fn reason(code: i16) -> Result<RevocationReason, StoreError> {
    RevocationReason::from_code(code).ok_or_else(|| damaged("a revocation reason"))
}

pub(super) fn to_json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Damaged(error.to_string()))
}

pub(super) fn from_json<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged(error.to_string()))
}
