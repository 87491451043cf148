"use strict";
(() => {
  // Times in the reader's zone, which stands once at the top, and wherever a time is shown for itself.
  const format = (options) => new Intl.DateTimeFormat(undefined, options);
  const day = { year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit" };
  const formats = {
    full: format(day),
    clock: format({ hour: "numeric", minute: "2-digit", second: "2-digit", timeZoneName: "short" }),
    hour: format({ weekday: "short", hour: "2-digit", minute: "2-digit" }),
  };
  const alone = format({ ...day, timeZoneName: "short" });
  const localize = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (isNaN(at)) continue;
      const shown = formats[time.dataset.at];
      if (shown) time.textContent = shown.format(at);
      time.title = alone.format(at);
    }
    for (const title of root.querySelectorAll("svg title[data-at]")) {
      title.textContent = formats.hour.format(new Date(title.dataset.at)) + title.dataset.rest;
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
      error.textContent = said.error || document.body.dataset.refused.replace("{seen}", "HTTP " + answer.status);
    } catch {
      error.textContent = document.body.dataset.unreachable;
    }
    error.hidden = false;
    button.disabled = false;
  });

  // A page left open tells what is so a minute later, and leaves alone what somebody is using.
  const main = document.querySelector("main[data-live]");
  const tokens = (root) => [...root.querySelectorAll("input[name=token]")];
  const asked = () => {
    const headers = { Accept: "text/html" }, root = main.dataset.root;
    // The app's page proves itself by the token of its forms, and says where it is.
    return root ? { headers, method: "POST", body: new URLSearchParams({ token: tokens(main)[0].value, root }) } : { headers };
  };
  const renew = async () => {
    if (document.hidden || !getSelection().isCollapsed) return;
    const answer = await fetch(plain(main.dataset.live), asked()).catch(() => null);
    document.getElementById("stale").hidden = Boolean(answer && answer.ok);
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
    const [token] = tokens(fresh);
    if (token) for (const field of tokens(main)) field.value = token.value;
    document.title = fresh.title;
    localize(main);
  };
  if (main) {
    // Checks for which the page did not wait have ended by then: most at once, and all within ten seconds.
    for (const soon of [3000, 12000]) setTimeout(renew, soon);
    setInterval(renew, 60000);
  }
})();
