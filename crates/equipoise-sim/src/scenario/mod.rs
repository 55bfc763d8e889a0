//! The settings of a run: clients, servers, requests and faults.

mod antagonists;
mod arrivals;
mod error;
mod fault;
mod keys;
mod network;
mod server;
mod work;

use std::time::Duration;

use equipoise_core::Needs;
use equipoise_health::HealthPolicy;

pub use self::{
    antagonists::Antagonists, arrivals::Arrivals, error::InvalidScenario, fault::Fault, keys::Keys, network::Network,
    server::Server, work::Work,
};
pub(crate) use self::{arrivals::ArrivalSource, fault::FaultKind, work::WorkSource};

/// The settings of a run: clients, servers, requests, faults and timing. Only the strategy is missing.
///
/// ```
/// use std::time::Duration;
/// use equipoise_core::StrategySpec;
/// use equipoise_sim::{Fault, Scenario, Server, Work};
///
/// let p2c: StrategySpec = "p2c".parse()?;
/// let report = Scenario::of(10, Server::fifo(4))
///     .clients(3)
///     .load(0.7)
///     .work(Work::exponential(Duration::from_millis(5)))
///     .fault(Fault::slow(0, 10.0))
///     .lasting(Duration::from_secs(5))
///     .run(&p2c)?;
/// assert!(report.share(0) < 0.1);
/// println!("{report}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// **Clients** are independent. Each has its own pool and its own random numbers, and knows only its own requests.
/// Requests arrive open-loop, at the same rate at each client.
///
/// **Random numbers** come from the [seed](Self::seed), in streams that do not depend on the strategy. With the same
/// seed, two strategies get the same requests, of the same work, at the same times (common random numbers). On one
/// platform, the same scenario, seed and strategy give the same report, bit for bit.
///
/// **Measured** are requests that arrive after the [warm-up](Self::warm_up) and before the [end](Self::lasting). No
/// requests arrive after the end, and the run continues until the last measured request has ended.
#[derive(Clone, Debug)]
#[must_use]
pub struct Scenario {
    pub(crate) servers: Vec<Server>,
    pub(crate) clients: usize,
    demand: Demand,
    pub(crate) work: Work,
    pub(crate) arrivals: Arrivals,
    pub(crate) keys: Option<Keys>,
    pub(crate) network: Network,
    pub(crate) antagonists: Option<Antagonists>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) health: Option<HealthPolicy>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) cancels: bool,
    pub(crate) retries: Retries,
    pub(crate) hedge: Option<Duration>,
    pub(crate) lasting: Duration,
    warm_up: f64,
    pub(crate) seed: u64,
    pub(crate) sample: Duration,
    pub(crate) max_open_attempts: usize,
}

#[derive(Clone, Copy, Debug)]
enum Demand {
    Load(f64),
    Rate(f64),
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retries {
    pub(crate) max: u32,
    pub(crate) budget: Option<f64>,
}

/// Beyond these limits a run would take more than 5 GiB: a client takes about 2 KiB, and 0.5 KiB for each server.
const MAX_SERVERS: usize = 1_000_000;
const MAX_CLIENTS: usize = 1_000_000;
const MAX_PAIRS: usize = 5_000_000;
/// The limit with health, which takes another 1.2 KiB for each pair of a client and a server.
const MAX_MONITORED_PAIRS: usize = 1_000_000;

/// Memory that a client takes for the table of a hashing strategy. Maglev's default table is the largest; the table of
/// a ring grows with the number of servers.
const TABLE_BYTES: usize = 300 << 10;
const TABLE_BYTES_PER_SERVER: usize = 3 << 9;
const MAX_TABLE_BYTES: usize = 4 << 30;

/// Maximum number of requests, and of recurrences of anything that recurs. A run beyond it would take hours.
const MAX_EVENTS: f64 = 1e9;

/// Maximum number of samples times servers in [`Report::series`](crate::Report::series): 240 MiB.
const MAX_SAMPLES: u128 = 20_000_000;

impl Scenario {
    /// Creates a scenario with this number of equal servers.
    ///
    /// Defaults: one client, load 0.7, exponential work with a mean of 10 ms, no network delay, 40 s of which the first
    /// quarter is warm-up, seed 1, no faults, no health, no timeout, no retries, no hedges.
    pub fn of(servers: usize, kind: Server) -> Self {
        // `check` refuses one server too many; more would only take memory.
        Self::with(vec![kind; servers.min(MAX_SERVERS + 1)])
    }

