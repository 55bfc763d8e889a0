//! The link to the Redis server: one task connects, watches the connection, and connects again when it has ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use equipoise_core::__private::Backoff;
use redis::{AsyncConnectionConfig, Pipeline, Value, aio::MultiplexedConnection, cmd};
use tokio::{
    io::{join, split},
    time::{Instant, sleep, timeout},
};

use super::{
    live::{Driver, Live},
    script::Script,
    server::Server,
    stats::Counters,
    wire::{Checked, Part, Replies},
};

/// Settings of the link.
pub(super) struct LinkSettings {
    pub(super) server: Server,
    /// The name of an entry that is read to check that the server can be used.
    pub(super) probe: Vec<u8>,
    pub(super) connect_timeout: Duration,
    pub(super) lookup_timeout: Duration,
    pub(super) backoff: Backoff,
}

/// The current connection, or the reason why there is none.
#[derive(Debug)]
pub(super) struct Link {
    live: ArcSwapOption<Live>,
    reason: ArcSwap<String>,
    epochs: AtomicU64,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            live: ArcSwapOption::empty(),
            reason: ArcSwap::from_pointee("not connected yet".to_owned()),
            epochs: AtomicU64::new(0),
        }
    }

    /// Returns the current connection; `None` if there is none or the server does not answer.
    pub(super) fn live(&self) -> Option<Arc<Live>> {
        self.live.load().as_ref().filter(|live| !live.is_stalled()).map(Arc::clone)
    }

    /// Returns the number of the current connection; `None` if there is none or the server does not answer.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.live.load().as_ref().filter(|live| !live.is_stalled()).map(|live| live.epoch)
    }

    /// Returns why there is no connection, or why it cannot be used.
    pub(super) fn reason(&self) -> String {
        if self.live.load().is_some() { "it has stopped answering".to_owned() } else { self.reason.load().to_string() }
    }

    /// Connects, and connects again whenever the connection ends. Never finishes.
    pub(super) async fn keep(&self, settings: &LinkSettings, counters: &Counters) {
        let server = settings.server.address();
        let mut failures = 0_u32;
        loop {
            let replies = Arc::new(Replies::new());
            let connected = timeout(settings.connect_timeout, self.connect(settings, &replies)).await;
            let reason = match connected.unwrap_or_else(|_| Err("no connection within its time".to_owned())) {
                Ok((live, driver)) => {
                    tracing::info!(%server, "the session store is connected");
                    let since = Instant::now();
                    if live.epoch > 1 {
                        counters.reconnects.count();
                    }
                    let live = Arc::new(live);
                    self.live.store(Some(Arc::clone(&live)));
                    let reason = live.drive(driver, settings.lookup_timeout, settings.connect_timeout).await;
                    if since.elapsed() >= settings.backoff.max {
                        failures = 0;
                    } else {
                        failures = failures.saturating_add(1);
                    }
                    reason
                }
                Err(reason) => {
                    failures = failures.saturating_add(1);
                    reason
                }
            };
            let reason = match replies.violation.get() {
                Some(violation) => {
                    counters.protocol_errors.count();
                    format!("it broke the protocol: {violation}")
                }
                None => reason,
            };
            // A warning once per outage, and not once per attempt.
            if failures <= 1 {
                tracing::warn!(%server, reason, "the session store is unavailable");
            } else {
                tracing::debug!(%server, reason, failures, "the session store is still unavailable");
            }
            self.reason.store(Arc::new(reason));
            self.live.store(None);
            sleep(settings.backoff.wait(failures, rand::random())).await;
        }
    }

    async fn connect(&self, settings: &LinkSettings, replies: &Arc<Replies>) -> Result<(Live, Driver), String> {
        let (read, write) = split(settings.server.open().await.map_err(|error| error.to_string())?);
        let (mut connection, driver) = MultiplexedConnection::new_with_config(
            settings.server.handshake(),
            join(Checked { stream: read, replies: Arc::clone(replies), part: Part::Kind }, write),
            // The store has its own timeouts, because it still uses replies that arrive late.
            AsyncConnectionConfig::new().set_response_timeout(None),
        )
        .await
        .map_err(|error| error.to_string())?;
        // The handshake is over. From now on, each reply must belong to a command of the store.
        replies.expected.store(replies.received.load(Ordering::Relaxed), Ordering::Relaxed);
        let mut driver: Driver = Box::pin(driver);

        let (touch, bind) = tokio::select! {
            fit = check_server(&mut connection, replies, &settings.probe) => fit?,
            () = &mut driver => return Err("it closed the connection".to_owned()),
        };
        let epoch = self.epochs.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let live = Live::new(epoch, touch, bind, connection, Arc::clone(replies));
        Ok((live, driver))
    }
}

/// Checks that the server can be used. Connecting is not enough: servers that hang, are too old or are read-only accept
/// connections too.
async fn check_server(
    connection: &mut MultiplexedConnection,
    replies: &Replies,
    probe: &[u8],
) -> Result<(Script, Script), String> {
    let (mut touch, mut bind, mut get) = (Script::touch(), Script::bind(), cmd("GETEX"));
    get.arg(probe);
    let mut first = Pipeline::new();
    first.add_command(cmd("PING")).add_command(get).add_command(touch.load()).add_command(bind.load());
    replies.expected.fetch_add(4, Ordering::Relaxed);
    let answers = connection.send_packed_commands(&first, 0, 4).await.map_err(|error| error.to_string())?;
    let mut answers = answers.into_iter();
    match answers.next() {
        Some(Value::SimpleString(pong)) if pong == "PONG" => {}
        Some(Value::ServerError(error)) => return Err(format!("the server refused the command: {}", error.code())),
        _ => return Err("it does not know PING".to_owned()),
    }
    match answers.next() {
        Some(Value::ServerError(error)) if error.code() == "ERR" => {
            return Err("it does not know GETEX: Redis 6.2 or later does, and any Valkey".to_owned());
        }
        Some(Value::ServerError(error)) if error.code() != "WRONGTYPE" => {
            return Err(format!("the server refused the command: {}", error.code()));
        }
        _ => {}
    }
    touch.loaded(answers.next().unwrap_or_default());
    bind.loaded(answers.next().unwrap_or_default());
    Ok((touch, bind))
}
