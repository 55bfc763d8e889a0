//! Reads the connections to the endpoints of a pool.

use std::{
    any::Any,
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use equipoise_core::{EndpointId, Pool};
use equipoise_http::{CloseReason, ConnectionStatus, Upstream};
use parking_lot::Mutex;

use crate::report::ConnectionsReport;

/// Returns the connections to all endpoints of a pool in the order of their slots, and then to these endpoints that have
/// left it.
pub(super) type ReadConnections = Arc<dyn Fn(&[EndpointId]) -> Vec<(EndpointId, ConnectionsReport)> + Send + Sync>;

/// Returns how the connections of a pool are read, if its targets are upstreams.
pub(super) fn of_upstreams<T: Send + Sync + 'static>(pool: &Pool<T>) -> Option<ReadConnections> {
    let pool = (pool as &dyn Any).downcast_ref::<Pool<Upstream>>()?.clone();
    // The upstreams of the last read. The pool closes an upstream that leaves it, so keeping it keeps no connection open.
    let seen = Mutex::new(Vec::<(EndpointId, Upstream)>::new());
    Some(Arc::new(move |departed| {
        let mut upstreams = pool.targets();
        let mut seen = seen.lock();
        if !departed.is_empty() {
            // An endpoint that has come back has the connections of its id.
            let present: HashSet<_> = upstreams.iter().map(|(id, _)| id.clone()).collect();
            let departed: HashSet<_> = departed.iter().filter(|id| !present.contains(*id)).collect();
            upstreams.extend(seen.drain(..).filter(|(id, _)| departed.contains(id)));
        }
        let reports = upstreams.iter().map(|(id, upstream)| (id.clone(), report(&upstream.status()))).collect();
        *seen = upstreams;
        reports
    }))
}

/// Returns how the connections of a pool are read, whose targets have this status. Targets that have left the pool are
/// not kept, because their connections may end with them.
pub(super) fn of_targets<T: Clone + Send + Sync + 'static>(
    pool: &Pool<T>,
    status: impl Fn(&T) -> Option<ConnectionStatus> + Send + Sync + 'static,
) -> ReadConnections {
    let pool = pool.clone();
    Arc::new(move |_| {
        let report = |(id, target)| {
            // The function of the application may panic.
            let status = catch_unwind(AssertUnwindSafe(|| status(&target)));
            Some((id, report(&status.ok()??)))
        };
        pool.targets().into_iter().filter_map(report).collect()
    })
}

fn report(status: &ConnectionStatus) -> ConnectionsReport {
    let closed = CloseReason::ALL.iter().map(|&reason| (reason.as_str(), status.closed(reason)));
    ConnectionsReport {
        open: count(status.open),
        idle: count(status.idle),
        waiting: count(status.waiting),
        opened: status.opened,
        failed: status.failed,
        requests: status.requests,
        bytes_sent: status.bytes_sent,
        bytes_received: status.bytes_received,
        closed: closed.filter(|(_, closed)| *closed > 0).collect(),
    }
}

