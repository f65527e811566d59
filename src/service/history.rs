//! The history of one certificate, for those who may read it. Who did what is told to those who may read the audit log.

use crate::domain::certificate::Certificate;
use crate::domain::permission::Permission;
use crate::store::RecordedAct;

use super::access::{ReadCertificates, ZonePermit};
use super::{Service, ServiceError};

/// More is found in the audit log.
const MAX_ACTS: i64 = 100;

/// What was done, the latest first.
#[derive(Clone, Debug)]
pub struct History {
    pub acts: Vec<RecordedAct>,
    /// Whether names and addresses are in it.
    pub tells_who: bool,
}

impl Service {
    pub async fn history(
        &self,
        permit: &ZonePermit<ReadCertificates>,
        certificate: &Certificate,
    ) -> Result<History, ServiceError> {
        let mut acts = self.store.acts_on(permit.account(), permit.zone(), certificate.id, MAX_ACTS).await?;
        let grants = &permit.caller().token().grants;
        let tells_who = grants.allow_in_zone(Permission::ReadAudit, permit.account(), permit.zone());
        if !tells_who {
            for act in &mut acts {
                act.actor_name.clear();
                act.source.clear();
            }
        }
        Ok(History { acts, tells_who })
    }
}
