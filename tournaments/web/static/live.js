// One stream of events for all windows of this browser: browsers allow six connections to a server, so one window
// listens and passes on what it hears. Other modules: `changed(names => ...)`, `heard("event", data => ...)`.
const channel = new BroadcastChannel("marl-events");
const ears = new Map();
const light = document.getElementById("live");

export function heard(event, act) {
  if (!ears.has(event)) ears.set(event, []);
  ears.get(event).push(act);
}

export const changed = act => heard("changed", act);

function tell(event, data) {
  if (event === "state" && light) {
    light.textContent = data;
    light.classList.toggle("on", data === "live");
  }
  for (const act of ears.get(event) ?? []) act(data);
}

channel.onmessage = ({ data }) => tell(data.event, data.data);

function pass(event, data) {
  tell(event, data);
  channel.postMessage({ event, data });
}

function listen() {
  const source = new EventSource("/events");
  source.addEventListener("hello", () => pass("state", "live"));
  source.onerror = () => pass("state", "offline");
  for (const event of ["changed", "session"]) source.addEventListener(event, message => pass(event, JSON.parse(message.data)));
  heard("ask", () => pass("state", source.readyState === 1 ? "live" : "offline"));
  addEventListener("pagehide", () => source.close());
}

// The window that holds the lock listens; when it closes, the next one does. Beyond this machine there are no locks.
if (navigator.locks) navigator.locks.request("marl-events", () => new Promise(() => listen()));
else listen();
channel.postMessage({ event: "ask" });
