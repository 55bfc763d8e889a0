// The rows of endpoints: their columns, and what is below a row when it is opened.

import { STATES, bytes, chart, count, el, exact, icon, mark, millis, pair, put, rate, span, useIcon, words } from "./dom.js";
import { ERRORS, IN_FLIGHT, P50, P99, RATE, failed, newest, reason } from "./model.js";

/** A column with a text. `value` is what it sorts by, and `total` its text for a whole pool. */
const text = (name, title, value, show, total, kind = `number ${name}`) => ({
  name, title, value, total, kind,
  fill(cell) {
    return (row) => {
      put(cell, show(value(row), row));
      if (name === "failed") mark(cell, "data-any", value(row) ? "yes" : "no");
    };
  },
});

/** A column with a text and a chart. */
const charted = (name, title, value, show, columns, total) => ({
  name, title, value, total, kind: `number charted ${name}`,
  fill(cell) {
    const number = el("span", { class: "figure" });
    const history = chart(name, columns);
    cell.append(history, number);
    return (row, pool) => {
      put(number, show(value(row), row));
      if (name === "errors") mark(number, "data-any", value(row) ? "yes" : "no");
      history.draw(row.samples, Math.max(...columns.map((column) => pool.top[column])));
    };
  },
});

const ofPool = (column) => (pool) => rate(newest(pool)[column]);
const limited = (n, limit) => (limit === null || limit === undefined ? count(n) : `${count(n)} / ${count(limit)}`);
const latency = (sample) => pair(sample[P50], sample[P99]);

/** Bytes are counted by the pool for TCP and UDP, and by the connections for HTTP. */
const transferred = (direction) => (row) => row[direction] + (row.connections?.[direction] ?? 0);
/** The pool's own count has the endpoints that have left. Of the connections, those of the endpoints that are still listed count. */
const transferredBy = (pool, direction) => [...pool.rows.values(), ...pool.departed].reduce((sum, row) => sum + (row.connections?.[direction] ?? 0), pool.stats[direction]);

/** The columns after that of the endpoint. The first one is always filled, the others when their row is in view. */
export const COLUMNS = [
  {
    name: "state", title: "State", kind: "state",
    value: (row) => Object.keys(STATES).indexOf(row.availability),
    total: (pool) => `${count(pool.rows.size)} ${pool.rows.size === 1 ? "endpoint" : "endpoints"}`,
    fill(cell) {
      const [symbol, name, since, why] = [icon("up"), el("span"), el("span", { class: "muted" }), el("span", { class: "why" })];
      cell.append(el("span", { class: "badge" }, symbol, name), " ", since, why);
      return (row, pool, now) => {
        const { text, began } = reason(row);
        mark(cell, "data-state", row.availability);
        useIcon(symbol, row.availability);
        put(name, STATES[row.availability] ?? row.availability);
        put(since, row.left !== undefined ? `${span(now - row.left)} ago` : began === null ? "" : span(now - began));
        put(why, text);
        mark(why, "title", text);
      };
    },
  },
  text("weight", "Weight", (row) => row.weight, count, () => ""),
  charted("in-flight", "In flight", (row) => row.in_flight, (n, row) => limited(n, row.max_in_flight), [IN_FLIGHT], (pool) => count(pool.stats.attempts.in_flight)),
  charted("rate", "Rate /s", (row) => newest(row)[RATE], rate, [RATE], ofPool(RATE)),
  charted("errors", "Errors /s", (row) => newest(row)[ERRORS], rate, [ERRORS], ofPool(ERRORS)),
  charted("latency", "p50 / p99", (row) => newest(row)[P99] ?? -1, (_, row) => latency(newest(row)), [P99, P50], (pool) => latency(newest(pool))),
  text("total", "Total", (row) => row.requests.total, count, (pool) => count(pool.stats.attempts.total)),
  text("success", "Success", (row) => row.requests.success, count, (pool) => count(pool.stats.attempts.success)),
  text("failed", "Failed", (row) => failed(row.requests), count, (pool) => count(failed(pool.stats.attempts))),
  text("cancelled", "Cancelled", (row) => row.requests.cancelled, count, (pool) => count(pool.stats.attempts.cancelled)),
  text("sent", "Sent", transferred("bytes_sent"), bytes, (pool) => bytes(transferredBy(pool, "bytes_sent"))),
  text("received", "Received", transferred("bytes_received"), bytes, (pool) => bytes(transferredBy(pool, "bytes_received"))),
  text("connections", "Conns", (row) => row.connections?.open ?? -1, (n, row) => (row.connections ? count(n) : "–"),
    (pool) => count([...pool.rows.values()].reduce((sum, row) => sum + (row.connections?.open ?? 0), 0))),
];

