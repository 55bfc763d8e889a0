use std::{
    future::poll_fn,
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use equipoise_tower::BoxError;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::unconstrained,
    time::Instant,
};

use super::{
    idle::IdleConnections,
    listener::{Accepted, Established, Listener, concerns_one_connection, is_out_of_files},
    wait::{Event, Signal, unless},
};
use crate::{
    counter::Counter,
    timing::{sleep_until, within},
};

/// The pause after the first of several errors while accepting. It doubles with each error, up to the maximum.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// The maximum number of connections that are accepted when a listener is closed. It is as large as the backlog of usual
/// systems. Without it, clients that connect faster than they are accepted would keep the listener open.
const MAX_WAITING: usize = 4096;

/// The number of connections that a shutdown adds to the limit. Without them, accepted connections that wait at the
/// limit would wait for the whole grace if tunnels, which may not end, are as many as the limit.
const SHUTDOWN_CONNECTIONS: usize = 64;

/// How long connections may take to notice that they are aborted. Only a blocked runtime takes longer.
const ABORT_TIMEOUT: Duration = Duration::from_secs(1);

/// The connections of a server: it accepts them, limits their number, and shuts them down.
#[derive(Debug)]
pub(crate) struct Connections {
    permits: Arc<Semaphore>,
    /// The maximum number of connections.
    max: AtomicUsize,
    idle: Arc<IdleConnections>,
    counters: ConnectionCounters,
    /// Listeners wait for it.
    close: Arc<Event>,
    /// Connections wait for it.
    drain: Arc<Event>,
    /// Connections wait for it.
    abort: Arc<Event>,
}

#[derive(Debug, Default)]
pub(crate) struct ConnectionCounters {
    /// Connections that were accepted and admitted.
    pub(crate) accepted: Counter,
    /// Errors while accepting.
    pub(crate) accept_errors: Counter,
    /// Connections that were closed because their handshake failed, or had not ended when another one needed room.
    pub(crate) failed_handshakes: Counter,
    /// Connections that were aborted at the deadline of a shutdown.
    pub(crate) aborted: Counter,
}

/// The place of a connection among those of its server.
pub(crate) struct Admission {
    /// The connection counts towards the limit while it has this.
    pub(crate) permit: OwnedSemaphorePermit,
    /// Tells the connection to finish what it does and close.
    pub(crate) drain: Signal,
}

/// Serves one connection when it is established. It is dropped if a shutdown aborts the connection.
pub(crate) trait Serve<Io>: Clone + Send + 'static {
    fn serve(self, connection: Established<Io>, admission: Admission) -> impl Future<Output = ()> + Send;
}

impl Connections {
    pub(crate) fn new(max: usize) -> Self {
        let max = max_permits(max);
        Self {
            permits: Arc::new(Semaphore::new(max)),
            max: AtomicUsize::new(max),
            idle: Arc::default(),
            counters: ConnectionCounters::default(),
            close: Arc::default(),
            drain: Arc::default(),
            abort: Arc::default(),
        }
    }

    /// Replaces the maximum number of connections. A lower one closes no connection: until so many have ended that it is
    /// met, further connections wait.
    ///
    /// # Panics
    ///
    /// If the maximum is lower than the number of open connections, and it is called outside of a tokio runtime.
    pub(crate) fn set_max(&self, max: usize) {
        let new = max_permits(max);
        let old = self.max.swap(new, Ordering::Relaxed);
        self.permits.add_permits(new.saturating_sub(old));
        let surplus = old.saturating_sub(new);
        let in_use = surplus - self.permits.forget_permits(surplus);
        if let Some(in_use) = u32::try_from(in_use).ok().filter(|in_use| *in_use > 0) {
            let permits = Arc::clone(&self.permits);
            // It is first in the semaphore's queue, so connections that end are not replaced.
            tokio::spawn(async move {
                if let Ok(surplus) = permits.acquire_many_owned(in_use).await {
                    surplus.forget();
                }
            });
        }
    }

    /// Returns the maximum number of connections.
    pub(crate) fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    /// Returns the connections that can be closed to make room for another one.
    pub(crate) fn idle(&self) -> &Arc<IdleConnections> {
        &self.idle
    }

