//! Events and samples: what changes while a program runs.
//!
//! [`Monitor::spawn`](crate::Monitor::spawn) starts a task with two duties:
//!
//! - It takes a [`Sample`] of each pool and endpoint each second, and keeps those of the last two minutes. The status
//!   page draws them.
//! - It records what happens in the pools as events: [`Monitor::subscribe`](crate::Monitor::subscribe).
//!
//! # Events
//!
//! Each [`MonitorEvent`] has a number, a time and a kind. It goes to three places: to all subscribers, into the list of
//! the last 100 events ([`Monitor::recent`](crate::Monitor::recent)), and to the log as one event of `tracing` with the
//! target `equipoise::event`:
//!
//! | [kind](MonitorEventKind) | recorded by | message in the log | level | fields in the log |
//! | --- | --- | --- | --- | --- |
//! | `health`, source `pool` | the task | `availability changed` | info | `pool`, `endpoint`, `from`, `to` |
//! | `health`, other sources | the task | `health changed`, logged by `equipoise-health`, also without a monitor | info | `pool`, `endpoint`, `from`, `to`, `source`, `reason` |
//! | `membership` | the task | `membership changed` | info | `pool`, `added`, `removed`, `replaced`, `changed`, `retargeted`, `unlisted` |
//! | `limit_changed` | the task | `limit changed` | info | `pool`, `endpoint`, `from`, `to` |
//! | `weight_changed` | the task | `weight changed` | info | `pool`, `endpoint`, `from`, `to` |
//! | `certificate_expiring` | the task | `certificate expires` | info | `listener`, `source`, `names`, `expires_in_seconds` |
//! | `changes_missed` | the task | `changes missed` | warn | `pool`, `changes` |
//! | `pool_added`, `pool_removed`, `pool_replaced` | the methods of [`Monitor`](crate::Monitor) | `pool added`, `pool removed`, `pool replaced` | info | `pool` |
//! | `reloaded` | the program, with [`Monitor::record`](crate::Monitor::record) | `configuration reloaded`, `configuration not reloaded` | info, error | `result`, `detail` |
//! | `command` | the status page | `administrative state set` | info | `pool`, `endpoint`, `state`, `by` |
//!
//! Messages and names of fields do not change. Lists of ids in the log have at most 20 ids. `from` and `to` are missing if
//! there is no limit. In `health changed`, `pool` is the name that `HealthBuilder::name` has set, and is missing without
//! one.
//!
//! `certificate expires` tells early, 30 days before, and is no warning. The listener itself warns, also without a monitor:
//! its acceptor logs `a certificate expires soon` at the level warn, once a day in the last 14 days, with a target of
//! `equipoise-proxy`.
//!
//! What is guaranteed:
//!
//! - **Each change is one event.** A pool tells the monitor each of its changes, while it is being changed. So an
//!   endpoint that joins and leaves at once gives two events. One update of a pool is one event of the kind
//!   `membership`, and one event for each endpoint with another limit or another weight. A change to the same value is no
//!   event.
//! - **From when to when:** changes of a pool are events if the monitor has the pool and a task of `spawn` runs. Changes
//!   before `spawn` or `add_pool` returns, or after the guard was dropped, are not.
//! - **Availability:** if the monitor knows the [health](crate::WatchedPool) of a pool, its events of the kind `health` are
//!   the changes that the health makes, with their reasons. If the program changes an availability of such a pool past
//!   its health, for example with
//!   [`Pool::set_availability`](equipoise_core::Pool::set_availability), there is no event. Without health, each change of an
//!   availability in the pool is an event.
//! - **Order:** the events of one pool's membership are in the order of changes. Events of different pools, or of a pool
//!   and its health, are in the order of their times if they are read together.
//! - **Bounds:** a subscriber may be 1 024 events late. Then it loses the oldest ones, and [gets](Received::Dropped)
//!   their number. If the task cannot run while changes with more than 16 384 endpoints in total happen in a pool, the
//!   further ones are counted, and reported as one event of the kind `changes_missed`. Changes of health wait without a
//!   limit until the task runs, and it reads all of them each time. So they take memory only if the task cannot run at
//!   all. An event has at most 256 ids in each list.
//!
//! # Samples
//!
//! The newest state is a [`Live`]: a snapshot with the history of each pool and endpoint. There is a new one each second.
//! A change of a pool makes a new one at once, with the samples of the last whole second.
//!
//! Rates are per second of the time that has really passed. Requests that end between two samples are in the second one,
//! whatever happens in between. An endpoint that leaves and comes back is counted from zero, like one with another
//! address. A pool that [another one](crate::Monitor::replace) with the same name replaces hands on its history, and
//! those of endpoints with the same id. The rates of the new pool begin when the monitor first reads it.
//!
//! # Costs
//!
//! Nothing is added to picks and requests. A pool that is followed computes for each of its changes what has changed:
//! O(n) for n endpoints, like the change itself, which takes 10 to 20 % longer. Picks do not wait for it.
//!
//! The task reads all counters once in a second. For each endpoint, it then needs about 1 µs for the sample if the pool
//! keeps histograms, and 0.25 µs if not (measured with 1 000 endpoints). With more than 500 endpoints, it does both on a
//! thread for blocking work
//! ([`spawn_blocking`](https://docs.rs/tokio/latest/tokio/task/fn.spawn_blocking.html)), so that it holds up no other
//! task for more than a few milliseconds. If pools change all the time, the states between seconds are at least 100 ms
//! apart, and at least 50 µs for each endpoint, so that they take about a tenth of a thread's time.
//!
//! The samples of an endpoint take 3.4 KB (120 samples of 28 bytes), and are copied once in a second. In pools with more
//! than 1 000 endpoints, only the pool as a whole has samples. [`LiveSettings`] changes both numbers. Beside them, the
//! snapshots of the last second and of the last state are kept, in which an endpoint of a pool with histograms takes a
//! few kilobytes. A monitor has 40 KB for the events of subscribers, and the last 100 events.

mod certificates;
mod event;
mod feed;
mod history;
pub(crate) mod hub;
mod log;
mod run;
mod sample;
mod sampler;
mod subscribe;

pub use self::{
    event::{MonitorEvent, MonitorEventKind},
    history::{Live, LiveSettings, PoolHistory},
    run::MonitorGuard,
    sample::Sample,
    subscribe::{MonitorEvents, Received},
};

#[cfg(test)]
mod tests;
