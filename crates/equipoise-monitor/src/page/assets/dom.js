// Elements, texts and small charts. Whatever the server sends becomes text or the value of an attribute, never markup.

const SVG = "http://www.w3.org/2000/svg";

/** Creates an element. Attributes that are functions are listeners; `null` and `false` leave an attribute out. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const byId = (id) => document.getElementById(id);

/** Sets the text of a node, only if it differs: a write costs a layout, a comparison does not. */
export function put(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Sets an attribute, only if it differs. */
export function mark(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** Writes facts into a list of definitions: names with their texts. Only what differs is written. */
export function putFacts(node, facts) {
  while (node.children.length > facts.length) node.lastChild.remove();
  facts.forEach(([name, text], at) => {
    if (!node.children[at]) node.append(el("div", {}, el("dt"), el("dd")));
    const [dt, dd] = node.children[at].children;
    put(dt, name);
    put(dd, text);
  });
}

/** The states of endpoints in the order of their severity, each with its name. The icon of each has the id `i-` with its name. */
export const STATES = { unhealthy: "Unhealthy", probation: "Probation", maintenance: "Maintenance", draining: "Draining", left: "Left", up: "Up" };

/** Creates an icon, from a symbol of the page. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "use"));
  useIcon(svg, name);
  return svg;
}

export function useIcon(svg, name) {
  mark(svg.firstChild, "href", `#i-${name}`);
}

// ---- numbers ----

const whole = new Intl.NumberFormat("en");
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 4 });

/** A number with all of its digits. */
export const exact = (n) => whole.format(n);

/** A number in little space: from a million on with four digits. */
export const count = (n) => (n === null || n === undefined ? "–" : n < 1e6 ? whole.format(n) : compact.format(n));

/** A name of the program in words. */
export const words = (name) => String(name).replaceAll("_", " ");

/** Numbers with their labels in words. Those that are zero are left out. */
export const list = (pairs, between = " ") => (pairs ?? []).filter((pair) => pair.at(-1) > 0)
  .map((pair) => `${words(pair.slice(0, -1).join(between))} ${count(pair.at(-1))}`).join(", ");

/** A number per second: one decimal if it is small. */
export const rate = (n) => (!n ? "0" : n < 10 ? n.toFixed(1) : whole.format(Math.round(n)));

export function millis(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms >= 1000) return `${(ms / 1000).toFixed(ms < 10000 ? 1 : 0)} s`;
  return `${ms < 1 ? ms.toFixed(2) : ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** Two times with one unit, that of the higher one. */
export function pair(low, high) {
  if (high === null || high === undefined) return "–";
  const first = high >= 1000 ? (low / 1000).toFixed(low < 1000 ? 2 : 1) : millis(low).split(" ")[0];
  return `${first} / ${millis(high)}`;
}

export function bytes(n) {
  let unit = 0;
  for (; n >= 999.5 && unit < 5; unit++) n /= 1000;
  return `${unit && n < 10 ? n.toFixed(1) : Math.round(n)} ${["B", "kB", "MB", "GB", "TB", "PB"][unit]}`;
}

/** A time in words, in its one or two largest units. */
export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

export const clock = (seconds) => new Date(seconds * 1000).toLocaleTimeString("en-GB");

// ---- charts ----

const [WIDTH, HEIGHT] = [120, 24];

/**
 * Creates a chart of the last two minutes. `columns` are the positions of its numbers in a sample; the first one is
 * filled. `draw(samples, top)` draws it with `top` at the upper edge.
 */
export function chart(kind, columns) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `chart ${kind}`);
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const paths = ["area", ...columns.map((_, at) => `line line${at}`)].map((name) => {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    svg.append(path);
    return path;
  });
  svg.draw = (samples, top) => {
    const lines = columns.map((column) => line(samples, column, top));
    mark(paths[0], "d", lines[0].area);
    lines.forEach(({ stroke }, at) => mark(paths[at + 1], "d", stroke));
  };
  return svg;
}

/** The path of one line, and that of the area below it. A sample without a number is a gap. */
function line(samples, column, top) {
  let [stroke, area, start, last] = ["", "", null, null];
  const close = () => {
    if (start !== null) {
      stroke += "h.1"; // Shows a single sample as a dot.
      area += `L${last} ${HEIGHT}L${start} ${HEIGHT}Z`;
    }
    start = null;
  };
  const from = WIDTH - samples.length;
  samples.forEach((sample, at) => {
    const value = sample[column];
    if (value === null || value === undefined) return close();
    const x = from + at + 0.5;
    const y = (HEIGHT - 1 - Math.min(1, value / (top || 1)) * (HEIGHT - 2)).toFixed(1);
    const step = `${start === null ? "M" : "L"}${x} ${y}`;
    stroke += step;
    area += step;
    start ??= x;
    last = x;
  });
  close();
  return { stroke, area };
}
