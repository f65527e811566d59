// What makes the console comfortable. Everything that matters works without it.
"use strict";

(() => {
  const all = (root, selector) => [...(root.matches?.(selector) ? [root] : []), ...root.querySelectorAll(selector)];

  // Times are written in UTC; here they become the reader's. The title keeps UTC.
  const day = { day: "numeric", month: "short", year: "numeric" };
  const forms = {
    time: new Intl.DateTimeFormat("en-GB", { ...day, hour: "2-digit", minute: "2-digit", timeZoneName: "short" }),
    day: new Intl.DateTimeFormat("en-GB", day),
  };
  const showTimes = (root) => {
    for (const time of all(root, "time[data-as]")) {
      time.textContent = forms[time.dataset.as].format(new Date(time.dateTime));
      delete time.dataset.as;
    }
  };

  const announce = (text) => {
    const place = document.getElementById("announce");
    if (place && text) place.textContent = text;
  };

  // Only where the browser lets a page copy: over TLS, and on the machine itself.
  const showCopies = (root) => {
    if (!navigator.clipboard) return;
    for (const button of all(root, "button[data-copy]")) button.hidden = false;
  };
  document.addEventListener("click", async (event) => {
    const button = event.target.closest?.("button[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    const label = button.firstChild;
    const before = label.textContent;
    label.textContent = "Copied";
    announce("Copied");
    setTimeout(() => { label.textContent = before; }, 1500);
  });

  // A form is sent once, however often it is clicked.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post") return;
    if (form.dataset.sent) return event.preventDefault();
    form.dataset.sent = "true";
    event.submitter?.setAttribute("aria-busy", "true");
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
    for (const button of document.querySelectorAll("[aria-busy]")) button.removeAttribute("aria-busy");
  });

  document.addEventListener("click", (event) => { if (event.target.closest?.("button[data-reload]")) location.reload(); });

  // One tick for all of a list.
  document.addEventListener("change", (event) => {
    const box = event.target;
    if (box.dataset?.ticks) {
      for (const other of document.getElementsByName(box.dataset.ticks)) other.checked = box.checked;
    }
  });

  // None of these fields asks for a private key: one that is dropped or pasted goes no further than this.
  document.addEventListener("input", (event) => {
    const field = event.target;
    if (!field.matches?.("textarea[data-drop]")) return;
    const place = document.getElementById(field.getAttribute("aria-describedby")?.split(" ")[0]);
    if (!field.value.includes("PRIVATE KEY")) {
      place?.querySelector("[data-stray-key]")?.remove();
      return;
    }
    event.stopImmediatePropagation();
    field.value = "";
    const said = document.createElement("p");
    said.className = "fault";
    said.dataset.strayKey = "true";
    said.textContent = "That is a private key. It was not sent, and belongs nowhere here: bring the file that the field asks for.";
    place?.replaceChildren(said);
    announce(said.textContent);
  }, true);

  // A field takes a file that is dropped on it, or chosen beside it.
  const take = async (field, file) => {
    if (!file) return;
    field.value = file.size > 200_000 ? "" : await file.text();
    field.dispatchEvent(new Event("input", { bubbles: true }));
  };
  const readyDrops = (root) => {
    for (const field of all(root, "textarea[data-drop]")) {
      const over = (event) => { event.preventDefault(); field.classList.add("dropping"); };
      field.addEventListener("dragover", over);
      field.addEventListener("dragenter", over);
      field.addEventListener("dragleave", () => field.classList.remove("dropping"));
      field.addEventListener("drop", (event) => {
        event.preventDefault();
        field.classList.remove("dropping");
        take(field, event.dataTransfer.files[0]);
      });
    }
    for (const chooser of all(root, "input[type=file][data-for]")) {
      chooser.closest("[hidden]")?.removeAttribute("hidden");
      chooser.addEventListener("change", () => take(document.getElementById(chooser.dataset.for), chooser.files[0]));
    }
  };

  const ready = (root) => {
    showTimes(root);
    showCopies(root);
    readyDrops(root);
    for (const element of all(root, "[data-script-only]")) element.hidden = false;
    for (const element of all(root, "[data-script-less]")) element.hidden = true;
  };
  ready(document);

  // On a phone the menu is one line: the current entry comes into sight, and the page does not move.
  const menu = document.querySelector(".menu");
  const current = menu?.querySelector("[aria-current]");
  if (current) menu.scrollLeft = current.offsetLeft - (menu.clientWidth - current.offsetWidth) / 2;

  // What htmx brought: parts that look again by themselves.
  let told = document.querySelector("[data-announce]")?.dataset.announce;
  document.addEventListener("htmx:load", (event) => {
    ready(event.detail.elt);
    if (event.detail.elt !== document.body) announce(event.detail.elt.dataset.say);
    const now = document.querySelector("[data-announce]")?.dataset.announce;
    if (now !== told) announce(now);
    told = now;
  });
})();
