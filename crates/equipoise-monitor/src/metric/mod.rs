//! The metrics: the [families] that are made from a [`Snapshot`](crate::Snapshot), for all exporters.
//!
//! Names follow the conventions of Prometheus and OpenMetrics: the prefix `equipoise_`, base units (seconds, bytes) as the
//! last word, and `_total` after it for counters. The same names are used for the facade of the crate `metrics`.
//!
//! # Number of series
//!
//! No label has a value that clients can choose, such as a path or an address of a client. The number of series is
//! therefore bounded by the configuration:
//!
//! | for each | series |
//! | --- | --- |
//! | program | 1, and 8 for the process if they are turned on |
//! | pool | 22, 2 in pools that count bytes, and 1 for each reason for requests without an attempt |
//! | pool with latency histograms | 46 more |
//! | pool with health checks | 3, 1 for each pair of source and availability that has occurred, and 3 for each check |
//! | pool with session affinity | about 50: its outcomes and their reasons, and the session store |
//! | endpoint | 15, and 1 with a limit, 2 in pools that count bytes, 1 for each condition, 1 for each check |
//! | endpoint of a pool of `Upstream` | 8 more, and 1 for each reason why connections were closed |
//! | endpoint, if histograms of endpoints are turned on | 46 more |
//! | endpoint that has left | 11, and 2 in pools that count bytes |
//! | endpoint that has left a pool of `Upstream` | 5 more, and 1 for each reason why connections were closed |
//! | function of a gateway | at most 30, and 1 for each rule, each reason for refused requests, each limit, and each source of keys |
//! | listener | 1, 1 for each reading, and 1 for each certificate |
//!
//! An endpoint that has left is exported while its pool [lists it](equipoise_core::Pool::departed): 10 minutes by default,
//! with a maximum of endpoints. Its attempts and bytes are added to those of an endpoint with the same id that joins in
//! this time. The counters of its connections begin again at 0 then. The totals of the pool never lose the requests of endpoints that have left.
//!
//! # Listeners
//!
//! Each [`Reading`](crate::report::Reading) of a listener becomes a series of the family `equipoise_listener_NAME`, with
//! `_total` for counters. If the name ends with `_bytes` or `_seconds`, this is its unit. Readings of several listeners
//! with the same name belong to one family. Characters that names must not have are replaced by `_`. The label `listener`
//! of a reading becomes `listener_label`, and one whose name is empty or begins with a digit or `__` gets the prefix
//! `label_`. Readings that are the same series then are added up.
//!
//! # Functions of a gateway
//!
//! Each series of a function has the label `function` with the name of the function. Other labels have names from the
//! configuration, such as those of limits and rules, or fixed values. All of them exist from the beginning, with the value
//! 0, except reasons that have not occurred yet and sizes that are not known.
//!
//! # Requests
//!
//! `equipoise_pool_requests_total` counts the requests that callers have sent, and `equipoise_pool_attempts_total` the
//! attempts: a request that fails over has several, and a request for which no endpoint was found has none. The number of
//! requests is the number of attempts that have ended minus retries plus requests without an attempt, and never decreases.
//! A request whose first attempt has failed may be counted before its retry has ended.

mod family;
mod function;
mod list;
mod readout;
mod sample;
mod selection;
#[cfg(test)]
pub(crate) mod testing;
mod visit;

pub use self::{
    family::{Family, Kind, Unit},
    list::families,
};
pub(crate) use self::{
    readout::Readout,
    sample::{Labels, Sample, Sink, Value},
    selection::Selection,
};

#[cfg(test)]
mod tests {
    use std::{
        collections::{BTreeMap, HashSet},
        convert::Infallible,
    };

    use super::{testing::full_snapshot, *};
    use crate::report::{CheckReport, ConnectionsReport, EndpointReport, Reading, Snapshot};

    /// All series by name and labels, with their values. Histograms have the number of their latencies.
    #[derive(Default)]
    struct Series(BTreeMap<String, f64>);

    impl Sink for Series {
        type Error = Infallible;

