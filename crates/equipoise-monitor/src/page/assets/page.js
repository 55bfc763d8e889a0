// The status page: reads the state and its changes from `./updates`, and shows them.

import { broken, showFunctions } from "./functions.js";
import { STATES, byId, count, el, mark, put, rate, span } from "./dom.js";
import { Model, RATE, newest, reason } from "./model.js";
import { askControl, offerPools, openExplain, showEvents, showListeners, startControl, startExplain } from "./panels.js";
import { PoolView } from "./pool.js";

let model = null;
let views = [];
let listenersShown = 0;

const page = {
  now: () => model.now(),
  control: null,
  explain: openExplain,
  matches(view) {
    const state = byId("filter").value;
    const wanted = byId("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const { availability } = view.row;
    const inState = !state || (state === "!up" ? availability !== "up" : availability === state);
    return inState && wanted.every((word) => view.words.includes(word));
  },
};

// ---- the stream ----

let source = null;
let delay = 1;

function connect() {
  source = new EventSource("./updates");
  source.addEventListener("state", (event) => {
    delay = 1;
    restart(JSON.parse(event.data));
  });
  source.addEventListener("update", (event) => change(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    // The browser itself connects again, unless the server has refused the stream.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, (delay = Math.min(delay * 2, 30)) * 1000);
    showConnection();
  });
}

/** Shows a whole state. What the user has set up stays: search, order and open rows. */
function restart(state) {
  const old = new Map(views.map((view) => [view.pool.name, view]));
  model = new Model(state);
  page.control = state.writable ? askControl : null;
  views = model.pools.map((pool, number) => {
    const view = new PoolView(pool, page, number);
    const before = old.get(pool.name);
    if (before?.sorting) {
      const [name, direction] = before.sorting;
      view.sortBy(name);
      if (view.sorting[1] !== direction) view.sortBy(name);
    }
    before?.observer.disconnect();
    for (const [id, row] of before?.rows ?? []) if (row.details) view.rows.get(id)?.toggle();
    return view;
  });
  byId("pools").replaceChildren(...views.map((view) => view.node));
  if (!views.length) byId("pools").append(el("p", { class: "card muted" }, "No pools."));
  offerPools(model.pools.map((pool) => pool.name));
  const { program, version, library } = model.build;
  put(byId("program"), program);
  put(byId("version"), version);
  put(byId("build"), `equipoise ${library}`);
  // The events of another process have the same numbers again.
  byId("event-list").replaceChildren();
  listenersShown = 0;
  showAll();
}

function change(update) {
  if (!model) return;
  const changes = model.apply(update);
  for (const view of views) view.update();
  if (update.listeners?.length) listenersShown = 0;
  announce(changes, showAll());
}

/** Shows what does not belong to one pool. Returns the sentences about functions that have changed. */
function showAll() {
  showEvents(model.events);
  // Listeners change with each connection; once in two seconds is often enough to read.
  if (Date.now() - listenersShown > 2000) {
    showListeners(model.listeners, model.now());
    listenersShown = Date.now();
  }
  const sentences = showFunctions(model.functions, model.now());
  const states = model.pools.flatMap((pool) => [...pool.rows.values()].map((row) => row.availability));
  const down = states.filter((state) => state !== "up").length;
  const bad = broken(model.functions);
  const problems = bad ? `${count(bad)} ${bad === 1 ? "function" : "functions"} with a problem` : "";
  const perSecond = model.pools.reduce((sum, pool) => sum + newest(pool)[RATE], 0);
  put(byId("summary"), `${count(model.pools.length)} ${model.pools.length === 1 ? "pool" : "pools"}, ${count(states.length)} endpoints, ${down ? `${count(down)} not up` : "all up"}${problems && `, ${problems}`} · ${rate(perSecond)} requests /s · running for ${span(model.uptime)}`);
  const trouble = [down ? `${down} not up` : "", problems].filter(Boolean).join(", ");
  const title = `${trouble && `(${trouble}) `}${model.build.program}`;
  if (document.title !== title) document.title = title;
  showFound();
  showConnection();
  return sentences;
}

function showConnection() {
  const age = model ? (Date.now() - model.received) / 1000 : 0;
  const connected = source.readyState === EventSource.OPEN;
  mark(byId("connection"), "data-live", !connected ? "no" : age > 3.5 ? "late" : "yes");
  const data = model ? `, data is ${span(age)} old` : "";
  put(byId("connection-text"), !connected ? (model ? `Reconnecting${data}` : "Connecting") : age > 3.5 ? `Waiting${data}` : "Live");
  document.body.classList.toggle("old", Boolean(model) && age > 10);
}

/** Tells screen readers which endpoints and functions have another state: single ones by name, many as a number. */
function announce(changes, functions) {
  if (!changes.length && !functions.length) return;
  const say = ({ pool, id, row }) => `${pool}: ${id} is ${STATES[row.availability]?.toLowerCase() ?? row.availability}${reason(row).text ? `, ${reason(row).text}` : ""}`;
  const few = (what, sentences) => (sentences.length > 3 ? [`${sentences.length} ${what} have changed their state`] : sentences);
  put(byId("announce"), [...few("endpoints", changes.map(say)), ...few("functions", functions)].join(". "));
}

// ---- search, keyboard, theme ----

function showFound() {
  const searching = byId("search").value || byId("filter").value;
  const [shown, all] = ["shown", "size"].map((what) => views.reduce((sum, view) => sum + (what === "shown" ? view.shown : view.rows.size), 0));
  put(byId("found"), searching ? `${count(shown)} of ${count(all)} endpoints` : "");
}

function search() {
  for (const view of views) view.filter();
  showFound();
}

function startSearch() {
  byId("search").addEventListener("input", search);
  byId("filter").addEventListener("change", search);
  document.addEventListener("keydown", (event) => {
    const typing = event.target.matches("input, textarea, select");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      byId("search").focus();
      byId("search").select();
    } else if (event.key === "Escape" && event.target === byId("search")) {
      byId("search").value = "";
      search();
    }
  });
}

/** The switch between the theme of the system, light and dark. The choice is kept if the browser allows it. */
function startTheme() {
  const themes = ["system", "light", "dark"];
  const kept = (value) => {
    try {
      return value ? localStorage.setItem("theme", value) : localStorage.getItem("theme");
    } catch {
      return null;
    }
  };
  const apply = (theme) => {
    theme === "system" ? delete document.documentElement.dataset.theme : (document.documentElement.dataset.theme = theme);
    put(byId("theme-name"), theme);
    mark(byId("theme"), "aria-label", `Theme: ${theme}`);
  };
  let theme = themes.includes(kept()) ? kept() : "system";
  apply(theme);
  byId("theme").addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    kept(theme);
    apply(theme);
  });
}

startTheme();
startSearch();
startExplain();
startControl(() => model.csrf_token ?? "", (text) => put(byId("announce"), text));
setInterval(showConnection, 1000);
connect();
