// One pool: its figures, and the table of its endpoints.

import { STATES, chart, count, el, exact, icon, list, mark, millis, pair, put, putFacts, rate } from "./dom.js";
import { ERRORS, IN_FLIGHT, P50, P99, RATE, newest } from "./model.js";
import { COLUMNS, GROUPS, Row, tally } from "./row.js";

/** The figures above the table: name, columns of the chart, text, and a text below it. */
const FIGURES = [
  ["rate", "Rate", [RATE], (now) => `${rate(now[RATE])} /s`, (pool) => `peak ${rate(pool.peaks[RATE])} /s`],
  ["errors", "Errors", [ERRORS], (now) => `${rate(now[ERRORS])} /s`, (pool) => `peak ${rate(pool.peaks[ERRORS])} /s`],
  ["latency", "Latency p50 / p99", [P99, P50], (now) => pair(now[P50], now[P99]), (pool) => `peak ${millis(pool.peaks[P99])}`],
  ["in-flight", "In flight", [IN_FLIGHT], (now) => count(now[IN_FLIGHT]), (pool) => `peak ${count(pool.peaks[IN_FLIGHT])}`],
];

/** A session store in words: its size, and what has happened in it. */
function storeOf({ kind, sessions, capacity, connected, events }) {
  const size = sessions === null ? "" : `${count(sessions)}${capacity === null ? "" : ` of ${count(capacity)}`} sessions`;
  return [kind, size, { true: "connected", false: "not connected" }[connected], list(events)].filter(Boolean).join(", ");
}

/** The counters of a pool that its table does not have: names and texts. */
function factsOf({ stats, sessions, health }) {
  const always = [
    ["Requests", exact(stats.requests)],
    ["Retries", count(stats.retries)], ["Failovers", count(stats.failovers)],
    ["Waiting", count(stats.waiting)], ["Queued so far", count(stats.queued)],
    ["Without an endpoint", list(stats.unserved) || "none"],
  ];
  // These are shown once there is something to tell.
  const some = [];
  if (health) {
    always.push(["Ejections", count(health.ejections)], ["Health changes", list(health.changes, " → ") || "none"]);
    some.push(["Ejections and pauses prevented", health.prevented && count(health.prevented)], ["Pauses", health.pauses && count(health.pauses)], ["Probes", list(health.probes)]);
  }
  if (sessions) {
    always.push(["Sessions", list(sessions.outcomes) || "none"]);
    some.push(["Not bound on arrival", list(sessions.unbound)], ["Sessions moved", list(sessions.moved)], ["Diverted", list(sessions.diverted)],
      ["Sessions over the limit", sessions.limited && count(sessions.limited)], ["Session store", sessions.store && storeOf(sessions.store)]);
  }
  return [...always, ...some.filter(([, text]) => text)];
}

/** Ends of each second after which a table is sorted again, while no one points at it. */
const SORT_EVERY = 3;

