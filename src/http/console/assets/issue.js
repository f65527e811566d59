// A key made in the browser: it never leaves it but as a file for its owner. The request is written by hand, in DER, and so is the
// PKCS#12 file (RFC 2986, 5958, 7292, 8018).
"use strict";

(() => {
  // DER
  const joined = (parts) => {
    const all = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
    let at = 0;
    for (const part of parts) { all.set(part, at); at += part.length; }
    return all;
  };
  const element = (tag, ...parts) => {
    const content = joined(parts);
    const length = [];
    for (let left = content.length; left > 0; left = Math.floor(left / 256)) length.unshift(left % 256);
    const head = content.length < 128 ? [tag, content.length] : [tag, 128 + length.length, ...length];
    return joined([new Uint8Array(head), content]);
  };
  const sequence = (...parts) => element(0x30, ...parts);
  const set = (...parts) => element(0x31, ...parts);
  const octets = (...parts) => element(0x04, ...parts);
  const explicit = (number, ...parts) => element(0xa0 + number, ...parts);
  const none = new Uint8Array([0x05, 0x00]);
  const text = (value) => new TextEncoder().encode(value);
  const integer = (bytes) => {
    let from = 0;
    while (from < bytes.length - 1 && bytes[from] === 0) from += 1;
    const plain = bytes.slice(from);
    return element(0x02, plain[0] >= 128 ? joined([new Uint8Array([0]), plain]) : plain);
  };
  const number = (value) => {
    const bytes = [];
    for (let left = value; left > 0; left = Math.floor(left / 256)) bytes.unshift(left % 256);
    return integer(new Uint8Array(bytes.length ? bytes : [0]));
  };
  const oid = (dotted) => {
    const [first, second, ...rest] = dotted.split(".").map(Number);
    const bytes = [];
    for (const arc of [first * 40 + second, ...rest]) {
      const digits = [arc % 128];
      for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128)) digits.unshift(128 + (left % 128));
      bytes.push(...digits);
    }
    return element(0x06, new Uint8Array(bytes));
  };

  const pem = (label, der) => {
    const base64 = btoa(Array.from(der, (byte) => String.fromCharCode(byte)).join(""));
    return `-----BEGIN ${label}-----\n${base64.match(/.{1,64}/g).join("\n")}\n-----END ${label}-----\n`;
  };
  const fromPem = (all) => [...all.matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END/g)]
    .map((match) => Uint8Array.from(atob(match[1].replace(/\s/g, "")), (letter) => letter.charCodeAt(0)));

  // Keys, by the names that the form offers.
  const kinds = {
    p256: { generate: { name: "ECDSA", namedCurve: "P-256" }, sign: { name: "ECDSA", hash: "SHA-256" }, id: sequence(oid("1.2.840.10045.4.3.2")) },
    p384: { generate: { name: "ECDSA", namedCurve: "P-384" }, sign: { name: "ECDSA", hash: "SHA-384" }, id: sequence(oid("1.2.840.10045.4.3.3")) },
    rsa3072: {
      generate: { name: "RSASSA-PKCS1-v1_5", modulusLength: 3072, publicExponent: new Uint8Array([1, 0, 1]), hash: "SHA-256" },
      sign: { name: "RSASSA-PKCS1-v1_5" }, id: sequence(oid("1.2.840.113549.1.1.11"), none),
    },
  };

  // WebCrypto writes an ECDSA signature as two numbers of one length, certificates as a SEQUENCE of two INTEGERs.
  const signatureIn = (kind, raw) => kind.sign.name !== "ECDSA" ? raw
    : sequence(integer(raw.slice(0, raw.length / 2)), integer(raw.slice(raw.length / 2)));

  const request = async (kindName, commonName) => {
    const kind = kinds[kindName];
    const keys = await crypto.subtle.generateKey(kind.generate, true, ["sign", "verify"]);
    const spki = new Uint8Array(await crypto.subtle.exportKey("spki", keys.publicKey));
    const subject = sequence(set(sequence(oid("2.5.4.3"), element(0x0c, text(commonName)))));
    const info = sequence(number(0), subject, spki, explicit(0));
    const signature = new Uint8Array(await crypto.subtle.sign(kind.sign, keys.privateKey, info));
    const csr = sequence(info, kind.id, element(0x03, new Uint8Array([0]), signatureIn(kind, signature)));
    return { csr: pem("CERTIFICATE REQUEST", csr), key: new Uint8Array(await crypto.subtle.exportKey("pkcs8", keys.privateKey)) };
  };

  // PKCS#12
  const random = (length) => crypto.getRandomValues(new Uint8Array(length));
  const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  const DATA = "1.2.840.113549.1.7.1";
  const STRETCHED = 210_000;

  const encrypted = async (password, plain) => {
    const [salt, iv] = [random(16), random(16)];
    const base = await crypto.subtle.importKey("raw", text(password), "PBKDF2", false, ["deriveKey"]);
    const key = await crypto.subtle.deriveKey({ name: "PBKDF2", salt, iterations: STRETCHED, hash: "SHA-256" }, base,
      { name: "AES-CBC", length: 256 }, false, ["encrypt"]);
    const content = new Uint8Array(await crypto.subtle.encrypt({ name: "AES-CBC", iv }, key, plain));
    const stretching = sequence(oid("1.2.840.113549.1.5.12"), sequence(octets(salt), number(STRETCHED), sequence(oid("1.2.840.113549.2.9"), none)));
    const cipher = sequence(oid("2.16.840.1.101.3.4.1.42"), octets(iv));
    return { algorithm: sequence(oid("1.2.840.113549.1.5.13"), sequence(stretching, cipher)), content };
  };

  // SHA-256 of a SHA-256 (FIPS 180-4, 6.2), in place: one block, as eight words.
  const fraction = (root) => Math.floor((root % 1) * 2 ** 32) | 0;
  const primes = Array.from({ length: 312 }, (_, number) => number)
    .filter((number) => number > 1 && !Array.from({ length: 16 }, (_, at) => at + 2).some((part) => part < number && number % part === 0));
  const START = Int32Array.from(primes.slice(0, 8), (prime) => fraction(Math.sqrt(prime)));
  const CONSTANTS = Int32Array.from(primes, (prime) => fraction(Math.cbrt(prime)));
  const words = new Int32Array(64);
  const hashAgain = (hash) => {
    words.set(hash);
    words[8] = 0x80000000 | 0;
    words.fill(0, 9, 15);
    words[15] = 256;
    for (let at = 16; at < 64; at += 1) {
      const near = words[at - 2];
      const far = words[at - 15];
      words[at] = (words[at - 16] + words[at - 7]
        + (((far >>> 7) | (far << 25)) ^ ((far >>> 18) | (far << 14)) ^ (far >>> 3))
        + (((near >>> 17) | (near << 15)) ^ ((near >>> 19) | (near << 13)) ^ (near >>> 10))) | 0;
    }
    let a = START[0], b = START[1], c = START[2], d = START[3], e = START[4], f = START[5], g = START[6], h = START[7];
    for (let at = 0; at < 64; at += 1) {
      const one = (h + (((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7)))
        + ((e & f) ^ (~e & g)) + CONSTANTS[at] + words[at]) | 0;
      const two = ((((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10)))
        + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
    }
    hash[0] = (START[0] + a) | 0; hash[1] = (START[1] + b) | 0; hash[2] = (START[2] + c) | 0; hash[3] = (START[3] + d) | 0;
    hash[4] = (START[4] + e) | 0; hash[5] = (START[5] + f) | 0; hash[6] = (START[6] + g) | 0; hash[7] = (START[7] + h) | 0;
  };

  // RFC 7292, appendix B.2, for a key as long as the hash. The file is only as strong as the weaker of its two derivations, so
  // there are as many rounds as for the encryption. WebCrypto has no such derivation, and takes longer to be asked for a hash
  // than to make it: by hand it is a fraction of a second, in slices between which the page goes on. PBMAC1 (RFC 9579), which
  // WebCrypto could derive, is not read by OpenSSL 3.0 nor by Java 17.
  const macKey = async (password, salt) => {
    const letters = password.split("").flatMap((unit) => [unit.charCodeAt(0) >> 8, unit.charCodeAt(0) & 255]);
    const filled = (bytes) => Uint8Array.from({ length: Math.ceil(bytes.length / 64) * 64 }, (_, at) => bytes[at % bytes.length]);
    const view = new DataView((await sha256(joined([new Uint8Array(64).fill(3), filled(salt), filled([...letters, 0, 0])]))).buffer);
    const hash = Int32Array.from({ length: 8 }, (_, at) => view.getInt32(at * 4));
    for (let round = 1; round < STRETCHED; round += 1) {
      hashAgain(hash);
      if (round % 10_000 === 0) await new Promise((done) => { setTimeout(done); });
    }
    hash.forEach((word, at) => view.setInt32(at * 4, word));
    return new Uint8Array(view.buffer);
  };

  const pkcs12 = async (password, key, certificates, name) => {
    const id = await sha256(certificates[0]);
    const wide = Uint8Array.from({ length: name.length * 2 }, (_, at) => (at % 2 ? name.charCodeAt(at >> 1) & 255 : name.charCodeAt(at >> 1) >> 8));
    const attributes = set(sequence(oid("1.2.840.113549.1.9.20"), set(element(0x1e, wide))), sequence(oid("1.2.840.113549.1.9.21"), set(octets(id))));
    const sealed = await encrypted(password, key);
    const keyBag = sequence(oid("1.2.840.113549.1.12.10.1.2"), explicit(0, sequence(sealed.algorithm, octets(sealed.content))), attributes);
    const bags = certificates.map((der, at) => sequence(oid("1.2.840.113549.1.12.10.1.3"),
      explicit(0, sequence(oid("1.2.840.113549.1.9.22.1"), explicit(0, octets(der)))), ...(at === 0 ? [attributes] : [])));
    const hidden = await encrypted(password, sequence(...bags));
    const ofKey = sequence(oid(DATA), explicit(0, octets(sequence(keyBag))));
    const ofCertificates = sequence(oid("1.2.840.113549.1.7.6"),
      explicit(0, sequence(number(0), sequence(oid(DATA), hidden.algorithm, element(0x80, hidden.content)))));
    const safe = sequence(ofKey, ofCertificates);
    const salt = random(16);
    const macing = await crypto.subtle.importKey("raw", await macKey(password, salt), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
    const mac = new Uint8Array(await crypto.subtle.sign("HMAC", macing, safe));
    const digest = sequence(sequence(oid("2.16.840.1.101.3.4.2.1"), none), octets(mac));
    return sequence(number(3), sequence(oid(DATA), explicit(0, octets(safe))), sequence(digest, octets(salt), number(STRETCHED)));
  };

  if (typeof document === "undefined") {
    module.exports = { request, pkcs12, fromPem, pem };
    return;
  }

  // The page
  const byId = (id) => document.getElementById(id);
  const maker = byId("maker");
  if (!maker || !crypto.subtle) return;
  maker.hidden = false;
  let made = null;
  const say = (message) => { byId("maker-said").textContent = message; };
  const save = (content, type, name) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([content], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  const fileName = () => made.name.replace(/[^A-Za-z0-9._-]/g, "").slice(0, 60) || "certificate";

  byId("make").addEventListener("click", async () => {
    const name = byId("maker-name").value.trim();
    if (!name) {
      say("Give it a common name first.");
      return byId("maker-name").focus();
    }
    say("The key is being made …");
    made = { name, isSaved: false, ...(await request(byId("maker-kind").value, name)) };
    byId("csr").value = made.csr;
    byId("csr").dispatchEvent(new Event("input", { bubbles: true }));
    byId("keep-key").hidden = false;
    say("The key is in this page, and its request stands below. Issue the certificate, then save both; a page that is closed takes the key along.");
  });

  // With a key that lives in this page, the page must stay: the form is sent beside it.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (form.id !== "issue" || !made || byId("csr").value !== made.csr) return;
    if (event.submitter?.hasAttribute("formaction")) return;
    event.preventDefault();
    const unsure = "The certificate may be issued all the same: look among the certificates before you send this again. The key is still here.";
    let answer;
    let content;
    try {
      const headers = { Accept: "application/json" };
      answer = await fetch(form.action, { method: "POST", headers, body: new URLSearchParams(new FormData(form)) });
      content = await answer.text();
    } catch {
      say(`No answer came. ${unsure}`);
      return;
    }
    if (!answer.ok) {
      const page = new DOMParser().parseFromString(content, "text/html");
      const again = page.getElementById("issue");
      if (!again) { say(`${page.querySelector("h1")?.textContent ?? "The server did not answer"}. ${unsure}`); return; }
      form.replaceWith(document.importNode(again, true));
      htmx.process(byId("issue"));
      return;
    }
    if (!answer.headers.get("content-type")?.startsWith("application/json")) {
      say("Your session has ended. Sign in again in another tab, then send this once more: the key is still here.");
      return;
    }
    const issued = JSON.parse(content);
    made.chain = issued.chain;
    form.hidden = true;
    maker.hidden = true;
    byId("made").hidden = false;
    // Whoever may issue need not be allowed to read.
    if (issued.address) byId("made-link").href = issued.address;
    else byId("made-link").hidden = true;
    byId("made-title").focus();
  }, true);

  for (const id of ["keep-key", "save-key"]) {
    byId(id).addEventListener("click", () => { save(pem("PRIVATE KEY", made.key), "application/x-pem-file", `${fileName()}.key.pem`); made.isSaved = true; });
  }
  byId("save-chain").addEventListener("click", () => save(made.chain, "application/x-pem-file", `${fileName()}.chain.pem`));
  const tell = (message, isFault) => {
    byId("pkcs12-said").textContent = message;
    byId("pkcs12-said").classList.toggle("fault", isFault);
  };
  byId("save-pkcs12").addEventListener("click", async (event) => {
    const button = event.currentTarget;
    if (button.hasAttribute("aria-busy")) return;
    const password = byId("pkcs12-password").value;
    if (!password) {
      tell("Give it a password: the file holds the private key.", true);
      byId("pkcs12-password").focus();
      return;
    }
    button.setAttribute("aria-busy", "true");
    tell("The file is being made. That takes a moment, so that guessing its password takes long …", false);
    try {
      save(await pkcs12(password, made.key, fromPem(made.chain), made.name), "application/x-pkcs12", `${fileName()}.p12`);
      made.isSaved = true;
      tell("The file is saved: certificate, chain and key, under your password.", false);
    } catch {
      tell("This browser could not make the file. Save the private key and the certificate instead.", true);
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
  window.addEventListener("beforeunload", (event) => { if (made?.chain && !made.isSaved) event.preventDefault(); });
})();
