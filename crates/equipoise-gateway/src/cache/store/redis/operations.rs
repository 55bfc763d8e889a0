use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use equipoise_affinity::__private::{Failure, Link, LinkSettings, explain};
use redis::{Cmd, Value};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, SemaphorePermit},
    task::AbortHandle,
};

/// Operations at the same time. More of them fail at once: a slow server must not collect waiting requests without end.
const MAX_OPERATIONS: usize = 1024;
/// The entries that are on their way to the server at the same time, in KiB. An entry of the maximum size fits.
const MAX_WRITING: u32 = 80 * 1024;

/// Why the server has not done an operation, or may not have done it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OperationError {
    #[error("the Redis server cannot be used: {0}")]
    Unusable(String),
    #[error("too many operations wait for the Redis server")]
    Saturated,
    #[error("the Redis server has not answered in time")]
    TimedOut,
    #[error("the connection to the Redis server has ended")]
    Ended,
    #[error("the answer of the Redis server cannot be read")]
    Invalid,
}

/// The operations on the server. They are bounded and counted.
pub(super) struct Operations {
    pub(super) link: Arc<Link>,
    task: AbortHandle,
    operations: Semaphore,
    writing: Semaphore,
    pub(super) unavailable: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) refused: AtomicU64,
}

impl Operations {
    pub(super) fn start(settings: LinkSettings, runtime: &Handle) -> Self {
        let (link, task) = Link::start(settings, runtime);
        Self {
            link,
            task,
            operations: Semaphore::new(MAX_OPERATIONS),
            writing: Semaphore::new(MAX_WRITING as usize),
            unavailable: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Reserves memory for an entry on its way to the server. Returns `None` if too many bytes wait there already.
    pub(super) fn reserve(&self, bytes: usize) -> Option<SemaphorePermit<'_>> {
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(MAX_WRITING).min(MAX_WRITING);
        let permit = self.writing.try_acquire_many(kib).ok();
        if permit.is_none() {
            self.unavailable.fetch_add(1, Relaxed);
        }
        permit
    }

    /// Runs a command, which may be a call of a script: `command` gets whether it has to contain the text. Returns an
    /// error if the server cannot be used, if no answer comes in time, or if the server refuses, and counts it.
    pub(super) async fn run(&self, max: Duration, command: impl Fn(bool) -> Cmd) -> Result<Value, OperationError> {
        let Ok(_permit) = self.operations.try_acquire() else {
            self.unavailable.fetch_add(1, Relaxed);
            return Err(OperationError::Saturated);
        };
        let Some(live) = self.link.live() else {
            self.unavailable.fetch_add(1, Relaxed);
            return Err(OperationError::Unusable(self.link.reason().unwrap_or_default()));
        };
        let (counter, error) = match live.run_within(max, command).await {
            Ok(answer) => return Ok(answer),
            Err(Failure::TimedOut) => (&self.timeouts, OperationError::TimedOut),
            Err(Failure::Ended) => (&self.refused, OperationError::Ended),
            Err(Failure::Refused(error)) => {
                tracing::debug!(code = error.code(), "the cache's Redis server refused an operation");
                (&self.refused, OperationError::Unusable(explain(&error)))
            }
        };
        counter.fetch_add(1, Relaxed);
        Err(error)
    }
}

impl Drop for Operations {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::super::RedisStore;

    #[tokio::test]
    async fn entries_on_their_way_have_a_maximum_of_bytes_together() {
        let store = RedisStore::builder("redis://127.0.0.1:1").build().expect("a URL");
        let first = store.server.reserve(64 << 20).expect("room for one");
        assert!(store.server.reserve(64 << 20).is_none());
        assert!(store.server.reserve(1 << 20).is_some());
        drop(first);
        assert!(store.server.reserve(usize::MAX).is_some());
    }
}
