use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use quick_cache::sync::Cache;
use sha2::{Digest as _, Sha256};
use tokio::{sync::Semaphore, time::Instant};

use super::{credentials::Credentials, users::User};
use crate::auth::AuthFailure;

/// How long it is known that a password is wrong. It spares the CPU of a client that repeats itself.
const WRONG_TTL: Duration = Duration::from_secs(10);

/// What was verified, under a key that tells nothing of it.
type Key = [u8; 32];

#[derive(Clone, Debug)]
pub(super) struct Limits {
    pub(super) max_running: usize,
    pub(super) max_waiting: usize,
    pub(super) ttl: Duration,
    pub(super) capacity: usize,
}

impl Default for Limits {
    fn default() -> Self {
        // Half of the CPUs stay free for everything else.
        let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { max_running: cpus.div_ceil(2), max_waiting: 64, ttl: Duration::from_secs(60), capacity: 10_000 }
    }
}

/// Verifies passwords on threads that may block, few at once, and remembers the results for a time.
pub(super) struct Verifier {
    limits: Limits,
    secret: Key,
    /// Until when a password is known to be right.
    right: Cache<Key, Instant>,
    /// Until when a password is known to be wrong.
    wrong: Cache<Key, Instant>,
    pub(super) running: Arc<Semaphore>,
    /// A permit for each verification that runs or waits.
    admitted: Arc<Semaphore>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    verifications: AtomicU64,
    cache_hits: AtomicU64,
    rejected: AtomicU64,
}

/// What a [`Basic`](super::Basic) has done since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BasicStats {
    /// Passwords that were hashed, which takes nearly all of the time.
    pub verifications: u64,
    /// Requests whose result was known from an earlier verification.
    pub cache_hits: u64,
    /// Requests that were denied because too many verifications were waiting.
    pub rejected: u64,
    /// Verifications that run now.
    pub running: u64,
    /// Verifications that wait now.
    pub waiting: u64,
}

impl Verifier {
    pub(super) fn new(limits: Limits) -> Self {
        let max_running = limits.max_running.clamp(1, Semaphore::MAX_PERMITS / 2);
        let max_waiting = limits.max_waiting.min(Semaphore::MAX_PERMITS / 2);
        // A key and a time have less than 64 bytes, so that a million of them takes less than 100 MB.
        let capacity = limits.capacity.clamp(1, 1_000_000);
        Self {
            secret: rand::random(),
            right: Cache::new(capacity),
            wrong: Cache::new(capacity.min(1_000)),
            running: Arc::new(Semaphore::new(max_running)),
            admitted: Arc::new(Semaphore::new(max_running + max_waiting)),
            counters: Counters::default(),
            limits: Limits { max_running, max_waiting, capacity, ..limits },
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(super) fn stats(&self) -> BasicStats {
        let taken = |semaphore: &Semaphore, all: usize| all.saturating_sub(semaphore.available_permits());
        let running = taken(&self.running, self.limits.max_running);
        let admitted = taken(&self.admitted, self.limits.max_running + self.limits.max_waiting);
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        BasicStats {
            verifications: self.counters.verifications.load(Relaxed),
            cache_hits: self.counters.cache_hits.load(Relaxed),
            rejected: self.counters.rejected.load(Relaxed),
            running: count(running),
            waiting: count(admitted.saturating_sub(running)),
        }
    }

    /// Returns the key of credentials. It depends on the stored hash, so that a changed password is not found.
    pub(super) fn key(&self, user: &User, credentials: &Credentials) -> Key {
        let mut digest = Sha256::new_with_prefix(self.secret);
        for text in [credentials.user(), user.hash.text(), credentials.password()] {
            digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            digest.update(text);
        }
        digest.finalize().into()
    }

    /// Returns whether credentials are valid, if this is known.
    pub(super) fn known(&self, key: &Key, now: Instant) -> Option<bool> {
        let is_in = |cache: &Cache<Key, Instant>| match cache.get(key) {
            Some(until) if now < until => true,
            Some(_) => {
                cache.remove(key);
                false
            }
            None => false,
        };
        let known = if is_in(&self.right) { Some(true) } else { is_in(&self.wrong).then_some(false) };
        if known.is_some() {
            self.counters.cache_hits.fetch_add(1, Relaxed);
        }
        known
    }

    /// Verifies credentials. Those of a user that is not known are verified too, and are not valid.
    pub(super) async fn verify(
        self: Arc<Self>,
        user: Arc<User>,
        is_known: bool,
        credentials: Credentials,
        key: Key,
    ) -> Result<bool, AuthFailure> {
        let Ok(admitted) = self.admitted.clone().try_acquire_owned() else {
            self.counters.rejected.fetch_add(1, Relaxed);
            return Err(AuthFailure::unavailable("too many passwords wait for their verification"));
        };
        // The semaphore is never closed.
        let running = self.running.clone().acquire_owned().await;
        let running = running.map_err(|_| AuthFailure::unavailable("the verification has ended"))?;
        // Another request of the same client may have verified it while this one waited.
        if let Some(is_valid) = self.known(&key, Instant::now()) {
            return Ok(is_valid);
        }
        let verifier = self.clone();
        let verified = tokio::task::spawn_blocking(move || {
            // They are returned when the work ends, even if the client is gone by then.
            let _permits = (admitted, running);
            verifier.counters.verifications.fetch_add(1, Relaxed);
            let is_valid = user.hash.is_of(credentials.password()) & is_known;
            let (cache, ttl) =
                if is_valid { (&verifier.right, verifier.limits.ttl) } else { (&verifier.wrong, WRONG_TTL) };
            if !verifier.limits.ttl.is_zero()
                && let Some(until) = Instant::now().checked_add(ttl)
            {
                cache.insert(key, until);
            }
            is_valid
        });
        verified.await.map_err(|_| AuthFailure::unavailable("the verification of a password has failed"))
    }
}
