use std::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU32, AtomicU64,
            Ordering::{Relaxed, SeqCst},
        },
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use equipoise_core::__private::Backoff;
use parking_lot::Mutex;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, RedisResult, Value, aio::MultiplexedConnection, cmd};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

/// Operations at the same time. More of them fail at once: a slow server must not collect waiting requests without end.
const MAX_OPERATIONS: usize = 1024;
/// The entries that are on their way to the server at the same time, in KiB. An entry of the maximum size fits.
const MAX_WRITING: u32 = 80 * 1024;
/// A connection is given up after so many timeouts in a row.
const MAX_TIMEOUTS: u32 = 3;
const BACKOFF: Backoff = Backoff { min: Duration::from_millis(50), max: Duration::from_secs(5) };

/// The connection to the server. While there is none, operations fail at once, and a task connects again after a wait.
pub(super) struct Link {
    client: Client,
    runtime: Handle,
    connect_timeout: Duration,
    live: ArcSwapOption<Live>,
    connecting: AtomicBool,
    retry: Mutex<Retry>,
    operations: Semaphore,
    writing: Semaphore,
    pub(super) counters: LinkCounters,
}

#[derive(Default)]
pub(super) struct LinkCounters {
    pub(super) connects: AtomicU64,
    pub(super) connect_failures: AtomicU64,
    pub(super) unavailable: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) refused: AtomicU64,
}

#[derive(Default)]
struct Retry {
    failures: u32,
    not_before: Option<Instant>,
}

struct Live {
    connection: MultiplexedConnection,
    timeouts: AtomicU32,
}