    pub(crate) fn counters(&self) -> &ConnectionCounters {
        &self.counters
    }

    /// Returns the number of open connections, with those that wait at the limit.
    pub(crate) fn open(&self) -> usize {
        self.abort.waiting()
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.has_begun()
    }

    /// Shuts down: closes the listeners, tells the connections to end, and aborts those that are open after `grace`.
    /// Returns the number of the latter. Begins when the future is first polled.
    pub(crate) async fn shutdown(&self, grace: Duration) -> usize {
        let began = Instant::now();
        if self.close.begin() {
            self.permits.add_permits(SHUTDOWN_CONNECTIONS);
        }
        // Clients whose connections are closed connect again, and must not reach a listener that is being closed.
        let _ = within(grace, self.close.unused()).await;
        self.drain.begin();
        if within(grace.saturating_sub(began.elapsed()), self.drain.unused()).await.is_some() {
            return 0;
        }
        let aborted = self.abort.waiting();
        self.counters.aborted.add(aborted.try_into().unwrap_or(u64::MAX));
        self.abort.begin();
        let _ = within(ABORT_TIMEOUT, self.abort.unused()).await;
        aborted
    }

    /// Accepts connections until the shutdown begins, and serves each in a task.
    ///
    /// A shutdown waits until the returned future has ended, even if it has not been polled yet.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a tokio runtime.
    pub(crate) fn serve<L: Listener, S: Serve<L::Io>>(
        self: Arc<Self>,
        mut listener: L,
        serve: S,
    ) -> impl Future<Output = ()> + Send + use<L, S> {
        // It is kept until all connections have their own signal, so that a shutdown waits for them.
        let mut close = self.close.signal();
        async move {
            let mut waiting = None;
            unless(&mut close, self.accept(&mut listener, &mut waiting, serve.clone())).await;
            if let Some(accepted) = waiting {
                tokio::spawn(self.serve_one(accepted, serve.clone()));
            }
            self.accept_waiting(listener, close, serve).await;
        }
    }

