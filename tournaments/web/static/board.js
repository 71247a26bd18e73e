// A drawing of a game on the page, and places on it that can be clicked. Shared by play.js and replay.js.
const SVG = "http://www.w3.org/2000/svg";

export const at = id => document.getElementById(id);

export function made(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

// Put a drawing into a box, in place of the one before.
export function draw(box, svg) {
  const parsed = new DOMParser().parseFromString(svg, "image/svg+xml").documentElement;
  if (parsed.nodeName !== "svg") return null;
  const drawing = document.importNode(parsed, true);
  box.replaceChildren(drawing);
  return drawing;
}

const same = (one, other) => one.every((number, place) => number === other[place]);

// Group actions by their areas: [[area, [action, ...]], ...], smaller areas last, so that they lie on top.
export function grouped(areas) {
  const groups = [];
  for (const [action, area] of Object.entries(areas)) {
    const group = groups.find(([known]) => same(known, area));
    if (group) group[1].push(Number(action));
    else groups.push([area, [Number(action)]]);
  }
  return groups.sort(([a], [b]) => b[2] * b[3] - a[2] * a[3]);
}

// Add a place to click, which the keyboard reaches: `act` is called when it is chosen.
export function place(drawing, [x, y, width, height], label, act, kind = "") {
  const shape = document.createElementNS(SVG, "rect");
  const inset = Math.min(width, height) * 0.04;
  const attributes = { x: x + inset, y: y + inset, width: width - 2 * inset, height: height - 2 * inset, rx: 4, class: `place ${kind}`, role: "button", tabindex: 0, "aria-label": label };
  for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
  shape.addEventListener("click", act);
  shape.addEventListener("keydown", event => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      act();
    } else move(drawing, shape, event);
  });
  drawing.append(shape);
  return shape;
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

// Move the focus to the nearest place in the direction of an arrow key.
function move(drawing, from, event) {
  const way = ARROWS[event.key];
  if (!way) return;
  event.preventDefault();
  const centre = shape => { const box = shape.getBBox(); return [box.x + box.width / 2, box.y + box.height / 2]; };
  const [x, y] = centre(from);
  let best = null, least = Infinity;
  for (const other of drawing.querySelectorAll(".place")) {
    const [ox, oy] = centre(other);
    const along = (ox - x) * way[0] + (oy - y) * way[1];
    if (other === from || along <= 1) continue;
    const across = Math.abs((ox - x) * way[1]) + Math.abs((oy - y) * way[0]);
    if (along + 3 * across < least) [best, least] = [other, along + 3 * across];
  }
  best?.focus();
}

// Scroll a list, and not the page, so that one of its elements is seen.
export function inView(list, element) {
  if (!element) return;
  const box = list.getBoundingClientRect(), seen = element.getBoundingClientRect();
  if (seen.top < box.top) list.scrollTop -= box.top - seen.top;
  else if (seen.bottom > box.bottom) list.scrollTop += seen.bottom - box.bottom;
}

const percent = share => (share === null || share === undefined ? "" : `${Math.round(100 * share)} %`);

// Write an explanation into a box: what the agent would play, with the numbers of the moves as bars.
export function explain(box, told, title, more = []) {
  const facts = [];
  if (told.value !== null) facts.push(`expects ${told.value >= 0 ? "+" : "−"}${Math.abs(told.value).toFixed(2)}`);
  if (told.simulations) facts.push(`${told.simulations.toLocaleString("en")} simulations`);
  const parts = [made("h2", title), made("p", facts.join(" · "), { class: "quiet" })];
  if (told.text) parts.push(made("p", told.text, { class: "quiet" }));
  const table = made("table", undefined, { class: "bars" });
  for (const row of told.rows) {
    const line = made("tr", undefined, row.action === told.action ? { class: "chosen" } : {});
    line.append(made("th", row.name, { scope: "row" }));
    const cell = made("td");
    const bar = made("progress", undefined, { max: 1, value: row.share ?? 0, "aria-label": `${row.name}: ${percent(row.share)}` });
    cell.append(bar);
    line.append(cell, made("td", percent(row.share), { class: "number" }));
    line.append(made("td", row.visits === null ? "" : row.visits.toLocaleString("en"), { class: "number quiet", title: "visits" }));
    table.append(line);
  }
  parts.push(table);
  if (told.line.length > 1) {
    const line = made("p", undefined, { class: "line-of" });
    line.append(made("span", "Expects ", { class: "quiet" }), told.line.join("  "));
    parts.push(line);
  }
  box.replaceChildren(...parts, ...more);
  box.hidden = false;
}
