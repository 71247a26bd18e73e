// The curves of a page: one large chart whose metric is chosen, and small ones of every metric.
import { asked } from "/static/asked.js";
import { Chart, element } from "/static/chart.js";
import { refreshed } from "/static/live.js";

const box = document.getElementById("curves");
const large = new Chart(document.getElementById("large"));
const small = document.getElementById("small");
const fault = document.getElementById("fault");
const charts = new Map();

async function drawLarge() {
  const metric = document.getElementById("metric"), against = document.getElementById("against");
  const evaluated = metric.selectedOptions[0]?.dataset.evaluated !== undefined;
  if (against) against.disabled = !evaluated;
  if (!metric.value) return large.update({ title: "", curves: [] }); // nothing is logged yet
  const query = new URLSearchParams(box.dataset.query);
  query.set("metric", metric.value);
  if (against && evaluated) query.set("against", against.value);
  try {
    const plot = await asked(`/api/curves?${query}`);
    fault.textContent = plot.reading ? `The logs are being read: ${plot.reading}.` : plot.fault ?? "";
    large.update({ title: plot.title, curves: plot.curves.map(curve => ({ ...curve, note: noteOf(curve) })) });
  } catch (error) {
    fault.textContent = error.message;
    large.update({ title: metric.value, curves: [] });
  }
}

const noteOf = curve => curve.seeds.length > 1 ? `${curve.estimate} of ${curve.seeds.length} seeds, ${curve.interval}` : "";

async function drawSmall() {
  if (!small) return;
  const { metrics } = await asked(small.dataset.api);
  for (const each of metrics) {
    if (!charts.has(each.name)) {
      const card = element("div", { class: "card" });
      small.append(card);
      charts.set(each.name, new Chart(card, { small: true }));
    }
    charts.get(each.name).update({ title: each.title, curves: [{ label: each.name, step: each.step, value: each.value }] });
  }
}

const draw = () => Promise.allSettled([drawLarge(), drawSmall()]);
box.addEventListener("change", drawLarge);
refreshed(draw);
draw();