export class PoolView {
  /** `page` has `now()`, `matches(row)`, `control` (null if the page is read-only) and `explain(pool)`. */
  constructor(pool, page, number) {
    Object.assign(this, { pool, page, rows: new Map(), sorting: null, age: 0 });
    const title = `pool-${number}`;
    this.tally = el("span", { class: "tally" });
    this.strategy = el("span", { class: "muted strategy" });
    this.figures = FIGURES.map(([kind, name, columns]) => {
      const [now, peak, history] = [el("b"), el("span", { class: "muted" }), chart(kind, columns)];
      return { now, peak, history, node: el("div", { class: `tile ${kind}` }, el("span", { class: "label" }, name), now, history, peak) };
    });
    this.facts = el("dl", { class: "facts" });
    this.body = el("tbody", { role: "rowgroup" });
    this.departed = el("tbody", { role: "rowgroup", class: "departed" });
    this.totals = COLUMNS.map((column) => el("td", { role: "cell", class: column.kind, "data-label": column.title }));
    this.empty = el("p", { class: "empty muted", hidden: "" }, "No endpoint of this pool matches the search.");
    const table = el("table", { role: "table", "aria-labelledby": title },
      el("colgroup", {}, el("col", { class: "id" }), ...COLUMNS.map((column) => el("col", { class: column.name })), page.control ? el("col", { class: "actions" }) : null),
      this.head(), this.body, this.departed,
      el("tfoot", { role: "rowgroup" }, el("tr", { role: "row" }, el("th", { scope: "row", role: "rowheader" }, "Whole pool"), ...this.totals, page.control ? el("td", { role: "cell" }) : null)));
    this.table = table;
    this.scroll = el("div", { class: "table scroll", tabindex: "0", role: "region", "aria-labelledby": title }, table);
    this.node = el("section", { class: "pool card", "aria-labelledby": title },
      el("div", { class: "heading" }, el("h2", { id: title }, pool.name), this.tally, this.strategy,
        el("button", { type: "button", class: "quiet", click: () => page.explain(pool.name) }, "Explain a pick")),
      el("div", { class: "tiles" }, ...this.figures.map((figure) => figure.node)), this.facts, this.scroll, this.empty);
    // Numbers of rows outside of the view are not written. `scrollMargin` is for the table that scrolls by itself.
    this.observer = new IntersectionObserver((entries) => {
      const now = page.now();
      for (const entry of entries) entry.target.row.show(entry.isIntersecting, now);
    }, { rootMargin: "200px", scrollMargin: "200px" });
    for (const row of pool.rows.values()) this.add(row);
    this.body.append(...[...this.rows.values()].map((row) => row.node));
    this.drawDeparted();
    this.filter();
    this.draw();
  }

  head() {
    const sorter = (name, title) => {
      const button = el("button", { type: "button", click: () => this.sortBy(name) }, title);
      return el("th", { scope: "col", role: "columnheader", class: `sort ${name}`, "aria-sort": "none", "data-column": name }, button);
    };
    const groups = GROUPS.map(([title, columns]) => el("th", { colspan: columns, scope: "colgroup", role: "columnheader" }, title));
    const spare = () => (this.page.control ? el("th", { role: "columnheader", scope: "col", class: "actions" }, el("span", { class: "unseen" }, "Actions")) : null);
    return el("thead", { role: "rowgroup" },
      el("tr", { role: "row", class: "groups" }, ...groups, this.page.control ? el("td", { role: "cell" }) : null),
      el("tr", { role: "row" }, sorter("id", "Endpoint"), ...COLUMNS.map((column) => sorter(column.name, column.title)), spare()));
  }

  add(row) {
    const view = new Row(this.pool, row, this.page);
    this.rows.set(row.id, view);
    this.observer.observe(view.node);
    return view;
  }

  /** Takes over an update of the model. */
  update() {
    const { pool } = this;
    const now = this.page.now();
    for (const id of pool.removed) {
      const view = this.rows.get(id);
      if (view) this.observer.unobserve(view.node);
      view?.remove();
      this.rows.delete(id);
    }
    let added = false;
    for (const id of pool.changed) {
      let view = this.rows.get(id);
      if (!view) {
        view = this.add(pool.rows.get(id));
        this.body.append(view.node);
        added = true;
      }
      const before = view.row.availability === view.drawn;
      view.static(now);
      if (!before && view.drawn) this.flash(view.node);
      view.drawn = view.row.availability;
      this.match(view);
    }
    if (pool.removed.length || added || this.departures !== pool.departed) this.drawDeparted();
    if (pool.changed.size || pool.removed.length) this.tell();
    this.draw();
    this.age += 1;
    const used = this.scroll.matches(":hover") || this.body.contains(document.activeElement);
    if (this.sorting && (added || (this.age % SORT_EVERY === 0 && !used))) this.sort();
  }

