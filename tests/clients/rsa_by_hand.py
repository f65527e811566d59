"""RSA keys that no library makes or loads: weak on purpose, signed with plain arithmetic."""

import hashlib
import math
import secrets

from der import bit_string, integer, null, oid, sequence

SHA256_WITH_RSA = sequence(oid("1.2.840.113549.1.1.11"), null())
SHA256_DIGEST_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


class RsaKey:
    def __init__(self, p, q, e=65537):
        self.n, self.e = p * q, e
        self.d = pow(e, -1, math.lcm(p - 1, q - 1))

    def spki(self):
        key = sequence(integer(self.n), integer(self.e))
        return sequence(sequence(oid("1.2.840.113549.1.1.1"), null()), bit_string(key))

    def sign(self, data):
        """PKCS#1 v1.5 with SHA-256."""
        size = (self.n.bit_length() + 7) // 8
        info = SHA256_DIGEST_INFO + hashlib.sha256(data).digest()
        padded = b"\x00\x01" + b"\xff" * (size - 3 - len(info)) + b"\x00" + info
        return pow(int.from_bytes(padded, "big"), self.d, self.n).to_bytes(size, "big")


def roca():
    """Both primes of the form k*M + (65537^a mod M), as the Infineon library made them (CVE-2017-15361)."""
    primorial = math.prod(small_primes(701))  # the 126 primes used for 2048-bit keys

    def prime():
        while True:
            k = secrets.randbits(1023 - primorial.bit_length()) | 1 << (1023 - primorial.bit_length())
            candidate = k * primorial + pow(65537, secrets.randbelow(1 << 64), primorial)
            if candidate.bit_length() == 1024 and is_prime(candidate):
                return candidate

    while True:
        key = RsaKey(prime(), prime())
        if key.n.bit_length() == 2048:
            return key


def close_primes(distance):
    """Primes so near to each other that Fermat's method finds them in a few rounds."""
    p = next_prime((3 << 1022) + secrets.randbits(1020))
    return RsaKey(p, next_prime(p + distance))


def small_factor(factor=251):
    return RsaKey(factor, next_prime((1 << 2047) // factor + secrets.randbits(2000)))


def exponent(e, bits=2048):
    half = bits // 2
    while True:
        p, q = (next_prime((3 << (half - 2)) + secrets.randbits(half - 2)) for _ in range(2))
        if math.gcd(e, (p - 1) * (q - 1)) == 1:
            return RsaKey(p, q, e)


def small_primes(limit):
    return [n for n in range(2, limit + 1) if all(n % d for d in range(2, math.isqrt(n) + 1))]


SIEVE = small_primes(2000)


def is_prime(n):
    if any(n % prime == 0 for prime in SIEVE):
        return False
    odd, twos = n - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    return all(_witness_passes(n, odd, twos, secrets.randbelow(n - 3) + 2) for _ in range(8))


def _witness_passes(n, odd, twos, base):
    x = pow(base, odd, n)
    if x in (1, n - 1):
        return True
    for _ in range(twos - 1):
        x = x * x % n
        if x == n - 1:
            return True
    return False


def next_prime(start):
    candidate = start | 1
    while not is_prime(candidate):
        candidate += 2
    return candidate
