// Curves as SVG, drawn here: axes, intervals, values under the pointer or by the arrow keys, logarithmic axes, a legend
// that hides curves, and the numbers as a table.
const NS = "http://www.w3.org/2000/svg";
const COLOURS = 8, DASHES = 4;

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null && value !== false) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function drawn(name, attributes) {
  const made = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function short(value) {
  if (value === null || value === undefined) return "—";
  if (value === 0) return "0";
  const size = Math.abs(value);
  for (const [unit, letter] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (size >= unit) return `${+(value / (letter === "k" ? 1e3 : unit)).toPrecision(3)}${letter}`;
  }
  return size < 1e-3 ? value.toExponential(1) : `${+value.toPrecision(4)}`;
}

function ticksOf(low, high, count, log) {
  if (log) {
    const first = Math.floor(Math.log10(low)), last = Math.ceil(Math.log10(high));
    const every = Math.max(1, Math.ceil((last - first) / count));
    const found = [];
    for (let power = first; power <= last; power += every) found.push(10 ** power);
    return found.filter(tick => tick >= low * 0.999 && tick <= high * 1.001);
  }
  const rough = (high - low) / count || 1, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find(each => each * power >= rough) ?? 10);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) found.push(k * step);
  return found;
}

function scaleOf(low, high, from, to, log) {
  const map = log ? Math.log : value => value;
  const [a, b] = [map(low), map(high)];
  return value => from + (map(value) - a) / (b - a || 1) * (to - from);
}

export const lookOf = place => `c${place % COLOURS} d${Math.floor(place / COLOURS) % DASHES}`;

export class Chart {
  // `box` is emptied. `data`: {title, x, whole, curves: [{label, note, step, value, low, high}]}; numbers may be null;
  // `whole`: what lies between whole numbers of x has no meaning.
  constructor(box, { small = false, height = small ? 120 : 340 } = {}) {
    Object.assign(this, { box, small, height, log: { x: false, y: false }, hidden: new Set(), at: null, data: null });
    box.classList.add("chart-box");
    this.title = element("h3");
    this.switches = element("div", { class: "bar" });
    for (const axis of small ? [] : ["x", "y"]) {
      const press = element("button", { type: "button", "aria-pressed": "false" }, `log ${axis}`);
      press.addEventListener("click", () => {
        this.log[axis] = !this.log[axis];
        press.setAttribute("aria-pressed", this.log[axis]);
        this.draw();
      });
      this.switches.append(press);
    }
    this.svg = drawn("svg", { class: "plot", tabindex: 0, role: "img" });
    this.readout = element("div", { class: "readout", role: "status", "aria-live": "polite" });
    this.legend = element("ul", { class: "legend" });
    this.numbers = element("details", {}, element("summary", {}, "Numbers"), element("div", { class: "scroll" }));
    this.numbers.addEventListener("toggle", () => this.tabulate());
    box.replaceChildren(element("div", { class: "chart-head" }, this.title, this.switches), this.svg, this.readout,
      ...(small ? [] : [this.legend, this.numbers]));
    this.svg.addEventListener("pointermove", event => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.show(null));
    this.svg.addEventListener("blur", () => this.show(null));
    this.svg.addEventListener("keydown", event => this.key(event));
    new ResizeObserver(() => this.draw()).observe(box);
  }

  update(data) {
    this.data = data;
    this.title.textContent = data.title;
    this.list();
    this.draw();
    this.tabulate();
  }

  get shown() {
    return this.data.curves.map((curve, place) => ({ ...curve, place })).filter(curve => !this.hidden.has(curve.label));
  }

  list() {
    if (this.data.curves.length < 2 && !this.data.curves[0]?.note) return this.legend.replaceChildren();
    this.legend.replaceChildren(...this.data.curves.map((curve, place) => {
      const sample = drawn("svg", { viewBox: "0 0 24 10", "aria-hidden": "true" });
      sample.append(drawn("line", { class: `line ${lookOf(place)}`, x1: 0, x2: 24, y1: 5, y2: 5, "stroke-width": 3 }));
      const press = element("button", { type: "button", "aria-pressed": !this.hidden.has(curve.label) }, sample,
        element("span", {}, curve.label, curve.note ? ` (${curve.note})` : ""));
      press.addEventListener("click", () => {
        this.hidden[this.hidden.has(curve.label) ? "delete" : "add"](curve.label);
        press.setAttribute("aria-pressed", !this.hidden.has(curve.label));
        this.draw();
      });
      return element("li", {}, press);
    }));
  }