/** How many columns each heading of the upper line covers, beginning with that of the endpoint. */
export const GROUPS = [["", 1], ["", 2], ["Now", 4], ["Attempts since the start", 4], ["Bytes", 2], ["", 1]];

/** How many endpoints are in which state, the usual state first. */
export function tally(pool) {
  const counts = new Map();
  for (const { availability } of pool.rows.values()) counts.set(availability, (counts.get(availability) ?? 0) + 1);
  return Object.keys(STATES).reverse().filter((state) => counts.has(state)).map((state) => [state, counts.get(state)]);
}

/** One row of the table. */
export class Row {
  constructor(pool, row, view) {
    Object.assign(this, { row, pool, view, seen: false, matches: true, details: null });
    this.name = el("span", { class: "name" });
    this.place = el("span", { class: "place" });
    this.button = el("button", { type: "button", class: "open", "aria-expanded": "false", click: () => this.toggle() }, icon("more"), this.name);
    const head = el("th", { scope: "row", role: "rowheader" }, this.button, this.place);
    this.node = el("tr", { role: "row" }, head);
    this.node.row = this;
    this.fills = [];
    this.addCell(COLUMNS[0]);
    this.static(view.now());
  }

  /** Whether the row is in the view, or near it. Only then its numbers are kept up to date. */
  show(seen, now) {
    this.seen = seen;
    if (!seen) return;
    if (this.fills.length === 1) {
      COLUMNS.slice(1).forEach((column) => this.addCell(column));
      if (this.view.control && this.pool.health && this.row.left === undefined) {
        const label = `Change the state of ${this.row.id}`;
        const change = el("button", { type: "button", class: "quiet change", "aria-label": label, click: () => this.view.control(this.pool, this.row) }, "Change…");
        this.node.append(el("td", { role: "cell", class: "actions" }, change));
      }
    }
    this.draw(now);
  }

  addCell(column) {
    const cell = el("td", { role: "cell", class: column.kind, "data-label": column.title });
    this.fills.push(column.fill(cell));
    this.node.append(cell);
  }

  /** Writes what identifies the row, and its state: for rows outside of the view too. */
  static(now) {
    const { row } = this;
    const place = [row.address === row.id ? "" : row.address, row.tier ? `tier ${row.tier}` : "", row.zone ?? ""];
    put(this.name, row.id);
    mark(this.name, "title", row.id);
    put(this.place, place.filter(Boolean).join(" · "));
    this.fills[0](row, this.pool, now);
    this.words = [row.id, row.address, row.zone ?? "", row.availability, reason(row).text].join("\n").toLowerCase();
  }

  draw(now) {
    for (const fill of this.fills) fill(this.row, this.pool, now);
    if (this.details) this.drawDetails(now);
  }

  toggle() {
    const open = !this.details;
    mark(this.button, "aria-expanded", String(open));
    if (open) {
      this.details = el("tr", { role: "row", class: "details" });
      this.node.after(this.details);
      this.drawDetails(this.view.now());
    } else {
      this.details.remove();
      this.details = null;
    }
  }

  /** Writes the details anew, which no one edits or focuses. */
  drawDetails(now) {
    const { row } = this;
    const list = (title, pairs) => pairs.length ? el("section", {}, el("h4", {}, title), el("dl", {}, ...pairs.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]))) : null;
    const times = (name, of) => (of ? [[`${name}, median`, millis(of.p50)], [`${name}, 90 %`, millis(of.p90)], [`${name}, 99 %`, millis(of.p99)]] : []);
    const parts = [
      list("Conditions", (row.conditions ?? []).map((of) => [`${of.source}: ${of.availability}`, `${of.reason} (for ${span(now - of.began)})`])),
      list("Checks", (row.checks ?? []).map((of) => [of.name, `${of.up ? "up" : "down"} for ${span(now - of.began)}${of.last_error ? `; last probe: ${of.last_error}` : ""}`])),
      list("Attempts", Object.entries(row.requests).filter(([kind, n]) => n > 0 || ["total", "in_flight", "success"].includes(kind)).map(([kind, n]) => [words(kind), exact(n)])),
      list("Times since the start", [...times("First byte", row.latency), ...times("Whole", row.duration)]),
      list("Connections", Object.entries(row.connections ?? {}).map(([name, n]) => [words(name), Array.isArray(n) ? n.map(([why, n]) => `${words(why)} ${count(n)}`).join(", ") || "none" : count(n)])),
    ];
    const text = parts.map((part) => part?.textContent).join();
    if (text === this.detailsText) return;
    this.detailsText = text;
    this.details.replaceChildren(el("td", { role: "cell", colspan: COLUMNS.length + 2 }, el("div", { class: "parts" }, ...parts)));
  }

  remove() {
    this.node.remove();
    this.details?.remove();
  }
}
