//! All metric families with fixed names. Each is visited by one function of `visit`.

use std::sync::LazyLock;

use super::{family::Family, function};

const POOL: &[&str] = &["pool"];
const ENDPOINT: &[&str] = &["pool", "endpoint"];
const LISTENER: &[&str] = &["listener"];

pub(super) const BUILD: Family = Family::info(
    "equipoise_build",
    &["program", "version", "library"],
    "The name and version of the program, and the version of the library equipoise.",
);

pub(super) const POOL_REQUESTS: Family = Family::counter(
    "equipoise_pool_requests",
    POOL,
    "Requests that have ended: attempts without retries, and requests without an attempt.",
);
pub(super) const POOL_ATTEMPTS: Family = Family::counter(
    "equipoise_pool_attempts",
    &["pool", "outcome"],
    "Attempts that have ended, by outcome. An attempt is one try to send a request to one endpoint.",
);
pub(super) const POOL_IN_FLIGHT: Family =
    Family::gauge("equipoise_pool_in_flight", POOL, "Attempts that have not ended yet.");
pub(super) const POOL_RETRIES: Family =
    Family::counter("equipoise_pool_retries", POOL, "Attempts after the first attempt of a request.");
pub(super) const POOL_FAILOVERS: Family = Family::counter(
    "equipoise_pool_failovers",
    POOL,
    "Times that a request has left an endpoint for another endpoint, or for the queue.",
);
pub(super) const POOL_QUEUE: Family =
    Family::gauge("equipoise_pool_queue_length", POOL, "Requests that wait in the queue for an endpoint.");
pub(super) const POOL_QUEUED: Family =
    Family::counter("equipoise_pool_queued_requests", POOL, "Requests that have entered the queue.");
pub(super) const POOL_UNSERVED: Family = Family::counter(
    "equipoise_pool_unserved_requests",
    &["pool", "reason"],
    "Requests that have ended without any attempt, by reason.",
);
pub(super) const POOL_SENT: Family = Family::counter(
    "equipoise_pool_sent",
    POOL,
    "Bytes sent to the endpoints of the pool. No series in pools that have counted no bytes, such as those of HTTP.",
)
.bytes();
pub(super) const POOL_RECEIVED: Family = Family::counter(
    "equipoise_pool_received",
    POOL,
    "Bytes received from the endpoints of the pool. No series in pools that have counted no bytes, such as those of HTTP.",
)
.bytes();
pub(super) const POOL_ENDPOINTS: Family =
    Family::gauge("equipoise_pool_endpoints", &["pool", "availability"], "Endpoints of the pool, by availability.");
pub(super) const POOL_CHANGES: Family = Family::counter(
    "equipoise_pool_changes",
    POOL,
    "Changes of the pool: of its endpoints, their weights, limits or availability.",
);
pub(super) const POOL_FIRST_BYTE: Family = Family::histogram(
    "equipoise_pool_first_byte",
    POOL,
    "Time from the pick of an endpoint to the first byte of the response, without responses whose status is a failure.",
)
.seconds();
pub(super) const POOL_DURATION: Family = Family::histogram(
    "equipoise_pool_duration",
    POOL,
    "Time from the pick of an endpoint to the end of the response, without responses whose status is a failure.",
)
.seconds();
pub(super) const POOL_HEALTH_CHANGES: Family = Family::counter(
    "equipoise_pool_health_changes",
    &["pool", "source", "availability"],
    "Changes of the availability of endpoints, by the source of the change and the new availability.",
);
pub(super) const POOL_EJECTIONS: Family =
    Family::counter("equipoise_pool_ejections", POOL, "Ejections of endpoints by outlier detection.");
pub(super) const POOL_EJECTIONS_PREVENTED: Family = Family::counter(
    "equipoise_pool_ejections_prevented",
    POOL,
    "Ejections and pauses that were not carried out, because the maximum number of endpoints was kept out.",
);
pub(super) const POOL_PAUSES: Family =
    Family::counter("equipoise_pool_pauses", POOL, "Pauses of endpoints that have sent `Retry-After`.");