  draw() {
    const width = Math.round(this.box.clientWidth);
    if (!this.data || !width) return;
    const { height, small } = this;
    const usable = (x, y) => y !== null && x !== null && (!this.log.x || x > 0) && (!this.log.y || y > 0);
    const xs = [], ys = [];
    for (const curve of this.shown) {
      curve.step.forEach((x, k) => {
        for (const y of [curve.value[k], curve.low?.[k], curve.high?.[k]]) if (y !== undefined && usable(x, y)) { xs.push(x); ys.push(y); }
      });
    }
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("aria-label", this.words());
    if (!xs.length) {
      const text = drawn("text", { x: width / 2, y: height / 2, "text-anchor": "middle" });
      text.textContent = this.data.curves.length ? "nothing to draw on these axes" : "nothing is known yet";
      this.svg.replaceChildren(text);
      this.x = this.y = null;
      return;
    }
    const ends = list => list.reduce(([a, b], value) => [Math.min(a, value), Math.max(b, value)], [Infinity, -Infinity]);
    const [left, right] = ends(xs);
    let [low, high] = ends(ys);
    if (!this.log.y) {
      const room = (high - low || Math.abs(high) || 1) * 0.06;
      [low, high] = [low - room, high + room];
    } else if (low === high) [low, high] = [low / 2, high * 2];
    const yTicks = ticksOf(low, high, small ? 3 : 6, this.log.y);
    const margin = { left: Math.max(...yTicks.map(tick => short(tick).length), 2) * 6.6 + 10, right: 12, top: 8, bottom: small ? 20 : 40 };
    this.x = scaleOf(left, right, margin.left, width - margin.right, this.log.x);
    this.y = scaleOf(low, high, height - margin.bottom, margin.top, this.log.y);
    const parts = [];
    for (const tick of yTicks) {
      const y = this.y(tick);
      parts.push(drawn("line", { class: "grid", x1: margin.left, x2: width - margin.right, y1: y, y2: y }));
      const text = drawn("text", { x: margin.left - 6, y: y + 3.5, "text-anchor": "end" });
      text.textContent = short(tick);
      parts.push(text);
    }
    const places = ticksOf(left, right, Math.max(2, Math.floor(width / (small ? 110 : 120))), this.log.x);
    for (const tick of left === right ? [left] : this.data.whole ? places.filter(Number.isInteger) : places) {
      const x = this.x(tick), text = drawn("text", { x, y: height - margin.bottom + 16, "text-anchor": x > width - 30 ? "end" : "middle" });
      text.textContent = short(tick);
      parts.push(drawn("line", { class: "axis", x1: x, x2: x, y1: height - margin.bottom, y2: height - margin.bottom + 4 }), text);
    }
    parts.push(drawn("line", { class: "axis", x1: margin.left, x2: width - margin.right, y1: height - margin.bottom, y2: height - margin.bottom }));
    if (!small) {
      const text = drawn("text", { x: width - margin.right, y: height - 6, "text-anchor": "end" });
      text.textContent = this.data.x ?? "environment steps";
      parts.push(text);
    }
    for (const curve of this.shown) {
      if (curve.low && curve.high) {
        const kept = curve.step.map((x, k) => k).filter(k => usable(curve.step[k], curve.low[k]) && usable(curve.step[k], curve.high[k]));
        const edge = (values, list) => list.map(k => `${this.x(curve.step[k]).toFixed(1)},${this.y(values[k]).toFixed(1)}`);
        if (kept.length > 1) parts.push(drawn("polygon", { class: `band ${lookOf(curve.place)}`, points: [...edge(curve.high, kept), ...edge(curve.low, kept.reverse())].join(" ") }));
      }
    }
    for (const curve of this.shown) {
      let path = "", pen = "M", count = 0, last = null;
      curve.step.forEach((x, k) => {
        if (!usable(x, curve.value[k])) { pen = "M"; return; }
        last = [this.x(x), this.y(curve.value[k])];
        path += `${pen}${last[0].toFixed(1)},${last[1].toFixed(1)}`;
        pen = "L";
        count++;
      });
      parts.push(drawn("path", { class: `line ${lookOf(curve.place)}`, d: path }));
      if (count === 1) parts.push(drawn("circle", { class: `dot ${lookOf(curve.place)}`, cx: last[0], cy: last[1], r: 3 }));
    }
    this.cursor = drawn("g", {});
    this.svg.replaceChildren(...parts, this.cursor);
    this.frame = { ...margin, bottom: height - margin.bottom };
    this.show(this.at);
  }

