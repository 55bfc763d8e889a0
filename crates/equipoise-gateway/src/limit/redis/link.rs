use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use equipoise_core::__private::Backoff;
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, Value, aio::MultiplexedConnection};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::stats::RedisCounters;

/// Number of failures in a row after which a connection is given up. A single slow answer should not send all requests
/// to the fallback.
const MAX_FAILURES: u32 = 3;

/// The connection to the server, or the reason why there is none. One task connects again whenever requests have given
/// up a connection.
#[derive(Debug)]
pub(super) struct Link {
    live: ArcSwapOption<Live>,
    reason: ArcSwap<String>,
    given_up: Notify,
}

/// A connection to a server that has run the script.
pub(super) struct Live {
    connection: MultiplexedConnection,
    failures: AtomicU32,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").field("failures", &self.failures).finish_non_exhaustive()
    }
}

pub(super) struct LinkSettings {
    pub(super) client: Client,
    pub(super) connect_timeout: Duration,
    pub(super) backoff: Backoff,
    /// The command that shows that the server can be used.
    pub(super) probe: Cmd,
}

impl Link {
    pub(super) fn new() -> Self {
        let reason = ArcSwap::from_pointee("not connected yet".to_owned());
        Self { live: ArcSwapOption::empty(), reason, given_up: Notify::new() }
    }

    pub(super) fn live(&self) -> Option<Arc<Live>> {
        self.live.load_full()
    }

    /// Returns why there is no connection; `None` if there is one.
    pub(super) fn reason(&self) -> Option<String> {
        self.live.load().is_none().then(|| self.reason.load().to_string())
    }

    /// Reports that an answer has arrived.
    pub(super) fn succeeded(live: &Live) {
        // Not written each time, because all threads share the number.
        if live.failures.load(Ordering::Relaxed) != 0 {
            live.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Reports a failure of a connection. The connection is given up if it has ended, or after several failures in a
    /// row.
    pub(super) fn failed(&self, live: &Arc<Live>, ended: bool, reason: impl FnOnce() -> String) {
        let failures = live.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if !ended && failures < MAX_FAILURES {
            return;
        }
        let current = self.live.load();
        if !current.as_ref().is_some_and(|current| Arc::ptr_eq(current, live)) {
            return;
        }
        self.reason.store(Arc::new(reason()));
        // Only one of the requests that fail together ends it.
        let previous = self.live.compare_and_swap(&*current, None);
        if previous.as_ref().is_some_and(|previous| Arc::ptr_eq(previous, live)) {
            self.given_up.notify_one();
        }
    }

    /// Connects, and connects again whenever a connection was given up. Never finishes.
    pub(super) async fn keep(&self, settings: &LinkSettings, counters: &RedisCounters) {
        let mut failures = 0_u32;
        loop {
            let connected = timeout(settings.connect_timeout, connect(settings)).await;
            let reason = match connected {
                Ok(Ok(connection)) => {
                    tracing::info!("rate limits use Redis");
                    failures = 0;
                    counters.connects.count();
                    self.live.store(Some(Arc::new(Live { connection, failures: AtomicU32::new(0) })));
                    self.given_up.notified().await;
                    self.reason.load().to_string()
                }
                Ok(Err(error)) => describe(&error),
                Err(_) => "it has not answered in time".to_owned(),
            };
            // A warning once per outage, and not once per attempt.
            if failures == 0 {
                tracing::warn!(reason, "rate limits cannot use Redis");
            } else {
                tracing::debug!(reason, failures, "rate limits still cannot use Redis");
            }
            failures = failures.saturating_add(1);
            self.reason.store(Arc::new(reason));
            sleep(settings.backoff.wait(failures, rand::random())).await;
        }
    }
}

impl Live {
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, RedisError> {
        command.query_async(&mut self.connection.clone()).await
    }
}

async fn connect(settings: &LinkSettings) -> Result<MultiplexedConnection, RedisError> {
    // Requests and this task have their own timeouts.
    let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    let mut connection = settings.client.get_multiplexed_async_connection_with_config(&config).await?;
    // Connecting is not enough: servers that hang, load their data or are read-only accept connections too.
    let _: Value = settings.probe.query_async(&mut connection).await?;
    Ok(connection)
}

/// Returns the reason of an error as text. It contains no data of requests.
pub(super) fn describe(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("it has answered {code}"),
        None => error.to_string(),
    }
}
