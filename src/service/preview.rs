//! What a certificate would hold: issuance up to the lint, and nothing signed.

use crate::domain::plan::Plan;
use crate::x509::{lint, tbs};

use super::access::{IssueCertificate, ZonePermit};
use super::issuance::IssueInput;
use super::{Service, ServiceError};

impl Service {
    /// The plan that issuance would carry out for this request now, or everything that it would refuse it for. Nothing is
    /// signed, recorded or used up; the serial number will be another one.
    pub fn preview(&self, permit: &ZonePermit<IssueCertificate>, input: IssueInput) -> Result<Plan, ServiceError> {
        let decided = self.decide(permit, input, self.clock.now())?;
        let linted = lint::lint(tbs::build(decided.plan)?).map_err(super::issuance::lint_failure)?;
        Ok(linted.plan().clone())
    }
}