    /// Creates the testbed of Prequal (NSDI 2024) without its antagonists; [`antagonists`](Self::antagonists) adds
    /// them.
    ///
    /// Servers share 4 cores among their requests. The work of a request is normally distributed with a mean of 80 ms.
    /// The network is [`Network::local`], and the timeout 5 s.
    pub fn testbed(clients: usize, servers: usize) -> Self {
        Self::of(servers, Server::sharing(4.0))
            .clients(clients)
            .work(Work::normal(Duration::from_millis(80), 1.0))
            .network(Network::local())
            .timeout(Duration::from_secs(5))
    }

    /// Creates a scenario with these servers and the defaults of [`of`](Self::of).
    pub fn with(servers: impl IntoIterator<Item = Server>) -> Self {
        Self {
            servers: servers.into_iter().take(MAX_SERVERS + 1).collect(),
            clients: 1,
            demand: Demand::Load(0.7),
            work: Work::exponential(Duration::from_millis(10)),
            arrivals: Arrivals::Poisson,
            keys: None,
            network: Network::none(),
            antagonists: None,
            faults: Vec::new(),
            health: None,
            timeout: None,
            cancels: true,
            retries: Retries::default(),
            hedge: None,
            lasting: Duration::from_secs(40),
            warm_up: 0.25,
            seed: 1,
            sample: Duration::from_secs(1),
            max_open_attempts: 1_000_000,
        }
    }

    /// Sets the number of clients, each a balancer with its own pool; 1 by default.
    pub fn clients(mut self, clients: usize) -> Self {
        self.clients = clients;
        self
    }

    /// Sets the rate of requests relative to the capacity of all servers: at 1.0 the servers are just fully used. 0.7
    /// by default.
    ///
    /// Must be above 0 and finite. Replaces [`rate`](Self::rate).
    pub fn load(mut self, load: f64) -> Self {
        self.demand = Demand::Load(load);
        self
    }

    /// Sets the rate of requests per second from all clients together, from 10⁻⁶ to 10⁹. Replaces [`load`](Self::load).
    pub fn rate(mut self, rate: f64) -> Self {
        self.demand = Demand::Rate(rate);
        self
    }

    /// Sets the distribution of the work of a request; exponential with a mean of 10 ms by default.
    pub fn work(mut self, work: Work) -> Self {
        self.work = work;
        self
    }

    /// Sets the arrival process of requests; [`Arrivals::Poisson`] by default.
    pub fn arrivals(mut self, arrivals: Arrivals) -> Self {
        self.arrivals = arrivals;
        self
    }

    /// Gives each request a key, for strategies that hash keys. Requests have no key by default.
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Sets the network delay; none by default.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// Adds other programs to the servers' machines, which change the cores that servers can use.
    pub fn antagonists(mut self, antagonists: Antagonists) -> Self {
        self.antagonists = Some(antagonists);
        self
    }

    /// Adds a fault of a server. Several faults may overlap.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Sets a health policy. Each client applies it with its own health machine, in the same way as the driver of
    /// [`equipoise_health`] does under tokio. [`Report::health`](crate::Report::health) lists the changes.
    ///
    /// - **Requests** count with their verdicts.
    /// - **Checks**, whatever their kind, are small messages over the network. They do not wait in the server's queue
    ///   and cost no work. A check fails at a server that [refuses](Fault::refuses) and at an [honest
    ///   sinkhole](Fault::honest_sinkhole). At a [black hole](Fault::blackhole) or a [stalled](Fault::stall) server it
    ///   gets no response. Otherwise it passes after 1 ms, or later if the server is slow or cold. A plain
    ///   [sinkhole](Fault::sinkhole) therefore passes its checks.
    ///
    /// After the [end](Self::lasting) of the run, health no longer changes.
    ///
    /// ```
    /// use equipoise_core::StrategySpec;
    /// use equipoise_sim::{Fault, Scenario, Server, health::{HealthPolicy, Outliers}};
    ///
    /// let policy = HealthPolicy::new().outliers(Outliers::envoy());
    /// let ejected = Scenario::of(10, Server::sharing(4.0)).fault(Fault::sinkhole(0)).health(policy);
    /// let report = ejected.run(&"p2c".parse::<StrategySpec>()?)?;
    /// assert!(report.error_rate() < 0.001);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn health(mut self, policy: HealthPolicy) -> Self {
        self.health = Some(policy);
        self
    }

