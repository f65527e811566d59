//! Randomness: ids, serial numbers and token values, all from the system's generator.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::{ContextV7, Timestamp, Uuid};
use zeroize::Zeroizing;

use crate::domain::serial::SerialNumber;

use super::ServiceError;

/// The source of randomness. It can be replaced by one that a test knows or that fails.
pub(super) struct Random {
    source: Box<dyn SecureRandom + Send + Sync>,
    /// Keeps UUIDs made within one millisecond in order, so that lists by id are lists by age.
    order: std::sync::Mutex<ContextV7>,
}

impl Random {
    pub(super) fn system() -> Self {
        Self { source: Box::new(SystemRandom::new()), order: std::sync::Mutex::new(ContextV7::new()) }
    }

    /// A UUID of version 7 (RFC 9562): ordered by the time of its making.
    pub(super) fn ordered_id(&self, now: DateTime<Utc>) -> Uuid {
        let order = self.order.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let seconds = u64::try_from(now.timestamp()).unwrap_or_default();
        Uuid::new_v7(Timestamp::from_unix(&*order, seconds, now.timestamp_subsec_nanos()))
    }

    /// 16 random bytes, for ids that tell nothing about their age.
    pub(super) fn opaque_id(&self) -> Result<Uuid, ServiceError> {
        Ok(Uuid::from_bytes(self.bytes()?))
    }

    pub(super) fn serial(&self) -> Result<SerialNumber, ServiceError> {
        loop {
            if let Some(serial) = SerialNumber::from_random(self.bytes()?) {
                return Ok(serial);
            }
        }
    }

    /// A token value: 288 random bits in 48 characters of `[0-9A-Za-z_-]`.
    pub(super) fn token_value(&self) -> Result<Zeroizing<String>, ServiceError> {
        let bytes = Zeroizing::new(self.bytes::<36>()?);
        Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes)))
    }

    fn bytes<const LENGTH: usize>(&self) -> Result<[u8; LENGTH], ServiceError> {
        let mut bytes = [0; LENGTH];
        let filled = self.source.fill(&mut bytes);
        filled.map_err(|_| ServiceError::Internal("the system gives no randomness".into()))?;
        Ok(bytes)
    }
}
