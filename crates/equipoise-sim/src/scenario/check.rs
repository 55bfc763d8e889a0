//! Checks of a scenario before a run: settings that are out of range, and scenarios that would take too much memory or
//! time.

use std::{fmt, time::Duration};

use equipoise_core::Needs;
use equipoise_health::HealthPolicy;

use super::{Demand, FaultKind, InvalidScenario, MAX_SERVERS, Scenario, Trace};

/// Maximum number of clients. This limit, `MAX_SERVERS` and `MAX_PAIRS` keep a run below 7 GiB: a client takes about 3
/// KiB, and another 0.7 to 0.8 KiB for each server.
const MAX_CLIENTS: usize = 1_000_000;
/// Maximum number of clients times servers.
const MAX_PAIRS: usize = 5_000_000;
/// Maximum number of clients times servers with a health policy, which takes another 1.2 KiB for each client and
/// server.
const MAX_MONITORED_PAIRS: usize = 1_000_000;

/// Estimated memory in bytes that a client takes for the table of a hashing strategy: this constant, plus
/// `TABLE_BYTES_PER_SERVER` for each server. The constant is the size of Maglev's default table, the second part is for
/// the table of `ring`, which grows with the number of servers.
const TABLE_BYTES: usize = 300 << 10;
const TABLE_BYTES_PER_SERVER: usize = 3 << 9;
/// Maximum memory in bytes of all tables of a hashing strategy.
const MAX_TABLE_BYTES: usize = 4 << 30;

/// Maximum number of requests, and of repetitions of each kind of repeated event. A run with more would take hours.
const MAX_EVENTS: f64 = 1e9;

/// Maximum number of samples times servers in [`Report::series`](crate::Report::series): they take 240 MiB.
const MAX_SAMPLES: u128 = 20_000_000;

impl Scenario {
    /// Checks whether the scenario can be run, without running it. [`run`](Self::run) does the same check first.
    ///
    /// # Errors
    ///
    /// Returns an error if a setting is out of range, or if the run would exceed a limit of memory or time. If there
    /// are several problems, the error describes the first one. Its message names the setting and the valid range.
    pub fn check(&self) -> Result<(), InvalidScenario> {
        let (servers, clients) = (self.servers.len(), self.clients);
        if servers == 0 {
            return Err(InvalidScenario::NoServers);
        }
        if clients == 0 {
            return Err(InvalidScenario::NoClients);
        }
        if servers > MAX_SERVERS {
            return Err(InvalidScenario::TooManyServers { max: MAX_SERVERS });
        }
        if clients > MAX_CLIENTS {
            return Err(InvalidScenario::TooManyClients { clients, max: MAX_CLIENTS });
        }
        let max = if self.health.is_some() { MAX_MONITORED_PAIRS } else { MAX_PAIRS };
        if servers.saturating_mul(clients) > max {
            return Err(InvalidScenario::TooLarge { clients, servers, max });
        }
        self.health.as_ref().map_or(Ok(()), HealthPolicy::validate)?;
        for (at, server) in self.servers.iter().enumerate() {
            server.check(at)?;
        }
        self.work.check()?;
        self.bodies.map_or(Ok(()), |bodies| bodies.check())?;
        self.arrivals.check()?;
        self.trace.as_ref().map_or(Ok(()), Trace::check)?;
        self.keys.map_or(Ok(()), |keys| keys.check())?;
        self.antagonists.map_or(Ok(()), |antagonists| antagonists.check())?;
        for fault in &self.faults {
            fault.check(servers, self.timeout.is_some())?;
        }
        self.check_times()?;
        match self.demand {
            _ if self.trace.is_some() => self.check_events(),
            Demand::Load(load) if !(load > 0.0 && load.is_finite()) => Err(InvalidScenario::Load { load }),
            Demand::Load(_) if !self.capacity().is_finite() => Err(InvalidScenario::NoCapacity),
            _ if !(1e-6..=1e9).contains(&self.total_rate()) => Err(InvalidScenario::Rate { rate: self.total_rate() }),
            _ => self.arrivals.check_gap(self.gap()).and_then(|()| self.check_events()),
        }
    }

