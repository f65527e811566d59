//! Decryption under a passphrase, as an AlgorithmIdentifier in the file describes it: PBES2 and PBES1 (RFC 8018), and
//! the schemes of PKCS#12 (RFC 7292, appendix C). All of it for reading only.

use std::borrow::Cow;

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, KeyInit};
use aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY;
use aws_lc_rs::pbkdf2;
use zeroize::Zeroizing;

use crate::keys::error::KeyError;
use crate::x509::der::{self, DerError, INTEGER, NULL, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE, Tlv};

use super::PrivateKey;
use super::derivation::{self, Password, Pbkdf1Hash, Purpose, ScryptParameters, Work};

const PBES2: &str = "1.2.840.113549.1.5.13";
const PBES1_MD5_DES: &str = "1.2.840.113549.1.5.3";
const PBES1_SHA1_DES: &str = "1.2.840.113549.1.5.10";
const PBKDF2: &str = "1.2.840.113549.1.5.12";
const SCRYPT: &str = "1.3.6.1.4.1.11591.4.11";
const PKCS12_TRIPLE_DES: &str = "1.2.840.113549.1.12.1.3";
const PKCS12_TWO_KEY_TRIPLE_DES: &str = "1.2.840.113549.1.12.1.4";
const PKCS12_RC2_128: &str = "1.2.840.113549.1.12.1.5";
const PKCS12_RC2_40: &str = "1.2.840.113549.1.12.1.6";

/// An EncryptedPrivateKeyInfo (RFC 5958, 3): the contents of `ENCRYPTED PRIVATE KEY`, and of bags in PKCS#12.
pub struct EncryptedKey<'a> {
    pub algorithm: Tlv<'a>,
    pub ciphertext: &'a [u8],
}

impl<'a> EncryptedKey<'a> {
    pub fn read(der: &'a [u8]) -> Result<Self, KeyError> {
        let read = || {
            let mut fields = der::single(der, SEQUENCE, "the encrypted key")?.contents();
            let algorithm = fields.expect(SEQUENCE, "its encryption")?;
            let ciphertext = fields.expect(OCTET_STRING, "its contents")?.value;
            Ok(Self { algorithm, ciphertext })
        };
        read().map_err(malformed)
    }

    /// A wrong passphrase mostly shows in the padding, and else in contents that are no key.
    pub fn decrypt(&self, password: &Password, work: &mut Work) -> Result<PrivateKey, KeyError> {
        let plain = decrypt(&self.algorithm, self.ciphertext, password, work)?;
        let is_key = der::single(&plain, SEQUENCE, "").is_ok_and(|key| key.contents().peek() == Some(INTEGER));
        if is_key { PrivateKey::from_pkcs8(&plain) } else { Err(KeyError::WrongPassphrase) }
    }

    pub fn is_weak(&self) -> bool {
        is_weak(&self.algorithm)
    }
}

/// Decrypts with what the AlgorithmIdentifier says. [`KeyError::WrongPassphrase`] when the padding is wrong after it.
pub fn decrypt(
    algorithm: &Tlv<'_>,
    ciphertext: &[u8],
    password: &Password,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (scheme, parameters) = identified(algorithm).map_err(malformed)?;
    match scheme.as_ref() {
        PBES2 => pbes2(parameters, ciphertext, password, work),
        PBES1_MD5_DES => pbes1(Pbkdf1Hash::Md5, parameters, ciphertext, password, work),
        PBES1_SHA1_DES => pbes1(Pbkdf1Hash::Sha1, parameters, ciphertext, password, work),
        PKCS12_TRIPLE_DES => pkcs12(Cipher::TripleDes, parameters, ciphertext, password, work),
        PKCS12_TWO_KEY_TRIPLE_DES => pkcs12(Cipher::TwoKeyTripleDes, parameters, ciphertext, password, work),
        PKCS12_RC2_128 => pkcs12(Cipher::Rc2With128Bits, parameters, ciphertext, password, work),
        PKCS12_RC2_40 => pkcs12(Cipher::Rc2With40Bits, parameters, ciphertext, password, work),
        other => Err(unsupported(other)),
    }
}

