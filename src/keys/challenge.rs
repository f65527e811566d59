//! Challenges that nobody has to remember: what is given out carries its end and a tag over what it is about, under a key
//! that is derived from the master key. So every process with the same master key knows its own challenges again.

use aws_lc_rs::{hkdf, hmac};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};

use crate::domain::id::AuthorityId;
use crate::domain::serial::SerialNumber;

use super::error::KeyError;
use super::sealing::MasterKey;

/// What the derived key is for (RFC 5869, 3.2): the same master key serves nothing else with it.
const PURPOSE: &[u8] = b"countersign revocation challenge 1";
/// Unix milliseconds, big-endian, before the tag.
const TIME_LENGTH: usize = 8;
/// Of the whole, decoded: the time and HMAC-SHA-256.
const LENGTH: usize = TIME_LENGTH + 32;

/// Makes challenges and knows them again. It cannot be printed.
pub struct ChallengeKey(hmac::Key);

/// What a challenge is about.
#[derive(Clone, Debug)]
pub struct ChallengeSubject {
    pub authority: AuthorityId,
    pub serial: SerialNumber,
    /// How often the certificate had changed its status when it was given out.
    pub version: i32,
}

/// A challenge as a caller sends it back.
pub struct Challenge {
    expires_on: DateTime<Utc>,
    /// As on the wire: the time that the tag is over.
    time: [u8; TIME_LENGTH],
    tag: [u8; 32],
}

impl ChallengeKey {
    pub fn derive(master_key: &MasterKey) -> Result<Self, KeyError> {
        const FAILED: KeyError = KeyError::Library("derive a key");
        let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(master_key.secret());
        let key = secret.expand(&[PURPOSE], hmac::HMAC_SHA256).map_err(|_| FAILED)?;
        Ok(Self(hmac::Key::from(key)))
    }

    /// A challenge in base64url. It tells nothing but its end, cut to milliseconds.
    pub fn give(&self, subject: &ChallengeSubject, expires_on: DateTime<Utc>) -> String {
        let time = expires_on.timestamp_millis().to_be_bytes();
        let tag = hmac::sign(&self.0, &covered(subject, time));
        URL_SAFE_NO_PAD.encode([time.as_slice(), tag.as_ref()].concat())
    }

    /// Whether this key gave it out about this subject. Compared in constant time.
    pub fn gave(&self, challenge: &Challenge, subject: &ChallengeSubject) -> bool {
        hmac::verify(&self.0, &covered(subject, challenge.time), &challenge.tag).is_ok()
    }
}

impl Challenge {
    /// Reads the form alone. `None` for what can be no challenge of ours.
    pub fn parse(text: &str) -> Option<Self> {
        let octets: [u8; LENGTH] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let (time, tag) = octets.split_first_chunk::<TIME_LENGTH>()?;
        let expires_on = DateTime::from_timestamp_millis(i64::from_be_bytes(*time))?;
        Some(Self { expires_on, time: *time, tag: tag.try_into().ok()? })
    }

    /// What it claims; true only of one that the key gave.
    pub fn expires_on(&self) -> DateTime<Utc> {
        self.expires_on
    }
}

/// Every part has a length of its own or stands last, so no two subjects read alike.
fn covered(subject: &ChallengeSubject, time: [u8; TIME_LENGTH]) -> Vec<u8> {
    let version = subject.version.to_be_bytes();
    [subject.authority.as_bytes().as_slice(), &version, &time, subject.serial.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use uuid::Uuid;

    use super::*;

    fn subject() -> ChallengeSubject {
        ChallengeSubject {
            authority: AuthorityId::new(Uuid::from_u128(1)),
            serial: SerialNumber::from_be_bytes(&[1, 2, 3]).unwrap(),
            version: 4,
        }
    }

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn a_challenge_is_known_again_for_what_it_is_about_and_nothing_else() {
        let master_key = MasterKey::generate().unwrap();
        let key = ChallengeKey::derive(&master_key).unwrap();
        let given = key.give(&subject(), noon());
        let challenge = Challenge::parse(&given).unwrap();
        assert_eq!(challenge.expires_on(), noon());
        assert!(key.gave(&challenge, &subject()));
        assert!(ChallengeKey::derive(&master_key).unwrap().gave(&challenge, &subject()), "another process");
        assert!(!ChallengeKey::derive(&MasterKey::generate().unwrap()).unwrap().gave(&challenge, &subject()));
        for other in [
            ChallengeSubject { version: 5, ..subject() },
            ChallengeSubject { authority: AuthorityId::new(Uuid::from_u128(2)), ..subject() },
            ChallengeSubject { serial: SerialNumber::from_be_bytes(&[1, 2]).unwrap(), ..subject() },
        ] {
            assert!(!key.gave(&challenge, &other));
        }
    }

    #[test]
    fn nobody_prolongs_a_challenge_or_changes_it() {
        let key = ChallengeKey::derive(&MasterKey::generate().unwrap()).unwrap();
        let given = URL_SAFE_NO_PAD.decode(key.give(&subject(), noon())).unwrap();
        let later = (noon() + TimeDelta::days(1)).timestamp_millis().to_be_bytes();
        let prolonged = Challenge::parse(&URL_SAFE_NO_PAD.encode([&later, &given[8..]].concat())).unwrap();
        assert!(!key.gave(&prolonged, &subject()));
        for index in 0..LENGTH {
            let mut changed = given.clone();
            changed[index] ^= 1;
            let read = Challenge::parse(&URL_SAFE_NO_PAD.encode(changed));
            assert!(read.is_none_or(|challenge| !key.gave(&challenge, &subject())));
        }
        for wrong in ["", "x", &"A".repeat(53), &"A".repeat(55), &format!("f{}", "_".repeat(53))] {
            assert!(Challenge::parse(wrong).is_none(), "{wrong}");
        }
    }
}
