"""Independent judges of bytes: openssl, GnuTLS and pkilint. Each raises with the tool's own words."""

import json
import pathlib
import subprocess
import sys

from der import pem

TOOLS = pathlib.Path(sys.executable).parent
# pkilint holds that a URI needs an authority; RFC 8141 names have none. The only known false alarm.
URN_UUID = "urn:uuid:"


def run(*command, stdin=None):
    done = subprocess.run([*map(str, command)], input=stdin, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


class Chain:
    """An authority's chain as files for the tools: root, issuing, both, and their CRLs."""

    def __init__(self, folder, api):
        self.folder = pathlib.Path(folder)
        issuing, root = api.authorities()
        self.issuing = self.write("issuing.pem", issuing["certificate"])
        self.root = self.write("root.pem", root["certificate"])
        self.bundle = self.write("bundle.pem", api.bundle().text)
        self.crls = self.write("crls.pem", api.chain_crls())
        self.issuing_crl = self.write("issuing-crl.pem", pem(api.crl_der(issuing["id"]), "X509 CRL"))
        self.root_crl = self.write("root-crl.pem", pem(api.crl_der(root["id"]), "X509 CRL"))

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def openssl_verify(self, *leaves, crls=False):
        revocation = ["-crl_check_all", "-CRLfile", self.crls] if crls else []
        said = run("openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile", self.root,
                   "-untrusted", self.issuing, *revocation, *leaves)
        assert said.count(": OK") == len(leaves), said

    def openssl_says_revoked(self, leaf):
        done = subprocess.run(
            ["openssl", "verify", "-crl_check_all", "-CRLfile", self.crls, "-CAfile", self.root,
             "-untrusted", self.issuing, leaf], capture_output=True, text=True, timeout=60)
        return done.returncode != 0 and "certificate revoked" in done.stdout + done.stderr

    def gnutls_verify(self, leaf):
        chain = self.write("chain.pem", "".join(p.read_text() for p in (leaf, self.issuing, self.root)))
        assert "The certificate is trusted" in run("certtool", "--verify-chain", "--infile", chain)
        run("certtool", "-i", "--infile", leaf)


def lint_certificate(path):
    _lint("lint_pkix_cert", "lint", "-s", "ERROR", "-f", "JSON", path)


def lint_pair(issuer, subject):
    _lint("lint_pkix_signer_signee_cert_chain", "lint", "-s", "ERROR", "-f", "JSON", issuer, subject)


def lint_crl(path, kind="CRL"):
    _lint("lint_crl", "lint", "-t", kind, "-p", "PKIX", "-s", "ERROR", "-f", "JSON", path)


def _lint(tool, *arguments):
    done = subprocess.run(
        [TOOLS / tool, *map(str, arguments)], capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    findings = [
        (result["node_path"], finding["code"], finding["message"])
        for result in json.loads(done.stdout)["results"] for finding in result["finding_descriptions"]
        if not (finding["code"] == "pkix.invalid_uri_syntax" and URN_UUID in finding["message"])
    ]
    assert findings == [], f"{tool}: {findings}"