/// Whether whoever holds the file has little to break: DES and RC2, and triple DES with its one or few thousand rounds.
pub fn is_weak(algorithm: &Tlv<'_>) -> bool {
    identified(algorithm).is_ok_and(|(scheme, _)| scheme != PBES2)
}

/// Block ciphers in CBC mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cipher {
    Aes128,
    Aes192,
    Aes256,
    TripleDes,
    TwoKeyTripleDes,
    Des,
    Rc2With40Bits,
    Rc2With128Bits,
}

impl Cipher {
    pub fn key_length(self) -> usize {
        match self {
            Self::Rc2With40Bits => 5,
            Self::Des => 8,
            Self::Aes128 | Self::TwoKeyTripleDes | Self::Rc2With128Bits => 16,
            Self::Aes192 | Self::TripleDes => 24,
            Self::Aes256 => 32,
        }
    }

    pub fn block_length(self) -> usize {
        if matches!(self, Self::Aes128 | Self::Aes192 | Self::Aes256) { 16 } else { 8 }
    }

    /// The key has [`Cipher::key_length`] octets; the initial vector comes from the file.
    pub fn decrypt(self, key: &[u8], vector: &[u8], ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        match self {
            Self::Aes128 => cbc::<aes::Aes128>(key, vector, ciphertext),
            Self::Aes192 => cbc::<aes::Aes192>(key, vector, ciphertext),
            Self::Aes256 => cbc::<aes::Aes256>(key, vector, ciphertext),
            Self::TripleDes => cbc::<des::TdesEde3>(key, vector, ciphertext),
            Self::TwoKeyTripleDes => cbc::<des::TdesEde2>(key, vector, ciphertext),
            Self::Des => cbc::<des::Des>(key, vector, ciphertext),
            Self::Rc2With40Bits | Self::Rc2With128Bits => cbc::<rc2::Rc2>(key, vector, ciphertext),
        }
    }
}

fn cbc<C: BlockCipherDecrypt + KeyInit>(
    key: &[u8],
    vector: &[u8],
    ciphertext: &[u8],
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let cipher = C::new_from_slice(key).map_err(|_| KeyError::Library("set up a cipher"))?;
    let cipher = cbc::Decryptor::inner_iv_slice_init(cipher, vector)
        .map_err(|_| KeyError::Rejected("the initial vector of its encryption has a wrong length".into()))?;
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let length = cipher.decrypt_padded::<Pkcs7>(&mut buffer).map_err(|_| KeyError::WrongPassphrase)?.len();
    buffer.truncate(length);
    Ok(buffer)
}

fn pbes2(
    mut parameters: Reader<'_>,
    ciphertext: &[u8],
    password: &Password,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let mut fields = parameters.expect(SEQUENCE, "the parameters of PBES2").map_err(malformed)?.contents();
    let derivation = fields.expect(SEQUENCE, "the key derivation").map_err(malformed)?;
    let encryption = fields.expect(SEQUENCE, "the cipher").map_err(malformed)?;
    let (name, mut vector) = identified(&encryption).map_err(malformed)?;
    let cipher = CIPHERS.iter().find(|entry| entry.0 == name).map(|entry| entry.1).ok_or_else(|| unsupported(&name))?;
    let vector = vector.expect(OCTET_STRING, "the initial vector").map_err(malformed)?.value;
    if vector.len() != cipher.block_length() {
        return Err(KeyError::Rejected("the initial vector of its encryption has a wrong length".into()));
    }
    let key = derive(&derivation, Some(cipher.key_length()), &password.text, work)?;
    cipher.decrypt(&key, vector, ciphertext)
}