fn count(count: usize) -> u64 {
    count.try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use equipoise_core::EndpointSpec;
    use http::Request;
    use http_body_util::{BodyExt, Empty};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        time::timeout,
    };
    use tower_service::Service;

    use super::*;
    use crate::{Monitor, WatchedPool, source::testing::fields_of};

    fn reports(monitor: &Monitor) -> Vec<Option<ConnectionsReport>> {
        monitor.snapshot().pools.remove(0).endpoints.into_iter().map(|endpoint| endpoint.connections).collect()
    }

    #[test]
    fn all_numbers_of_connections_are_read() {
        let status = Upstream::new("a:80").expect("valid").status();
        // `requests_per_connection` is computed from two of them.
        let fields =
            ["open", "idle", "waiting", "opened", "failed", "bytes_sent", "bytes_received", "requests", "closed"];
        assert_eq!(fields_of(&status), fields);
    }

    #[tokio::test]
    async fn connections_of_upstreams_are_in_the_report_of_their_endpoint() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let address = listener.local_addr().expect("bound").to_string();
        let pool: Pool<Upstream> = Pool::default();
        for address in ["127.0.0.1:1", &address] {
            pool.add(EndpointSpec::new(address), Upstream::new(address).expect("valid")).expect("valid");
        }
        let monitor = Monitor::new();
        monitor.add_pool(WatchedPool::new("web", &pool));
        assert_eq!(reports(&monitor), [Some(ConnectionsReport::default()), Some(ConnectionsReport::default())]);

        const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello";
        let serve = async {
            let mut stream = listener.accept().await.expect("a connection").0;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut head).await.expect("open");
            }
            stream.write_all(RESPONSE).await.expect("open");
            stream.read_buf(&mut head).await.expect("closed in order");
            head.len()
        };
        let mut upstream = pool.target(&address).expect("it is there");
        let request = async {
            let request = Request::get("/").body(Empty::<&[u8]>::new()).expect("valid");
            upstream.call(request).await.expect("a response").into_body().collect().await.expect("a body")
        };
        let both = async { tokio::join!(serve, request) };
        let (sent, _) = timeout(Duration::from_secs(30), both).await.expect("in time");
        let expected = ConnectionsReport {
            opened: 1,
            requests: 1,
            bytes_sent: sent as u64,
            bytes_received: RESPONSE.len() as u64,
            closed: vec![("peer", 1)],
            ..ConnectionsReport::default()
        };
        assert_eq!(reports(&monitor), [Some(ConnectionsReport::default()), Some(expected)]);
    }

    #[test]
    fn connections_of_an_endpoint_are_read_after_it_has_left_for_as_long_as_the_pool_lists_it() {
        let pool: Pool<Upstream> = Pool::default();
        let upstream = || Upstream::new("a:80").expect("valid");
        pool.add(EndpointSpec::new("a:80"), upstream()).expect("valid");
        pool.add(EndpointSpec::new("b:80"), upstream()).expect("valid");
        let read = of_upstreams(&pool).expect("they are upstreams");
        let ids = |departed: &[EndpointId]| {
            let mut ids: Vec<_> = read(departed).into_iter().map(|(id, _)| id.as_str().to_owned()).collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(&[]), ["a:80", "b:80"]);
        pool.remove("a:80").expect("it is there");
        let departed = ["a:80".into(), "never-seen:80".into()];
        assert_eq!(ids(&departed), ["a:80", "b:80"]);
        assert_eq!(ids(&departed), ["a:80", "b:80"]);
        pool.add(EndpointSpec::new("a:80"), upstream()).expect("valid");
        assert_eq!(ids(&departed), ["a:80", "b:80"]);
        pool.remove("a:80").expect("it is there");
        assert_eq!(ids(&[]), ["b:80"]);
        assert_eq!(ids(&departed), ["b:80"], "it was forgotten");
    }

    #[test]
    fn targets_with_an_upstream_inside_are_read_by_a_function_and_others_have_no_connections() {
        type Target = (u32, Option<Upstream>);
        let pool: Pool<Target> = Pool::default();
        pool.add(EndpointSpec::new("a:80"), (1, Some(Upstream::new("a:80").expect("valid")))).expect("valid");
        pool.add(EndpointSpec::new("b:80"), (2, None)).expect("valid");
        let monitor = Monitor::new();
        monitor.add_pool(WatchedPool::new("web", &pool));
        assert_eq!(reports(&monitor), [None, None]);
        let watched = WatchedPool::new("web", &pool);
        monitor.add_pool(watched.connections(&pool, |(_, upstream): &Target| Some(upstream.as_ref()?.status())));
        assert_eq!(reports(&monitor), [Some(ConnectionsReport::default()), None]);
        // An endpoint for which the function panics has no connections.
        let status = |(_, upstream): &Target| Some(upstream.as_ref().expect("it panics").status());
        monitor.add_pool(WatchedPool::new("web", &pool).connections(&pool, status));
        assert_eq!(reports(&monitor), [Some(ConnectionsReport::default()), None]);
    }

    #[test]
    fn a_pool_that_changes_while_it_is_read_is_read_again_at_most_twice() {
        for (changes, reads, weight) in [(0, 1, 1), (1, 2, 2), (2, 3, 3), (9, 3, 3)] {
            let pool: Pool<()> = Pool::default();
            pool.add(EndpointSpec::new("a:80"), ()).expect("valid");
            let read = Arc::new(AtomicU32::new(0));
            let connections = {
                let (pool, read) = (pool.clone(), Arc::clone(&read));
                move |_: &()| {
                    let number = read.fetch_add(1, Ordering::Relaxed) + 1;
                    if number <= changes {
                        pool.update([EndpointSpec::new("a:80").weight(number + 1)], |_| ()).expect("valid");
                    }
                    None
                }
            };
            let monitor = Monitor::new();
            monitor.add_pool(WatchedPool::new("web", &pool).connections(&pool, connections));
            let report = monitor.snapshot().pools.remove(0);
            assert_eq!((read.load(Ordering::Relaxed), report.endpoints[0].status.weight), (reads, weight));
        }
    }
}
