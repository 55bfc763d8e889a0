//! The events of a monitor, as plain data.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use equipoise_core::EndpointId;

/// One event of a [`Monitor`](crate::Monitor): a change of a pool, or something that an operator or the program has
/// done.
///
/// With the feature `serde`, an event is serialized as one map with the fields `id`, `at` (in seconds since 1970), `kind`
/// (the text of [`MonitorEventKind::as_str`]), and the fields of its kind. Durations are in seconds.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct MonitorEvent {
    /// The number of the event. The first event of a monitor has the number 1, and each later one has the next number.
    pub id: u64,
    /// When it happened. Events of different pools, and changes of health, may be slightly out of order.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::report::time::serialize_time"))]
    pub at: SystemTime,
    /// What happened.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub kind: MonitorEventKind,
}

/// What happened, in a [`MonitorEvent`]. The texts in it (ids, reasons, names) may come from outside: escape them
/// wherever they are shown.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(tag = "kind", rename_all = "snake_case"))]
#[non_exhaustive]
pub enum MonitorEventKind {
    /// The availability of an endpoint has changed.
    Health {
        /// The name of the pool.
        pool: Arc<str>,
        /// The id of the endpoint.
        endpoint: EndpointId,
        /// The availability before the change, such as `up`.
        from: &'static str,
        /// The availability after the change, such as `unhealthy`.
        to: &'static str,
        /// Where the change comes from: `operator`, `agent`, `checks` or `requests` for changes by health checks, and
        /// `pool` if the program has set the availability on a pool without health checks.
        source: &'static str,
        /// The reason, for people. Empty if `source` is `pool`.
        reason: String,
    },
    /// Endpoints have joined or left a pool, or their settings have changed. Each list has the first
    /// [`MAX_LISTED`](Self::MAX_LISTED) ids, and is in the order of slots.
    Membership {
        /// The name of the pool.
        pool: Arc<str>,
        /// The ids of the endpoints that joined.
        added: Vec<EndpointId>,
        /// The ids of the endpoints that left.
        removed: Vec<EndpointId>,
        /// The ids of the endpoints with another address. Their counters begin at 0 again.
        replaced: Vec<EndpointId>,
        /// The ids of the endpoints that stayed, and whose spec has another weight, tier, zone or maximum number of
        /// requests in flight.
        changed: Vec<EndpointId>,
        /// The ids of the endpoints that stayed, and got another target, such as a client with other settings.
        retargeted: Vec<EndpointId>,
        /// The number of ids that are missing in the lists, because a list would be longer than
        /// [`MAX_LISTED`](Self::MAX_LISTED).
        unlisted: usize,
    },
    /// The maximum number of requests in flight at an endpoint has changed: in its spec, by an agent or by the program.
    LimitChanged {
        /// The name of the pool.
        pool: Arc<str>,
        /// The id of the endpoint.
        endpoint: EndpointId,
        /// The maximum before the change. `None`: no maximum.
        from: Option<u32>,
        /// The maximum after the change. `None`: no maximum.
        to: Option<u32>,
    },
    /// The effective weight of an endpoint has changed: in its spec, by an agent or by the program.
    WeightChanged {
        /// The name of the pool.
        pool: Arc<str>,
        /// The id of the endpoint.
        endpoint: EndpointId,
        /// The weight before the change.
        from: u32,
        /// The weight after the change.
        to: u32,
    },
    /// A pool was added to the monitor.
    PoolAdded {
        /// The name of the pool.
        pool: Arc<str>,
    },
    /// A pool was removed from the monitor.
    PoolRemoved {
        /// The name of the pool.
        pool: Arc<str>,
    },
    /// Another pool has taken the place of the pool with this name. Its counters begin at 0 again.
    PoolReplaced {
        /// The name of the pools.
        pool: Arc<str>,
    },
    /// The program has read its configuration again. The program records this event.
    Reloaded {
        /// `ok` if the new configuration is in use, and another word of the program if not, such as `failed`.
        result: &'static str,
        /// What has changed, or why the configuration could not be used, for people. May be empty.
        detail: String,
    },
    /// An operator has set the administrative state of an endpoint. The status page records this event.
    Command {
        /// The name of the pool.
        pool: Arc<str>,
        /// The id of the endpoint.
        endpoint: EndpointId,
        /// The state: `ready`, `drain` or `maintenance`.
        state: &'static str,
        /// The operator or the program that has set it, for people.
        by: String,
    },
    /// A certificate of a listener expires soon, or has expired. There is one event 30, 14, 7, 3 and 1 days before the
    /// certificate expires, and one when it has expired. A certificate for which some of these times have already passed
    /// when the monitor first reads it gets one event for all of them.
    CertificateExpiring {
        /// The name of the listener.
        listener: String,
        /// Where the certificate was read, such as a file name.
        source: String,
        /// The server names for which the certificate is used.
        names: Vec<String>,
        /// The time until the certificate expires. Zero if it has expired. Serialized as seconds.
        #[cfg_attr(feature = "serde", serde(serialize_with = "crate::report::time::serialize_duration"))]
        expires_in: Duration,
    },
    /// Changes of a pool that are not among the events, because the monitor's task could not run for a long time. The
    /// state of the pool in later snapshots is right nevertheless.
    ChangesMissed {
        /// The name of the pool.
        pool: Arc<str>,
        /// The number of changes.
        changes: u64,
    },
}

impl MonitorEventKind {
    /// The maximum length of each list in [`Membership`](Self::Membership): 256. It bounds the memory of events.
    pub const MAX_LISTED: usize = 256;

    /// Returns the name of this kind of event in snake case, such as `limit_changed`. The name never changes.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Health { .. } => "health",
            Self::Membership { .. } => "membership",
            Self::LimitChanged { .. } => "limit_changed",
            Self::WeightChanged { .. } => "weight_changed",
            Self::PoolAdded { .. } => "pool_added",
            Self::PoolRemoved { .. } => "pool_removed",
            Self::PoolReplaced { .. } => "pool_replaced",
            Self::Reloaded { .. } => "reloaded",
            Self::Command { .. } => "command",
            Self::CertificateExpiring { .. } => "certificate_expiring",
            Self::ChangesMissed { .. } => "changes_missed",
        }
    }
}