    /// Serves one connection when there is room for it. At the limit, an idle one is closed for it. It counts as open
    /// from this call until the future ends or is dropped.
    pub(crate) fn serve_one<Io: Send + 'static, S: Serve<Io>>(
        self: &Arc<Self>,
        accepted: Accepted<Io>,
        serve: S,
    ) -> impl Future<Output = ()> + Send + use<Io, S> {
        let connections = Arc::clone(self);
        let (drain, mut abort) = (self.drain.signal(), self.abort.signal());
        async move {
            let mut permit = None;
            unless(&mut abort, async { permit = connections.make_room().await }).await;
            if let Some(permit) = permit {
                connections.admitted(accepted, Admission { permit, drain }, abort, serve).await;
            }
        }
    }

    /// Establishes and serves a connection.
    fn admitted<Io: Send + 'static, S: Serve<Io>>(
        self: &Arc<Self>,
        accepted: Accepted<Io>,
        admission: Admission,
        mut abort: Signal,
        serve: S,
    ) -> impl Future<Output = ()> + Send + use<Io, S> {
        self.counters.accepted.add(1);
        let connections = Arc::clone(self);
        async move {
            let mut established = None;
            unless(&mut abort, async { established = connections.establish(accepted).await }).await;
            match established {
                Some(Ok(established)) => unless(&mut abort, serve.serve(established, admission)).await,
                Some(Err(error)) => {
                    connections.counters.failed_handshakes.add(1);
                    tracing::debug!(error = &*error, "a connection was closed because its handshake failed");
                }
                None => {}
            }
        }
    }

    /// Waits until a connection is established. At the limit, it may be closed for another one meanwhile, as one that has
    /// sent nothing: `None`.
    async fn establish<Io>(&self, accepted: Accepted<Io>) -> Option<Result<Established<Io>, BoxError>> {
        let (mut established, mut idle) = (pin!(accepted.established()), None);
        poll_fn(|cx| {
            if let Poll::Ready(result) = established.as_mut().poll(cx) {
                return Poll::Ready(Some(result));
            }
            if idle.get_or_insert_with(|| self.idle.add()).poll_must_close(cx) {
                self.counters.failed_handshakes.add(1);
                return Poll::Ready(None);
            }
            Poll::Pending
        })
        .await
    }

    /// Accepts the connections that the system has accepted already and would reset, and closes the listener. The
    /// connections that are open are told of the shutdown when `close` is dropped.
    async fn accept_waiting<L: Listener, S: Serve<L::Io>>(self: Arc<Self>, mut listener: L, close: Signal, serve: S) {
        // The shutdown waits for it, until its deadline.
        let _drain = self.drain.signal();
        let (mut close, mut pause) = (Some(close), FIRST_PAUSE);
        for _ in 0..MAX_WAITING {
            match listener.accept_waiting() {
                Ok(Some(accepted)) => drop(tokio::spawn(self.serve_one(accepted, serve.clone()))),
                Ok(None) => return,
                Err(error) => {
                    self.on_accept_error(&error);
                    if concerns_one_connection(&error) {
                        continue;
                    }
                    if !is_out_of_files(&error) || self.abort.has_begun() {
                        return;
                    }
                    // Connections that end make room.
                    close = None;
                    self::pause(&mut pause).await;
                }
            }
        }
        drop(close);
    }

    /// Accepts connections. One that has to wait at the limit is in `waiting` meanwhile.
    async fn accept<L: Listener, S: Serve<L::Io>>(
        self: &Arc<Self>,
        listener: &mut L,
        waiting: &mut Option<Accepted<L::Io>>,
        serve: S,
    ) {
        let mut pause = FIRST_PAUSE;
        loop {
            // Reserves no place. Another listener can take the place first.
            self.room().await;
            match listener.accept().await {
                Ok(accepted) => {
                    pause = FIRST_PAUSE;
                    *waiting = Some(accepted);
                    let Some(permit) = self.make_room().await else { return };
                    let Some(accepted) = waiting.take() else { return };
                    let admission = Admission { permit, drain: self.drain.signal() };
                    tokio::spawn(self.admitted(accepted, admission, self.abort.signal(), serve.clone()));
                }
                Err(error) => {
                    self.on_accept_error(&error);
                    if !concerns_one_connection(&error) {
                        self::pause(&mut pause).await;
                    }
                }
            }
        }
    }

    fn on_accept_error(&self, error: &io::Error) {
        self.counters.accept_errors.add(1);
        tracing::warn!(%error, "a connection could not be accepted");
    }

    /// Waits for a permit. It is not available only if all are taken, and never because the task has used up its budget.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        // An error would mean that the semaphore is closed, which never happens.
        unconstrained(Arc::clone(&self.permits).acquire_owned()).await.ok()
    }

    /// Waits until there is room for a connection, or an idle connection that can be closed for it.
    async fn room(&self) {
        let mut permit = pin!(self.permit());
        poll_fn(|cx| match permit.as_mut().poll(cx) {
            Poll::Pending if !self.idle.poll_any(cx) => Poll::Pending,
            _ => Poll::Ready(()),
        })
        .await;
    }

    /// Waits until there is room for a connection. At the limit, closes one idle connection.
    async fn make_room(&self) -> Option<OwnedSemaphorePermit> {
        let (mut permit, mut closes) = (pin!(self.permit()), false);
        poll_fn(|cx| {
            let room = permit.as_mut().poll(cx);
            closes = closes || room.is_pending() && self.idle.poll_close(cx);
            room
        })
        .await
    }
}

/// Returns the number of connections as permits of a semaphore, which leave room for those of a shutdown.
fn max_permits(connections: usize) -> usize {
    connections.min(Semaphore::MAX_PERMITS / 2)
}

/// Waits for a time, and doubles it.
async fn pause(pause: &mut Duration) {
    match Instant::now().checked_add(*pause).and_then(sleep_until) {
        Some(sleep) => sleep.await,
        None => tokio::task::yield_now().await,
    }
    *pause = pause.saturating_mul(2).min(MAX_PAUSE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_without_a_budget_finds_room_below_the_limit() {
        let connections = Connections::new(1);
        poll_fn(|cx| {
            while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
            // Pending would close an idle connection.
            assert!(pin!(connections.make_room()).poll(cx).is_ready());
            Poll::Ready(())
        })
        .await;
    }
}