pub(super) const POOL_PROBES: Family = Family::counter(
    "equipoise_pool_probes",
    &["pool", "check", "result"],
    "Probes of health checks that have ended, by check and result.",
);
pub(super) const POOL_SESSION_REQUESTS: Family = Family::counter(
    "equipoise_pool_session_requests",
    &["pool", "outcome"],
    "Requests with session affinity, by what became of their session.",
);
pub(super) const POOL_SESSION_UNBOUND: Family = Family::counter(
    "equipoise_pool_session_unbound",
    &["pool", "reason"],
    "Requests whose session was not bound to an endpoint, by reason.",
);
pub(super) const POOL_SESSION_MOVED: Family = Family::counter(
    "equipoise_pool_session_moved",
    &["pool", "reason"],
    "Requests whose session moved to another endpoint, by reason.",
);
pub(super) const POOL_SESSION_DIVERTED: Family = Family::counter(
    "equipoise_pool_session_diverted",
    &["pool", "reason"],
    "Requests answered by another endpoint than that of their session, by reason. The session has not moved.",
);

pub(super) const POOL_SESSIONS_LIMITED: Family = Family::counter(
    "equipoise_pool_sessions_limited",
    POOL,
    "New sessions that were not stored because of the limit on the sessions of one source.",
);
pub(super) const POOL_STORED_SESSIONS: Family =
    Family::gauge("equipoise_pool_stored_sessions", &["pool", "store"], "Sessions in the session store.");
pub(super) const POOL_STORED_SESSIONS_LIMIT: Family = Family::gauge(
    "equipoise_pool_stored_sessions_limit",
    &["pool", "store"],
    "The maximum number of sessions in the session store.",
);
pub(super) const POOL_STORE_CONNECTED: Family = Family::gauge(
    "equipoise_pool_session_store_connected",
    &["pool", "store"],
    "Whether the session store is connected to its server (1) or not (0). No series for stores without a server.",
);
pub(super) const POOL_STORE_EVENTS: Family = Family::counter(
    "equipoise_pool_session_store_events",
    &["pool", "store", "event"],
    "What has happened in the session store, by the name of the event.",
);

pub(super) const ENDPOINT_INFO: Family = Family::info(
    "equipoise_endpoint",
    &["pool", "endpoint", "address", "zone", "tier"],
    "The address, the zone and the tier of the endpoint. The zone is empty if the endpoint has none.",
);
pub(super) const ENDPOINT_UP: Family =
    Family::gauge("equipoise_endpoint_up", ENDPOINT, "Whether the endpoint is up (1) or not (0).");
pub(super) const ENDPOINT_AVAILABILITY: Family = Family::gauge(
    "equipoise_endpoint_availability",
    &["pool", "endpoint", "availability"],
    "The availability of the endpoint as a label. Only the series of the present availability exists, with the value 1.",
);
pub(super) const ENDPOINT_CONDITION: Family = Family::gauge(
    "equipoise_endpoint_condition",
    &["pool", "endpoint", "source", "availability"],
    "A reason why the endpoint is not up. Only the series of present conditions exist, with the value 1.",
);
pub(super) const ENDPOINT_CHECK_UP: Family = Family::gauge(
    "equipoise_endpoint_check_up",
    &["pool", "endpoint", "check"],
    "Whether the endpoint is up (1) or not (0) according to a health check.",
);
pub(super) const ENDPOINT_WEIGHT: Family =
    Family::gauge("equipoise_endpoint_weight", ENDPOINT, "The effective weight of the endpoint.");
pub(super) const ENDPOINT_ATTEMPTS: Family = Family::counter(
    "equipoise_endpoint_attempts",
    &["pool", "endpoint", "outcome"],
    "Attempts at the endpoint that have ended, by outcome.",
);
pub(super) const ENDPOINT_IN_FLIGHT: Family =
    Family::gauge("equipoise_endpoint_in_flight", ENDPOINT, "Attempts at the endpoint that have not ended yet.");
pub(super) const ENDPOINT_IN_FLIGHT_LIMIT: Family = Family::gauge(
    "equipoise_endpoint_in_flight_limit",
    ENDPOINT,
    "The maximum number of attempts in flight at the endpoint. No series if there is no limit.",
);
pub(super) const ENDPOINT_SENT: Family = Family::counter(
    "equipoise_endpoint_sent",
    ENDPOINT,
    "Bytes sent to the endpoint. No series in pools that have counted no bytes.",
)
.bytes();
pub(super) const ENDPOINT_RECEIVED: Family = Family::counter(
    "equipoise_endpoint_received",
    ENDPOINT,
    "Bytes received from the endpoint. No series in pools that have counted no bytes.",
)
.bytes();
pub(super) const ENDPOINT_FIRST_BYTE: Family = Family::histogram(
    "equipoise_endpoint_first_byte",
    ENDPOINT,
    "Time from the pick of the endpoint to the first byte of the response. Only if the exporter is set to export it.",
)
.seconds();
pub(super) const ENDPOINT_DURATION: Family = Family::histogram(
    "equipoise_endpoint_duration",
    ENDPOINT,
    "Time from the pick of the endpoint to the end of the response. Only if the exporter is set to export it.",
)
.seconds();
pub(super) const ENDPOINT_CONNECTIONS: Family =
    Family::gauge("equipoise_endpoint_connections", ENDPOINT, "Open connections to the endpoint.");
