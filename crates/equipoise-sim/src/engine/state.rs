//! The state of a run: clients, servers, open requests, future events and measurements.

use std::{
    collections::VecDeque,
    sync::{Arc, mpsc::channel},
    time::Duration,
};

use equipoise_core::{ManualClock, Timestamp};
use rand_distr::Zipf;
use slab::Slab;

use super::{
    client::Client,
    draw::Costs,
    events::{AttemptId, Events, Nanos, ORIGIN, nanos},
    meter::Meter,
    monitor::Health,
    queued::Woken,
    requests::{Attempts, Call},
    station::Station,
    streams::{Purpose, Stream, stream},
};
use crate::{
    contender::Contender,
    control::Control,
    error::RunError,
    feed::{Feed, ServerLoad},
    scenario::{InvalidScenario, Scenario},
};

pub(super) struct Engine<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) contender: &'a dyn Contender,
    pub(super) feed: &'a mut dyn Feed,
    pub(super) control: &'a Control,
    pub(super) clock: Arc<ManualClock>,
    pub(super) now: Nanos,
    pub(super) events: Events,
    pub(super) stations: Vec<Station>,
    pub(super) clients: Vec<Client>,
    pub(super) calls: Slab<Call>,
    pub(super) call_number: u32,
    pub(super) attempts: Attempts,
    /// Timeouts of open attempts. They are in the order of time, because all timeouts are equally long.
    pub(super) timeouts: VecDeque<(Nanos, AttemptId)>,
    /// Times at which a hedge is sent, each with the slab entry and the number of its request. In the order of time.
    pub(super) hedges: VecDeque<(Nanos, u32, u32)>,
    pub(super) probes: Slab<Probe>,
    pub(super) probing: Stream,
    /// Interval between two load snapshots, read from the feed when the run began.
    pub(super) snapshot_interval: Option<Nanos>,
    pub(super) health: Option<Health>,
    pub(super) antagonists: Vec<Stream>,
    pub(super) costs: Costs,
    pub(super) woken: Woken,
    pub(super) popularity: Option<Zipf<f64>>,
    pub(super) meter: Meter,
    /// Buffer for the targets of load probes. Kept to avoid allocations.
    pub(super) probe_targets: Vec<usize>,
    /// Buffer for the loads of a snapshot. Kept to avoid allocations.
    pub(super) loads: Vec<ServerLoad>,
}

/// A load probe of a [`Feed`] on its way to a server or back.
pub(super) struct Probe {
    pub(super) client: usize,
    pub(super) server: usize,
    /// The load that the server reported. `None` on the way to the server.
    pub(super) load: Option<ServerLoad>,
}

impl<'a> Engine<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        contender: &'a dyn Contender,
        feed: &'a mut dyn Feed,
        control: &'a Control,
    ) -> Result<Self, RunError> {
        let clock = Arc::new(ManualClock::new());
        clock.set(Timestamp::from_nanos(ORIGIN));
        // Creating many clients takes seconds, so it can be stopped.
        let clients = (0..scenario.clients).take_while(|_| !control.is_stopped());
        let health = scenario.health.as_ref().map(|policy| Health::new(policy, scenario.seed));
        let clients = clients.map(|client| {
            let monitor = health.as_ref().map(|health| health.monitor(client, scenario.servers.len())).transpose()?;
            Client::new(scenario, client, contender, &clock, monitor)
        });
        let popularity = scenario.keys.map(|keys| {
            let impossible = |_| InvalidScenario::Keys { count: keys.count, exponent: keys.exponent, max: u32::MAX };
            Zipf::new(f64::from(keys.count), keys.exponent).map_err(impossible)
        });
        let stations: Vec<Station> = scenario.servers.iter().map(Station::new).collect();
        Ok(Self {
            clients: clients.collect::<Result<_, _>>()?,
            popularity: popularity.transpose()?,
            antagonists: (0..stations.len()).map(|at| stream(scenario.seed, Purpose::Antagonists, at)).collect(),
            probing: stream(scenario.seed, Purpose::Probes, 0),
            costs: Costs::new(scenario),
            woken: channel(),
            meter: Meter::new(scenario, ORIGIN),
            now: ORIGIN,
            events: Events::default(),
            calls: Slab::new(),
            call_number: 0,
            attempts: Attempts::default(),
            timeouts: VecDeque::new(),
            hedges: VecDeque::new(),
            probes: Slab::new(),
            snapshot_interval: feed.snapshot_interval().map(nanos),
            probe_targets: Vec::new(),
            loads: Vec::new(),
            health,
            scenario,
            contender,
            feed,
            control,
            clock,
            stations,
        })
    }

    pub(super) fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.now - ORIGIN)
    }
}
