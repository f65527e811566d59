//! The limits of the machine that figures are compared to, measured in the same run.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    UnparsedPublicKey,
};

use super::Outcome;

/// About as long as what is signed in a request, for a certificate and for an OCSP answer.
const REQUEST: [u8; 200] = [7; 200];
const CERTIFICATE: [u8; 700] = [7; 700];
const OCSP_ANSWER: [u8; 250] = [7; 250];
/// Different keys, as in real requests: none stays prepared.
const KEYS: usize = 256;
/// A page of a database.
const PAGE: [u8; 4096] = [7; 4096];
const PAGES: u64 = 1024;

/// How many P-256 signatures a core makes in a second.
pub fn signatures(time: Duration) -> Outcome<f64> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
    repeat(time, || Ok(key.sign(&random, &OCSP_ANSWER).map(|_| ())?))
}

/// How many times in a second a core verifies the signature of a request and signs a certificate, both P-256: what no
/// issuance can do without.
pub fn pairs(time: Duration) -> Outcome<f64> {
    let random = SystemRandom::new();
    let authority = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
    let mut verify = verification()?;
    repeat(time, || {
        verify()?;
        Ok(authority.sign(&random, &CERTIFICATE).map(|_| ())?)
    })
}

/// The same with an authority whose key is RSA-2048.
pub fn rsa_pairs(time: Duration) -> Outcome<f64> {
    let random = SystemRandom::new();
    let authority = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let mut signature = vec![0; authority.public_modulus_len()];
    let mut verify = verification()?;
    repeat(time, || {
        verify()?;
        Ok(authority.sign(&RSA_PKCS1_SHA256, &random, &CERTIFICATE, &mut signature)?)
    })
}

/// How many times in a second one page is written in this folder and brought to the disk.
pub fn syncs(folder: &Path, time: Duration) -> Outcome<f64> {
    let path = folder.join("syncs");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&path)?;
    // Written over later: a file that grows costs a sync of its length too.
    for _ in 0..PAGES {
        file.write_all(&PAGE)?;
    }
    file.sync_all()?;
    let mut number = 0;
    let rate = each(time, || {
        number = (number + 1) % PAGES;
        file.seek(SeekFrom::Start(number * PAGE.len() as u64))?;
        file.write_all(&PAGE)?;
        Ok(file.sync_data()?)
    });
    std::fs::remove_file(path)?;
    rate
}

/// Verifies, in turn, what different keys signed.
fn verification() -> Outcome<impl FnMut() -> Outcome<()>> {
    let random = SystemRandom::new();
    let mut signed = Vec::with_capacity(KEYS);
    for _ in 0..KEYS {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)?;
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.public_key().as_ref().to_vec());
        signed.push((public, key.sign(&random, &REQUEST)?));
    }
    let mut number = 0;
    Ok(move || {
        number = (number + 1) % KEYS;
        let (public, signature) = signed.get(number).ok_or("there is no such key")?;
        Ok(public.verify(&REQUEST, signature.as_ref())?)
    })
}

/// How often it can be done in a second, looking at the clock now and then.
fn repeat(time: Duration, mut work: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let rate = each(time, || (0..20).try_for_each(|_| work()))?;
    Ok(rate * 20.0)
}

fn each(time: Duration, mut work: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let started = Instant::now();
    let mut count = 0_u32;
    while started.elapsed() < time {
        work()?;
        count += 1;
    }
    Ok(f64::from(count) / started.elapsed().as_secs_f64())
}
