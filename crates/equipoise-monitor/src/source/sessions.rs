//! Reads the counters of sessions.

use equipoise_affinity::{Affinity, AffinityStats, StoreStats};
use equipoise_core::MissReason;

use crate::report::{SessionsReport, StoreReport};

/// Returns what became of the sessions of a pool, and its session store.
pub(super) fn report(affinity: &Affinity) -> SessionsReport {
    SessionsReport { store: affinity.store_stats().map(store), ..of_requests(affinity.stats()) }
}

fn of_requests(stats: AffinityStats) -> SessionsReport {
    let AffinityStats { kept, keyed, new, refused, limited, failed, unbound, moved, diverted, .. } = stats;
    let sum = |reasons: &[(MissReason, u64)]| reasons.iter().map(|(_, count)| count).sum();
    let label =
        |reasons: Vec<(MissReason, u64)>| reasons.into_iter().map(|(reason, count)| (reason.as_str(), count)).collect();
    SessionsReport {
        outcomes: vec![
            ("kept", kept),
            ("keyed", keyed),
            ("new", new),
            ("moved", sum(&moved)),
            ("diverted", sum(&diverted)),
            ("refused", refused),
            ("failed", failed),
        ],
        limited,
        unbound,
        moved: label(moved),
        diverted: label(diverted),
        store: None,
    }
}

fn store(stats: StoreStats) -> StoreReport {
    let StoreStats { store: kind, sessions, capacity, connected, events, .. } = stats;
    StoreReport { kind, sessions, capacity, connected, events }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use equipoise_affinity::{Mode, SessionStore, key::SessionKey, table::SessionTable};
    use equipoise_core::{EndpointSpec, Pool};

    use super::*;
    use crate::{Monitor, WatchedPool, source::testing::fields_of};

    #[test]
    fn requests_are_reported_by_outcome_and_reason() {
        let mut stats = AffinityStats::default();
        (stats.kept, stats.keyed, stats.new, stats.refused, stats.limited, stats.failed) = (1, 2, 3, 4, 5, 6);
        stats.unbound = vec![("absent", 3)];
        stats.moved = vec![(MissReason::Gone, 7), (MissReason::Unhealthy, 1)];
        stats.diverted = vec![(MissReason::Full, 9)];
        let report = of_requests(stats);
        let outcomes =
            [("kept", 1), ("keyed", 2), ("new", 3), ("moved", 8), ("diverted", 9), ("refused", 4), ("failed", 6)];
        assert_eq!(report.outcomes, outcomes);
        assert_eq!((report.limited, report.unbound), (5, vec![("absent", 3)]));
        assert_eq!((report.moved, report.diverted), (vec![("gone", 7), ("unhealthy", 1)], vec![("full", 9)]));
    }

    #[test]
    fn all_counters_are_read() {
        let fields = ["kept", "keyed", "new", "refused", "limited", "failed", "unbound", "moved", "diverted"];
        assert_eq!(fields_of(&AffinityStats::default()), fields);
        assert_eq!(fields_of(&StoreStats::new("table")), ["store", "sessions", "capacity", "connected", "events"]);
    }

    #[test]
    fn the_session_store_is_in_the_report_of_its_pool() {
        let pool: Pool<()> = Pool::default();
        pool.add(EndpointSpec::new("a:80"), ()).expect("valid");
        let table = SessionTable::builder().capacity(100).build().expect("valid");
        let key = SessionKey::header("x-user").expect("valid");
        let affinity = Affinity::new(&pool, Mode::table(key, Arc::new(table.clone()))).expect("valid");
        let monitor = Monitor::new();
        monitor.add_pool(WatchedPool::new("web", &pool).affinity(&affinity));
        monitor.add_pool(WatchedPool::new("other", &pool));
        table.bind(b"session", &"a:80".into(), None);
        let snapshot = monitor.snapshot();
        let store = snapshot.pools[0].sessions.as_ref().and_then(|sessions| sessions.store.clone()).expect("a table");
        assert_eq!((store.kind, store.sessions, store.capacity), ("table", Some(1), Some(100)));
        assert_eq!(store.events, [("evictions", 0), ("expirations", 0), ("voided", 0)]);
        assert_eq!(snapshot.pools[1].sessions, None);
    }
}
