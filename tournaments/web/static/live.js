// One stream of events for all windows of this browser: browsers allow six connections to a server, so one window
// listens and passes on what it hears. Other modules: `heard("event", data => ...)`, `refreshed(() => ...)`.
//
// A page that names what it shows (<main data-watch="NAME NAME">, or * for everything) is fetched again when that has
// changed, and its parts with `data-live` are replaced, while scripts draw anew.
const LEAST = 2000; // milliseconds between two refreshes
const channel = new BroadcastChannel("marl-events");
const ears = new Map();
const light = document.getElementById("live");
const main = document.getElementById("main");

export function heard(event, act) {
  if (!ears.has(event)) ears.set(event, []);
  ears.get(event).push(act);
}

export const refreshed = act => heard("refreshed", act);

function tell(event, data) {
  if (event === "state" && light) {
    light.textContent = data;
    light.classList.toggle("on", data === "live");
  }
  for (const act of ears.get(event) ?? []) act(data);
}

function pass(event, data) {
  tell(event, data);
  channel.postMessage({ event, data });
}

function listen() {
  const source = new EventSource("/events");
  source.addEventListener("hello", () => {
    pass("state", "live");
    pass("changed", { places: null }); // something may have changed since the page was made
  });
  source.onerror = () => pass("state", "offline");
  source.addEventListener("changed", message => pass("changed", JSON.parse(message.data)));
  heard("ask", () => pass("state", source.readyState === 1 ? "live" : "offline"));
  addEventListener("pagehide", () => source.close());
}

let due = 0, waiting = null, again = false;

function soon() {
  again = waiting !== null;
  if (waiting === null) waiting = setTimeout(refresh, Math.max(0, due - Date.now()));
}

async function refresh() {
  again = false;
  try {
    const answer = await fetch(location.href);
    if (answer.ok) replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
    await Promise.allSettled((ears.get("refreshed") ?? []).map(act => act()));
  } catch { /* the server is away: the stream says so, and tells when it is back */ }
  due = Date.now() + LEAST;
  waiting = null;
  if (again || document.querySelector("[data-stale]")) soon();
}

function replace(fresh) {
  for (const old of document.querySelectorAll("[data-live]")) {
    const made = fresh.getElementById(old.id);
    if (!made || made.innerHTML === old.innerHTML) continue;
    const open = [...old.querySelectorAll("details")].map(each => each.open);
    const ticked = new Set([...old.querySelectorAll("input:checked")].map(each => each.value));
    const chosen = new Map([...old.querySelectorAll("select")].map(each => [each.id, each.value]));
    const tops = new Map([...old.querySelectorAll("tbody tr[data-row], .board tbody tr")].map(row => [nameOf(row), row.getBoundingClientRect().top]));
    old.replaceChildren(...document.adoptNode(made).childNodes);
    for (const name of ["data-stale"]) made.hasAttribute(name) ? old.setAttribute(name, "") : old.removeAttribute(name);
    old.querySelectorAll("details").forEach((each, k) => { each.open = open[k] ?? each.open; });
    for (const box of old.querySelectorAll("input[type=checkbox]")) box.checked = ticked.has(box.value);
    for (const list of old.querySelectorAll("select")) {
      if ([...list.options].some(each => each.value === chosen.get(list.id))) list.value = chosen.get(list.id);
    }
    window.sortable?.(old);
    if (!matchMedia("(prefers-reduced-motion: reduce)").matches) glide(old, tops);
  }
}

const nameOf = row => `${row.closest("table").tHead?.textContent} ${row.querySelector(".name")?.textContent ?? row.cells[0]?.textContent}`;

function glide(box, tops) {
  for (const row of box.querySelectorAll(".board tbody tr")) {
    const before = tops.get(nameOf(row));
    const moved = before === undefined ? 0 : before - row.getBoundingClientRect().top;
    if (Math.abs(moved) > 1 && Math.abs(moved) < 900) row.animate([{ transform: `translateY(${moved}px)` }, { transform: "none" }], { duration: 450, easing: "ease-out" });
  }
}

function concerns(places) {
  const watched = main.dataset.watch;
  if (!watched) return false;
  return !places || watched === "*" || watched.split("\n").some(name => places.some(place => place === name || place.startsWith(`${name}/`)));
}

channel.onmessage = ({ data }) => tell(data.event, data.data);
heard("changed", ({ places }) => { if (concerns(places)) soon(); });
due = Date.now() + LEAST;
if (document.querySelector("[data-stale]")) soon();

// The window that holds the lock listens; when it closes, the next one does. Beyond this machine there are no locks.
if (navigator.locks) navigator.locks.request("marl-events", () => new Promise(() => listen()));
else listen();
channel.postMessage({ event: "ask" });