pub(super) const ENDPOINT_CONNECTIONS_IDLE: Family = Family::gauge(
    "equipoise_endpoint_connections_idle",
    ENDPOINT,
    "Open connections to the endpoint without a request.",
);
pub(super) const ENDPOINT_CONNECTIONS_WAITING: Family = Family::gauge(
    "equipoise_endpoint_connections_waiting",
    ENDPOINT,
    "Requests that wait for a connection to the endpoint.",
);
pub(super) const ENDPOINT_CONNECTIONS_OPENED: Family =
    Family::counter("equipoise_endpoint_connections_opened", ENDPOINT, "Connections to the endpoint that were opened.");
pub(super) const ENDPOINT_CONNECTIONS_FAILED: Family = Family::counter(
    "equipoise_endpoint_connections_failed",
    ENDPOINT,
    "Connections to the endpoint that could not be opened.",
);
pub(super) const ENDPOINT_CONNECTION_REQUESTS: Family = Family::counter(
    "equipoise_endpoint_connection_requests",
    ENDPOINT,
    "Requests that were sent over the connections to the endpoint.",
);
pub(super) const ENDPOINT_CONNECTIONS_SENT: Family = Family::counter(
    "equipoise_endpoint_connections_sent",
    ENDPOINT,
    "Bytes of HTTP that were sent over the connections to the endpoint, before encryption.",
)
.bytes();
pub(super) const ENDPOINT_CONNECTIONS_RECEIVED: Family = Family::counter(
    "equipoise_endpoint_connections_received",
    ENDPOINT,
    "Bytes of HTTP that were received over the connections to the endpoint, after decryption.",
)
.bytes();
pub(super) const ENDPOINT_CONNECTIONS_CLOSED: Family = Family::counter(
    "equipoise_endpoint_connections_closed",
    &["pool", "endpoint", "reason"],
    "Closed connections to the endpoint, by reason.",
);

pub(super) const LISTENER_INFO: Family =
    Family::info("equipoise_listener", &["listener", "mode"], "What the listener does, for example `http` or `tcp`.");
pub(super) const LISTENER_CERTIFICATE_EXPIRY: Family = Family::gauge(
    "equipoise_listener_certificate_expiry_timestamp",
    &["listener", "certificate"],
    "When the certificate expires, in seconds since 1970.",
)
.seconds();

/// The labels of the families that are made from the readings of listeners. Some have one more label.
pub(super) const READING_LABELS: &[&str] = LISTENER;

#[cfg(feature = "process")]
pub(super) const PROCESS_CPU: Family =
    Family::counter("process_cpu", &[], "CPU time of the process in user and kernel mode.").seconds();
#[cfg(feature = "process")]
pub(super) const PROCESS_RESIDENT_MEMORY: Family =
    Family::gauge("process_resident_memory", &[], "Memory of the process that is in physical memory.").bytes();
#[cfg(feature = "process")]
pub(super) const PROCESS_VIRTUAL_MEMORY: Family =
    Family::gauge("process_virtual_memory", &[], "Virtual memory of the process.").bytes();
#[cfg(feature = "process")]
pub(super) const PROCESS_OPEN_FDS: Family =
    Family::gauge("process_open_fds", &[], "File descriptors that the process has open.");
#[cfg(feature = "process")]
pub(super) const PROCESS_MAX_FDS: Family =
    Family::gauge("process_max_fds", &[], "The maximum number of open file descriptors. No series without a limit.");
#[cfg(feature = "process")]
pub(super) const PROCESS_START_TIME: Family =
    Family::gauge("process_start_time", &[], "When the process started, in seconds since 1970.").seconds();
#[cfg(feature = "process")]
pub(super) const PROCESS_THREADS: Family = Family::gauge("process_threads", &[], "Threads of the process.");

#[cfg(feature = "process")]
pub(super) const PROCESS_CPUS: Family = Family::gauge(
    "equipoise_available_cpus",
    &[],
    "CPUs that the process may use, according to its affinity and its control group.",
);

