// What the server has told: the whole state, and the changes since then.

/** The number of samples that are kept, one for each second. */
const HISTORY = 120;

/** The sample of a second without requests. */
const QUIET = [0, 0, 0, null, null];

/** The columns of a sample. */
export const [RATE, ERRORS, IN_FLIGHT, P50, P99] = [0, 1, 2, 3, 4];

export class Model {
  constructor(state) {
    Object.assign(this, state, { received: Date.now() });
    this.pools = state.pools.map((pool) => {
      const rows = new Map(pool.endpoints.map((row) => [row.id, told(row, state.at)]));
      leave(pool.departed, state.at);
      return Object.assign(pool, { rows, samples: padded(pool.samples), peaks: peaks(pool.samples) });
    });
  }

  /** Applies an update. Returns the changed pools, each with its changed rows, and the changes of states. */
  apply(update) {
    const seconds = update.seconds ?? 1;
    const changes = [];
    Object.assign(this, { tick: update.tick, at: update.at, uptime: update.uptime, received: Date.now() });
    const patches = new Map((update.pools ?? []).map((patch) => [patch.name, patch]));
    for (const pool of this.pools) {
      const { endpoints = [], removed = [], sample, recent_samples: recent = sample && [sample], ...fields } = patches.get(pool.name) ?? {};
      Object.assign(pool, fields);
      if (fields.departed) leave(fields.departed, update.at);
      advance(pool, seconds, recent);
      pool.changed = new Set();
      pool.removed = removed;
      removed.forEach((id) => pool.rows.delete(id));
      for (const { sample, recent_samples: recent = sample && [sample], ...patch } of endpoints) {
        const row = pool.rows.get(patch.id);
        if (row && patch.availability && patch.availability !== row.availability) {
          changes.push({ pool: pool.name, id: row.id, from: row.availability, row });
        }
        const merged = told(Object.assign(row ?? {}, patch), update.at, patch);
        merged.recent = recent;
        pool.rows.set(patch.id, merged);
        pool.changed.add(patch.id);
      }
      for (const row of pool.rows.values()) {
        advance(row, seconds, row.recent);
        row.recent = undefined;
      }
    }
    for (const kind of ["listeners", "functions"]) {
      for (const changed of update[kind] ?? []) {
        const at = this[kind].findIndex((old) => old.name === changed.name);
        at < 0 ? this[kind].push(changed) : (this[kind][at] = changed);
      }
    }
    this.events = [...this.events, ...(update.events ?? [])].slice(-100);
    return changes;
  }

  /** The time of the server now, in seconds since 1970: that of the newest data, and what has passed since then. */
  now() {
    return this.at + (Date.now() - this.received) / 1000;
  }
}

/** Notes when the conditions and checks of a row began: the server sends how long ago that was. */
function told(row, at, patch = row) {
  for (const told of [...(patch.conditions ?? []), ...(patch.checks ?? [])]) told.began = at - told.since;
  if (!row.peaks) Object.assign(row, { samples: padded(row.samples ?? []), peaks: peaks(row.samples ?? []) });
  return row;
}

/** The server leaves out the seconds without requests before the others. */
const padded = (samples) => [...Array.from({ length: HISTORY - samples.length }, () => QUIET), ...samples].slice(-HISTORY);

/** Notes when endpoints have left. */
function leave(departed, at) {
  for (const row of departed) row.left = at - row.left_ago;
}

/** Moves a history on. `recent` are its newest samples. The server sends none if the endpoint had no requests. */
function advance(of, seconds, recent = []) {
  const { samples } = of;
  for (let second = seconds; second > 0; second--) samples.push(recent[recent.length - second] ?? QUIET);
  if (samples.length > HISTORY) samples.splice(0, samples.length - HISTORY);
  // Most rows of a large pool are quiet, and stay so.
  if (recent.length || of.peaks.some((peak) => peak > 0)) of.peaks = peaks(samples);
}

/** The highest number of each column. */
function peaks(samples) {
  const highest = [0, 0, 0, 0, 0];
  for (const sample of samples) {
    for (let column = 0; column < 5; column++) if (sample[column] > highest[column]) highest[column] = sample[column];
  }
  return highest;
}

/** The newest sample of a pool or of an endpoint. */
export const newest = (of) => of.samples[of.samples.length - 1] ?? QUIET;

/** Requests that have failed, of any kind. */
export const failed = (counts) =>
  Object.keys(counts).reduce((sum, kind) => (/^failure_|^overloaded$|^unavailable$/.test(kind) ? sum + counts[kind] : sum), 0);

/** Why an endpoint is not up, or else what its last probe has complained of. */
export function reason(row) {
  const [condition] = row.conditions ?? [];
  if (condition) return { text: `${condition.source}: ${condition.reason}`, began: condition.began };
  const checks = row.checks ?? [];
  const began = checks.length ? Math.max(...checks.map((check) => check.began)) : null;
  const failing = checks.find((check) => check.last_error);
  return { text: failing ? `${failing.name}: ${failing.last_error}` : "", began };
}
