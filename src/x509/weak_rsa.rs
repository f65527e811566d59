//! RSA moduli that can be factored although they are long enough. The list is that of Boulder's goodkey package; all
//! of it together costs some tens of microseconds.

use std::fmt;
use std::sync::LazyLock;

use num_bigint::BigUint;

/// Why a modulus is weak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weakness {
    /// A prime below 752 divides it.
    SmallFactor(u32),
    /// Its primes lie so close together that Fermat's method finds them.
    ClosePrimes,
    /// The fingerprint of the ROCA weakness (CVE-2017-15361) of Infineon's key generation.
    Roca,
}

/// Judges a modulus. Numbers of up to 8192 bits are cheap; the caller bounds them.
pub fn weakness(modulus: &BigUint) -> Option<Weakness> {
    let residues = residues(modulus);
    if let Some((prime, _)) = residues.iter().find(|(_, residue)| *residue == 0) {
        return Some(Weakness::SmallFactor(*prime));
    }
    if has_roca_fingerprint(&residues) {
        return Some(Weakness::Roca);
    }
    has_close_primes(modulus).then_some(Weakness::ClosePrimes)
}

impl fmt::Display for Weakness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SmallFactor(prime) => write!(formatter, "the RSA modulus is divisible by {prime}; make a new key"),
            Self::ClosePrimes => formatter.write_str("the RSA key's primes are too close together; make a new key"),
            Self::Roca => {
                formatter.write_str("the RSA key has the ROCA weakness (CVE-2017-15361); make a new key elsewhere")
            }
        }
    }
}

const SMALL_PRIME_BOUND: u32 = 752;

/// The last prime of the ROCA fingerprint; 2 tells nothing of odd moduli.
const LAST_ROCA_PRIME: u32 = 167;

/// Boulder's number.
const FERMAT_ROUNDS: u32 = 110;

static SMALL_PRIMES: LazyLock<Vec<u32>> = LazyLock::new(|| {
    let is_prime = |number: &u32| {
        (2..*number).take_while(|divisor| divisor * divisor <= *number).all(|divisor| !number.is_multiple_of(divisor))
    };
    (2..SMALL_PRIME_BOUND).filter(is_prime).collect()
});

/// As many primes as fit into a product of 64 bits, so that the long division is done once for all of them.
static PRIME_GROUPS: LazyLock<Vec<(u64, Vec<u32>)>> = LazyLock::new(|| {
    let mut groups: Vec<(u64, Vec<u32>)> = Vec::new();
    for prime in SMALL_PRIMES.iter().copied() {
        match groups.last_mut() {
            Some((product, primes)) if product.checked_mul(prime.into()).is_some() => {
                *product *= u64::from(prime);
                primes.push(prime);
            }
            _ => groups.push((prime.into(), vec![prime])),
        }
    }
    groups
});

/// For each prime of the fingerprint, whether a residue is a power of 65537.
static ROCA_RESIDUES: LazyLock<Vec<(u32, Vec<bool>)>> = LazyLock::new(|| {
    let primes = SMALL_PRIMES.iter().copied().filter(|prime| (3..=LAST_ROCA_PRIME).contains(prime));
    primes
        .map(|prime| {
            let powers: Vec<u32> = std::iter::successors(Some(1), |power| Some(power * (65_537 % prime) % prime))
                .take(prime as usize)
                .collect();
            (prime, (0..prime).map(|residue| powers.contains(&residue)).collect())
        })
        .collect()
});

/// The modulus modulo each small prime.
fn residues(modulus: &BigUint) -> Vec<(u32, u32)> {
    let of_group = |(product, primes): &(u64, Vec<u32>)| {
        let rest = low_word(&(modulus % *product));
        let residue = move |prime: &u32| u32::try_from(rest % u64::from(*prime)).unwrap_or(0);
        primes.iter().map(|prime| (*prime, residue(prime))).collect::<Vec<_>>()
    };
    PRIME_GROUPS.iter().flat_map(of_group).collect()
}

/// Moduli of the flawed generator are powers of 65537 modulo all these primes; others are by a chance of 2⁻²⁷.
fn has_roca_fingerprint(residues: &[(u32, u32)]) -> bool {
    ROCA_RESIDUES.iter().all(|(prime, is_power)| {
        let residue = residues.iter().find(|entry| entry.0 == *prime).map_or(0, |entry| entry.1);
        is_power.get(residue as usize).copied().unwrap_or(false)
    })
}