  /** Draws what changes each second: the figures, the totals, and the rows in view. */
  draw() {
    const { pool } = this;
    const now = this.page.now();
    // One scale for all rows, so that their charts can be compared.
    pool.top = [0, 0, 0, 0, 0];
    for (const { peaks } of pool.rows.values()) for (let i = 0; i < 5; i++) if (peaks[i] > pool.top[i]) pool.top[i] = peaks[i];
    pool.top[ERRORS] = Math.max(pool.top[ERRORS], pool.top[RATE] / 4);
    const last = newest(pool);
    FIGURES.forEach(([, , columns, text, peak], at) => {
      const figure = this.figures[at];
      put(figure.now, text(last));
      put(figure.peak, peak(pool));
      figure.history.draw(pool.samples, Math.max(...columns.map((column) => pool.peaks[column])));
    });
    this.drawTally();
    put(this.strategy, [pool.strategy, `revision ${pool.revision}`].filter(Boolean).join(" · "));
    COLUMNS.forEach((column, at) => put(this.totals[at], column.total(pool)));
    putFacts(this.facts, factsOf(pool));
    for (const view of this.rows.values()) if (view.seen && view.matches) view.draw(now);
  }

  drawTally() {
    const states = tally(this.pool);
    const text = states.map(([state, n]) => `${count(n)} ${STATES[state].toLowerCase()}`);
    if (text.join() === this.tallied) return;
    this.tallied = text.join();
    this.tally.replaceChildren(...states.map(([state], at) => el("span", { class: "badge", "data-state": state }, icon(state), text[at])));
  }

  /** Endpoints that have left are below the others, with their last numbers. */
  drawDeparted() {
    this.departures = this.pool.departed;
    const views = (this.departures ?? []).map((row) => new Row(this.pool, { samples: [], ...row, availability: "left" }, this.page));
    this.departed.replaceChildren(...views.map((view) => view.node));
    this.pool.top ??= [0, 0, 0, 0, 0];
    for (const view of views) view.show(true, this.page.now());
    this.gone = views;
    for (const view of views) this.match(view);
  }

  flash(node) {
    node.classList.remove("changed");
    requestAnimationFrame(() => node.classList.add("changed"));
  }

  // ---- search and order ----

  match(view) {
    view.matches = this.page.matches(view);
    if (view.node.hidden === view.matches) view.node.hidden = !view.matches;
    if (view.details) view.details.hidden = !view.matches;
  }

  filter() {
    for (const view of [...this.rows.values(), ...this.gone]) this.match(view);
    this.tell();
  }

  /** Tells the number of rows that are shown. */
  tell() {
    this.shown = [...this.rows.values()].filter((view) => view.matches).length;
    this.empty.hidden = this.shown > 0 || this.rows.size === 0;
    mark(this.table, "aria-rowcount", String(this.rows.size + 3));
  }

  sortBy(name) {
    const [old, direction] = this.sorting ?? [];
    // Numbers are first sorted from the highest, names from the first.
    const first = name === "id" || name === "state" ? "ascending" : "descending";
    this.sorting = old !== name ? [name, first] : direction === first ? [name, first === "ascending" ? "descending" : "ascending"] : null;
    for (const head of this.table.querySelectorAll("th.sort")) {
      mark(head, "aria-sort", this.sorting?.[0] === head.dataset.column ? this.sorting[1] : "none");
    }
    this.sort();
  }

  sort() {
    const [name, direction] = this.sorting ?? [];
    const column = COLUMNS.find((column) => column.name === name);
    const views = [...this.rows.values()];
    const sign = direction === "descending" ? -1 : 1;
    if (column) views.sort((a, b) => sign * (column.value(a.row) - column.value(b.row)));
    else if (name) views.sort((a, b) => sign * a.row.id.localeCompare(b.row.id, "en", { numeric: true }));
    // Moves only what is not in its place.
    let place = this.body.firstChild;
    for (const view of views) {
      for (const node of view.details ? [view.node, view.details] : [view.node]) {
        if (node === place) place = place.nextSibling;
        else this.body.insertBefore(node, place);
      }
    }
  }
}
