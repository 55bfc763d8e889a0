//! What happens in a run: who sends what, to whom, and what goes wrong.

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

pub use self::{
    antagonists::Antagonists, arrivals::Arrivals, error::InvalidScenario, fault::Fault, keys::Keys, network::Network,
    server::Server, work::Work,
};
pub(crate) use self::{arrivals::ArrivalSource, fault::FaultKind, work::WorkSource};
use equipoise_health::Policy;

use crate::{
    contender::Contender,
    control::Control,
    engine,
    error::RunError,
    feed::{Feed, Unfed},
    report::Report,
};

/// A workload, the servers it goes to and what happens to them: everything of a run but the strategy.
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
/// **Clients** are independent: each has a pool, and chance, of its own and knows only of its own requests. Requests come
/// open-loop, in equal parts at all of them.
///
/// **Chance** is drawn from the [seed](Self::seed), in streams that do not depend on the strategy: the same seed gives
/// two strategies the same requests, of the same work, at the same moments (common random numbers). The same scenario,
/// seed and strategy give the same report, to the bit, on one platform.
///
/// **Measured** is what arrives after the [warm-up](Self::warm_up) and before the [end](Self::lasting). Then no more
/// requests come, and the run goes on until the last has ended.
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
    pub(crate) health: Option<Policy>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) cancels: bool,
    pub(crate) retries: Retries,
    pub(crate) hedge: Option<Duration>,
    pub(crate) lasting: Duration,
    warm_up: f64,
    pub(crate) seed: u64,
    pub(crate) sample: Duration,
    pub(crate) most_open: usize,
}

#[derive(Clone, Copy, Debug)]
enum Demand {
    Load(f64),
    Rate(f64),
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Retries {
    pub(crate) most: u32,
    pub(crate) budget: Option<f64>,
}

/// Beyond these a run would take more than 5 GiB: a client takes some 2 KiB, and 0.5 KiB more for each server.
const MOST_SERVERS: usize = 1_000_000;
const MOST_CLIENTS: usize = 1_000_000;
const MOST_PAIRS: usize = 5_000_000;
/// With health, which takes 1.2 KiB more for each.
const MOST_WATCHED: usize = 1_000_000;

/// What a client has more where keys are placed: the largest table that strategies make by default is Maglev's, and a
/// ring's grows with the servers.
const TABLE: usize = 300 << 10;
const TABLE_OF_EACH: usize = 3 << 9;
const MOST_TABLES: usize = 4 << 30;

/// How many requests a run may have, and how often anything may happen that recurs: hours beyond this.
const MOST_EVENTS: f64 = 1e9;

/// As many figures in [`Report::series`] as 240 MiB hold.
const MOST_FIGURES: u128 = 20_000_000;

impl Scenario {
    /// So many servers of one kind.
    ///
    /// Unless other things are said: one client, load 0.7, exponential work of 10 ms, no network, 40 s of which the first
    /// quarter is warm-up, seed 1.
    pub fn of(servers: usize, kind: Server) -> Self {
        // One too many is enough to be refused.
        Self::with(vec![kind; servers.min(MOST_SERVERS + 1)])
    }

    /// Prequal's testbed (NSDI 2024): so many clients, and servers that share 4 cores among what they have; 80 ms of work a
    /// request, within a data centre, given up after 5 s. [`Antagonists`] make it the published one.
    pub fn testbed(clients: usize, servers: usize) -> Self {
        Self::of(servers, Server::sharing(4.0))
            .clients(clients)
            .work(Work::normal(Duration::from_millis(80), 1.0))
            .network(Network::local())
            .timeout(Duration::from_secs(5))
    }

    /// These servers.
    pub fn with(servers: impl IntoIterator<Item = Server>) -> Self {
        Self {
            servers: servers.into_iter().take(MOST_SERVERS + 1).collect(),
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
            most_open: 1_000_000,
        }
    }

    /// How many clients there are. Each is a balancer of its own.
    pub fn clients(mut self, clients: usize) -> Self {
        self.clients = clients;
        self
    }

    /// The rate of requests, relative to what the servers could work off with their allocation: 1.0 is all.
    pub fn load(mut self, load: f64) -> Self {
        self.demand = Demand::Load(load);
        self
    }

    /// The rate of requests: so many a second, from all clients together.
    pub fn rate(mut self, rate: f64) -> Self {
        self.demand = Demand::Rate(rate);
        self
    }

    /// How much work a request is.
    pub fn work(mut self, work: Work) -> Self {
        self.work = work;
        self
    }

    /// When requests come.
    pub fn arrivals(mut self, arrivals: Arrivals) -> Self {
        self.arrivals = arrivals;
        self
    }