/// Fermat's method: with p and q close, (p+q)/2 is just above the root of the modulus n, and a² − n is a square.
fn has_close_primes(modulus: &BigUint) -> bool {
    let root = modulus.sqrt();
    if &root * &root == *modulus {
        return true;
    }
    let mut a = root + 1u8;
    let mut difference = &a * &a - modulus;
    let end = &a + FERMAT_ROUNDS;
    while a < end {
        if is_square(&difference) {
            return true;
        }
        difference += (&a << 1u8) + 1u8;
        a += 1u8;
    }
    false
}

/// The residues filter out all but one of a thousand numbers before the root is drawn.
fn is_square(number: &BigUint) -> bool {
    const MODULI: [u64; 7] = [63, 65, 11, 17, 19, 23, 31];
    const PRODUCT: u64 = 63 * 65 * 11 * 17 * 19 * 23 * 31;
    if !is_square_residue(low_word(number) % 64, 64) {
        return false;
    }
    let rest = low_word(&(number % PRODUCT));
    if !MODULI.iter().all(|modulus| is_square_residue(rest % modulus, *modulus)) {
        return false;
    }
    let root = number.sqrt();
    &root * &root == *number
}

fn is_square_residue(residue: u64, modulus: u64) -> bool {
    (0..modulus).any(|root| root * root % modulus == residue)
}

fn low_word(number: &BigUint) -> u64 {
    number.iter_u64_digits().next().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    /// The first odd number from `start` on that no small prime divides.
    fn without_small_factors(start: BigUint) -> BigUint {
        let mut number = start | BigUint::from(1u8);
        while residues(&number).iter().any(|(_, residue)| *residue == 0) {
            number += 2u8;
        }
        number
    }

    #[test]
    fn an_ordinary_modulus_is_not_weak() {
        assert_eq!(weakness(&testing::rsa_modulus()), None);
    }

    #[test]
    fn small_factors_are_named() {
        let large = without_small_factors(BigUint::from(1u8) << 2040u32);
        for prime in [2u32, 3, 751] {
            assert_eq!(weakness(&(&large * prime)), Some(Weakness::SmallFactor(prime)));
        }
        assert_eq!(SMALL_PRIMES.last(), Some(&751));
    }

    #[test]
    fn close_primes_are_found() {
        let p = without_small_factors(BigUint::from(0xb5u8) << 1016u32);
        let q = without_small_factors(&p + 1_000_000u32);
        assert_eq!(weakness(&(&p * &q)), Some(Weakness::ClosePrimes));
        assert_eq!(weakness(&(&p * &p)), Some(Weakness::ClosePrimes));
    }

    #[test]
    fn close_primes_are_found_in_the_hundredth_round() {
        // p·q = a² − b² with a = (p+q)/2; the rounds needed are a − √(p·q), about b²/2a.
        let a = BigUint::from(1u8) << 200u32;
        let b = (&a * 200u8).sqrt();
        let modulus = (&a - &b) * (&a + &b);
        let rounds = &a - modulus.sqrt();
        assert_eq!(rounds, BigUint::from(100u8));
        assert!(has_close_primes(&modulus));
        let b = (&a * 1000u32).sqrt();
        assert!(!has_close_primes(&((&a - &b) * (&a + &b))));
    }

    #[test]
    fn distant_factors_are_not_close() {
        let p = without_small_factors(BigUint::from(0xb5u8) << 1016u32);
        let q = without_small_factors(BigUint::from(0xd1u8) << 1016u32);
        assert_eq!(weakness(&(p * q)), None);
    }

    #[test]
    fn the_roca_fingerprint_is_found() {
        // The flawed generator: primes of the form k·M + (65537^a mod M), M the product of the first primes.
        let product: BigUint =
            SMALL_PRIMES.iter().filter(|prime| **prime <= LAST_ROCA_PRIME).map(|p| BigUint::from(*p)).product();
        let factor = |k: u32, a: u32| (&product << k) + BigUint::from(65_537u32).modpow(&a.into(), &product);
        let modulus = factor(750, 12_345) * factor(770, 67_890);
        assert!(has_roca_fingerprint(&residues(&modulus)));
        assert!(!has_roca_fingerprint(&residues(&testing::rsa_modulus())));
        assert!(!has_roca_fingerprint(&residues(&(modulus + 2u8))));
    }

    #[test]
    fn roca_residues_are_those_of_the_published_detector() {
        // The first bit masks of the detector by the discoverers of ROCA: 6, 30, 126, 1026, 5658, 107286.
        let mask = |index: usize| {
            let residues = &ROCA_RESIDUES[index].1;
            residues.iter().enumerate().filter(|(_, is_power)| **is_power).map(|(bit, _)| 1u64 << bit).sum::<u64>()
        };
        assert_eq!((0..6).map(mask).collect::<Vec<_>>(), [6, 30, 126, 1026, 5658, 107_286]);
        assert_eq!(ROCA_RESIDUES.len(), 38);
    }
}
