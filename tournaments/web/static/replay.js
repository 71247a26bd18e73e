// A stored game, step by step, by buttons, arrow keys or the list of moves.
import { asked } from "/static/asked.js";
import { at, draw, explain, inView, made } from "/static/board.js";

const desk = at("desk"), steps = Number(desk.dataset.steps), opening = Number(desk.dataset.opening);
const names = [...at("seats").querySelectorAll("b")].map(element => element.textContent);
let ply = 0, wanted = 0, loading = false, position = null, explains = false;

const api = (what, values) => `/api${desk.dataset.game}/${what}?${new URLSearchParams(values)}`;

// Show a position; while one is loaded, only the last that was asked for is remembered.
async function show(next) {
  wanted = Math.max(0, Math.min(steps, next));
  if (loading) return;
  loading = true;
  try {
    do {
      const asking = wanted, seat = at("seat").value;
      position = await asked(api("position", { ply: asking, seat }));
      ply = asking;
      paint();
      if (ply === wanted) await reasons();
    } while (ply !== wanted);
  } catch (error) {
    at("status").textContent = error.message;
  } finally {
    loading = false;
  }
}

const words = step => [...at("moves").children[step].querySelectorAll(".move")].map(move => move.textContent.trim()).join(" and ");

function paint() {
  draw(at("board"), position.svg);
  at("slide").value = ply;
  at("why").hidden = true;
  const acting = position.acting.map(each => names[each.player]).join(" and ");
  const before = ply ? `After ${words(ply - 1)}` : "At the beginning";
  at("status").textContent = `${before}: ${acting ? `${acting} to move` : "the game is over"} (${ply} of ${steps})`;
  for (const line of at("seats").children) line.classList.toggle("turn", position.acting.some(each => each.player === Number(line.dataset.player)));
  for (const move of at("moves").querySelectorAll("button")) move.setAttribute("aria-current", Number(move.dataset.ply) === ply ? "step" : "false");
  inView(at("moves"), at("moves").querySelector('[aria-current="step"]'));
  at("first").disabled = at("before").disabled = ply === 0;
  at("last").disabled = at("after").disabled = ply === steps;
  at("explain").disabled = ply === steps || ply < opening;
  at("legal").replaceChildren(...position.acting.map(each => {
    const line = made("p");
    line.append(made("b", `${names[each.player]}: `), each.legal.join("  ") + (each.more ? ` and ${each.more} more` : ""));
    return line;
  }));
  if (!position.acting.length) at("legal").textContent = "None: the game is over.";
}

// Ask the agents that move here why they chose their moves; the position shows the first one's numbers.
async function reasons() {
  if (!explains || at("explain").disabled) return;
  const box = at("why"), now = ply, parts = [];
  for (const { player } of position.acting) {
    const part = made("div");
    try {
      const told = await asked(api("why", { ply: now, seat: at("seat").value, player }));
      if (now !== wanted) return;
      if (!parts.length) draw(at("board"), told.svg);
      const agrees = told.played === told.action ? "" : "; it was recorded otherwise";
      explain(part, told, `${names[player]} plays ${told.name}${agrees}`);
    } catch (error) {
      part.append(made("p", error.message, { class: "quiet" }));
    }
    parts.push(part);
  }
  box.replaceChildren(...parts);
  box.hidden = false;
}

at("first").addEventListener("click", () => show(0));
at("before").addEventListener("click", () => show(wanted - 1));
at("after").addEventListener("click", () => show(wanted + 1));
at("last").addEventListener("click", () => show(steps));
at("slide").addEventListener("input", event => show(Number(event.target.value)));
at("seat").addEventListener("change", () => show(ply));
at("moves").addEventListener("click", event => {
  const move = event.target.closest("button");
  if (move) show(Number(move.dataset.ply));
});
function toggle() {
  explains = !explains;
  at("explain").setAttribute("aria-pressed", String(explains));
  show(ply);
}
at("explain").addEventListener("click", toggle);

const KEYS = { ArrowLeft: () => show(wanted - 1), ArrowRight: () => show(wanted + 1), Home: () => show(0), End: () => show(steps), e: toggle };
addEventListener("keydown", event => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input")) return;
  const act = KEYS[event.key];
  if (act) { event.preventDefault(); act(); }
});

const first = /^#(\d+)$/.exec(location.hash);
show(first ? Number(first[1]) : 0);
