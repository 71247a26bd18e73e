// The board on which a person plays. The server knows the game; this shows what it tells, and sends what is chosen.
import { asked } from "/static/asked.js";
import { at, draw, explain, grouped, inView, made, place } from "/static/board.js";

const desk = at("desk");
const url = what => `/api/play/${desk.dataset.session}${what ? `/${what}` : ""}`;
const WAIT = 1500; // milliseconds before a full queue is asked again
let game = null, busy = false, picked = null, thoughts = 200, last = null;
let keyed = false; // whether the last move was made by the keyboard, which then goes on where it was

async function send(what, body = {}) {
  if (busy) return;
  busy = true;
  desk.classList.add("busy");
  try {
    return await asked(url(what), body);
  } catch (error) {
    if (error.status === 503 && what === "go") setTimeout(() => go(), WAIT);
    say(error.message);
  } finally {
    busy = false;
    desk.classList.remove("busy");
  }
}

const say = text => { at("status").textContent = text; };

async function change(what, body) {
  const told = await send(what, body);
  if (told) { show(told); go(); }
}

// Let the agents move until it is the person's turn.
async function go() {
  while (game && !game.over && !game.legal.length && game.waiting.length && !busy) {
    const told = await send("go");
    if (!told) return;
    show(told);
    if (told.fault) return;
  }
}

function show(told) {
  game = told;
  picked = null;
  at("why").hidden = true;
  at("chooser").hidden = true;
  seats();
  board(told.svg);
  buttons();
  moves();
  tools();
  say(told.fault ? told.fault : told.status);
  at("status").classList.toggle("fault", Boolean(told.fault));
  desk.dataset.ply = game.ply;
  desk.dataset.turn = game.over ? "over" : game.legal.length ? "you" : "others";
}

function seats() {
  at("seats").replaceChildren(...game.seats.map((name, player) => {
    const line = made("li", undefined, { "data-player": player });
    const turn = !game.over && (player === game.you ? game.legal.length : game.waiting.includes(name));
    line.classList.toggle("turn", Boolean(turn));
    line.append(made("span", undefined, { class: `chip fill-p${player % 8}` }), made("b", name));
    if (player === game.you) line.append(made("span", "you", { class: "quiet" }));
    else if (turn) line.append(made("span", "thinking", { class: "state running" }));
    return line;
  }));
}

const named = action => game.legal.find(move => move.action === action)?.name ?? String(action);

function play(action) {
  last = action;
  if (!busy) change("move", { ply: game.ply, action });
}

// Choose among several actions of one place.
function choose(actions) {
  if (actions.length === 1) { play(actions[0]); return; }
  const box = at("chooser");
  box.replaceChildren(...actions.map(action => button(action)));
  box.hidden = false;
  box.firstChild.focus();
}

function button(action) {
  const found = made("button", named(action), { type: "button", "data-action": action });
  found.addEventListener("click", () => play(action));
  return found;
}

function board(svg) {
  const drawing = draw(at("board"), svg);
  if (!drawing) return;
  const areas = grouped(game.targets);
  if (Object.keys(game.origins).length) { pieces(drawing); return; }
  for (const [area, actions] of areas) {
    place(drawing, area, actions.map(named).join(", "), () => choose(actions)).dataset.action = actions[0];
  }
  goOn(drawing);
}

function goOn(drawing) {
  if (keyed) (drawing.querySelector(`.place[data-action="${last}"]`) ?? drawing.querySelector(".place"))?.focus();
}

// Moves from a place to another: the first click picks a piece, the second its place.
function pieces(drawing) {
  for (const old of drawing.querySelectorAll(".place")) old.remove();
  for (const [area, actions] of grouped(game.origins)) {
    const mine = picked === area.join();
    const shape = place(drawing, area, `${actions.map(named).join(", ")}${mine ? ", picked" : ""}`, () => { picked = mine ? null : area.join(); pieces(drawing); }, mine ? "picked" : "");
    shape.dataset.from = actions[0];
    if (!mine) continue;
    const targets = Object.fromEntries(actions.filter(action => game.targets[action]).map(action => [action, game.targets[action]]));
    for (const [target, some] of grouped(targets)) place(drawing, target, some.map(named).join(", "), () => choose(some), "target").dataset.action = some[0];
  }
  if (keyed) (drawing.querySelector(".target") ?? drawing.querySelector(".place"))?.focus();
}

