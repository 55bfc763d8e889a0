//! Measurements of a run, from which its report is made.

use std::time::Duration;

use super::{
    events::{Nanos, ORIGIN, nanos},
    station::Station,
};
use crate::{
    report::{End, Ends, HealthChange, HealthReport, InFlight, KeyMoves, Latency, Report, Sample, Series},
    scenario::Scenario,
};

/// Counts and measures during a run. `from` and `to` are the start and the end of the measured window.
pub(super) struct Meter {
    from: Nanos,
    to: Nanos,
    /// Number of measured requests that have not ended.
    open: u64,
    latency: Latency,
    ends: Ends,
    attempts: u64,
    /// Number of attempts that were sent in the measured window, by server.
    sent: Vec<u64>,
    used: Vec<f64>,
    lengths: Lengths,
    keys: Option<KeyLog>,
    health: Option<HealthLog>,
    period: Nanos,
    sample: Sample,
    samples: Vec<Sample>,
}

impl Meter {
    pub(super) fn new(scenario: &Scenario, origin: Nanos) -> Self {
        let servers = scenario.servers.len();
        let from = origin + scenario.warm_up_nanos();
        let to = origin + nanos(scenario.lasting);
        Self {
            from,
            to,
            open: 0,
            latency: Latency::new(),
            ends: Ends::default(),
            attempts: 0,
            sent: vec![0; servers],
            used: vec![0.0; servers],
            lengths: Lengths::new(servers, from, to),
            keys: scenario.keys.map(|keys| KeyLog::new(keys.count as usize, servers)),
            health: scenario.health.as_ref().map(|_| HealthLog::new(scenario.clients, servers)),
            period: nanos(scenario.sample),
            sample: Sample::of(servers),
            samples: Vec::new(),
        }
    }

    /// Returns the start and the end of the measured window. [`flush`](Self::flush) must be called at both times.
    pub(super) fn window(&self) -> [Nanos; 2] {
        [self.from, self.to]
    }

    fn is_within(&self, now: Nanos) -> bool {
        (self.from..self.to).contains(&now)
    }

    /// Returns whether the measured window has ended at the time `now`.
    pub(super) fn is_over(&self, now: Nanos) -> bool {
        now >= self.to
    }

    pub(super) fn is_complete(&self, now: Nanos) -> bool {
        self.open == 0 && self.is_over(now)
    }

    pub(super) fn part_done(&self, now: Nanos) -> f32 {
        ((now - ORIGIN) as f32 / (self.to - ORIGIN) as f32).min(1.0)
    }

    /// Counts a new request. Returns whether the request is measured.
    pub(super) fn begin(&mut self, now: Nanos) -> bool {
        let measured = self.is_within(now);
        self.open += u64::from(measured);
        measured
    }

    pub(super) fn end(&mut self, measured: bool, latency: Nanos, end: End) {
        if !measured {
            return;
        }
        self.open -= 1;
        self.ends.count(end);
        // A request that fails at once must not count as fast, so only responses and timeouts have a latency.
        if matches!(end, End::Answered | End::TimedOut) {
            self.latency.record(latency);
        }
    }

    /// Counts an answered request as broken, because its body broke off.
    pub(super) fn break_body(&mut self, measured: bool) {
        if measured {
            self.ends.break_body();
        }
    }

    pub(super) fn send(&mut self, server: usize, key: Option<u32>, now: Nanos) {
        let within = self.is_within(now);
        self.attempts += u64::from(within);
        self.sent[server] += u64::from(within);
        self.sample.sent[server] += 1;
        if let (Some(key), Some(log)) = (key, &mut self.keys) {
            log.note(key as usize, server, within, now);
        }
    }

    /// Counts an attempt that a client sends, for the health report.
    pub(super) fn send_by(&mut self, client: usize, server: usize) {
        if let Some(log) = &mut self.health {
            log.send(client, server);
        }
    }