    /// Refuses scenarios that would run for hours, because they have too many requests or repeated events.
    fn check_events(&self) -> Result<(), InvalidScenario> {
        let retries = f64::from(self.retries.max);
        let attempts = 1.0 + self.retries.budget.map_or(retries, |ratio| ratio.min(retries));
        let requests = match &self.trace {
            Some(trace) => trace.requests.len() as f64,
            None => self.total_rate() * self.lasting.as_secs_f64(),
        };
        if requests * attempts > MAX_EVENTS {
            let expected = "use a shorter run or a lower rate, for at most 10⁹ requests, retries included";
            return Err(setting("lasting", self.lasting, expected));
        }
        // Repeated events continue until the last response has arrived.
        let over = (self.lasting + self.timeout.unwrap_or_default()).as_secs_f64();
        let recurs = |period: Duration| over / period.as_secs_f64();
        if let Some(hold) = self.antagonists.map(|antagonists| antagonists.mean_hold())
            && recurs(hold) * self.servers.len() as f64 > MAX_EVENTS
        {
            let expected = "use a longer time, for at most 10⁹ changes at all servers in a run";
            return Err(setting("the hold time of antagonists", hold, expected));
        }
        for fault in &self.faults {
            // The pool of every client is updated when a server is removed or added.
            let each = if fault.kind == FaultKind::Removed { self.clients as f64 } else { 1.0 };
            if fault.every.is_some_and(|every| recurs(every) * each > MAX_EVENTS) {
                let what = "it is repeated too often: use a longer period, for at most 10⁹ repetitions in a run, where \
                            a removal counts once for each client";
                return Err(InvalidScenario::Fault { server: fault.server, what: what.to_owned() });
            }
        }
        Ok(())
    }

    /// Refuses a snapshot interval of a [`Feed`](crate::Feed) that is so short that the run would take hours.
    pub(crate) fn check_feed(&self, period: Option<Duration>) -> Result<(), InvalidScenario> {
        let over = self.lasting + self.timeout.unwrap_or_default();
        let loads = |period: Duration| over.as_secs_f64() / period.as_secs_f64() * self.servers.len() as f64;
        match period {
            Some(period) if loads(period) > MAX_EVENTS => {
                let expected = "use a longer time, for at most 10⁹ loads in all snapshots of a run";
                Err(setting("snapshot_interval of the feed", period, expected))
            }
            _ => Ok(()),
        }
    }

    /// Refuses more clients than memory can hold if the strategy with these needs keeps a hash table for each client.
    pub(crate) fn check_tables(&self, needs: Needs) -> Result<(), InvalidScenario> {
        let max = MAX_TABLE_BYTES / (TABLE_BYTES + TABLE_BYTES_PER_SERVER * self.servers.len());
        if needs.places_by_key() && self.clients > max.max(1) {
            return Err(InvalidScenario::TooManyTables { clients: self.clients, max });
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), InvalidScenario> {
        // Times are kept as nanoseconds in 64 bits.
        let max = Duration::from_secs(1_000_000_000);
        let times = [("timeout", self.timeout), ("queue_timeout", self.queue_timeout)];
        for (name, time) in [("lasting", Some(self.lasting))].into_iter().chain(times) {
            if let Some(time) = time.filter(|time| time.is_zero() || *time > max) {
                return Err(setting(name, time, "use from 1 ns to 10⁹ s"));
            }
        }
        if !(0.0..=0.9).contains(&self.warm_up) {
            return Err(setting(
                "warm_up",
                self.warm_up,
                "use from 0 to 0.9, the part of the run that is not measured",
            ));
        }
        self.impatience.map_or(Ok(()), |impatience| impatience.check(max))?;
        if let Some(hedge) = self.hedge.filter(|hedge| *hedge > max) {
            return Err(setting("hedge", hedge, "use at most 10⁹ s"));
        }
        let distances = self.servers.iter().map(|server| server.distance);
        let longest = distances.fold(self.network.longest(), Duration::max);
        if longest > max {
            return Err(setting("a delay of the network or the distance of a server", longest, "use at most 10⁹ s"));
        }
        if self.sample.is_zero() || self.lasting.as_nanos() / self.sample.as_nanos() > 100_000 {
            return Err(setting("sample_interval", self.sample, "use at least a hundred-thousandth of the run"));
        }
        let figures = self.lasting.as_nanos() / self.sample.as_nanos() * self.servers.len() as u128;
        if figures > MAX_SAMPLES {
            let expected = "use a longer time, so that samples times servers are at most 20 million";
            return Err(setting("sample_interval", self.sample, expected));
        }
        if self.retries.max > 1_000 {
            let expected = "use at most 1000, because retries take no time if all servers fail at once";
            return Err(setting("max_retries", self.retries.max, expected));
        }
        if let Some(ratio) = self.retries.budget.filter(|ratio| !(0.0..=1_000.0).contains(ratio)) {
            return Err(setting("retry_budget", ratio, "use from 0 to 1000 retries per request"));
        }
        Ok(())
    }
}

fn setting(setting: &'static str, value: impl fmt::Debug, expected: &'static str) -> InvalidScenario {
    InvalidScenario::Setting { setting, value: format!("{value:?}"), expected }
}