    /// Sets the timeout of an attempt, from 1 ns to 10⁹ s; none by default. The client then cancels the attempt, and
    /// the server drops it at once, also from its queue.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes cancellation invisible to servers: they finish the work of cancelled attempts. By default they drop it.
    pub fn without_cancelling(mut self) -> Self {
        self.cancels = false;
        self
    }

    /// Sets the maximum number of retries of a request after failures and timeouts, from 0 (the default) to 1000.
    ///
    /// A retry goes to a server that the request has not tried, as long as there is one. Its work is drawn anew.
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.retries.max = retries;
        self
    }

    /// Limits the retries of each client to this number per request in the long run, from 0 to 1000; unlimited by
    /// default. A burst of 10 retries is allowed.
    ///
    /// With 0.2, five requests pay for one retry.
    pub fn retry_budget(mut self, ratio: f64) -> Self {
        self.retries.budget = Some(ratio);
        self
    }

    /// Sends a second attempt to another server if a request has no answer after this time (at most 10⁹ s); off by
    /// default.
    ///
    /// The first answer counts, and the other attempt is cancelled. The work of the second attempt is drawn anew.
    pub fn hedge(mut self, after: Duration) -> Self {
        self.hedge = Some(after);
        self
    }

    /// Sets how long requests arrive, warm-up included, from 1 ns to 10⁹ s; 40 s by default.
    pub fn lasting(mut self, lasting: Duration) -> Self {
        self.lasting = lasting;
        self
    }

    /// Sets the share of the run that is warm-up and is not measured, from 0 to 0.9; 0.25 by default.
    pub fn warm_up(mut self, part: f64) -> Self {
        self.warm_up = part;
        self
    }

    /// Sets the seed of all random numbers; 1 by default.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the interval of the samples in [`Report::series`](crate::Report::series); 1 s by default. A run may have at
    /// most 100 000 samples, and 20 million samples times servers.
    pub fn sample_interval(mut self, period: Duration) -> Self {
        self.sample = period;
        self
    }

    /// Sets the maximum number of attempts that may be open at the same time; 1 000 000 by default. Beyond it the run
    /// ends with [`RunError::PiledUp`](crate::RunError::PiledUp), because its memory would grow without bound.
    pub fn max_open_attempts(mut self, attempts: usize) -> Self {
        self.max_open_attempts = attempts;
        self
    }

    /// Changes each server with a function of its index and its settings.
    pub fn each(mut self, change: impl Fn(usize, Server) -> Server) -> Self {
        self.servers = self.servers.into_iter().enumerate().map(|(at, server)| change(at, server)).collect();
        self
    }

    /// Checks whether the scenario can be run. [`run`](Self::run) checks it too.
    ///
    /// # Errors
    ///
    /// The first setting that is out of range, with its valid range.
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
        self.arrivals.check()?;
        self.keys.map_or(Ok(()), |keys| keys.check())?;
        self.antagonists.map_or(Ok(()), |antagonists| antagonists.check())?;
        for fault in &self.faults {
            fault.check(servers, self.timeout.is_some())?;
        }
        self.check_times()?;
        match self.demand {
            Demand::Load(load) if !(load > 0.0 && load.is_finite()) => Err(InvalidScenario::Load { load }),
            Demand::Load(_) if !self.capacity().is_finite() => Err(InvalidScenario::NoCapacity),
            _ if !(1e-6..=1e9).contains(&self.total_rate()) => Err(InvalidScenario::Rate { rate: self.total_rate() }),
            _ => self.arrivals.check_gap(self.gap()).and_then(|()| self.check_events()),
        }
    }

    /// Refuses scenarios that would run for hours.
    fn check_events(&self) -> Result<(), InvalidScenario> {
        let refuse = |setting, what| Err(InvalidScenario::Time { setting, what });
        let retries = f64::from(self.retries.max);
        let attempts = 1.0 + self.retries.budget.map_or(retries, |ratio| ratio.min(retries));
        if self.total_rate() * self.lasting.as_secs_f64() * attempts > MAX_EVENTS {
            return refuse("lasting", "use a shorter run or a lower rate: at most 10⁹ requests, retries included");
        }
        // What recurs goes on until the last answer has arrived.
        let over = (self.lasting + self.timeout.unwrap_or_default()).as_secs_f64();
        let recurs = |period: Duration| over / period.as_secs_f64();
        if self.antagonists.is_some_and(|others| recurs(others.mean_hold()) * self.servers.len() as f64 > MAX_EVENTS) {
            return refuse("antagonists", "use a longer hold time: at most 10⁹ draws of all servers in a run");
        }
        for fault in &self.faults {
            // A membership change is an update of every pool.
            let each = if fault.kind == FaultKind::Removed { self.clients as f64 } else { 1.0 };
            if fault.every.is_some_and(|every| recurs(every) * each > MAX_EVENTS) {
                let what = "it recurs too often: at most 10⁹ times in a run; a removal counts once per client";
                return Err(InvalidScenario::Fault { server: fault.server, what });
            }
        }
        Ok(())
    }

    pub(crate) fn check_feed(&self, period: Option<Duration>) -> Result<(), InvalidScenario> {
        let over = self.lasting + self.timeout.unwrap_or_default();
        let loads = |period: Duration| over.as_secs_f64() / period.as_secs_f64() * self.servers.len() as f64;
        if period.is_some_and(|period| loads(period) > MAX_EVENTS) {
            let what = "use a longer one: at most 10⁹ loads in all snapshots of a run";
            return Err(InvalidScenario::Time { setting: "the feed's snapshot_interval", what });
        }
        Ok(())
    }

    /// Refuses more clients than memory can hold with a strategy of these needs.
    pub(crate) fn check_tables(&self, needs: Needs) -> Result<(), InvalidScenario> {
        let max = MAX_TABLE_BYTES / (TABLE_BYTES + TABLE_BYTES_PER_SERVER * self.servers.len());
        if needs.places_by_key() && self.clients > max.max(1) {
            return Err(InvalidScenario::TooManyTables { clients: self.clients, max });
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), InvalidScenario> {
        let refuse = |setting, what| Err(InvalidScenario::Time { setting, what });
        // Times are nanoseconds in 64 bits.
        let max = Duration::from_secs(1_000_000_000);
        if self.lasting.is_zero() || self.lasting > max {
            return refuse("lasting", "a run takes from 1 ns to 10⁹ s");
        }
        if !(0.0..=0.9).contains(&self.warm_up) {
            return refuse("warm_up", "it is the part of the run that is not measured, from 0 to 0.9");
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero() || timeout > max) {
            return refuse("timeout", "use from 1 ns to 10⁹ s");
        }
        if self.hedge.is_some_and(|hedge| hedge > max) {
            return refuse("hedge", "use at most 10⁹ s");
        }
        if self.network.longest() > max {
            return refuse("network", "messages take at most 10⁹ s");
        }
        if self.sample.is_zero() || self.lasting.as_nanos() / self.sample.as_nanos() > 100_000 {
            return refuse("sample_interval", "use a hundred-thousandth of the run or more");
        }
        let figures = self.lasting.as_nanos() / self.sample.as_nanos() * self.servers.len() as u128;
        if figures > MAX_SAMPLES {
            return refuse("sample_interval", "use a longer interval: samples times servers are 20 million at most");
        }
        if self.retries.max > 1_000 {
            return refuse("max_retries", "use at most 1000, since retries take no time if all servers fail at once");
        }
        if self.retries.budget.is_some_and(|ratio| !(0.0..=1_000.0).contains(&ratio)) {
            return refuse("retry_budget", "it is a number of retries per request, from 0 to 1000");
        }
        Ok(())
    }

    fn capacity(&self) -> f64 {
        self.servers.iter().map(Server::capacity).sum()
    }

    /// Returns the requests per second from all clients.
    pub(crate) fn total_rate(&self) -> f64 {
        match self.demand {
            Demand::Rate(rate) => rate,
            Demand::Load(load) => load * self.capacity() / self.work.mean().as_secs_f64(),
        }
    }

    /// Returns the mean time in seconds between two requests of a client.
    pub(crate) fn gap(&self) -> f64 {
        self.clients as f64 / self.total_rate()
    }

    /// Returns the length of the warm-up in nanoseconds.
    pub(crate) fn warm_up_nanos(&self) -> u64 {
        (self.lasting.as_nanos() as f64 * self.warm_up) as u64
    }
}