        fn family<'a>(&mut self, family: &Family, samples: impl Iterator<Item = Sample<'a>>) -> Result<(), Infallible> {
            for (labels, value) in samples {
                let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                let value = match value {
                    Value::Integer(value) => value as f64,
                    Value::Float(value) => value,
                    Value::Histogram(parts) => parts.iter().map(|part| part.count()).sum::<u64>() as f64,
                };
                let series = format!("{} {}", family.name(), labels.join(" "));
                assert_eq!(self.0.insert(series.clone(), value), None, "{series} occurs twice");
            }
            Ok(())
        }
    }

    fn series(snapshot: Snapshot) -> BTreeMap<String, f64> {
        let selection = Selection {
            endpoint_histograms: true,
            #[cfg(feature = "process")]
            process: true,
            ..Selection::default()
        };
        let mut series = Series::default();
        let Ok(()) = Readout::new(snapshot, selection).visit(&mut series);
        series.0
    }

    #[test]
    fn each_family_has_a_series_with_its_labels() {
        let series = series(full_snapshot());
        let names: HashSet<_> = series.keys().filter_map(|series| series.split(' ').next()).collect();
        for family in families() {
            assert!(names.contains(&*family.name()), "{}", family.name());
        }
        for series in series.keys() {
            let (name, labels) = series.split_once(' ').expect("a name");
            let labels: Vec<_> = labels.split(' ').filter_map(|label| Some(label.split_once('=')?.0)).collect();
            match families().iter().find(|family| family.name() == name) {
                Some(family) => assert_eq!(labels, family.labels(), "{name}"),
                None => assert!(name.starts_with("equipoise_listener_"), "{name}"),
            }
        }
    }

    #[test]
    fn an_endpoint_that_returns_keeps_its_counts() {
        let mut snapshot = full_snapshot();
        let before = series(snapshot.clone());
        // The endpoint a:80 is replaced by a new one with the same id.
        let pool = &mut snapshot.pools[0];
        let mut old = pool.endpoints[0].clone();
        old.left_ago = Some(std::time::Duration::from_secs(1));
        pool.departed.push(old);
        let new = &mut pool.endpoints[0].status;
        (new.requests, new.latency, new.duration) = (equipoise_core::RequestCounts::default(), None, None);
        let after = series(snapshot);
        for counter in
            ["attempts_total pool=web endpoint=a:80 outcome=success", "first_byte_seconds pool=web endpoint=a:80"]
        {
            let counter = format!("equipoise_endpoint_{counter}");
            assert_eq!(after[&counter], before[&counter], "{counter}");
        }
        let pool = "equipoise_pool_first_byte_seconds pool=web";
        assert_eq!(after[pool], before[pool]);
        // It is listed once.
        assert_eq!(after["equipoise_endpoint_up pool=web endpoint=a:80"], 1.0);
    }

    #[test]
    fn an_endpoint_that_has_left_has_counts_and_no_state() {
        let series = series(full_snapshot());
        assert_eq!(series["equipoise_endpoint_attempts_total pool=web endpoint=gone:80 outcome=success"], 1.0);
        assert!(!series.contains_key("equipoise_endpoint_up pool=web endpoint=gone:80"));
        assert_eq!(series["equipoise_pool_endpoints pool=web availability=up"], 1.0);
        assert_eq!(series["equipoise_pool_endpoints pool=web availability=unhealthy"], 1.0);
        assert_eq!(series["equipoise_pool_endpoints pool=web availability=draining"], 0.0);
    }

    #[test]
    fn requests_without_an_attempt_are_counted_and_retries_are_not() {
        let mut snapshot = full_snapshot();
        let stats = &mut snapshot.pools[0].stats;
        assert_eq!((stats.attempts.total, stats.attempts.in_flight), (3, 0));
        (stats.unserved, stats.retries) = (vec![("no_endpoint", 7), ("cancelled", 2)], 1);
        assert_eq!(series(snapshot)["equipoise_pool_requests_total pool=web"], 11.0);
    }

    #[test]
    fn a_limit_or_bytes_have_a_series_only_if_there_are_any() {
        let mut snapshot = full_snapshot();
        let limit = "equipoise_endpoint_in_flight_limit pool=web endpoint=a:80";
        let bytes = "equipoise_endpoint_sent_bytes_total pool=web endpoint=b:80";
        let pool_bytes = "equipoise_pool_received_bytes_total pool=web";
        let all = series(snapshot.clone());
        assert_eq!((all[limit], all[bytes], all[pool_bytes]), (7.0, 10.0, 60.0));
        snapshot.pools[0].endpoints[0].status.max_in_flight = None;
        (snapshot.pools[0].stats.bytes_sent, snapshot.pools[0].stats.bytes_received) = (0, 0);
        let all = series(snapshot);
        assert!([limit, bytes, pool_bytes].iter().all(|name| !all.contains_key(*name)));
    }

    #[test]
    fn connections_of_an_endpoint_that_has_left_are_counted_and_are_not_open() {
        let mut snapshot = full_snapshot();
        let connections = |opened| ConnectionsReport {
            open: 1,
            opened,
            bytes_sent: 100 * opened,
            closed: vec![("idle", opened)],
            ..ConnectionsReport::default()
        };
        let pool = &mut snapshot.pools[0];
        pool.endpoints[0].connections = Some(connections(1));
        let old = EndpointReport { connections: Some(connections(2)), ..pool.endpoints[0].clone() };
        pool.departed[0].connections = Some(connections(4));
        pool.departed.push(EndpointReport { left_ago: Some(std::time::Duration::ZERO), ..old });
        let all = series(snapshot);
        let of =
            |family: &str, labels: &str| all.get(&format!("equipoise_endpoint_{family} pool=web {labels}")).copied();
        for (endpoint, opened, open) in [("endpoint=a:80", 3.0, Some(1.0)), ("endpoint=gone:80", 4.0, None)] {
            assert_eq!(of("connections_opened_total", endpoint), Some(opened));
            assert_eq!(of("connections_sent_bytes_total", endpoint), Some(100.0 * opened));
            assert_eq!(of("connections_closed_total", &format!("{endpoint} reason=idle")), Some(opened));
            assert_eq!(of("connections", endpoint), open);
        }
    }

    #[test]
    fn readings_with_one_name_are_one_family_of_one_kind() {
        let mut snapshot = full_snapshot();
        snapshot.listeners[0].readings = vec![
            Reading::counter("odd name-1", "Odd.", 1),
            Reading::counter("odd name-1", "Odd.", 2),
            Reading::counter("odd name-1", "Odd.", 4).with_label("listener", "x"),
            Reading::gauge("odd name-1", "Odd.", 8),
        ];
        let series = series(snapshot);
        let odd: Vec<_> = series.iter().filter(|(series, _)| series.contains("odd")).collect();
        let expected = [
            ("equipoise_listener_odd_name_1_total listener=127.0.0.1:80".to_owned(), 3.0),
            ("equipoise_listener_odd_name_1_total listener=127.0.0.1:80 listener_label=x".to_owned(), 4.0),
        ];
        assert_eq!(odd, expected.iter().map(|(name, value)| (name, value)).collect::<Vec<_>>());
    }

    #[test]
    fn labels_of_readings_have_valid_names_and_series_occur_once() {
        let mut snapshot = full_snapshot();
        let labels = [("a b", u64::MAX), ("a_b", 1), ("1st", 2), ("__name__", 4), ("", 8), ("listener_label", 16)];
        snapshot.listeners[0].readings = labels
            .map(|(label, value)| Reading::counter("odd", "Odd.", value).with_label(label, "x"))
            .into_iter()
            .chain([Reading::counter("odd", "Odd.", 32).with_label("listener", "x")])
            .collect();
        let series = series(snapshot);
        let odd: BTreeMap<_, _> = series
            .iter()
            .filter_map(|(series, value)| {
                Some((series.strip_prefix("equipoise_listener_odd_total listener=127.0.0.1:80 ")?, *value))
            })
            .collect();
        let expected = [
            ("a_b=x", u64::MAX as f64),
            ("label_1st=x", 2.0),
            ("label___name__=x", 4.0),
            ("label_=x", 8.0),
            ("listener_label=x", 48.0),
        ];
        assert_eq!(odd, BTreeMap::from(expected));
    }

    #[test]
    fn of_checks_with_one_name_all_must_be_up() {
        let mut snapshot = full_snapshot();
        let health = snapshot.pools[0].endpoints[0].health.as_mut().expect("it is known");
        let down = CheckReport { up: false, ..health.checks[0].clone() };
        health.checks.push(down);
        health.checks.push(health.checks[0].clone());
        let series = series(snapshot);
        assert_eq!(series["equipoise_endpoint_check_up pool=web endpoint=a:80 check=tcp"], 0.0);
        assert_eq!(series["equipoise_endpoint_check_up pool=web endpoint=b:80 check=tcp"], 1.0);
    }

    #[test]
    fn of_certificates_with_one_source_the_first_to_expire_counts() {
        let expiry =
            "equipoise_listener_certificate_expiry_timestamp_seconds listener=127.0.0.1:80 certificate=site.pem";
        assert_eq!(series(full_snapshot())[expiry], 1_000.5);
    }
}
