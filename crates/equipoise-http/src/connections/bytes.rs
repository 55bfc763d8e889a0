//! The bytes that the connections to an endpoint have carried.
//!
//! Each connection counts its own bytes, so threads do not contend and no read-modify-write operation is needed. The
//! counts of all open connections are added up when they are read.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;

/// Numbers of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ByteCounts {
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// The bytes of all connections to an endpoint, open and closed.
#[derive(Debug, Default)]
pub(super) struct EndpointBytes(Mutex<Connections>);

#[derive(Debug, Default)]
struct Connections {
    open: BTreeMap<u64, Arc<Counts>>,
    /// The bytes of the connections that are closed.
    closed: ByteCounts,
    opened: u64,
}

/// The counts of one connection. Only the [`ConnectionBytes`] of the connection writes them.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    received: AtomicU64,
}

/// Counts the bytes of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionBytes {
    number: u64,
    counts: Arc<Counts>,
    endpoint: Arc<EndpointBytes>,
}

impl EndpointBytes {
    /// Returns the bytes so far.
    pub(super) fn read(&self) -> ByteCounts {
        let connections = self.0.lock();
        connections.open.values().map(|counts| counts.read()).fold(connections.closed, ByteCounts::plus)
    }
}

impl ConnectionBytes {
    /// Begins to count the bytes of a connection to `endpoint`.
    pub(super) fn new(endpoint: Arc<EndpointBytes>) -> Self {
        let counts = Arc::<Counts>::default();
        let mut connections = endpoint.0.lock();
        let number = connections.opened;
        connections.opened += 1;
        connections.open.insert(number, Arc::clone(&counts));
        drop(connections);
        Self { number, counts, endpoint }
    }

    pub(super) fn sent(&mut self, bytes: usize) {
        add(&self.counts.sent, bytes);
    }

    pub(super) fn received(&mut self, bytes: usize) {
        add(&self.counts.received, bytes);
    }
}

impl Drop for ConnectionBytes {
    fn drop(&mut self) {
        // At once, so that no reader misses these bytes or counts them twice.
        let mut connections = self.endpoint.0.lock();
        connections.open.remove(&self.number);
        connections.closed = connections.closed.plus(self.counts.read());
    }
}

impl Counts {
    fn read(&self) -> ByteCounts {
        ByteCounts { sent: self.sent.load(Ordering::Relaxed), received: self.received.load(Ordering::Relaxed) }
    }
}

impl ByteCounts {
    fn plus(self, other: Self) -> Self {
        Self { sent: self.sent + other.sent, received: self.received + other.received }
    }
}

/// Adds to a count that no other thread writes.
fn add(count: &AtomicU64, bytes: usize) {
    let more = u64::try_from(bytes).unwrap_or_default();
    count.store(count.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_open_and_closed_connections_are_added_up() {
        let endpoint = Arc::new(EndpointBytes::default());
        let mut first = ConnectionBytes::new(Arc::clone(&endpoint));
        let mut second = ConnectionBytes::new(Arc::clone(&endpoint));
        first.sent(100);
        first.received(1);
        second.received(10);
        assert_eq!(endpoint.read(), ByteCounts { sent: 100, received: 11 });
        drop(first);
        assert_eq!(endpoint.read(), ByteCounts { sent: 100, received: 11 });
        second.sent(1000);
        drop(second);
        assert_eq!(endpoint.read(), ByteCounts { sent: 1100, received: 11 });
        assert!(endpoint.0.lock().open.is_empty());
    }

    #[test]
    fn a_reader_never_sees_fewer_bytes_than_before_while_connections_close() {
        let endpoint = Arc::new(EndpointBytes::default());
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for _ in 0..2000 {
                    let mut connection = ConnectionBytes::new(Arc::clone(&endpoint));
                    connection.sent(3);
                }
            });
            let mut before = 0;
            while !writer.is_finished() {
                let now = endpoint.read().sent;
                assert!(now >= before && now <= 6000, "{before} {now}");
                before = now;
            }
        });
        assert_eq!(endpoint.read(), ByteCounts { sent: 6000, received: 0 });
    }
}
