// Events, listeners, the form that explains a pick, and the dialog that changes the state of an endpoint.

import { STATES, byId, clock, count, el, icon, span, words } from "./dom.js";

// ---- events ----

/** What an event says, a detail, and the state that colours it. */
function sentence(event) {
  const { kind, endpoint, from, to } = event;
  const limit = (n) => n ?? "none";
  const lists = () => ["added", "removed", "replaced", "changed", "retargeted"].filter((of) => event[of]?.length).map((of) => `${of} ${event[of].join(", ")}`).join("; ");
  switch (kind) {
    case "health": return [`${endpoint}: ${from} → ${to}`, event.reason ? `${event.source}: ${event.reason}` : event.source, to];
    case "membership": return [lists(), event.unlisted ? `and ${event.unlisted} more` : "", "left"];
    case "limit_changed": return [`${endpoint}: limit ${limit(from)} → ${limit(to)}`, "", "left"];
    case "weight_changed": return [`${endpoint}: weight ${from} → ${to}`, "", "left"];
    case "command": return [`${endpoint}: set to ${event.state}`, `by ${event.by}`, { ready: "up", drain: "draining" }[event.state] ?? event.state];
    case "reloaded": return [`configuration read again: ${event.result}`, event.detail, event.result === "ok" ? "up" : "unhealthy"];
    case "certificate_expiring": return [`${event.listener}: certificate of ${event.names.join(", ") || event.source} ${event.expires_in > 0 ? `expires in ${span(event.expires_in)}` : "has expired"}`, event.source, event.expires_in > 0 ? "probation" : "unhealthy"];
    default: {
      const rest = Object.entries(event).filter(([name]) => !["at", "id", "pool", "kind"].includes(name));
      return [words(kind), rest.map(([name, value]) => `${words(name)} ${value}`).join(", "), "left"];
    }
  }
}

/** Shows the events, the newest first. Those that are shown already stay. */
export function showEvents(events) {
  const list = byId("event-list");
  const ids = new Set(events.map((event) => String(event.id)));
  for (const item of [...list.children]) if (!ids.has(item.dataset.id)) item.remove();
  const last = list.firstChild ? Number(list.firstChild.dataset.id) : -1;
  for (const event of events) {
    if (list.firstChild && event.id <= last) continue;
    const [what, why, state] = sentence(event);
    const { pool } = event;
    list.prepend(el("li", { "data-id": event.id, "data-state": state },
      el("time", { datetime: new Date(event.at * 1000).toISOString() }, clock(event.at)),
      icon(state in STATES ? state : "left"), el("span", {}, pool ? el("span", { class: "muted" }, `${pool} `) : null, what, why ? el("span", { class: "why" }, why) : null)));
  }
  if (!list.children.length) list.append(el("li", { class: "muted", "data-id": "-1" }, "None so far."));
}

// ---- listeners ----

const DAY = 86400;

/** The seconds before the end of a certificate from which on it is a warning: as in the alert rules. */
const CERTIFICATE_WARNING = 14 * DAY;

/** The seconds before the end of a certificate from which on it is shown as a failure. */
const CERTIFICATE_CRITICAL = 3 * DAY;

export function showListeners(listeners, now) {
  byId("listeners").hidden = listeners.length === 0;
  byId("listener-list").replaceChildren(...listeners.map((listener) => {
    const readings = listener.readings.map((reading) => {
      const name = reading.label ? `${words(reading.name)}, ${words(reading.label[1])}` : words(reading.name);
      return el("div", { title: reading.help }, el("dt", {}, name), el("dd", {}, count(reading.value)));
    });
    const certificates = listener.certificates.map((certificate) => {
      const left = certificate.not_after - now;
      const state = left < CERTIFICATE_CRITICAL ? "unhealthy" : left < CERTIFICATE_WARNING ? "probation" : "up";
      const term = left < 0 ? `expired ${span(-left)} ago` : `${Math.floor(left / DAY)} days left`;
      return el("li", { "data-state": state }, icon(state), el("span", {}, certificate.names.join(", ") || certificate.source, certificate.is_default ? el("span", { class: "muted" }, " default") : null,
        el("span", { class: "why" }, `${term}, until ${new Date(certificate.not_after * 1000).toISOString().slice(0, 10)}`)));
    });
    return el("section", { class: "listener" }, el("h3", {}, listener.name, el("span", { class: "muted" }, ` ${listener.mode}`)),
      certificates.length ? el("ul", { class: "events" }, ...certificates) : null, el("dl", { class: "facts" }, ...readings));
  }));
}

// ---- explain ----

