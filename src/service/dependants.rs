//! Who of us relies on a certificate that somebody is about to revoke.

use crate::domain::certificate::Certificate;
use crate::domain::permission::Permission;
use crate::store::Dependant;

use super::access::{ReadCertificates, ZonePermit};
use super::{Service, ServiceError};

impl Service {
    /// The managed identity that presents this certificate, for callers who may know of identities.
    pub async fn dependant(
        &self,
        permit: &ZonePermit<ReadCertificates>,
        certificate: &Certificate,
    ) -> Result<Option<Dependant>, ServiceError> {
        let account = permit.account();
        if !permit.caller().token().grants.allow_in_account(Permission::ReadIdentities, account) {
            return Ok(None);
        }
        Ok(self.store.dependant(account, permit.zone(), certificate.id).await?)
    }
}
