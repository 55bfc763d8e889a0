//! The task of an endpoint that closes old connections.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::time::sleep;

use super::{clock::millis, pool::Connections, status::CloseReason};

impl Connections {
    /// Starts the task that sweeps idle connections, unless it runs. Must be called inside a tokio runtime.
    pub(super) fn sweep(self: &Arc<Self>) {
        if self.is_swept.swap(true, Ordering::SeqCst) {
            return;
        }
        let mut sweeping = Sweeping { connections: Arc::downgrade(self), is_over: false };
        let interval = self.sweep_interval();
        tokio::spawn(async move {
            while !sweeping.is_over {
                sleep(interval).await;
                let Some(connections) = sweeping.connections.upgrade() else { return };
                connections.sweep_once();
                if connections.slots.open() == 0 {
                    // A swap: if a connection that was opened meanwhile has seen a running task, its slot is seen below.
                    connections.is_swept.swap(false, Ordering::SeqCst);
                    sweeping.is_over =
                        connections.slots.open() == 0 || connections.is_swept.swap(true, Ordering::SeqCst);
                }
            }
        });
    }

    fn sweep_interval(&self) -> Duration {
        let shortest = self.settings.idle_timeout.min(self.settings.max_lifetime.unwrap_or(Duration::MAX));
        (shortest / 8).clamp(Duration::from_millis(1), Duration::from_secs(1))
    }

    /// Closes the idle connections whose time is over, and those that the server has closed.
    fn sweep_once(&self) {
        let now = self.clock.tick();
        let idle_timeout = millis(self.settings.idle_timeout);
        let removed = self.idle.remove_if(|connection| {
            let reason = if let Some(reason) = self.end_of(connection, now) {
                reason
            } else if now.saturating_sub(connection.idle_since) >= idle_timeout {
                CloseReason::IdleTimeout
            } else if !connection.is_alive() {
                CloseReason::Peer
            } else {
                return false;
            };
            connection.close_because(reason);
            true
        });
        drop(removed);
        #[cfg(feature = "http2")]
        self.http2.retire_if(|connection| {
            let is_idle = |since| now.saturating_sub(since) >= idle_timeout;
            if connection.generation() != self.generation() {
                Some(CloseReason::Removed)
            } else if connection.expires_at() <= now {
                Some(CloseReason::Lifetime)
            } else {
                connection.idle_since().is_some_and(is_idle).then_some(CloseReason::IdleTimeout)
            }
        });
        #[cfg(feature = "http2")]
        if self.http2.end_pause() {
            self.slots.freed();
        }
    }
}

/// Held by the task that sweeps. If the runtime drops the task, another one can start.
struct Sweeping {
    connections: Weak<Connections>,
    /// Whether the task has ended by itself.
    is_over: bool,
}

impl Drop for Sweeping {
    fn drop(&mut self) {
        if !self.is_over
            && let Some(connections) = self.connections.upgrade()
        {
            connections.is_swept.store(false, Ordering::SeqCst);
        }
    }
}