export function offerPools(names) {
  const select = byId("explain-pool");
  const chosen = select.value;
  select.replaceChildren(...names.map((name) => el("option", { value: name }, name)));
  if (names.includes(chosen)) select.value = chosen;
}

/** Opens the form for a pool. */
export function openExplain(pool) {
  byId("explain-pool").value = pool;
  byId("explain").scrollIntoView();
  byId("explain-pool").focus({ preventScroll: true });
}

export function startExplain() {
  byId("explain-form").addEventListener("submit", async (submit) => {
    submit.preventDefault();
    const fields = new FormData(submit.target);
    const query = new URLSearchParams();
    for (const name of ["pool", "method", "path", "host", "client", "key", "cookie"]) {
      if (fields.get(name)) query.append(name, fields.get(name));
    }
    for (const header of fields.get("headers").split("\n")) if (header.trim()) query.append("header", header.trim());
    const result = byId("explain-result");
    try {
      const response = await fetch(`./explain?${query}`, { headers: { accept: "application/json" } });
      if (!response.ok) throw new Error(await response.text());
      result.replaceChildren(...explanation(await response.json()));
    } catch (error) {
      result.replaceChildren(el("p", { class: "error" }, error.message));
    }
  });
}

function explanation(answer) {
  const { picked, candidates, binding } = answer;
  const rank = (of) => (of.id === picked ? -1 : of.score ?? Number.MAX_VALUE);
  candidates.sort((a, b) => rank(a) - rank(b));
  const heads = ["Endpoint", "State", "In flight", "Weight", "Score", "Result"];
  const rows = candidates.map((of) => {
    const state = icon(of.availability);
    return el("tr", { class: of.id === picked ? "picked" : null },
      el("th", { scope: "row" }, of.id),
      el("td", { class: "state", "data-state": of.availability }, el("span", { class: "badge" }, state, STATES[of.availability] ?? of.availability)),
      el("td", { class: "number" }, count(of.in_flight)), el("td", { class: "number" }, count(of.weight)),
      el("td", { class: "number" }, of.score === null || of.score === undefined ? "–" : Number(of.score).toPrecision(4)),
      el("td", {}, of.reason));
  });
  return [
    picked ? el("p", { class: "verdict", "data-state": "up" }, icon("up"), el("span", {}, "The request would go to ", el("b", {}, picked)))
      : el("p", { class: "verdict", "data-state": "unhealthy" }, icon("unhealthy"), el("span", {}, `No endpoint: ${answer.error}`)),
    answer.steps.length || binding ? el("ol", { class: "steps muted" }, ...answer.steps.map((step) => el("li", {}, step)),
      binding ? el("li", {}, `session: ${words(binding.outcome)}${binding.reason ? `, because ${binding.reason}` : ""}`) : null) : null,
    candidates.length ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Candidates" }, el("table", { class: "plain" }, el("caption", {}, "All endpoints of the pool, the best score first"),
      el("thead", {}, el("tr", {}, ...heads.map((head, at) => el("th", { scope: "col", class: at > 1 && at < 5 ? "number" : null }, head)))), el("tbody", {}, ...rows))) : null,
    answer.text ? el("details", {}, el("summary", {}, "As text"), el("pre", {}, answer.text)) : null,
  ].filter(Boolean);
}

// ---- control ----

let asked = null;

/** Asks for the new state of an endpoint. Nothing is sent before the answer. */
export function askControl(pool, row) {
  asked = { pool: pool.name, endpoint: row.id };
  byId("control-title").textContent = `${row.id}`;
  byId("control-now").textContent = `Pool ${pool.name}. Now: ${STATES[row.availability] ?? row.availability}, ${count(row.in_flight)} in flight.`;
  byId("control-error").textContent = "";
  byId("control-form").reset();
  byId("control").showModal();
}

/** `token()` returns the token that the server wants with each change. */
export function startControl(token, say) {
  const dialog = byId("control");
  byId("control-cancel").addEventListener("click", () => dialog.close());
  byId("control-form").addEventListener("submit", async (submit) => {
    submit.preventDefault();
    const state = new FormData(submit.target).get("state");
    const error = byId("control-error");
    if (!state) return void (error.textContent = "Choose the new state.");
    try {
      const headers = { "content-type": "application/json", accept: "application/json", "x-csrf-token": token() };
      const response = await fetch("./endpoints", { method: "POST", headers, body: JSON.stringify({ ...asked, state }) });
      if (!response.ok) throw new Error((await response.text()) || `refused: ${response.status}`);
      dialog.close();
      say(`${asked.endpoint}: the state is set to ${state}`);
    } catch (failure) {
      error.textContent = failure.message;
    }
  });
}