    /// Counts the end of an attempt of a client, for the health report.
    pub(super) fn end_by(&mut self, client: usize, server: usize, end: End) {
        if let Some(log) = &mut self.health {
            log.end(client, server, end);
        }
    }

    /// Records a change of the availability of a server in the pool of a client.
    pub(super) fn change_health(&mut self, change: HealthChange) {
        if let Some(log) = &mut self.health {
            log.change(change);
        }
    }

    /// Records that the number of requests at a server changes.
    pub(super) fn change(&mut self, server: usize, before: usize, after: usize, now: Nanos) {
        self.lengths.change(server, before, after, now);
    }

    pub(super) fn membership(&mut self, server: usize, member: bool, now: Nanos) {
        if let Some(log) = &mut self.keys {
            log.changed[server] = (member, now);
        }
    }

    /// Adds the core-seconds that the servers have used since the last call.
    pub(super) fn flush(&mut self, stations: &mut [Station], now: Nanos) {
        // Called at the start and the end of the window, so the time since the last call is entirely inside or outside.
        let within = now > self.from && now <= self.to;
        for (at, station) in stations.iter_mut().enumerate() {
            let used = station.take_used(now);
            self.sample.utilisation[at] += used as f32;
            if within {
                self.used[at] += used;
            }
        }
    }

    /// Completes the current sample of the series.
    pub(super) fn sample(&mut self, stations: &mut [Station], now: Nanos) {
        self.flush(stations, now);
        if now > self.to {
            return;
        }
        let mut sample = std::mem::replace(&mut self.sample, Sample::of(stations.len()));
        let seconds = self.period as f32 * 1e-9;
        sample.at = Duration::from_nanos(now - ORIGIN);
        sample.utilisation.iter_mut().for_each(|used| *used /= seconds);
        sample.in_flight = stations.iter().map(|station| station.len() as u32).collect();
        self.samples.push(sample);
    }

    pub(super) fn report(
        mut self,
        label: String,
        scenario: &Scenario,
        stations: &mut [Station],
        now: Nanos,
        interrupted: bool,
    ) -> Report {
        if now < self.to {
            self.flush(stations, now);
        }
        let until = now.min(self.to);
        let window = until.saturating_sub(self.from);
        let seconds = (window as f64 * 1e-9).max(f64::MIN_POSITIVE);
        let attempts = self.attempts.max(1) as f64;
        Report {
            label,
            seed: scenario.seed,
            interrupted,
            measured: Duration::from_nanos(window),
            ends: self.ends,
            attempts: self.attempts,
            latency: self.latency,
            in_flight: self.lengths.finish(stations, until),
            shares: self.sent.iter().map(|&sent| sent as f64 / attempts).collect(),
            utilisation: self.used.iter().map(|used| used / seconds).collect(),
            keys: self.keys.map(|log| log.moves),
            health: self.health.map(|log| log.health),
            series: Series { period: Duration::from_nanos(self.period), samples: self.samples },
        }
    }
}

/// Measures for how long servers had a certain number of requests, within the measured window.
struct Lengths {
    from: Nanos,
    to: Nanos,
    /// Time since which a server has had its present number of requests, by server.
    since: Vec<Nanos>,
    /// Nanoseconds during which servers had `n` requests, by `n`, as the sum over all servers.
    time: Vec<u64>,
    /// Number of servers that have `n` requests at present, by `n`.
    servers: Vec<u32>,
    /// Number of requests at the server that has the most requests at present.
    longest: usize,
    longest_since: Nanos,
    /// Integral of `longest` over time, in request-nanoseconds.
    longest_area: u128,
}

impl Lengths {
    fn new(servers: usize, from: Nanos, to: Nanos) -> Self {
        Self {
            from,
            to,
            since: vec![0; servers],
            time: vec![0],
            servers: vec![servers as u32],
            longest: 0,
            longest_since: 0,
            longest_area: 0,
        }
    }

    /// Returns how much of the time from `since` to `now` is in the measured window.
    fn within(&self, since: Nanos, now: Nanos) -> u64 {
        now.min(self.to).saturating_sub(since.max(self.from))
    }

