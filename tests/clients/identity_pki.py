"""Certificates that somebody else issued, all by the openssl command line: a root, an intermediate, leaves; and one
private key in every form that people hold it in."""

import base64
import functools
import pathlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass

import csr
import der
from test_expiry import LIBFAKETIME

PASSPHRASE = "correct horse, battery"
CLIENT = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=clientAuth",
          "subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid")
SERVER = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth",
          "subjectAltName=DNS:localhost,IP:127.0.0.1")
AUTHORITY = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign", "subjectKeyIdentifier=hash")
OLD = ("-provider", "legacy", "-provider", "default")


@dataclass(frozen=True)
class Held:
    """A certificate with its key, in PEM, and the certificates above it without the root."""

    certificate: str
    key: str
    chain: str = ""
    root: str = ""

    @property
    def whole_chain(self):
        return self.certificate + self.chain


def openssl(*arguments, files=None, after=None, environment=None):
    """Runs openssl in a folder that holds `files` and gives what it printed, or the file named `after`."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (files or {}).items():
            pathlib.Path(folder, name).write_bytes(content if isinstance(content, bytes) else content.encode())
        done = subprocess.run(["openssl", *map(str, arguments)], cwd=folder, capture_output=True, timeout=120,
                              env=environment, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stdout!r}{done.stderr.decode()}"
        return pathlib.Path(folder, after).read_bytes() if after else done.stdout


@functools.cache
def key_of(kind, owner="client"):
    """One private key per kind, owner and run."""
    return openssl("genpkey", "-algorithm", *csr.KEY_OPTIONS[kind]).decode()


def self_signed(subject="/CN=Partner Root", kind="p256", extensions=AUTHORITY, days=365, key=None):
    options = [option for text in extensions for option in ("-addext", text)]
    key = key or key_of(kind, subject)
    # The configuration is empty, so that only these extensions are in it.
    certificate = openssl("req", "-x509", "-config", "empty", "-key", "key", "-utf8", "-subj", subject, "-days", days,
                          *options, files={"key": key, "empty": "[req]\ndistinguished_name=dn\n[dn]\n"})
    return Held(certificate.decode(), key)


def issued(issuer, subject, kind="p256", extensions=CLIENT, days=365, at=None, key=None):
    """A certificate under `issuer`, made `at` so many days from now by the clock that openssl sees."""
    key = key or key_of(kind)
    request = openssl("req", "-new", "-utf8", "-key", "key", "-subj", subject, files={"key": key})
    environment = None
    if at is not None:
        assert LIBFAKETIME, "libfaketime is missing; tests/run installs it"
        environment = {"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(LIBFAKETIME), "FAKETIME": f"{at:+}d"}
    certificate = openssl(
        "x509", "-req", "-in", "request", "-CA", "issuer", "-CAkey", "issuer.key", "-days", days, "-extfile",
        "extensions", "-set_serial", f"0x{serial()}", environment=environment,
        files={"request": request, "issuer": issuer.certificate, "issuer.key": issuer.key,
               "extensions": "\n".join(extensions) + "\n"})
    above = issuer.certificate + issuer.chain if issuer.root else ""
    return Held(certificate.decode(), key, above, issuer.root or issuer.certificate)


def serial():
    return subprocess.run(["openssl", "rand", "-hex", "16"], capture_output=True, text=True, check=True).stdout.strip()


@functools.cache
def root():
    return self_signed("/O=Partner/CN=Partner Root", "p384")


@functools.cache
def intermediate():
    return issued(root(), "/O=Partner/CN=Partner Issuing", extensions=AUTHORITY, key=key_of("rsa2048", "issuing"))


@functools.cache
def client(kind="p256", name="client"):
    """A client certificate under the intermediate; one per kind, name and run."""
    return issued(intermediate(), f"/O=Partner/CN={name}", kind)


@functools.cache
def server():
    """What servers on loopback show."""
    return issued(intermediate(), "/CN=localhost", extensions=SERVER, key=key_of("p256", "server"))


def openssl_verify(certificates, roots):
    """`certificates` with the leaf first, judged by openssl as a TLS server judges its clients."""
    leaf, *above = split(certificates)
    said = openssl("verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", "roots", "-untrusted", "above", "leaf",
                   files={"roots": roots, "above": "".join(above) or roots, "leaf": leaf})
    assert b"leaf: OK" in said, said


def split(pem):
    """The certificates of a PEM text, one by one."""
    end = "-----END CERTIFICATE-----\n"
    return [part + end for part in pem.split(end) if part.strip()]


def pkcs12(held, *options, passphrase=PASSPHRASE, chain=True):
    above = ["-certfile", "chain"] if chain and held.chain else []
    return openssl("pkcs12", "-export", "-inkey", "key", "-in", "leaf", *above, "-passout", f"pass:{passphrase}",
                   "-name", "client", *options, files={"key": held.key, "leaf": held.certificate, "chain": held.chain})


def keytool(*arguments, files=None, after="out"):
    """Runs Java's keytool as `openssl` above runs openssl."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (files or {}).items():
            pathlib.Path(folder, name).write_bytes(content)
        done = subprocess.run(
            ["keytool", "-J-XX:TieredStopAtLevel=1", "-J-Dfile.encoding=UTF-8", *arguments], cwd=folder,
            capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return pathlib.Path(folder, after).read_bytes()


def java_store(held, kind):
    """A key store that Java's keytool wrote: what openssl exported, taken in and written anew."""
    assert shutil.which("keytool"), "keytool is missing; tests/run installs it"
    return keytool(
        "-importkeystore", "-noprompt", "-srckeystore", "in", "-srcstoretype", "PKCS12", "-srcstorepass", PASSPHRASE,
        "-destkeystore", "out", "-deststoretype", kind, "-deststorepass", PASSPHRASE, files={"in": pkcs12(held)})


def encode(file):
    """A PKCS#12 file as uploads hold it."""
    return base64.b64encode(file).decode()


def with_rounds(encoded, before, after):
    """The same DER with every INTEGER `before` replaced, also inside OCTET STRINGs: so it asks for other rounds."""
    if encoded == der.integer(before):
        return der.integer(after)
    content = der.content(encoded)
    if encoded[0] & 0x20 and (members := _members(encoded)):
        return der.tlv(encoded[0], *(with_rounds(member, before, after) for member in members))
    if encoded[0] == 0x04 and content[:1] == b"\x30" and _members(content):
        return der.tlv(0x04, with_rounds(content, before, after))
    return encoded


def _members(encoded):
    """The members of a constructed value; none if the bytes only look like one, as encrypted ones now and then do."""
    try:
        members = der.split(encoded)
    except IndexError:
        return []
    return members if der.tlv(encoded[0], *members) == encoded else []


# The forms of a private key: each takes PKCS#8 in PEM and gives the same key in PEM.


def _converted(*arguments):
    return lambda key: openssl(*arguments, "-in", "key", files={"key": key}).decode()


def _pkcs8(*options):
    return _converted("pkcs8", "-topk8", "-passout", f"pass:{PASSPHRASE}", *options)


def _traditional(program, *options):
    return _converted(program, *options, "-passout", f"pass:{PASSPHRASE}")


def _sec1_with_parameters(key):
    shown = openssl("pkey", "-in", "key", "-noout", "-text", files={"key": key}).decode()
    curve = shown.partition("ASN1 OID: ")[2].split()[0]
    return openssl("ecparam", "-name", curve).decode() + _converted("ec")(key)


PLAIN_FORMS = {
    "PKCS#8": lambda key: key,
    "PKCS#1": _converted("rsa", "-traditional"),
    "SEC1": _converted("ec"),
    "SEC1 with EC PARAMETERS": _sec1_with_parameters,
}
ENCRYPTED_FORMS = {
    "PBES2 aes256": _pkcs8("-v2", "aes-256-cbc"),
    "PBES2 aes128 sha512": _pkcs8("-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"),
    "PBES2 des3 sha1": _pkcs8("-v2", "des3", "-v2prf", "hmacWithSHA1"),
    "PBES2 scrypt": _pkcs8("-scrypt"),
    "PBES1 3DES": _pkcs8("-v1", "PBE-SHA1-3DES"),
    "PBES1 RC2": _pkcs8("-v1", "PBE-SHA1-RC2-40", *OLD),
    "PBES1 MD5 DES": _pkcs8("-v1", "PBE-MD5-DES", *OLD),
    "RSA traditional aes128": _traditional("rsa", "-traditional", "-aes128"),
    "RSA traditional aes256": _traditional("rsa", "-traditional", "-aes256"),
    "RSA traditional des3": _traditional("rsa", "-traditional", "-des3"),
    "EC traditional aes256": _traditional("ec", "-aes256"),
    "EC traditional des3": _traditional("ec", "-des3"),
}


PKCS12_FORMS = {
    "modern": [],
    "legacy": ["-legacy"],
    "without MAC": ["-nomac"],
    "AES-128 and SHA-1 MAC": ["-keypbe", "AES-128-CBC", "-certpbe", "AES-128-CBC", "-macalg", "sha1"],
    "SHA-512 MAC": ["-macalg", "sha512"],
    "triple DES": ["-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"],
    "certificates in the clear": ["-certpbe", "NONE"],
    "everything in the clear": ["-certpbe", "NONE", "-keypbe", "NONE"],
}


def fits(form, kind):
    """Whether keys of this kind exist in this form."""
    if form == "PKCS#1" or form.startswith("RSA"):
        return kind.startswith("rsa")
    if form.startswith(("SEC1", "EC")):
        return kind.startswith("p")
    return True
