//! What servers say of themselves: probes, and the board.

use equipoise_core::Timestamp;

use super::{Engine, events::Event, station::Station};
use crate::feed::ServerLoad;

/// A probe on its way.
pub(super) struct Probe {
    client: usize,
    server: usize,
    /// What it has been told; `None` on the way there.
    load: Option<ServerLoad>,
}

impl Engine<'_> {
    pub(super) fn ask(&mut self, client: usize) {
        self.asked.clear();
        self.feed.probes(client, Timestamp::from_nanos(self.now), &mut self.asked);
        for at in 0..self.asked.len() {
            let server = self.asked[at];
            if server < self.stations.len() {
                let probe = self.probes.insert(Probe { client, server, load: None }) as u32;
                let there = self.scenario.network.draw(&mut self.probing);
                self.events.plan(self.now.saturating_add(there), Event::Probe { at: probe });
            }
        }
    }

    pub(super) fn probe(&mut self, at: usize) {
        let probe = &mut self.probes[at];
        let station = &self.stations[probe.server];
        if let Some(load) = probe.load {
            let Probe { client, server, .. } = self.probes.remove(at);
            return self.feed.probed(client, server, load, Timestamp::from_nanos(self.now));
        }
        if station.faults.swallows() || station.faults.refuses() {
            self.probes.remove(at);
            return;
        }
        probe.load = Some(station.load());
        let back = self.scenario.network.draw(&mut self.probing);
        self.events.plan(self.now.saturating_add(back), Event::Probe { at: at as u32 });
    }

    pub(super) fn fill_board(&mut self) {
        self.loads.clear();
        self.loads.extend(self.stations.iter().map(Station::load));
        self.feed.posted(&self.loads, Timestamp::from_nanos(self.now));
        if let Some(period) = self.board {
            self.events.plan(self.now.saturating_add(period), Event::Board);
        }
    }
}
