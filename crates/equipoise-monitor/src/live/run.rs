//! The task of a monitor: it takes samples, and records what happens in the pools.

use std::{fmt, sync::Arc, time::Duration};

use equipoise_core::__private::guarded;
use tokio::{
    sync::OwnedMutexGuard,
    task::JoinHandle,
    time::{Instant, Interval, MissedTickBehavior, interval_at, sleep_until},
};

use super::{
    event::{MonitorEvent, MonitorEventKind},
    history::{Live, LiveSettings, PoolHistory},
    hub::{Hub, Work},
    subscribe::MonitorEvents,
};
use crate::monitor::Monitor;

/// The time between two samples.
const SECOND: Duration = Duration::from_secs(1);

/// The minimum time between two states that are not those of a second.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// The minimum time between two such states for each endpoint: more than ten times what it costs.
const MIN_PAUSE_EACH: Duration = Duration::from_micros(50);

/// With more endpoints than this, snapshots are taken on a thread for blocking work. The reading of an endpoint and its
/// sample take about 3 µs with histograms.
const MAX_INLINE: usize = 500;

/// The number of seconds between two looks at the certificates.
const CERTIFICATES_EACH: u64 = 60;

/// Keeps a task of [`Monitor::spawn`] running. When it is dropped, the task ends.
#[must_use = "the task ends when it is dropped"]
pub struct MonitorGuard {
    task: JoinHandle<()>,
    monitor: Monitor,
}

impl Drop for MonitorGuard {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for MonitorGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MonitorGuard").field("monitor", &self.monitor).finish_non_exhaustive()
    }
}

/// Events and samples. They need a task, which [`spawn`](Self::spawn) starts.
impl Monitor {
    /// Starts a tokio task that takes a sample of each pool and endpoint each second, and records what happens in the
    /// pools as [events](Self::subscribe). The task ends when the returned guard is dropped. The
    /// [module](crate::live) describes its cost.
    ///
    /// If several guards of one monitor exist, also in several runtimes, only one task works. When it ends, another one
    /// goes on with the same samples.
    ///
    /// The first time, all pools are read before this method returns.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime, and in a runtime without timers.
    pub fn spawn(&self) -> MonitorGuard {
        self.spawn_with(LiveSettings::new())
    }

    /// Starts a task as [`spawn`](Self::spawn) does, with these settings. They are used while this task works.
    ///
    /// # Panics
    ///
    /// Panics outside of a tokio runtime, and in a runtime without timers.
    pub fn spawn_with(&self, settings: LiveSettings) -> MonitorGuard {
        let mut seconds = interval_at(Instant::now() + SECOND, SECOND);
        // After a delay, the next second is a whole one again.
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.with_pools(|pools| self.hub().task_began(pools));
        let running = Running(self.clone());
        if let Ok(work) = self.hub().work().try_lock_owned()
            && self.hub().live().borrow().tick == 0
        {
            publish(Held::new(work, self), Instant::now(), false);
        }
        MonitorGuard { task: tokio::spawn(run(running, seconds, settings)), monitor: self.clone() }
    }

    /// Returns a stream of all later events. It is bounded: see [`MonitorEvents`].
    ///
    /// Changes of pools and of their health are events while a task of [`spawn`](Self::spawn) runs. Each change of a pool
    /// that the monitor has, after `spawn` has returned and until the guard is dropped, is one event, even if it is undone
    /// at once.
    ///
    /// ```
    /// use equipoise_core::{EndpointSpec, Pool};
    /// use equipoise_monitor::{Monitor, WatchedPool, live::{MonitorEventKind, Received}};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let pool: Pool<()> = Pool::default();
    /// let monitor = Monitor::new();
    /// monitor.add_pool(WatchedPool::new("web", &pool));
    /// let _guard = monitor.spawn();
    /// let mut events = monitor.subscribe();
    ///
    /// pool.add(EndpointSpec::new("10.0.0.1:80"), ())?;
    /// let Some(Received::Event(event)) = events.next().await else { return Err("no event".into()) };
    /// let MonitorEventKind::Membership { pool, added, .. } = event.kind else { return Err("another event".into()) };
    /// assert_eq!((&*pool, added[0].as_str()), ("web", "10.0.0.1:80"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn subscribe(&self) -> MonitorEvents {
        self.hub().subscribe()
    }

    /// Records an event: it gets a number, is sent to subscribers and is logged. Needs no task.
    ///
    /// ```
    /// use equipoise_monitor::{Monitor, live::MonitorEventKind};
    ///
    /// let monitor = Monitor::new();
    /// monitor.record(MonitorEventKind::Reloaded { result: "ok", detail: "2 pools".to_owned() });
    /// assert_eq!(monitor.recent()[0].kind.as_str(), "reloaded");
    /// ```
    pub fn record(&self, kind: MonitorEventKind) {
        self.hub().record_now(kind);
    }

    /// Returns the last 100 events, the oldest first.
    pub fn recent(&self) -> Vec<Arc<MonitorEvent>> {
        self.hub().recent()
    }

    /// Returns the newest state with its samples. Without a task of [`spawn`](Self::spawn), takes a snapshot, and the
    /// state has no samples.
    pub fn live(&self) -> Arc<Live> {
        let newest = Arc::clone(&self.hub().live().borrow());
        if self.hub().has_task() && newest.tick > 0 {
            return newest;
        }
        let snapshot = self.snapshot();
        let history = |pool: &crate::report::PoolReport| {
            let endpoints = pool.endpoints.iter().map(|_| Default::default()).collect();
            Arc::new(PoolHistory { endpoints, ..PoolHistory::default() })
        };
        let pools = snapshot.pools.iter().map(history).collect();
        Arc::new(Live { tick: newest.tick, seconds: newest.seconds, snapshot: Arc::new(snapshot), pools })
    }

    /// Returns a receiver of the newest state, which changes each second, and at once when a pool changes. Before the
    /// first task of [`spawn`](Self::spawn), its state has no pools and the tick 0.
    #[cfg(any(test, feature = "page"))]
    pub(crate) fn live_feed(&self) -> tokio::sync::watch::Receiver<Arc<Live>> {
        self.hub().live().subscribe()
    }
}

