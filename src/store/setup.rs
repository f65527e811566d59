//! The first start: everything it makes is stored in one transaction, so that there is no half-made installation.

use crate::domain::account::Account;
use crate::domain::audit::AuditEvent;
use crate::domain::zone::Zone;

use super::authorities::NewAuthority;
use super::error::StoreError;
use super::master_keys::MasterKeyCheck;
use super::tokens::NewToken;
use super::{Store, accounts, audit, authorities, master_keys, tokens, zones};

/// What the first start makes.
#[derive(Clone)]
pub struct FirstStart {
    pub master_key: MasterKeyCheck,
    pub account: Account,
    pub root: NewAuthority,
    pub zone: Zone,
    pub issuing: NewAuthority,
    pub token: NewToken,
    pub events: Vec<AuditEvent>,
}

impl Store {
    /// Stores everything that the first start made.
    pub async fn set_up(&self, first: FirstStart) -> Result<(), StoreError> {
        self.write(move |connection| {
            master_keys::insert(connection, &first.master_key, first.account.created_on)?;
            accounts::insert(connection, &first.account)?;
            zones::insert(connection, &first.zone)?;
            authorities::insert(connection, &first.root)?;
            authorities::insert(connection, &first.issuing)?;
            tokens::insert(connection, &first.token)?;
            first.events.iter().try_for_each(|event| audit::insert(connection, event))
        })
        .await
    }
}
