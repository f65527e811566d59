//! Randomness: ids, serial numbers and token values, all from the system's generator.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::{ContextV7, Timestamp, Uuid};
use zeroize::Zeroizing;

use crate::domain::serial::SerialNumber;

use super::ServiceError;

/// Where random bytes come from.
pub trait RandomSource: Send + Sync {
    /// Fills all of it, or tells that it cannot.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness>;
}

/// The source gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandomness;

/// Makes what must not be guessed, and ids.
pub struct Random {
    source: Box<dyn RandomSource>,
    /// Keeps UUIDs made within one millisecond in order, so that lists by id are lists by age.
    order: Mutex<ContextV7>,
}

struct System(SystemRandom);

impl RandomSource for System {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        self.0.fill(bytes).map_err(|_| NoRandomness)
    }
}

impl Random {
    /// The system's generator.
    pub fn system() -> Self {
        Self::of(Box::new(System(SystemRandom::new())))
    }

    /// Another source: one that a test knows, or that fails.
    pub fn of(source: Box<dyn RandomSource>) -> Self {
        Self { source, order: Mutex::new(ContextV7::new()) }
    }

    /// A UUID of version 7 (RFC 9562): ordered by the time of its making.
    pub(super) fn ordered_id(&self, now: DateTime<Utc>) -> Uuid {
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// A token value: 288 random bits in 48 characters of `[0-9A-Za-z_-]`, the first a letter or digit, so that no
    /// command line takes it for a flag.
    pub(super) fn token_value(&self) -> Result<Zeroizing<String>, ServiceError> {
        loop {
            let bytes = Zeroizing::new(self.bytes::<36>()?);
            let value = Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
            if value.starts_with(|first: char| first.is_ascii_alphanumeric()) {
                return Ok(value);
            }
        }
    }

    /// What a webhook's deliveries are signed with: `whsec_` and 256 random bits in 43 characters of `[0-9A-Za-z_-]`.
    pub(super) fn webhook_secret(&self) -> Result<Zeroizing<String>, ServiceError> {
        let bytes = Zeroizing::new(self.bytes::<32>()?);
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes));
        Ok(Zeroizing::new(format!("whsec_{}", *encoded)))
    }

    /// The value of a session's cookie: 256 random bits in 43 characters of `[0-9A-Za-z_-]`.
    pub(super) fn session_value(&self) -> Result<Zeroizing<String>, ServiceError> {
        let bytes = Zeroizing::new(self.bytes::<32>()?);
        Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes)))
    }

    /// What tells one form from another.
    pub(super) fn form_nonce(&self) -> Result<[u8; 16], ServiceError> {
        self.bytes()
    }

    fn bytes<const LENGTH: usize>(&self) -> Result<[u8; LENGTH], ServiceError> {
        let mut bytes = [0; LENGTH];
        let filled = self.source.fill(&mut bytes);
        filled.map_err(|NoRandomness| ServiceError::Internal("the system gives no randomness".into()))?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::token::has_token_form;

    #[test]
    fn tokens_have_their_form_and_are_no_flags() {
        let random = Random::system();
        for _ in 0..500 {
            let value = random.token_value().unwrap();
            assert!(
                has_token_form(&value) && value.starts_with(|first: char| first.is_ascii_alphanumeric()),
                "{}",
                *value
            );
        }
    }

    #[test]
    fn ids_made_in_one_millisecond_stay_in_order() {
        let random = Random::system();
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let ids: Vec<_> = (0..1000).map(|_| random.ordered_id(now)).collect();
        assert!(ids.is_sorted_by(|one, next| one < next));
    }
}
