//! The master key, and the sealing of private keys under it: AES-256-GCM, the record's id as associated data, so that
//! a sealed key moved to another record does not open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::KeyError;

const KEY_LENGTH: usize = 32;

/// AES-256-GCM with a random nonce of 96 bits: fine for the few keys of a CA (below 2³² sealings, NIST SP 800-38D).
const VERSION: i32 = 1;

/// 32 bytes under which all private keys rest. It cannot be printed, and is overwritten when it goes.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct MasterKey([u8; KEY_LENGTH]);

/// A sealed secret, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The form of `bytes`.
    pub version: i32,
    /// Version 1: nonce (12 octets), ciphertext, tag (16 octets).
    pub bytes: Vec<u8>,
}

impl MasterKey {
    pub fn generate() -> Result<Self, KeyError> {
        let mut key = Self([0; KEY_LENGTH]);
        SystemRandom::new().fill(&mut key.0).map_err(|_| KeyError::Library("draw random bytes"))?;
        Ok(key)
    }

    /// Reads 64 hexadecimal digits or 44 characters of base64; white space around them is ignored.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let mut key = Self([0; KEY_LENGTH]);
        let decoded = match text.len() {
            64 => hex::decode_to_slice(text, &mut key.0).is_ok(),
            44 => decode_base64(text, &mut key.0),
            _ => false,
        };
        if decoded { Ok(key) } else { Err(KeyError::MasterKeyForm) }
    }

    /// 64 hexadecimal digits. Only for writing the file `master.key`.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(hex::encode(self.0))
    }

    /// Seals a secret. `associated_data` (the record's id) must be given again to open it.
    pub fn seal(&self, associated_data: &[u8], plaintext: &[u8]) -> Result<Sealed, KeyError> {
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new().fill(&mut nonce).map_err(|_| KeyError::Library("draw random bytes"))?;
        self.seal_with(nonce, associated_data, plaintext)
    }

    fn seal_with(&self, nonce: [u8; NONCE_LEN], associated_data: &[u8], plaintext: &[u8]) -> Result<Sealed, KeyError> {
        let mut in_out = Zeroizing::new(plaintext.to_vec());
        let tag = self
            .cipher()?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated_data), &mut in_out)
            .map_err(|_| KeyError::Library("seal a key"))?;
        Ok(Sealed { version: VERSION, bytes: [&nonce, in_out.as_slice(), tag.as_ref()].concat() })
    }

    /// Opens what [`Self::seal`] sealed with the same associated data.
    pub fn open(&self, associated_data: &[u8], sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        if sealed.version != VERSION {
            return Err(KeyError::UnknownSealVersion(sealed.version));
        }
        let (nonce, ciphertext) = sealed.bytes.split_at_checked(NONCE_LEN).ok_or(KeyError::WrongMasterKey)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| KeyError::WrongMasterKey)?;
        let mut in_out = Zeroizing::new(ciphertext.to_vec());
        let opened = self.cipher()?.open_in_place(nonce, Aad::from(associated_data), &mut in_out);
        let length = opened.map_err(|_| KeyError::WrongMasterKey)?.len();
        in_out.truncate(length);
        Ok(in_out)
    }

    /// For deriving keys from it, each for a purpose of its own.
    pub(super) fn secret(&self) -> &[u8] {
        &self.0
    }

    fn cipher(&self) -> Result<LessSafeKey, KeyError> {
        let key = UnboundKey::new(&AES_256_GCM, &self.0).map_err(|_| KeyError::Library("load the master key"))?;
        Ok(LessSafeKey::new(key))
    }
}

fn decode_base64(text: &str, key: &mut [u8; KEY_LENGTH]) -> bool {
    // The decoder wants room for its estimate, one octet more than there are.
    let mut buffer = Zeroizing::new([0; KEY_LENGTH + 1]);
    match STANDARD.decode_slice(text, buffer.as_mut_slice()) {
        Ok(KEY_LENGTH) => {
            key.iter_mut().zip(buffer.iter()).for_each(|(to, from)| *to = *from);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAG_LENGTH: usize = 16;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_data() {
        let key = MasterKey::generate().unwrap();
        let sealed = key.seal(b"id", b"secret").unwrap();
        assert_eq!(sealed.bytes.len(), NONCE_LEN + 6 + TAG_LENGTH);
        assert_eq!(key.open(b"id", &sealed).unwrap().as_slice(), b"secret");
        assert_ne!(key.seal(b"id", b"secret").unwrap(), sealed, "the nonce is drawn anew");
    }

    #[test]
    fn another_key_record_or_byte_does_not_open() {
        let key = MasterKey::generate().unwrap();
        let sealed = key.seal(b"id", b"secret").unwrap();
        let other = MasterKey::generate().unwrap();
        assert!(matches!(other.open(b"id", &sealed), Err(KeyError::WrongMasterKey)));
        assert!(matches!(key.open(b"other id", &sealed), Err(KeyError::WrongMasterKey)));
        for index in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[index] ^= 1;
            assert!(matches!(key.open(b"id", &changed), Err(KeyError::WrongMasterKey)));
        }
        for length in 0..NONCE_LEN + TAG_LENGTH {
            let short = Sealed { version: VERSION, bytes: vec![0; length] };
            assert!(matches!(key.open(b"id", &short), Err(KeyError::WrongMasterKey)));
        }
        let newer = Sealed { version: 2, ..sealed };
        assert!(matches!(key.open(b"id", &newer), Err(KeyError::UnknownSealVersion(2))));
    }

    #[test]
    fn the_text_is_hex_or_base64() {
        let key = MasterKey::generate().unwrap();
        let hex = key.to_text();
        let base64 = STANDARD.encode(key.0);
        for text in [hex.to_string(), hex.to_uppercase(), format!("  {}\n", *hex), base64] {
            assert_eq!(MasterKey::from_text(&text).unwrap().0, key.0);
        }
        for wrong in ["", "00", &"z".repeat(64), &"0".repeat(63), &"=".repeat(44), &"A".repeat(44)] {
            assert!(matches!(MasterKey::from_text(wrong), Err(KeyError::MasterKeyForm)), "{wrong}");
        }
    }

    #[test]
    fn the_stored_form_is_that_of_test_case_14_of_the_gcm_specification() {
        let sealed = MasterKey([0; 32]).seal_with([0; NONCE_LEN], b"", &[0; 16]).unwrap();
        let expected = "000000000000000000000000cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919";
        assert_eq!(hex::encode(sealed.bytes), expected);
    }
}
