//! What the page shows, and which of it has changed since a client looked last.
//!
//! Each value has the tick at which it changed last. So the changes since any tick can be told, and the memory does not
//! depend on the number of clients or on how far they are behind.

mod began;
mod endpoint;
mod pool;
mod sample;
mod versioned;

use std::{sync::Arc, time::SystemTime};

use serde::{Serialize, Serializer};

#[cfg(feature = "health")]
pub(super) use self::endpoint::Endpoint;
use self::{
    pool::{PoolRows, SentPool},
    versioned::{Since, Versioned},
};
use crate::{
    live::{Live, MonitorEvent, PoolHistory},
    report::{BuildInfo, FunctionReport, ListenerReport, Snapshot, time::unix_seconds},
};

/// The version of the format. It changes if a program that reads the old format could not read the new one.
const VERSION: u32 = 1;

/// How many seconds a client may be behind before it gets the whole state instead of the changes.
const MAX_SECONDS_BEHIND: u64 = 60;

/// The state of all pools, listeners and functions, with the tick at which each value changed last.
pub(super) struct PageState {
    live: Arc<Live>,
    pools: Vec<PoolRows>,
    listeners: Vec<Versioned<ListenerReport>>,
    functions: Vec<Versioned<FunctionReport>>,
    /// The last events, the oldest first.
    events: Vec<Arc<MonitorEvent>>,
    /// The tick at which pools, listeners or functions were added, removed or put in another order.
    arranged: u64,
}

/// What a client has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    tick: u64,
    second: u64,
    event: u64,
}

impl Seen {
    pub(super) fn tick(self) -> u64 {
        self.tick
    }
}

impl PageState {
    pub(super) fn new(live: Arc<Live>, events: Vec<Arc<MonitorEvent>>) -> Self {
        let (tick, snapshot) = (live.tick, Arc::clone(&live.snapshot));
        let pools = snapshot.pools.iter().map(|pool| PoolRows::new(pool, snapshot.uptime, tick)).collect();
        let listeners = all_new(&snapshot.listeners, tick);
        let functions = all_new(&snapshot.functions, tick);
        Self { live, pools, listeners, functions, events, arranged: tick }
    }

    /// Takes over a newer state. Does nothing if it is not newer.
    pub(super) fn update(&mut self, live: Arc<Live>, events: Vec<Arc<MonitorEvent>>) {
        if live.tick <= self.live.tick {
            return;
        }
        let Snapshot { pools, listeners, functions, uptime, .. } = &*live.snapshot;
        let is_same = pools.iter().map(|pool| &pool.name).eq(self.pools.iter().map(|pool| &pool.name))
            && listeners.iter().map(|it| &it.name).eq(self.listeners.iter().map(|it| &it.get().name))
            && functions.iter().map(|it| &it.name).eq(self.functions.iter().map(|it| &it.get().name));
        if !is_same {
            *self = Self::new(live, events);
            return;
        }
        for (rows, pool) in self.pools.iter_mut().zip(pools) {
            rows.update(pool, *uptime, live.tick);
        }
        update(&mut self.listeners, listeners, live.tick);
        update(&mut self.functions, functions, live.tick);
        (self.live, self.events) = (live, events);
    }

    /// Returns what a client has seen that has got all of this.
    pub(super) fn seen(&self) -> Seen {
        let event = self.events.last().map_or(0, |event| event.id);
        Seen { tick: self.live.tick, second: self.live.seconds, event }
    }

    /// Returns everything. `csrf_token` is what a command must contain, `None` if there are no commands.
    pub(super) fn whole<'a>(&'a self, csrf_token: Option<&'a str>) -> impl Serialize + 'a {
        Whole {
            version: VERSION,
            tick: self.live.tick,
            at: rounded(self.live.snapshot.at),
            uptime: self.live.snapshot.uptime.as_secs_f64(),
            build: &self.live.snapshot.build,
            writable: csrf_token.is_some(),
            csrf_token,
            pools: Pools { state: self, since: Since::Always, seconds: 0 },
            listeners: Changed { all: &self.listeners, since: Since::Always },
            functions: Changed { all: &self.functions, since: Since::Always },
            events: &self.events,
        }
    }

