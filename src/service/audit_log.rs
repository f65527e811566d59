//! The audit log, for those who may read it: all of an account's, or what belongs to one zone.

use crate::domain::audit::AuditFilter;
use crate::store::{AuditPlace, AuditPosition, AuditStretch};

use super::access::{AccountPermit, ReadAuditLog, ZonePermit};
use super::{Service, ServiceError};

/// How many events one reading gives at most.
pub const MOST_ACTS: i64 = 1000;

/// The right to read a log; only permits make it.
#[derive(Clone, Copy, Debug)]
pub struct AuditReader(AuditPlace);

impl From<&AccountPermit<ReadAuditLog>> for AuditReader {
    /// All of the account's log, that of its zones too.
    fn from(permit: &AccountPermit<ReadAuditLog>) -> Self {
        Self(AuditPlace { account: permit.account(), zone: None })
    }
}

impl From<&ZonePermit<ReadAuditLog>> for AuditReader {
    fn from(permit: &ZonePermit<ReadAuditLog>) -> Self {
        Self(AuditPlace { account: permit.account(), zone: Some(permit.zone()) })
    }
}

/// Which events are read at once.
#[derive(Clone, Debug)]
pub struct AuditReading {
    pub filter: AuditFilter,
    /// Those before it, or the latest ones.
    pub before: Option<AuditPosition>,
    /// At most so many.
    pub length: i64,
}

impl Service {
    /// The latest events first.
    pub async fn audit_log(&self, reader: AuditReader, reading: AuditReading) -> Result<AuditStretch, ServiceError> {
        self.read_audit_log(reader, reading, ()).await
    }

    /// The same for one who reads on and on: each reading takes its turn among the surveys, so that a few long files leave
    /// readers to everybody else.
    pub async fn audit_log_in_turn(
        &self,
        reader: AuditReader,
        reading: AuditReading,
    ) -> Result<AuditStretch, ServiceError> {
        let turn = self.surveys.take(reader.0.account).await?;
        self.read_audit_log(reader, reading, turn).await
    }

    async fn read_audit_log(
        &self,
        reader: AuditReader,
        reading: AuditReading,
        turn: impl Send + 'static,
    ) -> Result<AuditStretch, ServiceError> {
        let AuditReading { filter, before, length } = reading;
        Ok(self.store.audit_log(reader.0, filter, before, length.clamp(1, MOST_ACTS), turn).await?)
    }
}
