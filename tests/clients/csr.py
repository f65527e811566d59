"""Keys and requests: by the openssl command line, by `cryptography`, and by hand where both refuse."""

import functools
import pathlib
import subprocess
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import der
import rsa_by_hand

KEY_OPTIONS = {
    "rsa1024": ["RSA", "-pkeyopt", "rsa_keygen_bits:1024"],
    "rsa2048": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"],
    "rsa3072": ["RSA", "-pkeyopt", "rsa_keygen_bits:3072"],
    "rsa4096": ["RSA", "-pkeyopt", "rsa_keygen_bits:4096"],
    "p224": ["EC", "-pkeyopt", "ec_paramgen_curve:secp224r1"],
    "p256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "p384": ["EC", "-pkeyopt", "ec_paramgen_curve:P-384"],
    "p521": ["EC", "-pkeyopt", "ec_paramgen_curve:P-521"],
    "secp256k1": ["EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"],
    "ed25519": ["ED25519"],
    "ed448": ["ED448"],
}
REQUEST_KEY_TYPES = ["rsa2048", "rsa4096", "p256", "p384", "p521", "ed25519"]
ECDSA_WITH_SHA256 = der.sequence(der.oid("1.2.840.10045.4.3.2"))


def openssl(*arguments, stdin=None, check=True):
    done = subprocess.run(["openssl", *map(str, arguments)], input=stdin, capture_output=True, timeout=120)
    if check:
        assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    return done


@functools.cache
def key_pem(kind):
    """One private key per kind and run: tests differ in what they sign, not in keys."""
    if kind == "dsa":
        parameters = openssl("genpkey", "-genparam", "-algorithm", "DSA", "-pkeyopt", "dsa_paramgen_bits:2048").stdout
        with tempfile.NamedTemporaryFile() as file:
            file.write(parameters)
            file.flush()
            return openssl("genpkey", "-paramfile", file.name).stdout
    return openssl("genpkey", "-algorithm", *KEY_OPTIONS[kind]).stdout


@functools.cache
def by_openssl(kind="p256", subject="/CN=device-0001", digest=None, sans=None, extensions=()):
    """A PEM request by `openssl req`; `sans` and `extensions` as `-addext` takes them."""
    with tempfile.TemporaryDirectory() as folder:
        key = pathlib.Path(folder, "key.pem")
        key.write_bytes(key_pem(kind))
        options = [f"-{digest}"] if digest else []
        for text in ([f"subjectAltName={sans}"] if sans else []) + list(extensions):
            options += ["-addext", text]
        return openssl("req", "-new", "-utf8", "-key", key, "-subj", subject, *options).stdout.decode()


def fresh():
    """A request with a key of its own: for tests that report a key as compromised, which no other test may share."""
    return openssl(
        "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "/dev/null",
        "-subj", "/CN=device-0001").stdout.decode()


def by_hand(subject, *attributes, version=0, signed=None):
    """A P-256 request with any subject and attributes; `signed` replaces the bytes that are signed."""
    key = serialization.load_pem_private_key(key_pem("p256"), None)
    info = der.request_info(subject, spki_of(key.public_key()), *attributes, version=version)
    signature = key.sign(signed or info, ec.ECDSA(hashes.SHA256()))
    return der.request(info, ECDSA_WITH_SHA256, signature)


def by_rsa(key):
    """A request with a key of `rsa_by_hand`."""
    info = der.request_info(der.name(("CN", "weak")), key.spki())
    return der.pem(der.request(info, rsa_by_hand.SHA256_WITH_RSA, key.sign(info)))


def with_extensions(*extensions, subject=None):
    return der.pem(by_hand(subject or der.name(("CN", "device-0001")), der.extension_request(*extensions)))


def with_sans(names, subject=None):
    """A request with DNS names by `cryptography`."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)] if subject else []))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(n) for n in names]), critical=False)
    key = serialization.load_pem_private_key(key_pem("p256"), None)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def spki_of(public_key):
    return public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def der_of(pem):
    return x509.load_pem_x509_csr(pem.encode()).public_bytes(serialization.Encoding.DER)


def subject_der(csr_pem):
    return x509.load_pem_x509_csr(csr_pem.encode()).subject.public_bytes()