const CIPHERS: [(&str, Cipher); 5] = [
    ("2.16.840.1.101.3.4.1.2", Cipher::Aes128),
    ("2.16.840.1.101.3.4.1.22", Cipher::Aes192),
    ("2.16.840.1.101.3.4.1.42", Cipher::Aes256),
    ("1.2.840.113549.3.7", Cipher::TripleDes),
    ("1.3.14.3.2.7", Cipher::Des),
];

/// A key by the AlgorithmIdentifier of PBKDF2 or scrypt. Without a length, the parameters must state one.
pub fn derive(
    derivation: &Tlv<'_>,
    length: Option<usize>,
    password: &[u8],
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (name, mut parameters) = identified(derivation).map_err(malformed)?;
    let is_scrypt = match name.as_ref() {
        PBKDF2 => false,
        SCRYPT => true,
        other => return Err(unsupported(other)),
    };
    let fields = parameters.expect(SEQUENCE, "the parameters of the key derivation").map_err(malformed)?.contents();
    let parameters = if is_scrypt { read_scrypt(fields) } else { read_pbkdf2(fields) }.map_err(malformed)?;
    let length = match (length, parameters.key_length) {
        (Some(length), Some(stated)) if stated != length as u64 => {
            return Err(KeyError::Rejected("the lengths of its key contradict each other".into()));
        }
        (Some(length), _) => length,
        (None, Some(stated @ 16..=64)) => usize::try_from(stated).unwrap_or(64),
        (None, _) => return Err(KeyError::Rejected("its key derivation states no usable length".into())),
    };
    match parameters.function {
        Function::Scrypt(numbers) => derivation::scrypt(&numbers, password, parameters.salt, length, work),
        Function::Pbkdf2 { rounds, hash } => {
            let (_, algorithm, hash_length) =
                PSEUDO_RANDOM_FUNCTIONS.iter().find(|entry| entry.0 == hash).ok_or_else(|| unsupported(&hash))?;
            derivation::pbkdf2(*algorithm, *hash_length, password, parameters.salt, rounds, length, work)
        }
    }
}

struct DerivationParameters<'a> {
    salt: &'a [u8],
    key_length: Option<u64>,
    function: Function,
}

