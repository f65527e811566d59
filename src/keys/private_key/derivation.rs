//! Keys from passphrases: the derivations that keys and key stores in use are encrypted with.
//!
//! How often they go round is written in the file, by whoever sent it. So the rounds are counted, and refused, before
//! the first of them is done.

use std::num::NonZeroU32;

use aws_lc_rs::{digest, pbkdf2};
use md5::Digest;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use crate::keys::error::KeyError;

/// Some ten times of what password managers advise today.
pub const MAX_ROUNDS: u64 = 2_000_000;
/// For everything in one upload: some seconds of one core.
const TOTAL_ROUNDS: u64 = 5_000_000;
/// What `openssl pkcs8 -scrypt` takes is 16 MiB; 128·N·r octets.
pub const MAX_SCRYPT_MEMORY: u64 = 64 * 1024 * 1024;
/// N·r·p, to which the time is proportional.
pub const MAX_SCRYPT_WORK: u64 = 1 << 20;

/// What one upload may still cost.
pub struct Work {
    rounds: u64,
}

impl Default for Work {
    fn default() -> Self {
        Self { rounds: TOTAL_ROUNDS }
    }
}

impl Work {
    /// Takes the rounds for a derivation whose result needs this many blocks of the hash.
    fn take(&mut self, rounds: u64, blocks: usize) -> Result<NonZeroU32, KeyError> {
        if rounds > MAX_ROUNDS {
            return Err(too_costly(format!("it asks for {rounds} rounds; at most {MAX_ROUNDS} are done")));
        }
        self.spend(rounds.saturating_mul(blocks as u64))?;
        let rounds = u32::try_from(rounds).ok().and_then(NonZeroU32::new);
        rounds.ok_or_else(|| KeyError::Rejected("its encryption has no rounds".into()))
    }

    fn spend(&mut self, rounds: u64) -> Result<(), KeyError> {
        let left = self.rounds.checked_sub(rounds);
        self.rounds = left.ok_or_else(|| too_costly("its parts ask for too many rounds together".into()))?;
        Ok(())
    }
}

/// A passphrase in the two forms that are hashed.
pub struct Password {
    /// As PKCS#5 takes it: UTF-8.
    pub text: Zeroizing<Vec<u8>>,
    /// As PKCS#12 takes it: big-endian UTF-16 with two zero octets at the end (RFC 7292, B.1).
    pub utf_16: Zeroizing<Vec<u8>>,
}

impl Password {
    pub fn new(passphrase: &SecretString) -> Self {
        let text = passphrase.expose_secret();
        Self::with(text.as_bytes(), text.encode_utf16(), text.len())
    }

    /// The forms of a passphrase to be tried on PKCS#12, the likeliest first. An empty one is two zero octets to some
    /// programs and nothing to others; and OpenSSL before 1.1 took each octet of the UTF-8 for a character.
    pub fn forms(passphrase: &SecretString) -> Vec<Self> {
        let text = passphrase.expose_secret();
        let odd = match text {
            "" => Some(Self { text: Zeroizing::default(), utf_16: Zeroizing::default() }),
            ascii if ascii.is_ascii() => None,
            other => Some(Self::with(other.as_bytes(), other.bytes().map(u16::from), other.len())),
        };
        std::iter::once(Self::new(passphrase)).chain(odd).collect()
    }

    fn with(text: &[u8], units: impl Iterator<Item = u16>, most: usize) -> Self {
        let mut utf_16 = Zeroizing::new(Vec::with_capacity(2 * most + 2));
        units.for_each(|unit| utf_16.extend_from_slice(&unit.to_be_bytes()));
        utf_16.extend_from_slice(&[0, 0]);
        Self { text: Zeroizing::new(text.to_vec()), utf_16 }
    }
}

/// What a PKCS#12 key is for; part of what is hashed (RFC 7292, B.3).
#[derive(Clone, Copy)]
pub enum Purpose {
    Encryption = 1,
    InitialVector = 2,
    Mac = 3,
}

/// RFC 7292, appendix B.2.
pub fn pkcs12(
    algorithm: &'static digest::Algorithm,
    password: &Password,
    salt: &[u8],
    purpose: Purpose,
    rounds: u64,
    length: usize,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let rounds = work.take(rounds, length.div_ceil(algorithm.output_len()))?;
    let block = algorithm.block_len();
    let mut input = Zeroizing::new(Vec::with_capacity(salt.len() + password.utf_16.len() + 2 * block));
    for part in [salt, &password.utf_16] {
        input.extend(part.iter().cycle().take(block * part.len().div_ceil(block)));
    }
    let mut key = Zeroizing::new(Vec::with_capacity(length + algorithm.output_len()));
    loop {
        let mut context = digest::Context::new(algorithm);
        context.update(&vec![purpose as u8; block]);
        context.update(&input);
        let mut hash = context.finish();
        for _ in 1..rounds.get() {
            hash = digest::digest(algorithm, hash.as_ref());
        }
        key.extend_from_slice(hash.as_ref());
        if key.len() >= length {
            key.truncate(length);
            return Ok(key);
        }
        let addend: Vec<u8> = hash.as_ref().iter().copied().cycle().take(block).collect();
        input.chunks_exact_mut(block).for_each(|chunk| add_and_one(chunk, &addend));
    }
}

