//! The connection: made, watched, given up and made again by one task.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use redis::{AsyncConnectionConfig, Pipeline, Value, aio::MultiplexedConnection, cmd};
use tokio::time::{Instant, sleep, timeout};

use super::{
    backoff::Backoff,
    live::{Driver, Live},
    script::Script,
    server::Server,
    stats::Counters,
    wire::{Guarded, Wire},
};

/// What the connection goes by.
pub(super) struct LinkSettings {
    pub(super) server: Server,
    /// A key that may be asked for to see whether this server will do.
    pub(super) probe: Vec<u8>,
    pub(super) connect_timeout: Duration,
    pub(super) lookup_timeout: Duration,
    pub(super) backoff: Backoff,
}

/// Whether there is a connection, and why not.
#[derive(Debug)]
pub(super) struct Link {
    live: ArcSwapOption<Live>,
    why: ArcSwap<String>,
    epochs: AtomicU64,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            live: ArcSwapOption::empty(),
            why: ArcSwap::from_pointee("not connected yet".to_owned()),
            epochs: AtomicU64::new(0),
        }
    }

    /// The connection, if the server can be asked now.
    pub(super) fn live(&self) -> Option<Arc<Live>> {
        self.live.load().as_ref().filter(|live| !live.is_stalled()).map(Arc::clone)
    }

    /// Which connection that is.
    pub(super) fn epoch(&self) -> Option<u64> {
        self.live.load().as_ref().filter(|live| !live.is_stalled()).map(|live| live.epoch)
    }

    /// Why it cannot.
    pub(super) fn why(&self) -> String {
        if self.live.load().is_some() { "it has stopped answering".to_owned() } else { self.why.load().to_string() }
    }

    /// Keeps a connection for as long as it is polled.
    pub(super) async fn keep(&self, settings: &LinkSettings, counters: &Counters) {
        let server = settings.server.address();
        let mut failures = 0_u32;
        loop {
            let wire = Arc::new(Wire::new());
            let connected = timeout(settings.connect_timeout, self.connect(settings, &wire)).await;
            let why = match connected.unwrap_or_else(|_| Err("no connection within its time".to_owned())) {
                Ok((live, driver)) => {
                    tracing::info!(%server, "the session store is there");
                    let since = Instant::now();
                    if live.epoch > 1 {
                        counters.reconnects.count();
                    }
                    let live = Arc::new(live);
                    self.live.store(Some(Arc::clone(&live)));
                    let why = live.hold(driver, settings.lookup_timeout, settings.connect_timeout).await;
                    if since.elapsed() >= settings.backoff.most {
                        failures = 0;
                    } else {
                        failures = failures.saturating_add(1);
                    }
                    why
                }
                Err(why) => {
                    failures = failures.saturating_add(1);
                    why
                }
            };
            let why = match wire.broken() {
                Some(how) => {
                    counters.protocol_errors.count();
                    format!("it broke the protocol: {how}")
                }
                None => why,
            };
            // Once per outage, not once per try.
            if failures <= 1 {
                tracing::warn!(%server, why, "the session store is away");
            } else {
                tracing::debug!(%server, why, failures, "the session store is still away");
            }
            self.why.store(Arc::new(why));
            self.live.store(None);
            sleep(settings.backoff.wait(failures, rand::random())).await;
        }
    }

    async fn connect(&self, settings: &LinkSettings, wire: &Arc<Wire>) -> Result<(Live, Driver), String> {
        let stream = settings.server.open().await.map_err(|error| error.to_string())?;
        let (mut connection, driver) = MultiplexedConnection::new_with_config(
            settings.server.introduction(),
            Guarded::new(stream, Arc::clone(wire)),
            // Time limits are kept here, where what comes late is still of use.
            AsyncConnectionConfig::new().set_response_timeout(None),
        )
        .await
        .map_err(|error| error.to_string())?;
        wire.settle();
        let mut driver: Driver = Box::pin(driver);

        let (touch, claim) = tokio::select! {
            fit = try_out(&mut connection, wire, &settings.probe) => fit?,
            () = &mut driver => return Err("it closed the connection".to_owned()),
        };
        let epoch = self.epochs.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let live = Live::new(epoch, touch, claim, connection, Arc::clone(wire));
        Ok((live, driver))
    }
}

/// That a server lets itself be connected to says little. One that hangs does, and so does one that is too old, a replica,
/// or ours only to look at, which would refuse every lookup.
async fn try_out(
    connection: &mut MultiplexedConnection,
    wire: &Wire,
    probe: &[u8],
) -> Result<(Script, Script), String> {
    let (mut touch, mut claim, mut get) = (Script::touch(), Script::claim(), cmd("GETEX"));
    get.arg(probe);
    let mut first = Pipeline::new();
    first.add_command(cmd("PING")).add_command(get).add_command(touch.load()).add_command(claim.load());
    wire.due(4);
    let answers = connection.send_packed_commands(&first, 0, 4).await.map_err(|error| error.to_string())?;
    let mut answers = answers.into_iter();
    match answers.next() {
        Some(Value::SimpleString(pong)) if pong == "PONG" => {}
        Some(Value::ServerError(error)) => return Err(format!("it refused: {}", error.code())),
        _ => return Err("it does not know PING".to_owned()),
    }
    match answers.next() {
        Some(Value::ServerError(error)) if error.code() == "ERR" => {
            return Err("it does not know GETEX: Redis 6.2 or later does, and any Valkey".to_owned());
        }
        Some(Value::ServerError(error)) if error.code() != "WRONGTYPE" => {
            return Err(format!("it refused: {}", error.code()));
        }
        _ => {}
    }
    touch.loaded(answers.next().unwrap_or_default());
    claim.loaded(answers.next().unwrap_or_default());
    Ok((touch, claim))
}