    /// What requests are placed by, for strategies that do.
    pub fn keys(mut self, keys: Keys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// How long messages are on their way.
    pub fn network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// Others on the servers' machines.
    pub fn antagonists(mut self, antagonists: Antagonists) -> Self {
        self.antagonists = Some(antagonists);
        self
    }

    /// Something that happens to a server. Several may overlap.
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Each client watches the servers' health by this policy, with a [machine](equipoise_health::Machine) of its own, and
    /// acts on it as [`Health`](crate::health) does under tokio: endpoints are taken out, tried out with one request and
    /// put back. [`Report::health`] tells of it.
    ///
    /// **Requests** speak by how they end. **Checks** are small messages over the network, whatever they are called: a
    /// server that refuses is a failed check, from one that swallows or stalls nothing comes back, and all others pass
    /// after 1 ms, longer where the server is slow or cold: also a [sinkhole](Fault::sinkhole), which does not know that
    /// it is one. They wait in no line and cost no work. After the [end](Self::lasting) nobody changes their mind.
    ///
    /// ```
    /// use equipoise_core::StrategySpec;
    /// use equipoise_sim::{Fault, Scenario, Server, health::{Outliers, Policy}};
    ///
    /// let policy = Policy { outliers: Some(Outliers::envoy()), ..Policy::new() };
    /// let ejected = Scenario::of(10, Server::sharing(4.0)).fault(Fault::sinkhole(0)).health(policy);
    /// let report = ejected.run(&"p2c".parse::<StrategySpec>()?)?;
    /// assert!(report.error_rate() < 0.001);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn health(mut self, policy: Policy) -> Self {
        self.health = Some(policy);
        self
    }

    /// After this time a client gives an attempt up and cancels it: the server drops it at once, also from its line.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Servers do not notice that a client has given up, and finish the work for nobody.
    pub fn without_cancelling(mut self) -> Self {
        self.cancels = false;
        self
    }

    /// An attempt that failed, or was given up, is made again up to so many times (at most 1000), each time at a server that
    /// was not tried yet while there is one. What must be done again is drawn anew.
    pub fn retries(mut self, most: u32) -> Self {
        self.retries.most = most;
        self
    }

    /// Each client makes at most so many second attempts per request in the long run (0.2: one for every five), and ten
    /// at once.
    pub fn retry_budget(mut self, ratio: f64) -> Self {
        self.retries.budget = Some(ratio);
        self
    }

    /// A request that has not been answered after this time is sent to another server too; the first answer counts, and the
    /// other attempt is cancelled. What the second must do is drawn anew.
    pub fn hedge(mut self, after: Duration) -> Self {
        self.hedge = Some(after);
        self
    }

    /// How long requests are measured, warm-up included.
    pub fn lasting(mut self, lasting: Duration) -> Self {
        self.lasting = lasting;
        self
    }

    /// Which part of it is warm-up, from 0 to 0.9; a quarter by default.
    pub fn warm_up(mut self, part: f64) -> Self {
        self.warm_up = part;
        self
    }

    /// Where chance begins.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The resolution of [`Report::series`]; 1 s by default.
    pub fn sample_every(mut self, period: Duration) -> Self {
        self.sample = period;
        self
    }

    /// How many attempts may be open at a time before the run is given up as one that no memory would hold; a million by
    /// default.
    pub fn most_open(mut self, attempts: usize) -> Self {
        self.most_open = attempts;
        self
    }

    /// Changes each server, by its number.
    pub fn each(mut self, change: impl Fn(usize, Server) -> Server) -> Self {
        self.servers = self.servers.into_iter().enumerate().map(|(at, server)| change(at, server)).collect();
        self
    }

    /// Runs it.
    ///
    /// # Errors
    ///
    /// When the scenario is impossible, when the strategy cannot be used (it refuses the servers, panics, or picks nobody
    /// although it could), or when more requests pile up than [`most_open`](Self::most_open) admits.
    pub fn run(&self, contender: &dyn Contender) -> Result<Report, RunError> {
        self.run_under(contender, &Control::new())
    }

    /// Runs it so that it can be watched and stopped. A run that was stopped reports what it had.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_under(&self, contender: &dyn Contender, control: &Control) -> Result<Report, RunError> {
        self.run_fed(contender, &mut Unfed, control)
    }

