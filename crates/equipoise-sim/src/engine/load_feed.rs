//! Load reports of servers for a [`Feed`](crate::Feed): probes and snapshots. Reports with responses are in
//! `client_side`.

use equipoise_core::Timestamp;

use super::{
    events::Event,
    state::{Engine, Probe},
    station::Station,
};

impl Engine<'_> {
    /// Sends load probes to the servers that the feed names for a new request of a client.
    pub(super) fn send_probes(&mut self, client: usize) {
        self.probe_targets.clear();
        self.feed.probe_targets(client, Timestamp::from_nanos(self.now), &mut self.probe_targets);
        for at in 0..self.probe_targets.len() {
            let server = self.probe_targets[at];
            if server < self.stations.len() {
                let probe = self.probes.insert(Probe { client, server, load: None }) as u32;
                let there = self.scenario.one_way(server, &mut self.probing);
                self.events.plan(self.now.saturating_add(there), Event::Probe { at: probe });
            }
        }
    }

    /// Handles a load probe that has arrived at its server, or the response to a probe that has arrived at its client.
    pub(super) fn probe(&mut self, at: usize) {
        let probe = &mut self.probes[at];
        let station = &self.stations[probe.server];
        if let Some(load) = probe.load {
            let Probe { client, server, .. } = self.probes.remove(at);
            return self.feed.on_probe(client, server, load, Timestamp::from_nanos(self.now));
        }
        if station.faults.is_blackhole() || station.faults.refuses() {
            self.probes.remove(at);
            return;
        }
        probe.load = Some(station.load());
        let back = self.scenario.one_way(probe.server, &mut self.probing);
        self.events.plan(self.now.saturating_add(back), Event::Probe { at: at as u32 });
    }

    /// Passes the loads of all servers to the feed, and plans the next snapshot.
    pub(super) fn snapshot_loads(&mut self) {
        self.loads.clear();
        self.loads.extend(self.stations.iter().map(Station::load));
        self.feed.on_snapshot(&self.loads, Timestamp::from_nanos(self.now));
        if let Some(period) = self.snapshot_interval {
            self.events.plan(self.now.saturating_add(period), Event::LoadSnapshot);
        }
    }
}
