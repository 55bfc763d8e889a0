//! The settings of a run, except the strategy: clients, servers, requests, network, faults and timing. A [`Scenario`]
//! holds all of them; the other types here are the values of its settings.

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

pub use self::{
    antagonists::Antagonists, arrivals::Arrivals, bodies::Bodies, error::InvalidScenario, fault::Fault,
    impatience::Impatience, keys::Keys, network::Network, server::Server, trace::Trace, work::Work,
};
pub(crate) use self::{arrivals::ArrivalSource, fault::FaultKind, server::Shedding, work::WorkSource};

/// Maximum number of servers. Scenarios never store more than one server above it.
const MAX_SERVERS: usize = 1_000_000;

/// The settings of a run, except the strategy: clients, servers, requests, network, faults and timing.
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
/// **Clients** are independent balancers. Each has its own pool and its own random numbers, and sees only its own
/// requests. Requests arrive at the same mean rate at each client, regardless of how many earlier requests are still
/// open.
///
/// **Random numbers** come from the [seed](Self::seed). Strategies do not change the random numbers that requests are
/// made of. With the same seed, two strategies therefore get the same requests, of the same work, at the same times
/// (common random numbers). On one platform, the same scenario, seed and strategy give exactly the same report.
///
/// **The measured window** is the time from the end of the [warm-up](Self::warm_up) to the end of the
/// [run](Self::lasting). Only requests that arrive in this window are measured. After the window, no requests arrive,
/// and the simulation continues until the last measured request has ended.
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
    /// Creates a scenario with this number of equal servers, from 1 to 1 000 000.
    ///
    /// Defaults: one client, load 0.7, exponential work with a mean of 10 ms, Poisson arrivals, a run of 40 s of which
    /// the first quarter is warm-up, seed 1. By default there is no network delay, and there are no faults, health
    /// policy, timeout, retries, hedges, bodies, keys or queue.
    pub fn of(servers: usize, kind: Server) -> Self {
        // One server above the maximum is enough for `check` to refuse the scenario. More would only take memory.
        Self::with(vec![kind; servers.min(MAX_SERVERS + 1)])
    }

    /// Creates the testbed of Prequal (NSDI 2024), but without other programs on the machines of the servers.
    /// [`antagonists`](Self::antagonists) adds such programs.
    ///
    /// Each server shares 4 cores among its requests. The work of a request is normally distributed with a mean of 80
    /// ms. The network is [`Network::local`], and the timeout is 5 s. The other settings have the defaults of
    /// [`of`](Self::of).
    pub fn testbed(clients: usize, servers: usize) -> Self {
        Self::of(servers, Server::sharing(4.0))
            .clients(clients)
            .work(Work::normal(Duration::from_millis(80), 1.0))
            .network(Network::local())
            .timeout(Duration::from_secs(5))
    }

    /// Creates a scenario with these servers, from 1 to 1 000 000. The other settings have the defaults of
    /// [`of`](Self::of).
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

    /// Sets the number of clients. Each client is a balancer with its own pool. Range: 1 to 1 000 000. The number of
    /// clients times the number of servers must be at most 5 000 000, or 1 000 000 with a [health
    /// policy](Self::health). Default: 1.
    pub fn clients(mut self, clients: usize) -> Self {
        self.clients = clients;
        self
    }

    /// Sets the rate of requests relative to the capacity of all servers. At 1.0, requests bring exactly as much work
    /// as the servers can do. The capacity is computed without [antagonists](Self::antagonists) and faults. Must be
    /// above 0 and finite. Default: 0.7.
    ///
    /// Replaces a [`rate`](Self::rate) that was set before.
    pub fn load(mut self, load: f64) -> Self {
        self.demand = Demand::Load(load);
        self
    }

    /// Sets the rate of requests of all clients together, in requests per second. Range: 10⁻⁶ to 10⁹. By default, the
    /// rate follows from the [`load`](Self::load).
    ///
    /// Replaces a [`load`](Self::load) that was set before.
    pub fn rate(mut self, rate: f64) -> Self {
        self.demand = Demand::Rate(rate);
        self
    }

    /// Sets the distribution of the work of a request. The work is the time that one core of speed 1.0 needs for the
    /// request. Default: exponential with a mean of 10 ms.
    pub fn work(mut self, work: Work) -> Self {
        self.work = work;
        self
    }

    /// Adds bodies to responses. A body ends some time after the first byte of its response. Default: responses have no
    /// body and end with their first byte.
    pub fn bodies(mut self, bodies: Bodies) -> Self {
        self.bodies = Some(bodies);
        self
    }

    /// Sets the arrival times and the work of all requests. The settings [`load`](Self::load), [`rate`](Self::rate),
    /// [`arrivals`](Self::arrivals) and [`work`](Self::work) are then ignored. Default: no trace.
    ///
    /// Clients take requests from the trace in turn: with two clients, the first client gets requests 1, 3, 5 and so
    /// on. A retry or a hedge has the same work as its request.
    ///
    /// This method also sets [`lasting`](Self::lasting) to a run in which all requests arrive, and
    /// [`warm_up`](Self::warm_up) to 0, so that all requests are measured. Set other values after this call. Requests
    /// after the end of a shorter run are left out.
    pub fn trace(mut self, trace: Trace) -> Self {
        self.lasting = trace.lasting();
        self.warm_up = 0.0;
        self.trace = Some(trace);
        self
    }

    /// Sets the process by which requests arrive at each client. Default: [`Arrivals::Poisson`].
    pub fn arrivals(mut self, arrivals: Arrivals) -> Self {
        self.arrivals = arrivals;
        self
    }

    /// Gives each request a key from this distribution, for strategies that hash keys. Default: requests have no keys.
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Sets the delay of messages between clients and servers. Default: no delay.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// Adds other programs to the machines of the servers. They change how many cores each server can use. Default:
    /// none.
    pub fn antagonists(mut self, antagonists: Antagonists) -> Self {
        self.antagonists = Some(antagonists);
        self
    }

    /// Adds a fault of one server. Can be called several times; faults may overlap, also on the same server. Default:
    /// no faults.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Sets a health policy: how clients find out which servers are unhealthy. Each client applies the policy with its
    /// own state machine, in the same way as the tokio driver of [`equipoise_health`] does.
    /// [`Report::health`](crate::Report::health) lists the changes. Default: clients treat all servers as healthy.
    ///
    /// - **Requests** count with their verdicts.
    /// - **Health checks** of every kind are simulated as small messages over the network. They do not wait in the
    ///   queue of a server and cost it no work. A check fails at a server that [refuses](Fault::refuses) connections
    ///   and at an [honest sinkhole](Fault::honest_sinkhole). It gets no response from a [black hole](Fault::blackhole)
    ///   or a [stalled](Fault::stall) server. All other servers pass it after 1 ms, or later during [`Fault::slow`] or
    ///   [`Fault::cold_start`]. A plain [sinkhole](Fault::sinkhole) therefore passes its checks.
    ///
    /// The timers of the policy stop at the [end](Self::lasting) of the run. After the end, only results of earlier
    /// requests and checks can still change the availability of a server.
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

    /// Sets the timeout of an attempt: the maximum time from sending it to the first byte of its response. Range: 1 ns
    /// to 10⁹ s. Default: no timeout.
    ///
    /// After the timeout the client cancels the attempt. The server then drops the attempt at once, even if it is in
    /// service. With [`without_cancelling`](Self::without_cancelling), the server finishes the attempt instead.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Makes servers ignore cancelled attempts: they finish the work of an attempt even if its client has cancelled it.
    /// Default: they drop the work at once.
    pub fn without_cancelling(mut self) -> Self {
        self.cancels = false;
        self
    }

    /// Makes callers impatient: they give up a request if its response has not begun after some time. Default: callers
    /// wait until the response or the [`timeout`](Self::timeout).
    pub fn impatience(mut self, impatience: Impatience) -> Self {
        self.impatience = Some(impatience);
        self
    }

    /// Makes a request wait in the queue of the client's pool if no endpoint can take it (see
    /// [`Pool::acquire`](equipoise_core::Pool::acquire)). Requests in a queue are served in the order of their arrival.
    /// `timeout` is the maximum time in the queue, from 1 ns to 10⁹ s. After this time the request ends as
    /// [unserved](crate::Ends::unserved). Default: there is no queue, and a request that no endpoint can take is
    /// unserved at once.
    ///
    /// An endpoint can take no request while it is at its [limit](Server::max_in_flight) or not available. A retry that
    /// no endpoint can take waits too, for at most `timeout` again. A hedge does not wait.
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.queue_timeout = Some(timeout);
        self
    }

    /// Sets the maximum number of retries of a request. Range: 0 to 1000. Default: 0.
    ///
    /// When an attempt ends without a successful response, the request is retried at once. If another attempt of the
    /// request is still open because of a [hedge](Self::hedge), the request is retried only when that attempt has
    /// failed too.
    ///
    /// A retry goes to a server to which the request has not been sent yet. If there is no such server, it goes to any
    /// server. The work of the retry is drawn anew, except with a [`trace`](Self::trace).
    pub fn max_retries(mut self, retries: u32) -> Self {
        self.retries.max = retries;
        self
    }

    /// Limits the retries of each client by a budget. In the long run, a client may send `ratio` retries for each
    /// request. With 0.2, five requests allow one retry. Range: 0 to 1000. Default: no limit.
    ///
    /// Each client has its own budget, which starts at 10. Each new request of the client adds `ratio` to the budget,
    /// and each retry takes 1 from the budget. The budget holds at most 10, or at most `ratio` if `ratio` is above 10.
    /// A client can therefore send about 10 retries in a burst. If the budget is below 1, a failed attempt is not
    /// retried, and its request ends with the failure.
    pub fn retry_budget(mut self, ratio: f64) -> Self {
        self.retries.budget = Some(ratio);
        self
    }

    /// Sends a second attempt of a request, called a hedge, if the response has not come within the time `after`. The
    /// time counts from the arrival of the request, and is at most 10⁹ s. Default: no hedges.
    ///
    /// A hedge goes to another server if there is one. The first successful response is used, and the other attempt is
    /// cancelled. The work of the hedge is drawn anew, except with a [`trace`](Self::trace).
    pub fn hedge(mut self, after: Duration) -> Self {
        self.hedge = Some(after);
        self
    }

    /// Sets the length of the run in simulated time, including the [warm-up](Self::warm_up). No requests arrive after
    /// it. Range: 1 ns to 10⁹ s. Default: 40 s, or the length of the [`trace`](Self::trace).
    pub fn lasting(mut self, lasting: Duration) -> Self {
        self.lasting = lasting;
        self
    }

    /// Sets the part of the run that is warm-up, as a share of [`lasting`](Self::lasting). Requests that arrive in the
    /// warm-up are not measured. Range: 0 to 0.9. Default: 0.25.
    pub fn warm_up(mut self, part: f64) -> Self {
        self.warm_up = part;
        self
    }

    /// Sets the seed of all random numbers of the run. With the same seed, all strategies get the same requests.
    /// Default: 1.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Sets the interval of the samples in [`Report::series`](crate::Report::series). Must be above 0. Default: 1 s.
    ///
    /// A run may have at most 100 000 samples. The number of samples times the number of servers may be at most 20
    /// million.
    pub fn sample_interval(mut self, period: Duration) -> Self {
        self.sample = period;
        self
    }

    /// Sets the maximum number of attempts that may be open at the same time, over all clients. If there are more, the
    /// run ends with [`RunError::PiledUp`](crate::RunError::PiledUp). The limit bounds the memory of a run whose
    /// servers get more requests than they can serve. Default: 1 000 000.
    pub fn max_open_attempts(mut self, attempts: usize) -> Self {
        self.max_open_attempts = attempts;
        self
    }

    /// Replaces each server by the result of `change`. The arguments of `change` are the index of the server, counted
    /// from 0, and the server.
    pub fn each(mut self, change: impl Fn(usize, Server) -> Server) -> Self {
        self.servers = self.servers.into_iter().enumerate().map(|(at, server)| change(at, server)).collect();
        self
    }

    /// Returns the work that all servers together can do, in core-seconds per second.
    fn capacity(&self) -> f64 {
        self.servers.iter().map(Server::capacity).sum()
    }

    /// Returns the rate of requests of all clients together, in requests per second.
    pub(crate) fn total_rate(&self) -> f64 {
        match self.demand {
            Demand::Rate(rate) => rate,
            Demand::Load(load) => load * self.capacity() / self.work.mean().as_secs_f64(),
        }
    }

    /// Draws the delay in nanoseconds of a load probe or a health check in one direction between a client and a server.
    pub(crate) fn one_way(&self, server: usize, rng: &mut impl Rng) -> u64 {
        let distance = u64::try_from(self.servers[server].distance.as_nanos() / 2).unwrap_or(u64::MAX);
        self.network.draw(rng).saturating_add(distance)
    }

    /// Returns the mean time in seconds between two requests of one client.
    pub(crate) fn gap(&self) -> f64 {
        self.clients as f64 / self.total_rate()
    }

    /// Returns the length of the warm-up in nanoseconds.
    pub(crate) fn warm_up_nanos(&self) -> u64 {
        (self.lasting.as_nanos() as f64 * self.warm_up) as u64
    }
}