enum Function {
    Pbkdf2 { rounds: u64, hash: Cow<'static, str> },
    Scrypt(ScryptParameters),
}

const HMAC_SHA1: &str = "1.2.840.113549.2.7";

static PSEUDO_RANDOM_FUNCTIONS: [(&str, pbkdf2::Algorithm, usize); 4] = [
    (HMAC_SHA1, pbkdf2::PBKDF2_HMAC_SHA1, 20),
    ("1.2.840.113549.2.9", pbkdf2::PBKDF2_HMAC_SHA256, 32),
    ("1.2.840.113549.2.10", pbkdf2::PBKDF2_HMAC_SHA384, 48),
    ("1.2.840.113549.2.11", pbkdf2::PBKDF2_HMAC_SHA512, 64),
];

/// RFC 8018, A.2.
fn read_pbkdf2(mut fields: Reader<'_>) -> Result<DerivationParameters<'_>, DerError> {
    let salt = fields.expect(OCTET_STRING, "the salt")?.value;
    let rounds = fields.expect(INTEGER, "the rounds")?.small_unsigned("the rounds")?;
    let key_length = optional_number(&mut fields, "the key length")?;
    let hash = match fields.optional(SEQUENCE)? {
        Some(function) => identified(&function)?.0,
        None => HMAC_SHA1.into(),
    };
    Ok(DerivationParameters { salt, key_length, function: Function::Pbkdf2 { rounds, hash } })
}

/// RFC 7914, 7.
fn read_scrypt(mut fields: Reader<'_>) -> Result<DerivationParameters<'_>, DerError> {
    let salt = fields.expect(OCTET_STRING, "the salt")?.value;
    let mut number = |what| fields.expect(INTEGER, what)?.small_unsigned(what);
    let (cost, block_size, parallelization) = (number("N")?, number("r")?, number("p")?);
    let key_length = optional_number(&mut fields, "the key length")?;
    let numbers = ScryptParameters { cost, block_size, parallelization };
    Ok(DerivationParameters { salt, key_length, function: Function::Scrypt(numbers) })
}

fn optional_number(fields: &mut Reader<'_>, what: &'static str) -> Result<Option<u64>, DerError> {
    fields.optional(INTEGER)?.map(|number| number.small_unsigned(what)).transpose()
}

fn pbes1(
    hash: Pbkdf1Hash,
    parameters: Reader<'_>,
    ciphertext: &[u8],
    password: &Password,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (salt, rounds) = salt_and_rounds(parameters).map_err(malformed)?;
    let derived = derivation::pbkdf1(hash, &password.text, salt, rounds, work)?;
    let (key, vector) = derived.split_at_checked(8).ok_or(KeyError::Library("derive a key"))?;
    Cipher::Des.decrypt(key, vector, ciphertext)
}

fn pkcs12(
    cipher: Cipher,
    parameters: Reader<'_>,
    ciphertext: &[u8],
    password: &Password,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let (salt, rounds) = salt_and_rounds(parameters).map_err(malformed)?;
    let mut derive =
        |purpose, length| derivation::pkcs12(&SHA1_FOR_LEGACY_USE_ONLY, password, salt, purpose, rounds, length, work);
    let key = derive(Purpose::Encryption, cipher.key_length())?;
    let vector = derive(Purpose::InitialVector, cipher.block_length())?;
    cipher.decrypt(&key, &vector, ciphertext)
}

fn salt_and_rounds(mut parameters: Reader<'_>) -> Result<(&[u8], u64), DerError> {
    let mut fields = parameters.expect(SEQUENCE, "the parameters of the encryption")?.contents();
    let salt = fields.expect(OCTET_STRING, "the salt")?.value;
    Ok((salt, fields.expect(INTEGER, "the rounds")?.small_unsigned("the rounds")?))
}

/// The OID of an AlgorithmIdentifier, and its parameters; a NULL is as good as none.
pub fn identified<'a>(algorithm: &Tlv<'a>) -> Result<(Cow<'static, str>, Reader<'a>), DerError> {
    let mut fields = algorithm.contents();
    let name = fields.expect(OBJECT_IDENTIFIER, "an algorithm")?.object_identifier()?;
    fields.optional(NULL)?;
    Ok((name, fields))
}

fn malformed(error: DerError) -> KeyError {
    KeyError::Rejected(format!("its encryption is malformed: {error}"))
}

pub fn unsupported(dotted: &str) -> KeyError {
    let name = UNSUPPORTED.iter().find(|entry| entry.0 == dotted).map_or(dotted, |entry| entry.1);
    KeyError::UnsupportedEncryption(name.to_owned())
}

/// What people may well come with, and is not read.
const UNSUPPORTED: [(&str, &str); 12] = [
    ("1.2.840.113549.1.5.1", "PBE with MD2 and DES"),
    ("1.2.840.113549.1.5.4", "PBE with MD2 and RC2"),
    ("1.2.840.113549.1.5.6", "PBE with MD5 and RC2"),
    ("1.2.840.113549.1.5.11", "PBE with SHA-1 and RC2"),
    ("1.2.840.113549.1.12.1.1", "PBE with SHA-1 and RC4"),
    ("1.2.840.113549.1.12.1.2", "PBE with SHA-1 and 40-bit RC4"),
    ("1.2.840.113549.2.8", "PBKDF2 with HMAC-SHA-224"),
    ("1.2.840.113549.3.2", "RC2 in PBES2"),
    ("2.16.840.1.101.3.4.1.6", "AES-128 in GCM mode"),
    ("2.16.840.1.101.3.4.1.46", "AES-256 in GCM mode"),
    ("1.2.392.200011.61.1.1.1.2", "Camellia-128"),
    ("1.2.392.200011.61.1.1.1.4", "Camellia-256"),
];

#[cfg(test)]
mod tests;
