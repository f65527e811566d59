//! Which host names ask for client certificates of a zone's authority: kept for those who configure relying parties.

use crate::domain::audit::Action;
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
        mtls_certificate: Option<String>,
    ) -> Result<Vec<String>, ServiceError> {
        Ok(self.store.hostnames(permit.zone(), mtls_certificate.unwrap_or_default()).await?)
    }

    /// Replaces the whole list; an empty one clears it.
    pub async fn associate_hostnames(
        &self,
        permit: &ZonePermit<WriteAuthorities>,
        mtls_certificate: Option<String>,
        hostnames: Vec<String>,
    ) -> Result<Vec<String>, ServiceError> {
        let violations = check(&hostnames);
        if !violations.is_empty() {
            return self.recorded(permit, "", Err(ServiceError::Invalid(violations))).await;
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
        let mtls_certificate = mtls_certificate.unwrap_or_default();
        self.store.associate_hostnames(zone, mtls_certificate, hostnames.clone(), self.clock.now(), event).await?;
        Ok(hostnames)
    }
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
