// A population's page: curves over rounds, shares among members, and the payoff table of each round.
import { asked } from "/static/asked.js";
import { Chart, element, short } from "/static/chart.js";
import { refreshed } from "/static/live.js";

const box = document.getElementById("population");
const charts = new Map();

function shade(cell, heat, good) {
  cell.style.setProperty("background", `rgba(var(--${good ? "good" : "bad"}), ${heat.toFixed(2)})`);
}

function heatMap(names, columns, rows, look) {
  const head = element("tr", {}, element("th"), ...columns.map((name, k) => element("th", { scope: "col", title: name }, String(k))));
  const lines = rows.map((row, i) => element("tr", {}, element("th", { scope: "row", title: names[i] }, names[i]), ...row.map((value, j) => {
    const cell = element("td", { title: `${names[i]}, ${columns[j]}: ${value === null ? "not known" : short(value)}`, class: value === null ? "unknown" : null });
    if (value !== null) look(cell, value);
    return cell;
  })));
  return element("table", { class: "heat" }, element("thead", {}, head), element("tbody", {}, ...lines));
}

function payoffs(tables) {
  const slider = document.getElementById("round"), place = document.getElementById("payoffs");
  const newest = +slider.value >= +slider.max;
  slider.max = tables.length - 1;
  if (newest) slider.value = slider.max;
  const show = () => {
    const { round, names, paid } = tables[+slider.value];
    const known = paid.flat().filter(value => value !== null), low = Math.min(...known), high = Math.max(...known);
    document.getElementById("round-number").value = round;
    place.replaceChildren(heatMap(names, names, paid, (cell, value) => {
      const heat = high > low ? (value - low) / (high - low) : 0.5;
      shade(cell, 0.85 * Math.abs(heat - 0.5) * 2, heat >= 0.5);
    }));
  };
  slider.oninput = show;
  if (tables.length) show();
  else place.replaceChildren(element("p", { class: "quiet" }, "No round has a payoff table yet."));
}

async function draw() {
  const { sections, tables } = await asked(box.dataset.api);
  sections.forEach((section, k) => {
    const place = document.getElementById(`section-${k}`);
    if (!place) return;
    if (section.lines.length) {
      if (!charts.has(k)) charts.set(k, new Chart(place.querySelector(".lines"), { height: 240 }));
      charts.get(k).update({ title: section.title, x: "round", whole: true, curves: section.lines.map(line => ({
        label: line.name, step: line.values.map((_, round) => round), value: line.values })) });
    }
    place.querySelector(".shares").replaceChildren(...section.shares.flatMap(share => [
      element("p", { class: "quiet" }, share.title),
      element("div", { class: "scroll" }, heatMap(share.rows.map((_, round) => `round ${round}`), share.names,
        share.rows, (cell, value) => shade(cell, 0.9 * value, true)))]));
  });
  if (document.getElementById("round")) payoffs(tables);
}

refreshed(draw);
draw();
