//! What changes while a program runs: samples of each second.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time::MissedTickBehavior};

use crate::{monitor::Monitor, report::Snapshot};

/// The newest snapshot with the history of its pools and endpoints.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Live {
    /// The number of this state. Each later state has a higher number.
    pub tick: u64,
    /// What was read.
    pub snapshot: Arc<Snapshot>,
    /// The history of each pool, in the order of [`Snapshot::pools`].
    pub pools: Vec<PoolHistory>,
}

/// The samples of a pool and of its endpoints.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PoolHistory {
    /// The samples of the pool, the oldest first.
    pub samples: VecDeque<Sample>,
    /// The samples of each endpoint, in the order of [`PoolReport::endpoints`](crate::report::PoolReport::endpoints).
    pub endpoints: Vec<VecDeque<Sample>>,
}

/// What happened in one second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Sample {
    /// Attempts that have ended in the second.
    pub rate: f32,
    /// Those of them that have failed.
    pub errors: f32,
    /// Requests in flight at the end of the second.
    pub in_flight: u32,
    /// The median of the times to the first byte, in milliseconds. `None` without requests or histograms.
    pub p50: Option<f32>,
    /// The 99th percentile of the times to the first byte, in milliseconds. `None` without requests or histograms.
    pub p99: Option<f32>,
}

/// Keeps the task of [`Monitor::spawn`] running. When it is dropped, the task ends.
#[derive(Debug)]
#[must_use = "the task ends when it is dropped"]
pub struct MonitorGuard {
    task: JoinHandle<()>,
    live: watch::Receiver<Arc<Live>>,
}

impl MonitorGuard {
    /// Returns a receiver of the newest state. It changes each second, and at once when a pool changes.
    #[allow(dead_code, reason = "for the status page")]
    pub(crate) fn live(&self) -> watch::Receiver<Arc<Live>> {
        self.live.clone()
    }
}

impl Drop for MonitorGuard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Monitor {
    /// Starts a tokio task that takes a snapshot each second.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime.
    pub fn spawn(&self) -> MonitorGuard {
        let read = |monitor: &Self, tick| {
            let snapshot = monitor.snapshot();
            let empty = |pool: &crate::report::PoolReport| PoolHistory {
                samples: VecDeque::new(),
                endpoints: pool.endpoints.iter().map(|_| VecDeque::new()).collect(),
            };
            let pools = snapshot.pools.iter().map(empty).collect();
            Arc::new(Live { tick, snapshot: Arc::new(snapshot), pools })
        };
        let (sender, live) = watch::channel(read(self, 0));
        let monitor = self.clone();
        let task = tokio::spawn(async move {
            let mut seconds = tokio::time::interval(Duration::from_secs(1));
            seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for tick in 1.. {
                seconds.tick().await;
                sender.send_replace(read(&monitor, tick));
            }
        });
        MonitorGuard { task, live }
    }
}