    /// Runs it with a [`Feed`]: for strategies that live on what servers say of themselves.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub fn run_fed(
        &self,
        contender: &dyn Contender,
        feed: &mut dyn Feed,
        control: &Control,
    ) -> Result<Report, RunError> {
        self.check()?;
        self.check_period(feed.period())?;
        engine::run(self, contender, feed, control)
    }

    /// Whether it can be run.
    ///
    /// # Errors
    ///
    /// When it cannot; the error names the setting.
    pub fn check(&self) -> Result<(), InvalidScenario> {
        let (servers, clients) = (self.servers.len(), self.clients);
        if servers == 0 {
            return Err(InvalidScenario::NoServers);
        }
        if clients == 0 {
            return Err(InvalidScenario::NoClients);
        }
        if servers > MOST_SERVERS {
            return Err(InvalidScenario::TooManyServers { most: MOST_SERVERS });
        }
        if clients > MOST_CLIENTS {
            return Err(InvalidScenario::TooManyClients { clients, most: MOST_CLIENTS });
        }
        let most = if self.health.is_some() { MOST_WATCHED } else { MOST_PAIRS };
        if servers.saturating_mul(clients) > most {
            return Err(InvalidScenario::TooLarge { clients, servers, most });
        }
        self.health.as_ref().map_or(Ok(()), Policy::check)?;
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

    /// Whether it ends within hours.
    fn check_events(&self) -> Result<(), InvalidScenario> {
        let refuse = |setting, what| Err(InvalidScenario::Time { setting, what });
        let retries = f64::from(self.retries.most);
        let attempts = 1.0 + self.retries.budget.map_or(retries, |ratio| ratio.min(retries));
        if self.total_rate() * self.lasting.as_secs_f64() * attempts > MOST_EVENTS {
            return refuse("lasting", "use less, or a lower rate: requests, with their retries, are 10⁹ at most");
        }
        // Who waits for the last answer sees what recurs go on.
        let over = (self.lasting + self.timeout.unwrap_or_default()).as_secs_f64();
        let recurs = |period: Duration| over / period.as_secs_f64();
        if self.antagonists.is_some_and(|others| recurs(others.mean_hold()) * self.servers.len() as f64 > MOST_EVENTS) {
            return refuse("antagonists", "let them hold for longer: draws times servers are 10⁹ at most in a run");
        }
        for fault in &self.faults {
            // Members that come and go are news for every client.
            let each = if fault.kind == FaultKind::Away { self.clients as f64 } else { 1.0 };
            if fault.every.is_some_and(|every| recurs(every) * each > MOST_EVENTS) {
                let what =
                    "it recurs too often: 10⁹ times at most in a run; one that is away, for all clients together";
                return Err(InvalidScenario::Fault { server: fault.server, what });
            }
        }
        Ok(())
    }

    fn check_period(&self, period: Option<Duration>) -> Result<(), InvalidScenario> {
        let over = self.lasting + self.timeout.unwrap_or_default();
        let loads = |period: Duration| over.as_secs_f64() / period.as_secs_f64() * self.servers.len() as f64;
        if period.is_some_and(|period| loads(period) > MOST_EVENTS) {
            let what = "use a longer one: the loads that are posted in a run are 10⁹ at most";
            return Err(InvalidScenario::Time { setting: "the feed's period", what });
        }
        Ok(())
    }

    /// Whether memory holds so many clients with a strategy of these needs.
    pub(crate) fn check_tables(&self, needs: Needs) -> Result<(), InvalidScenario> {
        let most = MOST_TABLES / (TABLE + TABLE_OF_EACH * self.servers.len());
        if needs.places_by_key() && self.clients > most.max(1) {
            return Err(InvalidScenario::TooManyTables { clients: self.clients, most });
        }
        Ok(())
    }

    fn check_times(&self) -> Result<(), InvalidScenario> {
        let refuse = |setting, what| Err(InvalidScenario::Time { setting, what });
        // Time is kept in 64 bits of nanoseconds.
        let most = Duration::from_secs(1_000_000_000);
        if self.lasting.is_zero() || self.lasting > most {
            return refuse("lasting", "a run takes from 1 ns to 10⁹ s");
        }
        if !(0.0..=0.9).contains(&self.warm_up) {
            return refuse("warm_up", "it is the part of the run that is not measured, from 0 to 0.9");
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero() || timeout > most) {
            return refuse("timeout", "use from 1 ns to 10⁹ s");
        }
        if self.hedge.is_some_and(|hedge| hedge > most) {
            return refuse("hedge", "use at most 10⁹ s");
        }
        if self.network.longest() > most {
            return refuse("network", "messages take at most 10⁹ s");
        }
        if self.sample.is_zero() || self.lasting.as_nanos() / self.sample.as_nanos() > 100_000 {
            return refuse("sample_every", "use a hundred-thousandth of the run or more");
        }
        let figures = self.lasting.as_nanos() / self.sample.as_nanos() * self.servers.len() as u128;
        if figures > MOST_FIGURES {
            return refuse("sample_every", "use a longer period: samples times servers are 20 million at most");
        }
        if self.retries.most > 1_000 {
            return refuse("retries", "use at most 1000, since where all fail at once they take no time");
        }
        if self.retries.budget.is_some_and(|ratio| !(0.0..=1_000.0).contains(&ratio)) {
            return refuse("retry_budget", "it is a number of retries per request, from 0 to 1000");
        }
        Ok(())
    }

    fn capacity(&self) -> f64 {
        self.servers.iter().map(Server::capacity).sum()
    }

    /// Requests a second, from all clients.
    pub(crate) fn total_rate(&self) -> f64 {
        match self.demand {
            Demand::Rate(rate) => rate,
            Demand::Load(load) => load * self.capacity() / self.work.mean().as_secs_f64(),
        }
    }

    /// Seconds between two requests of a client, in the mean.
    pub(crate) fn gap(&self) -> f64 {
        self.clients as f64 / self.total_rate()
    }

    /// Nanoseconds.
    pub(crate) fn warm_up_nanos(&self) -> u64 {
        (self.lasting.as_nanos() as f64 * self.warm_up) as u64
    }
}
