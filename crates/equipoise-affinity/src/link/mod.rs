//! The link to a Redis server: one task connects, watches the connection, and connects again when it has ended. The
//! session store in Redis uses it, and so do the limits and the cache of the gateway crate.

mod live;
mod reason;
mod script;
mod server;
#[cfg(feature = "redis-tls")]
mod tls;
mod wire;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use equipoise_core::__private::Backoff;
use redis::{AsyncConnectionConfig, Cmd, Pipeline, Value, aio::MultiplexedConnection, cmd};
use tokio::{
    io::{join, split},
    runtime::Handle,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

pub(crate) use self::live::is_unknown_script;
use self::{
    live::Driver,
    reason::describe,
    wire::{Checked, Replies},
};
pub use self::{
    live::{Failure, Live},
    reason::{explain, is_full},
    script::Script,
    server::{Server, WrongUrl},
};

/// Settings of a link.
pub struct LinkSettings {
    /// The server.
    pub server: Server,
    /// What uses the server, for logs, such as `session store`.
    pub user: &'static str,
    /// The beginning of the names of all keys of the user. No key may have the name that consists of it and `%1` or
    /// `%2`.
    pub prefix: String,
    /// Commands that are sent on each new connection, such as those that load scripts.
    pub first: Vec<Cmd>,
    /// Checks the replies to these commands, and returns why the server cannot be used.
    pub check: fn(&[Value]) -> Result<(), String>,
    /// The time limit for connecting, with the first replies.
    pub connect_timeout: Duration,
    /// The time without any reply, after a command has timed out, after which the connection ends.
    pub max_silence: Duration,
    /// The waits before it connects again.
    pub backoff: Backoff,
    /// The maximum size of a reply in bytes.
    pub max_reply: usize,
}

/// The current connection, or the reason why there is none.
#[derive(Debug)]
pub struct Link {
    live: ArcSwapOption<Live>,
    reason: ArcSwap<String>,
    connects: AtomicU64,
    connect_failures: AtomicU64,
    protocol_errors: AtomicU64,
}

impl Link {
    /// Starts the task that connects. It runs until it is aborted.
    pub fn start(settings: LinkSettings, runtime: &Handle) -> (Arc<Self>, AbortHandle) {
        let link = Arc::new(Self {
            live: ArcSwapOption::empty(),
            reason: ArcSwap::from_pointee("not connected yet".to_owned()),
            connects: AtomicU64::new(0),
            connect_failures: AtomicU64::new(0),
            protocol_errors: AtomicU64::new(0),
        });
        let keeper = Arc::clone(&link);
        let task = runtime.spawn(async move { keeper.keep(&settings).await }).abort_handle();
        (link, task)
    }

    /// Returns the current connection; `None` if there is none or the server cannot be used.
    pub fn live(&self) -> Option<Arc<Live>> {
        self.live.load_full().filter(|live| live.unusable().is_none())
    }

    /// Returns the number of the current connection; `None` if there is none or the server cannot be used.
    pub fn epoch(&self) -> Option<u64> {
        self.live.load().as_ref().filter(|live| live.unusable().is_none()).map(|live| live.epoch)
    }

    /// Returns why there is no connection, or why the server cannot be used. `None` if it can.
    pub fn reason(&self) -> Option<String> {
        match &*self.live.load() {
            Some(live) => live.unusable().map(str::to_owned),
            None => Some(self.reason.load().to_string()),
        }
    }

    /// Returns how many connections there were, with the current one.
    pub fn connects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed)
    }

    /// Returns how many connections there were after the first one.
    pub fn reconnects(&self) -> u64 {
        self.connects().saturating_sub(1)
    }

    /// Returns how many attempts to connect have failed.
    pub fn connect_failures(&self) -> u64 {
        self.connect_failures.load(Ordering::Relaxed)
    }

    /// Returns how many connections have ended because of a reply that breaks the protocol.
    pub fn protocol_errors(&self) -> u64 {
        self.protocol_errors.load(Ordering::Relaxed)
    }

    /// Connects, and connects again whenever the connection ends. Never finishes.
    async fn keep(&self, settings: &LinkSettings) {
        let (server, user) = (settings.server.address(), settings.user);
        let mut failures = 0_u32;
        loop {
            let replies = Arc::new(Replies::new());
            let connected = timeout(settings.connect_timeout, self.connect(settings, &replies)).await;
            let reason = match connected.unwrap_or_else(|_| Err("no connection within its time".to_owned())) {
                Ok((live, driver)) => {
                    tracing::info!(%server, user, "connected to Redis");
                    let since = Instant::now();
                    let live = Arc::new(live);
                    self.live.store(Some(Arc::clone(&live)));
                    let reason = live.drive(driver, settings.max_silence).await;
                    // A server that accepts connections and refuses commands does not start the waits again.
                    failures = if since.elapsed() >= settings.backoff.max { 0 } else { failures.saturating_add(1) };
                    reason
                }
                Err(reason) => {
                    self.connect_failures.fetch_add(1, Ordering::Relaxed);
                    failures = failures.saturating_add(1);
                    reason
                }
            };
            let reason = match replies.violation.get() {
                Some(violation) => {
                    self.protocol_errors.fetch_add(1, Ordering::Relaxed);
                    format!("it broke the protocol: {violation}")
                }
                None => reason,
            };
            // A warning once per outage, and not once per attempt.
            if failures <= 1 {
                tracing::warn!(%server, user, reason, "Redis is unavailable");
            } else {
                tracing::debug!(%server, user, reason, failures, "Redis is still unavailable");
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
            join(Checked::new(read, Arc::clone(replies), settings.max_reply), write),
            // The users have their own timeouts.
            AsyncConnectionConfig::new().set_response_timeout(None),
        )
        .await
        .map_err(|error| describe(&error))?;
        // The handshake is over. From now on, each reply must belong to a command of the user.
        replies.expected.store(replies.received.load(Ordering::Relaxed), Ordering::Relaxed);
        let mut driver: Driver = Box::pin(driver);

        tokio::select! {
            usable = check_server(&mut connection, replies, settings) => usable?,
            () = &mut driver => return Err("it closed the connection".to_owned()),
        }
        let epoch = self.connects.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Ok((Live::new(epoch, connection, Arc::clone(replies)), driver))
    }
}

/// Checks that the server can be used. Connecting is not enough: servers that hang, load their data, are read-only or
/// have only a part of the keys accept connections too.
async fn check_server(
    connection: &mut MultiplexedConnection,
    replies: &Replies,
    settings: &LinkSettings,
) -> Result<(), String> {
    // A command that writes and has two keys. A replica refuses it, and so does a node of a cluster unless the prefix
    // has a hash tag: the slots of two names that differ in one byte differ. A server whose memory is full does it.
    let mut delete = cmd("DEL");
    delete.arg(format!("{}%1", settings.prefix)).arg(format!("{}%2", settings.prefix));
    let mut first = Pipeline::new();
    first.add_command(delete);
    settings.first.iter().for_each(|command| {
        first.add_command(command.clone());
    });
    let count = settings.first.len() + 1;
    replies.expected.fetch_add(count as u64, Ordering::Relaxed);
    let answers = connection.send_packed_commands(&first, 0, count).await.map_err(|error| describe(&error))?;
    match answers.split_first() {
        Some((Value::Int(_), answers)) => (settings.check)(answers),
        Some((Value::ServerError(error), _)) => Err(explain(error)),
        _ => Err("it does not know DEL".to_owned()),
    }
}