/// Big-endian numbers of the same length; what overflows is dropped.
fn add_and_one(number: &mut [u8], addend: &[u8]) {
    let mut carry = 1u16;
    for (octet, other) in number.iter_mut().zip(addend).rev() {
        carry += u16::from(*octet) + u16::from(*other);
        *octet = (carry & 0xff) as u8;
        carry >>= 8;
    }
}

/// RFC 8018, 5.2.
pub fn pbkdf2(
    algorithm: pbkdf2::Algorithm,
    hash_length: usize,
    password: &[u8],
    salt: &[u8],
    rounds: u64,
    length: usize,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let rounds = work.take(rounds, length.div_ceil(hash_length))?;
    let mut key = Zeroizing::new(vec![0; length]);
    pbkdf2::derive(algorithm, rounds, salt, password, &mut key);
    Ok(key)
}

/// The numbers of scrypt as they are written in the file.
pub struct ScryptParameters {
    pub cost: u64,
    pub block_size: u64,
    pub parallelization: u64,
}

/// RFC 7914.
pub fn scrypt(
    parameters: &ScryptParameters,
    password: &[u8],
    salt: &[u8],
    length: usize,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let ScryptParameters { cost, block_size, parallelization } = *parameters;
    let product = cost.saturating_mul(block_size);
    if product.saturating_mul(128) > MAX_SCRYPT_MEMORY || product.saturating_mul(parallelization) > MAX_SCRYPT_WORK {
        return Err(too_costly(format!(
            "it asks for scrypt with N={cost}, r={block_size}, p={parallelization}; at most 64 MiB (128·N·r) and N·r·p of {MAX_SCRYPT_WORK} are given"
        )));
    }
    let invalid = || KeyError::Rejected("its scrypt parameters are invalid".into());
    // RFC 7914, 2: N is a power of 2 above 1.
    if !cost.is_power_of_two() || cost < 2 {
        return Err(invalid());
    }
    work.spend(product.saturating_mul(parallelization))?;
    let logarithm = u8::try_from(cost.trailing_zeros()).map_err(|_| invalid())?;
    let number = |number: u64| u32::try_from(number).map_err(|_| invalid());
    let parameters = scrypt::Params::new(logarithm, number(block_size)?, number(parallelization)?);
    let mut key = Zeroizing::new(vec![0; length]);
    scrypt::scrypt(password, salt, &parameters.map_err(|_| invalid())?, &mut key).map_err(|_| invalid())?;
    Ok(key)
}

/// The hashes of PBES1.
#[derive(Clone, Copy)]
pub enum Pbkdf1Hash {
    Md5,
    Sha1,
}

/// RFC 8018, 5.1: sixteen octets, for a DES key and its initial vector.
pub fn pbkdf1(
    hash: Pbkdf1Hash,
    password: &[u8],
    salt: &[u8],
    rounds: u64,
    work: &mut Work,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let rounds = work.take(rounds, 1)?;
    let digest = |input: &[u8]| match hash {
        Pbkdf1Hash::Md5 => Zeroizing::new(md5::Md5::digest(input).to_vec()),
        Pbkdf1Hash::Sha1 => Zeroizing::new(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, input).as_ref().to_vec()),
    };
    let mut key = digest(&Zeroizing::new([password, salt].concat()));
    for _ in 1..rounds.get() {
        key = digest(&key);
    }
    key.truncate(16);
    Ok(key)
}

/// EVP_BytesToKey of OpenSSL with MD5 and one round: each hash goes over the one before, the password and the salt.
pub fn openssl_pem(password: &[u8], salt: &[u8], length: usize) -> Zeroizing<Vec<u8>> {
    let mut key = Zeroizing::new(Vec::with_capacity(length + 16));
    let mut hash = Zeroizing::new([0; 16]);
    while key.len() < length {
        let mut context = md5::Md5::new();
        if !key.is_empty() {
            context.update(hash.as_slice());
        }
        context.update(password);
        context.update(salt);
        *hash = context.finalize().into();
        key.extend_from_slice(hash.as_slice());
    }
    key.truncate(length);
    key
}

fn too_costly(why: String) -> KeyError {
    KeyError::TooCostly(why)
}
