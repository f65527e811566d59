//! Tenants.

use chrono::{DateTime, Utc};

use super::id::AccountId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub id: AccountId,
    pub name: String,
    /// Whether it is the account of the first start, whose administrators make other accounts.
    pub is_operator: bool,
    pub created_on: DateTime<Utc>,
}
