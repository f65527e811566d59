// Files of an identity: each goes to the field that it is for. What is wrong with them is said before the form is sent, since a
// form that was refused comes back without its keys.
"use strict";

(() => {
  const form = document.getElementById("upload");
  if (!form) return;
  const byId = (id) => document.getElementById(id);
  const MOST = 400_000;
  const FIELDS = ["certificates", "private_key", "pkcs12"];
  const paste = byId("paste");
  if (!paste.querySelector(".fault") && !byId("certificates").value) paste.open = false;

  const base64 = (bytes) => btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  const pem = (label, bytes) => `-----BEGIN ${label}-----\n${base64(bytes).match(/.{1,64}/g).join("\n")}\n-----END ${label}-----\n`;

  // DER says by its first elements what it is; whatever else is in binary, the server names.
  const content = (bytes, at) => at + (bytes[at + 1] > 128 ? 2 + (bytes[at + 1] & 127) : 2);
  const labelOf = (bytes) => {
    if (bytes[0] !== 0x30) return null;
    const at = content(bytes, 0);
    const starts = (...expected) => expected.every((byte, index) => bytes[at + index] === byte);
    if (starts(2, 1, 0, 0x30)) return "PRIVATE KEY";
    if (starts(2, 1, 0, 2)) return "RSA PRIVATE KEY";
    if (starts(2, 1, 1, 4)) return "EC PRIVATE KEY";
    if (!starts(0x30)) return null;
    return bytes[content(bytes, at)] === 6 ? "ENCRYPTED PRIVATE KEY" : "CERTIFICATE";
  };
  const read = (bytes) => {
    const text = new TextDecoder().decode(bytes);
    if (text.includes("-----BEGIN")) {
      const hasCertificate = text.includes("CERTIFICATE-----");
      const what = hasCertificate ? (text.includes("PRIVATE KEY") ? "certificate and key" : "certificates") : "private key";
      return { field: hasCertificate ? "certificates" : "private_key", text, what };
    }
    const label = labelOf(bytes);
    if (!label) return { field: "pkcs12", text: base64(bytes), what: "PKCS#12" };
    const isKey = label.includes("KEY");
    return { field: isKey ? "private_key" : "certificates", text: pem(label, bytes), what: isKey ? "private key" : "certificate" };
  };

  const held = new Map();
  const laid = new Set();
  const lay = () => {
    for (const name of FIELDS) {
      const texts = [...held.values()].filter((file) => file.field === name).map((file) => file.text);
      if (!texts.length && !laid.delete(name)) continue;
      if (texts.length) laid.add(name);
      byId(name).value = name === "pkcs12" ? texts.at(-1) ?? "" : texts.join("\n");
    }
    const list = byId("held");
    list.replaceChildren(...[...held].map(([name, file]) => {
      const item = document.createElement("li");
      const label = document.createElement("bdi");
      label.textContent = name;
      const what = document.createElement("span");
      what.className = "faint";
      what.textContent = ` ${file.what} `;
      const out = document.createElement("button");
      out.type = "button";
      out.className = "button small quiet";
      out.textContent = "Leave out";
      out.setAttribute("aria-label", `Leave out ${name}`);
      out.addEventListener("click", () => { held.delete(name); lay(); byId("files").focus(); });
      item.append(label, what, out);
      return item;
    }));
    form.dispatchEvent(new Event("change", { bubbles: true }));
  };
  const take = async (files) => {
    const said = [];
    for (const file of files) {
      if (file.size > MOST) said.push(`${file.name} is too large for a certificate or a key.`);
      else held.set(file.name, read(new Uint8Array(await file.arrayBuffer())));
    }
    byId("files-said").textContent = said.join(" ");
    lay();
  };

  const drop = byId("drop");
  const over = (event) => { event.preventDefault(); drop.classList.add("dropping"); };
  drop.addEventListener("dragenter", over);
  drop.addEventListener("dragover", over);
  drop.addEventListener("dragleave", () => drop.classList.remove("dropping"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("dropping");
    take([...event.dataTransfer.files]);
  });
  byId("files").addEventListener("change", (event) => {
    event.stopPropagation();
    const files = [...event.target.files];
    event.target.value = "";
    take(files);
  });

  let isWanted = false;
  const send = () => { isWanted = false; form.dataset.sent = "true"; form.submit(); };
  form.addEventListener("submit", (event) => {
    if (form.dataset.sent) return;
    event.preventDefault();
    isWanted = true;
    htmx.trigger(form, "check");
  }, true);
  document.addEventListener("htmx:afterSettle", () => {
    const fault = [...form.querySelectorAll("[id$=-fault] .fault")].find((each) => each.textContent);
    for (const fold of form.querySelectorAll("details")) if (fold.querySelector(".fault:not(:empty)")) fold.open = true;
    if (!isWanted) return;
    isWanted = false;
    if (byId("preview").hasAttribute("data-good")) return send();
    const field = fault?.closest(".field, .choice")?.querySelector("input, textarea");
    (field ?? byId("files")).focus();
    byId("announce").textContent = fault?.textContent ?? "Bring a certificate and its key first.";
    if (!fault) byId("files-said").textContent = "Bring a certificate and its key first.";
  });
  // The check could not be made: the server says why when the form itself comes.
  for (const name of ["htmx:responseError", "htmx:sendError"]) form.addEventListener(name, () => { if (isWanted) send(); });
})();