/// Counts a task until it is dropped, with the task.
struct Running(Monitor);

impl Drop for Running {
    fn drop(&mut self) {
        let hub = self.0.hub();
        hub.task_ended();
        forget_pools(hub);
    }
}

/// The work of the task that works. It is unlocked first when it is dropped, which may be after the task has ended: on a
/// thread for blocking work.
struct Held {
    work: OwnedMutexGuard<Work>,
    released: Released,
}

impl Held {
    fn new(work: OwnedMutexGuard<Work>, monitor: &Monitor) -> Self {
        Self { work, released: Released(monitor.clone()) }
    }
}

struct Released(Monitor);

impl Drop for Released {
    fn drop(&mut self) {
        forget_pools(self.0.hub());
    }
}

async fn run(running: Running, mut seconds: Interval, settings: LiveSettings) {
    let monitor = &running.0;
    let hub = monitor.hub();
    let mut held = Held::new(hub.work().lock_owned().await, monitor);
    held.work.sampler.settings = settings;
    held.work.sampler.restart(Instant::now());
    seconds.reset();
    let (mut is_changed, mut next_at) = (true, Instant::now());
    loop {
        let mut is_second = false;
        tokio::select! {
            _ = seconds.tick() => is_second = true,
            () = sleep_until(next_at), if is_changed => {}
            () = hub.woken() => is_changed = true,
            happened = hub.happened() => {
                is_changed = true;
                happened.into_iter().for_each(|(at, kind)| hub.record(at, kind));
            }
        }
        // What has happened is recorded before the state that shows it.
        let (happened, is_woken) = hub.drain();
        is_changed |= is_woken;
        happened.into_iter().for_each(|(at, kind)| hub.record(at, kind));
        let now = Instant::now();
        if !is_second && (!is_changed || now < next_at) {
            continue;
        }
        is_changed = false;
        held = match held.work.sampler.endpoints() {
            ..=MAX_INLINE => publish(held, now, is_second),
            _ => match tokio::task::spawn_blocking(move || publish(held, now, is_second)).await {
                Ok(held) => held,
                // The runtime shuts down.
                Err(_) => return,
            },
        };
        let endpoints = u32::try_from(held.work.sampler.endpoints()).unwrap_or(u32::MAX);
        next_at = now + MIN_PAUSE.max(MIN_PAUSE_EACH.saturating_mul(endpoints));
    }
}

/// Reads the pools and publishes the next state.
fn publish(mut held: Held, now: Instant, is_second: bool) -> Held {
    let (work, monitor) = (&mut *held.work, &held.released.0);
    // The name of a strategy is code of the application. If it panics, the last state stays.
    if let Some((pools, snapshot)) = guarded(|| monitor.read()) {
        let live = work.sampler.advance(pools, snapshot, now, is_second);
        if is_second && live.seconds % CERTIFICATES_EACH == 1 {
            for kind in work.certificates.check(live.snapshot.at, &live.snapshot.listeners) {
                monitor.record(kind);
            }
        }
        monitor.hub().live().send_replace(live);
    }
    held
}

/// Drops the handles of pools if there is no task, so that they do not keep pools alive. Called after a task has ended and
/// after the work was unlocked: if the work is locked now, this is called again when it is unlocked.
fn forget_pools(hub: &Hub) {
    if !hub.has_task()
        && let Ok(mut work) = hub.work().try_lock_owned()
    {
        work.sampler.forget_pools();
    }
}

#[cfg(test)]
mod tests {
    use equipoise_core::{EndpointSpec, Pool};

    use super::*;
    use crate::WatchedPool;

    #[test]
    fn pools_are_forgotten_if_the_last_task_ends_before_its_work_is_unlocked() {
        let (pool, monitor, target) = (Pool::default(), Monitor::new(), Arc::new(()));
        pool.add(EndpointSpec::new("a:80"), Arc::clone(&target)).expect("a valid endpoint");
        monitor.add_pool(WatchedPool::new("web", &pool));
        monitor.with_pools(|pools| monitor.hub().task_began(pools));
        let running = Running(monitor.clone());
        let work = monitor.hub().work().try_lock_owned().expect("no task works");
        let held = publish(Held::new(work, &monitor), Instant::now(), false);
        monitor.remove_pool("web");
        drop(pool);
        drop(running);
        assert_eq!(Arc::strong_count(&target), 2, "the work has a handle of the pool");
        drop(held);
        assert_eq!(Arc::strong_count(&target), 1);
    }
}