    fn change(&mut self, server: usize, before: usize, after: usize, now: Nanos) {
        if before.max(after) >= self.time.len() {
            self.time.resize(before.max(after) + 1, 0);
            self.servers.resize(before.max(after) + 1, 0);
        }
        let since = std::mem::replace(&mut self.since[server], now);
        self.time[before] += self.within(since, now);
        self.servers[before] -= 1;
        self.servers[after] += 1;
        let longest = after.max(self.longest);
        let longest = (0..=longest).rev().find(|&length| self.servers[length] > 0).unwrap_or(0);
        if longest != self.longest {
            self.measure_longest(now);
            self.longest = longest;
        }
    }

    fn measure_longest(&mut self, now: Nanos) {
        let since = std::mem::replace(&mut self.longest_since, now);
        self.longest_area += u128::from(self.within(since, now)) * self.longest as u128;
    }

    fn finish(mut self, stations: &[Station], until: Nanos) -> InFlight {
        self.measure_longest(until);
        for (at, station) in stations.iter().enumerate() {
            let time = self.within(self.since[at], until);
            if let Some(total) = self.time.get_mut(station.len()) {
                *total += time;
            }
        }
        let all = self.time.iter().sum::<u64>().max(1) as f64;
        let window = until.saturating_sub(self.from).max(1);
        InFlight {
            time: self.time.iter().map(|&time| time as f64 / all).collect(),
            mean_of_max: self.longest_area as f64 / window as f64,
        }
    }
}

/// Records to which server each key was sent last.
struct KeyLog {
    /// The server and the time of the last attempt with a key, by key. The server is `u32::MAX` before the first
    /// attempt.
    last: Vec<(u32, Nanos)>,
    /// Whether a server is in the pools, and since when, by server.
    changed: Vec<(bool, Nanos)>,
    moves: KeyMoves,
}

impl KeyLog {
    fn new(keys: usize, servers: usize) -> Self {
        Self { last: vec![(u32::MAX, 0); keys], changed: vec![(true, 0); servers], moves: KeyMoves::default() }
    }

    fn note(&mut self, key: usize, server: usize, within: bool, now: Nanos) {
        let Some(last) = self.last.get_mut(key) else { return };
        let (before, at) = std::mem::replace(last, (server as u32, now));
        let Some(&(still_member, _)) = self.changed.get(before as usize) else { return };
        if !within {
            return;
        }
        self.moves.repeated += 1;
        if before as usize == server {
            return;
        }
        self.moves.moved += 1;
        // The set of servers has changed: the previous server has left, or the new server has joined since.
        self.moves.forced += u64::from(!still_member || self.changed[server].1 > at);
    }
}

/// Records changes of the availability of servers, and attempts at unhealthy servers.
struct HealthLog {
    servers: usize,
    /// Whether a client treats a server as unhealthy, by client, then server.
    out: Vec<bool>,
    health: HealthReport,
}

/// Maximum number of changes in the report. They take at most 100 MiB.
const MAX_CHANGES: usize = 1_000_000;

impl HealthLog {
    fn new(clients: usize, servers: usize) -> Self {
        Self { servers, out: vec![false; clients * servers], health: HealthReport::of(servers) }
    }

    fn is_out(&self, client: usize, server: usize) -> bool {
        self.out[client * self.servers + server]
    }

    fn send(&mut self, client: usize, server: usize) {
        self.health.sent_while_unhealthy[server] += u64::from(self.is_out(client, server));
    }

    fn end(&mut self, client: usize, server: usize, end: End) {
        let failed = end != End::Answered;
        self.health.failed_while_unhealthy[server] += u64::from(failed && self.is_out(client, server));
    }

    fn change(&mut self, change: HealthChange) {
        self.out[change.client * self.servers + change.server] = change.takes_out();
        match self.health.changes.len() < MAX_CHANGES {
            true => self.health.changes.push(change),
            false => self.health.omitted_changes += 1,
        }
    }
}