// Buttons for moves without a place; where all have one, the list stays folded.
function buttons() {
  const box = at("legal");
  const without = game.legal.filter(move => !(move.action in game.targets));
  const parts = without.map(move => button(move.action));
  if (game.legal.length > without.length) {
    const list = made("details");
    list.append(made("summary", `Moves as buttons (${game.legal.length})`), made("div", undefined, { class: "all" }));
    list.lastChild.append(...game.legal.map(move => button(move.action)));
    parts.push(list);
  }
  if (game.fault) {
    const again = made("button", "Ask again", { type: "button", class: "primary" });
    again.addEventListener("click", () => change("go"));
    parts.push(again);
  }
  box.replaceChildren(...parts);
}

function moves() {
  at("none").hidden = game.moves.length > 0;
  at("moves").replaceChildren(...game.moves.map((step, ply) => {
    const line = made("li");
    line.append(made("span", ply + 1, { class: "ply" }));
    for (const done of step) {
      const move = made("span", undefined, { class: "move" });
      move.append(made("span", undefined, { class: `chip fill-p${done.player % 8}` }), done.name ?? "hidden");
      line.append(move);
    }
    return line;
  }));
  inView(at("moves"), at("moves").lastElementChild);
}

function tools() {
  at("hint").disabled = !game.can.hint;
  at("back").disabled = !game.can.back;
  at("swap").disabled = !game.can.swap;
  at("longer").disabled = !game.longer || game.over;
  const helped = at("helped");
  helped.hidden = !game.helped.length;
  helped.textContent = `You were helped (${game.helped.join(", ")}): this game will not be rated.`;
  at("end").hidden = !game.over;
  if (!game.over) return;
  at("verdict").textContent = game.status;
  at("replay").hidden = !game.replay;
  if (game.replay) at("replay").href = game.replay;
  at("seed").textContent = game.seed ? `Stored as a game of the seed ${game.seed}${game.helped.length ? ", without a result" : ""}.` : "";
}

async function hint() {
  if (at("hint").disabled) return;
  const told = await send("hint", { simulations: thoughts });
  if (!told) return;
  board(told.svg);
  const longer = made("button", "Think longer", { type: "button" });
  longer.disabled = thoughts >= 1600;
  longer.addEventListener("click", () => { thoughts = Math.min(1600, 2 * thoughts); hint(); });
  const take = made("button", `Play ${told.name}`, { type: "button" });
  take.addEventListener("click", () => play(told.action));
  const bar = made("div", undefined, { class: "bar" });
  bar.append(take, longer);
  explain(at("why"), told, `${told.agent} would play ${told.name}`, [bar]);
  at("helped").hidden = false;
  at("helped").textContent = "You were helped (hint): this game will not be rated.";
}

async function again(swap) {
  const told = await send("again", { swap });
  if (told) location.href = told.url;
}

at("hint").addEventListener("click", hint);
at("back").addEventListener("click", () => change("back"));
at("longer").addEventListener("click", () => change("longer"));
at("swap").addEventListener("click", () => change("swap", { seat: (game.you + 1) % game.seats.length }));
at("again").addEventListener("click", () => again(0));
at("turned").addEventListener("click", () => again(1));
addEventListener("pointerdown", () => { keyed = false; });
addEventListener("keydown", event => {
  keyed = keyed || Boolean(event.target.closest?.("#board, #legal"));
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  if (event.key === "h") hint();
  if (event.key === "u" && !at("back").disabled) change("back");
});

try {
  show(await asked(url("")));
  go();
} catch (error) {
  say(error.message);
}