impl Link {
    pub(super) fn new(client: Client, runtime: Handle, connect_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            client,
            runtime,
            connect_timeout,
            live: ArcSwapOption::empty(),
            connecting: AtomicBool::new(false),
            retry: Mutex::default(),
            operations: Semaphore::new(MAX_OPERATIONS),
            writing: Semaphore::new(MAX_WRITING as usize),
            counters: LinkCounters::default(),
        })
    }

    pub(super) fn is_connected(&self) -> bool {
        self.live.load().is_some()
    }

    /// Reserves memory for an entry on its way to the server. Returns `None` if too many bytes wait there already.
    pub(super) fn reserve(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(MAX_WRITING).min(MAX_WRITING);
        let permit = self.writing.try_acquire_many(kib).ok();
        if permit.is_none() {
            self.counters.unavailable.fetch_add(1, Relaxed);
        }
        permit
    }

    /// Sends a lookup, as [`ask`](Self::ask) does. While entries are on their way on the same connection, an answer that
    /// comes too late says nothing about the server; then only the timeouts of the entries themselves count.
    pub(super) async fn look_up<F>(
        self: &Arc<Self>,
        max: Duration,
        send: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Option<Value>
    where
        F: Future<Output = RedisResult<Value>>,
    {
        self.send(max, true, send).await
    }

    /// Sends a script or a command, and returns the answer. Returns `None` if there is no connection, if no answer comes
    /// in time, or if the server refuses; the counters say which.
    pub(super) async fn ask<F>(
        self: &Arc<Self>,
        max: Duration,
        send: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Option<Value>
    where
        F: Future<Output = RedisResult<Value>>,
    {
        self.send(max, false, send).await
    }

    async fn send<F>(
        self: &Arc<Self>,
        max: Duration,
        is_lookup: bool,
        send: impl FnOnce(MultiplexedConnection) -> F,
    ) -> Option<Value>
    where
        F: Future<Output = RedisResult<Value>>,
    {
        let (permit, live) = (self.operations.try_acquire().ok(), self.live.load_full());
        let (Some(_permit), Some(live)) = (permit, live) else {
            self.counters.unavailable.fetch_add(1, Relaxed);
            self.connect();
            return None;
        };
        match timeout(max, send(live.connection.clone())).await {
            Ok(Ok(value)) => {
                live.timeouts.store(0, Relaxed);
                Some(value)
            }
            Ok(Err(error)) => {
                self.counters.refused.fetch_add(1, Relaxed);
                if is_end(&error) {
                    self.give_up(&live, &error.to_string());
                } else {
                    tracing::debug!(%error, "the cache's Redis server refused an operation");
                }
                None
            }
            Err(_) => {
                self.counters.timeouts.fetch_add(1, Relaxed);
                let is_behind_writes = is_lookup && self.writing.available_permits() < MAX_WRITING as usize;
                if !is_behind_writes && live.timeouts.fetch_add(1, Relaxed) + 1 >= MAX_TIMEOUTS {
                    self.give_up(&live, "it has stopped answering");
                }
                None
            }
        }
    }

    /// Sends a command, as [`ask`](Self::ask) does.
    pub(super) async fn command(self: &Arc<Self>, max: Duration, command: Cmd) -> Option<Value> {
        self.ask(max, |mut connection| async move { command.query_async(&mut connection).await }).await
    }

    fn give_up(self: &Arc<Self>, live: &Arc<Live>, reason: &str) {
        let current = self.live.load();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            let before = self.live.compare_and_swap(&*current, None);
            if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, live)) {
                tracing::warn!(server = %self.client.get_connection_info().addr(), reason, "the cache's Redis server is away");
                self.connect();
            }
        }
    }

    /// Starts to connect, unless that is in progress or it is too early after a failure.
    pub(super) fn connect(self: &Arc<Self>) {
        if self.live.load().is_some()
            || self.retry.lock().not_before.is_some_and(|at| Instant::now() < at)
            || self.connecting.swap(true, SeqCst)
        {
            return;
        }
        let link = Arc::clone(self);
        self.runtime.spawn(async move {
            let opened = timeout(link.connect_timeout, link.open()).await;
            let server = link.client.get_connection_info().addr();
            match opened.unwrap_or_else(|_| Err("no connection within its time".to_owned())) {
                Ok(connection) => {
                    tracing::info!(%server, "the cache's Redis server is connected");
                    link.counters.connects.fetch_add(1, Relaxed);
                    *link.retry.lock() = Retry::default();
                    link.live.store(Some(Arc::new(Live { connection, timeouts: AtomicU32::new(0) })));
                }
                Err(reason) => {
                    link.counters.connect_failures.fetch_add(1, Relaxed);
                    let mut retry = link.retry.lock();
                    retry.failures = retry.failures.saturating_add(1);
                    let wait = BACKOFF.wait(retry.failures, rand::random());
                    retry.not_before = Instant::now().checked_add(wait);
                    if retry.failures == 1 {
                        tracing::warn!(%server, reason, "the cache's Redis server cannot be reached");
                    }
                }
            }
            link.connecting.store(false, SeqCst);
        });
    }

    async fn open(&self) -> Result<MultiplexedConnection, String> {
        // The link has timeouts of its own, which count.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.connect_timeout)).set_response_timeout(None);
        let opened = self.client.get_multiplexed_async_connection_with_config(&config).await;
        let mut connection = opened.map_err(|error| error.to_string())?;
        // A server that hangs accepts connections too.
        match cmd("PING").query_async(&mut connection).await {
            Ok(Value::SimpleString(pong)) if pong == "PONG" => Ok(connection),
            Ok(_) => Err("it does not know PING".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Whether a connection is of no use after this error. After a failover, a replica refuses to write.
fn is_end(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || matches!(error.code(), Some("READONLY" | "NOAUTH" | "LOADING"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn entries_on_their_way_have_a_maximum_of_bytes_together() {
        let client = Client::open("redis://127.0.0.1:1").expect("a URL");
        let link = Link::new(client, Handle::current(), Duration::from_secs(1));
        let first = link.reserve(64 << 20).expect("room for one");
        assert!(link.reserve(64 << 20).is_none());
        assert!(link.reserve(1 << 20).is_some());
        drop(first);
        assert!(link.reserve(usize::MAX).is_some());
    }
}
