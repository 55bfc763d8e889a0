// The functions of a gateway: what each of them has counted, and what does not work now.

import { byId, bytes, count, el, icon, list, put, putFacts, span, words } from "./dom.js";

/** The readings of one function, by their names. */
class Readings {
  constructor(readings) {
    this.named = new Map();
    for (const reading of readings) {
      if (!this.named.has(reading.name)) this.named.set(reading.name, []);
      this.named.get(reading.name).push(reading);
    }
  }

  /** The readings with a name and with these values of labels. */
  all(name, labels = {}) {
    return (this.named.get(name) ?? []).filter((reading) => Object.entries(labels).every(([label, value]) => reading.labels[label] === value));
  }

  /** Their sum, `null` if there are none. */
  sum(name, labels) {
    const found = this.all(name, labels);
    return found.length ? found.reduce((sum, reading) => sum + reading.value, 0) : null;
  }

  /** Their sum as a text, an empty one if it is zero. */
  some(name, labels) {
    const sum = this.sum(name, labels);
    return sum ? count(sum) : "";
  }

  /** All values of a label. */
  values(name, label) {
    return [...new Set(this.all(name).map((reading) => reading.labels[label]))];
  }

  /** The numbers that are not zero, each with its other labels in words. */
  list(name, labels = {}) {
    const others = (reading) => Object.keys(reading.labels).filter((label) => !(label in labels)).map((label) => reading.labels[label]);
    return list(this.all(name, labels).map((reading) => [...others(reading), reading.value]));
  }
}

const keyCount = (n) => `${count(n)} ${n === 1 ? "key" : "keys"}`;

const joined = (...texts) => texts.filter(Boolean).join(", ");

/** The results of requests that the cache has answered without a whole response of the backend for each of them. */
const HITS = ["hit", "stale", "stale_while_revalidate", "stale_on_error", "validated", "coalesced"];

/** What became of the requests to a cache: hits, misses, and those that could be neither. */
function results(of) {
  const name = "cache_requests";
  const pairs = of.all(name).map((reading) => [reading.labels.result, reading.value]);
  const hits = pairs.filter(([result]) => HITS.includes(result));
  const [hit, miss] = [hits.reduce((sum, [, n]) => sum + n, 0), of.sum(name, { result: "miss" }) ?? 0];
  return [
    ["Hit ratio", hit + miss ? `${((hit / (hit + miss)) * 100).toFixed(1)} %` : "–"],
    ["Hits", list(hits) || "none"], ["Misses", count(miss)],
    ["Other requests", list(pairs.filter(([result]) => !HITS.includes(result) && result !== "miss"))],
  ];
}

/** The state of the keys of a source, and when they were read. */
function keys(of, source, now) {
  const state = (state) => of.sum("jwt_keys", { source, state });
  const read = of.sum("jwt_keys_last_success_timestamp_seconds", { source });
  const failures = of.some("jwt_key_reads", { source, result: "failure" });
  const refreshes = of.some("jwt_key_refreshes_for_unknown_keys", { source });
  return joined(`${count(state("usable"))} usable`, state("ignored") ? `${count(state("ignored"))} ignored` : "",
    read === null ? "never read" : `read ${span(now - read)} ago`, failures && `${failures} failed reads`, refreshes && `${refreshes} reads for unknown keys`);
}

/** The bytes before and after a compression or a decompression. */
const resized = (of, read, written) => (of.sum(read) ? `${bytes(of.sum(read))} → ${bytes(of.sum(written))}` : "");

