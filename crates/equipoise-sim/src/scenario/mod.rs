//! The settings of a run: clients, servers, requests and faults.

mod antagonists;
mod arrivals;
mod bodies;
mod check;
mod error;
mod fault;
mod impatience;
mod keys;
mod network;
mod server;
mod trace;
mod work;

use std::time::Duration;

use equipoise_health::HealthPolicy;
use rand::Rng;

use self::check::MAX_SERVERS;
pub use self::{
    antagonists::Antagonists, arrivals::Arrivals, bodies::Bodies, error::InvalidScenario, fault::Fault,
    impatience::Impatience, keys::Keys, network::Network, server::Server, trace::Trace, work::Work,
};
pub(crate) use self::{arrivals::ArrivalSource, fault::FaultKind, server::Shedding, work::WorkSource};

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
    pub(crate) bodies: Option<Bodies>,
    pub(crate) arrivals: Arrivals,
    pub(crate) trace: Option<Trace>,
    pub(crate) keys: Option<Keys>,
    pub(crate) network: Network,
    pub(crate) antagonists: Option<Antagonists>,
    pub(crate) faults: Vec<Fault>,
    pub(crate) health: Option<HealthPolicy>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) cancels: bool,
    pub(crate) impatience: Option<Impatience>,
    pub(crate) queue_timeout: Option<Duration>,
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

impl Scenario {
    /// Creates a scenario with this number of equal servers.
    ///
    /// Defaults: one client, load 0.7, exponential work with a mean of 10 ms, no network delay, 40 s of which the first
    /// quarter is warm-up, seed 1, no faults, no health, no timeout, no retries, no hedges, no bodies, no queue.
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
            bodies: None,
            arrivals: Arrivals::Poisson,
            trace: None,
            keys: None,
            network: Network::none(),
            antagonists: None,
            faults: Vec::new(),
            health: None,
            timeout: None,
            cancels: true,
            impatience: None,
            queue_timeout: None,
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

    /// Gives responses bodies that take time after the first byte. By default a response ends with its first byte.
    pub fn bodies(mut self, bodies: Bodies) -> Self {
        self.bodies = Some(bodies);
        self
    }

    /// Sets the arrival times and the work of all requests, in place of [`load`](Self::load), [`rate`](Self::rate),
    /// [`arrivals`](Self::arrivals) and [`work`](Self::work).
    ///
    /// Clients get the requests in turns: the first client gets the first request, the second client the second. A
    /// retry or a hedge is as much work as its request. Sets [`lasting`](Self::lasting) so that the last request still
    /// arrives; a shorter run leaves out the rest.
    pub fn trace(mut self, trace: Trace) -> Self {
        self.lasting = trace.lasting();
        self.trace = Some(trace);
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

    /// Makes callers give up requests without a response. By default they wait for ever, or until the
    /// [`timeout`](Self::timeout).
    pub fn impatience(mut self, impatience: Impatience) -> Self {
        self.impatience = Some(impatience);
        self
    }

    /// Makes requests wait for an endpoint if none can take them, as with
    /// [`Pool::acquire`](equipoise_core::Pool::acquire): first come, first served, for at most this time (from 1 ns to
    /// 10⁹ s). By default such requests end at once as [unserved](crate::Ends::unserved), and so do requests that have
    /// waited for this time.
    ///
    /// Endpoints are full if they have a limit: [`Server::max_in_flight`]. A retry waits as its request did, a hedge
    /// does not.
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.queue_timeout = Some(timeout);
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

    /// Returns the core-seconds per second that all servers can do.
    fn capacity(&self) -> f64 {
        self.servers.iter().map(Server::capacity).sum()
    }

    /// Returns the requests per second from all clients.
    pub(crate) fn total_rate(&self) -> f64 {
        if let Some(trace) = &self.trace {
            return trace.requests.len() as f64 / trace.lasting().as_secs_f64();
        }
        match self.demand {
            Demand::Rate(rate) => rate,
            Demand::Load(load) => load * self.capacity() / self.work.mean().as_secs_f64(),
        }
    }

    /// Draws the delay of a message to or from a server in nanoseconds, for probes and checks.
    pub(crate) fn one_way(&self, server: usize, rng: &mut impl Rng) -> u64 {
        let distance = u64::try_from(self.servers[server].distance.as_nanos() / 2).unwrap_or(u64::MAX);
        self.network.draw(rng).saturating_add(distance)
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
