// Keeps a page up to date: one EventSource says that something moved, the page's fragments are read again
// and the changed ones put in place. Without this module the page stands as it was loaded.

const least = 900; // ms between two readings, however much moves
const announceEvery = 20_000; // ms: a screen reader is told the total, not every change

const { stream, fragments } = document.body.dataset;
const box = document.getElementById("live");
const text = document.getElementById("live-text");
const pause = document.getElementById("live-pause");
const announcer = document.getElementById("announcer");

let source = null;
let paused = false;
let busy = false;
let wanted = false;
let last = 0;
let retry = 0;
let announced = "";
let announcedAt = -announceEvery;

function show(state, words) {
  if (box.dataset.state === state && text.textContent === words) return;
  box.dataset.state = state;
  text.textContent = words;
}

function connect() {
  source = new EventSource(stream);
  source.addEventListener("open", () => {
    retry = 0;
    show("live", "Live");
  });
  source.addEventListener("changed", want);
  source.addEventListener("error", () => {
    if (paused) return;
    show("lost", "Reconnecting");
    if (source.readyState !== EventSource.CLOSED) return; // the browser tries again by itself
    retry = Math.min((retry || 1000) * 2, 60_000);
    setTimeout(() => paused || connect(), retry);
  });
}

function want() {
  wanted = true;
  if (busy || paused || document.hidden) return;
  busy = true;
  setTimeout(refresh, Math.max(0, last + least - performance.now()));
}

async function refresh() {
  wanted = false;
  last = performance.now();
  try {
    const answer = await fetch(fragments, { headers: { Accept: "text/html" }, credentials: "same-origin" });
    if (answer.status === 401 || answer.status === 403 || answer.status === 404) {
      source.close();
      show("lost", "Ended. Reload the page");
      return;
    }
    if (!answer.ok) throw new Error("status " + answer.status);
    if (!paused) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
    if (source.readyState === EventSource.OPEN && !paused) show("live", "Live");
  } catch {
    if (!paused) show("lost", "Figures are late");
    wanted = true;
    await new Promise((resolve) => setTimeout(resolve, 3000));
  } finally {
    busy = false;
    if (wanted && source.readyState !== EventSource.CLOSED) want();
  }
}

// replace puts the new fragments in place of the old ones that differ, and keeps what the reader is doing in
// them: the focus, what was typed, what is unfolded, how far it is scrolled.
function replace(fresh) {
  for (const part of fresh.querySelectorAll("[data-fragment]")) {
    const old = document.getElementById(part.id);
    if (!old || part.id === "" || same(old, part)) continue;
    const focus = old.contains(document.activeElement) ? document.activeElement : null;
    if (focus?.matches("input, select, textarea")) continue; // nobody's typing is overwritten
    const path = focus && pathTo(old, focus);
    for (const open of old.querySelectorAll("details[open][id]")) {
      part.querySelector("#" + CSS.escape(open.id))?.setAttribute("open", "");
    }
    const scrolled = [...old.querySelectorAll(".scroll")].map((s) => [s.scrollLeft, s.scrollTop]);
    const before = keyed(old);
    const now = document.adoptNode(part);
    old.replaceWith(now);
    now.querySelectorAll(".scroll").forEach((s, i) => scrolled[i] && s.scrollTo(...scrolled[i]));
    for (const [key, element] of keyed(now)) {
      if (before.has(key) && before.get(key).textContent !== element.textContent) element.classList.add("moved");
    }
    if (path) follow(now, path)?.focus({ preventScroll: true });
    if (now.dataset.announce) announce(now.dataset.announce);
  }
}

// same compares without what this module itself added.
function same(old, part) {
  const copy = old.cloneNode(true);
  copy.querySelectorAll(".moved").forEach((e) => {
    e.classList.remove("moved");
    if (e.className === "") e.removeAttribute("class");
  });
  copy.querySelectorAll("details[open][id]").forEach((e) => e.removeAttribute("open"));
  return copy.isEqualNode(part);
}

function keyed(root) {
  return new Map([...root.querySelectorAll("[data-key]")].map((e) => [e.dataset.key, e]));
}

function pathTo(root, element) {
  const href = element.getAttribute("href");
  if (href) return { href };
  const path = [];
  for (let e = element; e !== root; e = e.parentElement) path.unshift([...e.parentElement.children].indexOf(e));
  return { path };
}

function follow(root, { href, path }) {
  if (href) return root.querySelector(`a[href="${CSS.escape(href)}"]`);
  return path.reduce((e, i) => e?.children[i], root);
}

function announce(words) {
  const now = performance.now();
  if (words === announced || now - announcedAt < announceEvery) return;
  announced = words;
  announcedAt = now;
  announcer.textContent = words;
}

pause.addEventListener("click", () => {
  paused = !paused;
  pause.textContent = paused ? "Resume" : "Pause";
  if (paused) {
    source.close();
    show("paused", "Paused");
  } else {
    show("connecting", "Connecting");
    connect();
  }
});
document.addEventListener("visibilitychange", () => document.hidden || !wanted || want());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const menu of document.querySelectorAll(".menu[open]")) {
    menu.open = false;
    menu.querySelector("summary").focus();
  }
});
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll(".menu[open]")) if (!menu.contains(event.target)) menu.open = false;
});
addEventListener("pagehide", () => source?.close());
addEventListener("pageshow", (event) => event.persisted && !paused && connect());

box.hidden = false;
connect();
