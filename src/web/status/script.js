"use strict";
(() => {
  // Times in the reader's zone.
  const formats = {
    full: new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }),
    clock: new Intl.DateTimeFormat(undefined, { timeStyle: "medium" }),
    hour: new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit" }),
  };
  const localize = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (isNaN(at)) continue;
      const format = formats[time.dataset.at];
      if (format) time.textContent = format.format(at);
      time.title = formats.full.format(at);
    }
    for (const title of root.querySelectorAll("svg title[data-at]")) {
      title.textContent = formats.hour.format(new Date(title.dataset.at)) + title.dataset.rest;
    }
    for (const zone of root.querySelectorAll("[data-zone]")) {
      zone.textContent = "Times are in your time zone (" + Intl.DateTimeFormat().resolvedOptions().timeZone + ").";
    }
  };
  localize(document);

  // An address without the password that the page's own may hold: with one in it nothing is fetched.
  const plain = (address) => {
    const url = new URL(address, location.href);
    return url.origin + url.pathname + url.search;
  };

  // Forms that send JSON: `source.url` becomes {"source":{"url":…}}.
  document.addEventListener("submit", async (event) => {
    const form = event.target, error = form.querySelector(".error");
    if (!form.dataset.json) return;
    event.preventDefault();
    const body = {}, button = form.querySelector("button");
    for (const [name, value] of new FormData(form)) {
      if (value === "") continue;
      const path = name.split("."), last = path.pop();
      let place = body;
      for (const key of path) place = place[key] ??= {};
      place[last] = value;
    }
    button.disabled = true;
    error.hidden = true;
    try {
      const headers = { "Content-Type": "application/json", Accept: "application/json" };
      const address = plain(form.getAttribute("action"));
      const answer = await fetch(address, { method: form.dataset.json, headers, body: JSON.stringify(body) });
      const said = await answer.json().catch(() => ({}));
      if (answer.ok) {
        if (form.dataset.then) location.assign(form.dataset.then.replace("{id}", said.id));
        else location.reload();
        return;
      }
      error.textContent = said.error || "The relay answered with HTTP " + answer.status + ".";
    } catch {
      error.textContent = "The relay cannot be reached. Try again in a moment.";
    }
    error.hidden = false;
    button.disabled = false;
  });

  // A page left open tells what is so a minute later, and leaves alone what somebody is using.
  const main = document.querySelector("main[data-live]");
  const renew = async () => {
    if (document.hidden || !getSelection().isCollapsed) return;
    const answer = await fetch(plain(main.dataset.live), { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer || !answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of main.querySelectorAll("[data-part]")) {
      const next = fresh.getElementById(part.id);
      if (!next || part.contains(document.activeElement)) continue;
      const open = [...part.querySelectorAll("details[open]")].map((details) => details.id);
      part.className = next.className;
      part.replaceChildren(...next.childNodes);
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    }
    document.title = fresh.title;
    localize(main);
  };
  if (main) setInterval(renew, 60000);
})();
