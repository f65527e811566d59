//! Which host names ask for client certificates of a zone's authority: kept for those who configure relying parties.

use crate::domain::audit::Action;
use crate::domain::id::IdentityId;
use crate::domain::subject_alternative_name::{SubjectAlternativeName, SubjectAlternativeNameType};
use crate::domain::violation::Violation;

use super::access::{ReadAuthorities, WriteAuthorities, ZonePermit};
use super::{Service, ServiceError};

const MAX_HOSTNAMES: usize = 1000;

impl Service {
    /// The host names in the order given; for the zone's own authority when no other CA is named.
    pub async fn hostnames(
        &self,
        permit: &ZonePermit<ReadAuthorities>,
        bundle: Option<IdentityId>,
    ) -> Result<Vec<String>, ServiceError> {
        Ok(self.store.hostnames(permit.zone(), written(bundle)).await?)
    }

    /// Replaces the whole list; an empty one clears it.
    pub async fn associate_hostnames(
        &self,
        permit: &ZonePermit<WriteAuthorities>,
        bundle: Option<IdentityId>,
        hostnames: Vec<String>,
    ) -> Result<Vec<String>, ServiceError> {
        let mut violations = check(&hostnames);
        violations.extend(self.check_bundle(permit, bundle, &hostnames).await?);
        if !violations.is_empty() {
            return self.recorded(permit, "", Err(ServiceError::Invalid(violations))).await;
        }
        // A bundle that is gone took its list with it.
        if hostnames.is_empty() && !self.is_there(permit, bundle).await? {
            return Ok(hostnames);
        }
        let zone = permit.zone();
        let mut event = self.event(
            permit.caller().actor(),
            permit.account(),
            Some(zone),
            Action::AssociateHostnames,
            zone.to_string(),
        );
        event.detail = hostnames.join(" ");
        self.store.associate_hostnames(zone, written(bundle), hostnames.clone(), self.clock.now(), event).await?;
        Ok(hostnames)
    }

    /// Another CA is one that was uploaded; of one that is gone, the list can still be cleared.
    async fn check_bundle(
        &self,
        permit: &ZonePermit<WriteAuthorities>,
        bundle: Option<IdentityId>,
        hostnames: &[String],
    ) -> Result<Option<Violation>, ServiceError> {
        let Some(id) = bundle.filter(|_| !hostnames.is_empty()) else { return Ok(None) };
        let is_there = self.is_there(permit, bundle).await?;
        let message = format!("the account has no CA bundle {id}; upload one to mtls_certificates with ca: true");
        Ok((!is_there).then(|| Violation::new("/mtls_certificate_id", message)))
    }
    /// The zone's own authority always is.
    async fn is_there(
        &self,
        permit: &ZonePermit<WriteAuthorities>,
        bundle: Option<IdentityId>,
    ) -> Result<bool, ServiceError> {
        let Some(id) = bundle else { return Ok(true) };
        let found = self.store.identity(permit.account(), id).await?;
        Ok(found.is_some_and(|identity| identity.is_ca))
    }
}

/// The store's word for the zone's own authority is the empty one.
fn written(bundle: Option<IdentityId>) -> String {
    bundle.map(|id| id.to_string()).unwrap_or_default()
}

fn check(hostnames: &[String]) -> Vec<Violation> {
    if hostnames.len() > MAX_HOSTNAMES {
        return vec![Violation::new("/hostnames", format!("at most {MAX_HOSTNAMES} host names can be listed"))];
    }
    let wrong = |(index, hostname): (usize, &String)| {
        let checked = SubjectAlternativeName::parse(SubjectAlternativeNameType::Dns, hostname);
        Some(Violation::new(format!("/hostnames/{index}"), checked.err()?))
    };
    hostnames.iter().enumerate().filter_map(wrong).collect()
}