  words() {
    const ends = this.shown.map(curve => `${curve.label}: ${short(curve.value.at(-1))} at ${short(curve.step.at(-1))}`);
    return `${this.data.title}. Last values: ${ends.slice(0, 12).join("; ") || "none"}. Arrow keys read values.`;
  }

  get steps() {
    return this.shown.reduce((longest, curve) => curve.step.length > longest.length ? curve.step : longest, []);
  }

  point(event) {
    if (!this.x) return;
    const at = (event.clientX - this.svg.getBoundingClientRect().left) * this.svg.viewBox.baseVal.width / this.svg.clientWidth;
    let best = null;
    this.steps.forEach((step, k) => {
      if (this.log.x && step <= 0) return;
      const gap = Math.abs(this.x(step) - at);
      if (best === null || gap < best[1]) best = [step, gap];
    });
    this.show(best?.[0] ?? null);
  }

  key(event) {
    const steps = this.steps, here = steps.indexOf(this.at);
    const to = { ArrowRight: here + 1, ArrowLeft: here < 0 ? steps.length - 1 : here - 1, Home: 0, End: steps.length - 1 }[event.key];
    if (event.key === "Escape") this.show(null);
    if (to === undefined || !steps.length) return;
    event.preventDefault();
    this.show(steps[Math.min(Math.max(to, 0), steps.length - 1)]);
  }

  show(step) {
    this.at = step;
    if (!this.cursor) return;
    this.cursor.replaceChildren();
    if (step === null || !this.x || (this.log.x && step <= 0)) {
      this.readout.textContent = this.small ? this.latest() : "";
      return;
    }
    const x = this.x(step), values = [];
    this.cursor.append(drawn("line", { class: "rule", x1: x, x2: x, y1: this.frame.top, y2: this.frame.bottom }));
    for (const curve of this.shown) {
      const k = nearest(curve.step, step), value = curve.value[k];
      if (value === null || value === undefined || (this.log.y && value <= 0)) continue;
      this.cursor.append(drawn("circle", { class: `dot ${lookOf(curve.place)}`, cx: this.x(curve.step[k]), cy: this.y(value), r: 3.5 }));
      const span = curve.low?.[k] !== undefined && curve.low?.[k] !== null ? ` (${short(curve.low[k])} to ${short(curve.high[k])})` : "";
      values.push([value, `${this.shown.length > 1 ? `${curve.label} ` : ""}${short(value)}${span}`]);
    }
    values.sort((a, b) => b[0] - a[0]);
    this.readout.textContent = `${(+step.toFixed(2)).toLocaleString("en")}: ${values.slice(0, 8).map(each => each[1]).join("   ")}`;
  }

  latest() {
    const curve = this.shown[0];
    return curve ? `${short(curve.value.at(-1))} at ${short(curve.step.at(-1))}` : "";
  }

  tabulate() {
    if (!this.numbers.open || !this.data) return;
    const rows = this.steps.map(step => element("tr", {}, element("th", { scope: "row" }, (+step.toFixed(2)).toLocaleString("en")),
      ...this.shown.map(curve => element("td", {}, short(curve.value[nearest(curve.step, step)])))));
    const head = element("tr", {}, element("th", { scope: "col" }, this.data.x ?? "steps"), ...this.shown.map(curve => element("th", { scope: "col" }, curve.label)));
    this.numbers.lastChild.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
  }
}

function nearest(steps, step) {
  let best = 0;
  for (let k = 1; k < steps.length; k++) if (Math.abs(steps[k] - step) < Math.abs(steps[best] - step)) best = k;
  return best;
}