static ALL: LazyLock<Vec<Family>> = LazyLock::new(|| [FAMILIES, function::FAMILIES].concat());

static FAMILIES: &[Family] = &[
    BUILD,
    POOL_REQUESTS,
    POOL_ATTEMPTS,
    POOL_IN_FLIGHT,
    POOL_RETRIES,
    POOL_FAILOVERS,
    POOL_QUEUE,
    POOL_QUEUED,
    POOL_UNSERVED,
    POOL_SENT,
    POOL_RECEIVED,
    POOL_ENDPOINTS,
    POOL_CHANGES,
    POOL_FIRST_BYTE,
    POOL_DURATION,
    POOL_HEALTH_CHANGES,
    POOL_EJECTIONS,
    POOL_EJECTIONS_PREVENTED,
    POOL_PAUSES,
    POOL_PROBES,
    POOL_SESSION_REQUESTS,
    POOL_SESSION_UNBOUND,
    POOL_SESSION_MOVED,
    POOL_SESSION_DIVERTED,
    POOL_SESSIONS_LIMITED,
    POOL_STORED_SESSIONS,
    POOL_STORED_SESSIONS_LIMIT,
    POOL_STORE_CONNECTED,
    POOL_STORE_EVENTS,
    ENDPOINT_INFO,
    ENDPOINT_UP,
    ENDPOINT_AVAILABILITY,
    ENDPOINT_CONDITION,
    ENDPOINT_CHECK_UP,
    ENDPOINT_WEIGHT,
    ENDPOINT_ATTEMPTS,
    ENDPOINT_IN_FLIGHT,
    ENDPOINT_IN_FLIGHT_LIMIT,
    ENDPOINT_SENT,
    ENDPOINT_RECEIVED,
    ENDPOINT_FIRST_BYTE,
    ENDPOINT_DURATION,
    ENDPOINT_CONNECTIONS,
    ENDPOINT_CONNECTIONS_IDLE,
    ENDPOINT_CONNECTIONS_WAITING,
    ENDPOINT_CONNECTIONS_OPENED,
    ENDPOINT_CONNECTIONS_FAILED,
    ENDPOINT_CONNECTION_REQUESTS,
    ENDPOINT_CONNECTIONS_SENT,
    ENDPOINT_CONNECTIONS_RECEIVED,
    ENDPOINT_CONNECTIONS_CLOSED,
    LISTENER_INFO,
    LISTENER_CERTIFICATE_EXPIRY,
    #[cfg(feature = "process")]
    PROCESS_CPU,
    #[cfg(feature = "process")]
    PROCESS_RESIDENT_MEMORY,
    #[cfg(feature = "process")]
    PROCESS_VIRTUAL_MEMORY,
    #[cfg(feature = "process")]
    PROCESS_OPEN_FDS,
    #[cfg(feature = "process")]
    PROCESS_MAX_FDS,
    #[cfg(feature = "process")]
    PROCESS_START_TIME,
    #[cfg(feature = "process")]
    PROCESS_THREADS,
    #[cfg(feature = "process")]
    PROCESS_CPUS,
];

/// Returns all metric families with fixed names, in the order in which they are exported. The names of the families that
/// are made from the readings of listeners are not fixed: see [the module](crate::metric).
pub fn families() -> &'static [Family] {
    &ALL
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::metric::{Kind, Unit};

    #[test]
    fn each_name_occurs_once() {
        let names: HashSet<_> = families().iter().map(Family::name).collect();
        assert_eq!(names.len(), families().len());
    }

    #[test]
    fn names_and_labels_follow_the_conventions() {
        for family in families() {
            let name = family.name();
            let valid = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            assert!(valid(&name) && !name.contains("__"), "{name}");
            assert!(name.starts_with("equipoise_") || name.starts_with("process_"), "{name}");
            assert!(family.labels().iter().all(|label| valid(label) && *label != "le"), "{name}");
            // A unit is part of the name, and nothing else ends like a unit or a suffix.
            assert_eq!(family.unit() == Some(Unit::Seconds), name.contains("_seconds"), "{name}");
            assert_eq!(family.unit() == Some(Unit::Bytes), name.contains("_bytes"), "{name}");
            assert_eq!(family.kind() == Kind::Counter, name.ends_with("_total"), "{name}");
            assert_eq!(family.kind() == Kind::Info, name.ends_with("_info"), "{name}");
            assert!(family.help().ends_with('.'), "{name}");
        }
    }
}
