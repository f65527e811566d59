//! Tenants.

use chrono::{DateTime, Utc};

use super::id::AccountId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    pub created_on: DateTime<Utc>,
}