    /// Returns what has changed since a client has looked. `None` if the client needs everything.
    pub(super) fn since(&self, seen: Seen) -> Option<impl Serialize + '_> {
        let seconds = self.live.seconds.checked_sub(seen.second).filter(|seconds| *seconds <= MAX_SECONDS_BEHIND)?;
        if seen.tick < self.arranged || !self.pools.iter().all(|pool| pool.knows_removed(seen.tick)) {
            return None;
        }
        let since = Since::Tick(seen.tick);
        Some(Update {
            tick: self.live.tick,
            at: rounded(self.live.snapshot.at),
            uptime: self.live.snapshot.uptime.as_secs_f64(),
            seconds,
            pools: Pools { state: self, since, seconds: seconds as usize },
            listeners: Changed { all: &self.listeners, since },
            functions: Changed { all: &self.functions, since },
            events: &self.events[self.events.partition_point(|event| event.id <= seen.event)..],
        })
    }
}

#[derive(Serialize)]
struct Whole<'a> {
    version: u32,
    tick: u64,
    at: f64,
    uptime: f64,
    build: &'a BuildInfo,
    writable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    csrf_token: Option<&'a str>,
    pools: Pools<'a>,
    listeners: Changed<'a, ListenerReport>,
    functions: Changed<'a, FunctionReport>,
    events: &'a [Arc<MonitorEvent>],
}

#[derive(Serialize)]
struct Update<'a> {
    tick: u64,
    at: f64,
    uptime: f64,
    seconds: u64,
    pools: Pools<'a>,
    #[serde(skip_serializing_if = "Changed::is_empty")]
    listeners: Changed<'a, ListenerReport>,
    #[serde(skip_serializing_if = "Changed::is_empty")]
    functions: Changed<'a, FunctionReport>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    events: &'a [Arc<MonitorEvent>],
}

struct Pools<'a> {
    state: &'a PageState,
    since: Since,
    seconds: usize,
}

impl Serialize for Pools<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Self { state, since, seconds } = self;
        let (uptime, none) = (state.live.snapshot.uptime, PoolHistory::default());
        serializer.collect_seq(state.pools.iter().enumerate().map(|(index, pool)| {
            let history = state.live.pools.get(index).map_or(&none, AsRef::as_ref);
            SentPool { pool, history, since, uptime, seconds }
        }))
    }
}

/// The listeners or functions that have changed. Each of them is sent whole.
struct Changed<'a, T> {
    all: &'a [Versioned<T>],
    since: Since,
}

impl<'a, T> Changed<'a, T> {
    fn changed(&self) -> impl Iterator<Item = &'a T> {
        let since = self.since;
        self.all.iter().filter(move |report| report.has_changed(since)).map(Versioned::get)
    }

    fn is_empty(&self) -> bool {
        self.changed().next().is_none()
    }
}

impl<T: Serialize> Serialize for Changed<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.changed())
    }
}

fn all_new<T: Clone>(reports: &[T], tick: u64) -> Vec<Versioned<T>> {
    reports.iter().map(|report| Versioned::new(report.clone(), tick)).collect()
}

/// Takes over the reports that have changed. Both lists have the same names.
fn update<T: Clone + PartialEq>(shown: &mut [Versioned<T>], reports: &[T], tick: u64) {
    for (shown, report) in shown.iter_mut().zip(reports) {
        if shown.get() != report {
            *shown = Versioned::new(report.clone(), tick);
        }
    }
}

/// Returns a time as seconds since 1970, in milliseconds.
fn rounded(at: SystemTime) -> f64 {
    (unix_seconds(at) * 1_000.0).round() / 1_000.0
}