/** What a function can consist of: a word, the reading by which it is known, and facts. Empty facts are left out. */
const PARTS = [
  ["authentication", "auth_requests", (of) => [
    ["Requests", of.list("auth_requests") || "none"],
    ...of.values("auth_scheme_requests", "mechanism").map((mechanism) => [`Scheme ${words(mechanism)}`, of.list("auth_scheme_requests", { mechanism }) || "none"]),
    ["Invalid credentials", of.list("auth_invalid_credentials")],
  ]],
  ["passwords", "auth_passwords", (of) => [["Passwords", of.list("auth_passwords") || "none"], ["Passwords now", of.list("auth_password_verifications")]]],
  ["external service", "auth_external_requests", (of) => [
    ["Requests to the service", count(of.sum("auth_external_requests"))], ["Waiting for the service", of.some("auth_external_waiting")],
    ["Events of the service", of.list("auth_external_events")],
  ]],
  ["tokens", "jwt_requests", (of) => of.values("jwt_requests", "source").flatMap((source) => [
    [`Tokens of ${source}`, of.list("jwt_requests", { source }) || "none"], [`Refused tokens of ${source}`, of.list("jwt_refused_tokens", { source })],
    [`Remembered signatures of ${source}`, of.some("jwt_remembered_signatures", { source })],
  ])],
  ["keys", "jwt_keys", (of, now) => of.values("jwt_keys", "source").map((source) => [`Keys of ${source}`, keys(of, source, now)])],
  ["cache", "cache_requests", (of) => [
    ...results(of), ["Stored", count(of.sum("cache_stored_responses"))], ["Not stored", of.list("cache_not_stored_responses")],
    ["Fetches now", of.some("cache_fetches")], ["Receiving", of.sum("cache_filling_bytes") ? bytes(of.sum("cache_filling_bytes")) : ""],
    ["Validations in the background", of.some("cache_background_validations")], ["Waits without a result", of.some("cache_waits_in_vain")],
  ]],
  ["cache store", "cache_store_events", (of) => {
    const [size, limit, errors] = [of.sum("cache_store_bytes"), of.sum("cache_store_limit_bytes"), of.sum("cache_store_events", { event: "error" })];
    const events = of.all("cache_store_events").filter((reading) => reading.labels.event !== "error");
    return [["Size", limit ? `${bytes(size)} of ${bytes(limit)}, ${keyCount(of.sum("cache_store_keys"))}` : ""],
      ["Store", list(events.map((reading) => [reading.labels.event, reading.value])) || "not used yet"], ["Store errors", count(errors)]];
  }],
  ["rate limit", "rate_limit_requests", (of) => [
    ...of.values("rate_limit_requests", "limit").flatMap((limit) => [
      [`Limit ${limit}`, joined(of.list("rate_limit_requests", { limit }) || "no requests", keyCount(of.sum("rate_limit_keys", { limit })))],
      [`Events of ${limit}`, of.list("rate_limit_events", { limit })],
    ]),
    ["Decided by", of.list("rate_limit_decisions")],
  ]],
  ["limit on concurrent requests", "in_flight_limit_requests", (of) => [
    ["Concurrent requests", `${count(of.sum("in_flight_limit_in_flight"))} in flight, ${keyCount(of.sum("in_flight_limit_keys"))}`],
    ["Requests", of.list("in_flight_limit_requests") || "none"], ["Without a key", of.some("in_flight_limit_missing_keys")],
  ]],
  ["Redis", "redis_connected", (of) => [["Redis", of.sum("redis_connected") ? "connected" : "not connected"], ["Events of Redis", of.list("redis_events")]]],
  ["filter", "filter_requests", (of) => [
    ["Requests", of.list("filter_requests") || "none"], ["Because of", of.list("filter_events")],
    ...of.all("filter_rule_requests").map((reading) => [`Rule ${reading.labels.rule}`, count(reading.value)]),
  ]],
  ["paths", "uri_rewritten_requests", (of) => [["Rewritten paths", count(of.sum("uri_rewritten_requests"))], ["Refused paths", of.list("uri_refused_requests")]]],
  ["redirects", "redirected_requests", (of) => [["Redirected", count(of.sum("redirected_requests"))]]],
  ["maintenance", "maintenance_active", (of) => [
    ["Maintenance", of.sum("maintenance_active") ? "active" : "off"], ["Switched", of.some("maintenance_changes")], ["During maintenance", of.list("maintenance_requests")],
  ]],
  ["bodies", "filtered_bodies", (of) => [["Filtered bodies", of.list("filtered_bodies") || "none"], ["Ended bodies", of.list("rejected_bodies")]]],
  ["CORS", "cors_preflights", (of) => [["Preflights", count(of.sum("cors_preflights"))]]],
  ["cross-site requests", "csrf_requests", (of) => [["Requests", of.list("csrf_requests") || "none"]]],
  ["request ids", "request_ids", (of) => [["Ids", of.list("request_ids") || "none"]]],
  ["compression", "compressed_responses", (of) => [
    ["Compressed", of.list("compressed_responses") || "none"], ["Bytes", resized(of, "compression_read_bytes", "compression_written_bytes")],
    ["Not compressed", of.list("uncompressed_responses")], ["Now", of.some("compression_in_progress")],
  ]],
  ["decompression", "decompressed_requests", (of) => [
    ["Decompressed", of.list("decompressed_requests") || "none"], ["Bytes", resized(of, "decompression_read_bytes", "decompression_written_bytes")],
    ["Refused", of.list("decompression_refused_requests")], ["Now", of.some("decompression_in_progress")],
  ]],
];

/** One function: its name, its problems and its facts. */
class FunctionView {
  constructor(name) {
    Object.assign(this, { name, problems: null });
    this.kind = el("span", { class: "muted" });
    this.complaints = el("ul", { class: "events" });
    this.facts = el("dl", { class: "facts" });
    this.node = el("section", { class: "function" }, el("h3", {}, name, " ", this.kind), this.complaints, this.facts);
  }

  /** Draws the function as it is now. Returns a sentence if it has begun or ceased to have a problem. */
  draw({ readings, problems }, now) {
    const of = new Readings(readings);
    const parts = PARTS.filter(([, reading]) => of.all(reading).length);
    put(this.kind, parts.map(([kind]) => kind).join(", "));
    putFacts(this.facts, parts.flatMap(([, , facts]) => facts(of, now)).filter(([, text]) => text));
    const before = this.problems;
    if (before?.join("\n") === problems.join("\n")) return [];
    this.problems = problems;
    this.complaints.replaceChildren(...problems.map((problem) => el("li", { "data-state": "unhealthy" },
      icon("unhealthy"), el("span", {}, el("span", { class: "badge" }, "Problem"), " ", problem))));
    if (!before || !before.length === !problems.length) return [];
    return [problems.length ? `${this.name} has a problem: ${problems.join("; ")}` : `${this.name} works again`];
  }
}

let views = [];

/** The number of functions that have a problem. */
export const broken = (functions) => functions.filter(({ problems }) => problems.length).length;

/** Shows the functions, those with a problem first. Returns a sentence for each that has begun or ceased to have one. */
export function showFunctions(functions, now) {
  byId("functions").hidden = byId("functions-link").hidden = functions.length === 0;
  const shown = byId("function-list");
  if (views.length !== functions.length || views.some((view, at) => view.name !== functions[at].name)) {
    views = functions.map(({ name }) => new FunctionView(name));
    shown.replaceChildren(...views.map((view) => view.node));
  }
  const changes = functions.flatMap((of, at) => views[at].draw(of, now));
  // Moves only what is not in its place.
  let place = shown.firstChild;
  for (const { node } of [...views].sort((a, b) => Boolean(b.problems.length) - Boolean(a.problems.length))) {
    if (node === place) place = place.nextSibling;
    else shown.insertBefore(node, place);
  }
  const bad = broken(functions);
  put(byId("function-tally"), bad ? `${count(bad)} of ${count(functions.length)} with a problem` : "");
  return changes;
}
