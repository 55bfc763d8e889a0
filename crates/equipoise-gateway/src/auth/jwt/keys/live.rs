use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, Semaphore, watch},
    task::AbortHandle,
    time::{Instant, timeout},
};

use super::{fetch::FetchError, key::VerifyingKey, set::KeySet};
use crate::auth::jwt::algorithm::Algorithm;

/// How many requests wait at once because the keys of their tokens are not known. Nothing of these tokens is verified, so
/// anybody could otherwise occupy the gateway with them while the issuer does not respond.
const MAX_WAITING: usize = 256;

/// The keys with which tokens are verified at present: a fixed set, or a set that a task reads again and again from a
/// file or a URL.
///
/// It is cheap to clone, and clones share the keys and the task. The task ends when the last clone is dropped.
///
/// If a file or a URL cannot be read, or what it has is no set of keys, the last good keys stay in use, and
/// [`stats`](Self::stats) count and show the failure. Before the first success, there are no keys, and each request
/// gets status 503.
///
/// ```
/// use equipoise_gateway::auth::jwt::{Algorithm, Keys, VerifyingKey};
///
/// let keys = Keys::fixed(VerifyingKey::secret(Algorithm::Hs256, "32 random bytes, or more of them")?);
/// assert_eq!(keys.stats().keys, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Keys(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    task: Option<AbortHandle>,
    may_have_secrets: bool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// What the task and the schemes share.
pub(super) struct Shared {
    set: ArcSwapOption<KeySet>,
    state: Mutex<State>,
    /// The number of attempts that have ended. It changes after their result is stored.
    ended: watch::Sender<u64>,
    pub(super) wake: Notify,
    waiting: Semaphore,
    settings: Settings,
}

/// When keys are read again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    pub(super) cool_down: Duration,
    pub(super) timeout: Duration,
    pub(super) max_age: Option<Duration>,
}

#[derive(Default)]
struct State {
    is_running: bool,
    last_start: Option<Instant>,
    last_good: Option<Instant>,
    next_start: Option<Instant>,
    stats: KeysStats,
}

/// What happened to a set of keys. Counters never decrease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeysStats {
    /// The number of keys in use. 0: each request gets status 503.
    pub keys: u64,
    /// The number of keys of the newest good document that cannot be used.
    pub ignored: u64,
    /// How often a file or a URL had a good set of keys. Fixed keys count once.
    pub successes: u64,
    /// How often a file or a URL could not be read, or had no good set.
    pub failures: u64,
    /// How often the keys were read because of a token whose key was not known.
    pub refreshes_for_unknown_keys: u64,
    /// When the keys in use were last read.
    pub last_success: Option<SystemTime>,
    /// Why the newest attempt failed. `None` if it succeeded, or if there was none yet.
    pub last_error: Option<String>,
}

impl Keys {
    /// Creates keys that do not change.
    pub fn fixed(keys: impl Into<KeySet>) -> Self {
        let shared = Shared::new(Settings { cool_down: Duration::MAX, timeout: Duration::MAX, max_age: None });
        shared.end(Ok(keys.into()), None);
        Self(Arc::new(Handle { shared: Arc::new(shared), task: None, may_have_secrets: true }))
    }

    pub(super) fn of_task(shared: Arc<Shared>, task: AbortHandle, may_have_secrets: bool) -> Self {
        Self(Arc::new(Handle { shared, task: Some(task), may_have_secrets }))
    }

    /// Returns the keys in use. `None` if there are none yet, or if they are older than
    /// [`max_age`](super::KeysBuilder::max_age).
    pub fn current(&self) -> Option<Arc<KeySet>> {
        let set = self.0.shared.set.load_full()?;
        self.0.shared.is_fresh().then_some(set)
    }

    /// Returns what happened so far.
    pub fn stats(&self) -> KeysStats {
        let mut stats = self.0.shared.state.lock().stats.clone();
        if !self.0.shared.is_fresh() {
            stats.keys = 0;
        }
        stats
    }

    /// Waits until the first attempt to read the keys has ended, and returns whether there are keys. Applications can
    /// wait for it before they accept connections. Requests that come earlier wait too.
    pub async fn ready(&self) -> bool {
        let mut ended = self.0.shared.ended.subscribe();
        // The task ends each attempt in this time. If it does not, its runtime has shut down.
        let _ = timeout(self.patience(), ended.wait_for(|ended| *ended > 0)).await;
        self.current().is_some()
    }

    /// Returns whether a key that verifies the algorithm can be among the keys. For keys from a URL that were not read
    /// yet, it is known that none is a secret.
    pub(in crate::auth::jwt) fn may_verify(&self, algorithm: Algorithm) -> bool {
        match (&self.0.task, self.0.shared.set.load().as_ref()) {
            (None, Some(set)) => set.verifies(algorithm),
            _ => !algorithm.is_symmetric() || self.0.may_have_secrets,
        }
    }

    /// Returns whether an attempt to read the keys has ended.
    pub(in crate::auth::jwt) fn is_settled(&self) -> bool {
        *self.0.shared.ended.borrow() > 0
    }

    /// Reads the keys again because of a token whose key is not known, and waits for the end. If an attempt is running,
    /// it is that one. If the last one was too short ago, it returns at once. Returns false if it did not wait because
    /// too many requests do.
    pub(in crate::auth::jwt) async fn refresh(&self) -> bool {
        let shared = &self.0.shared;
        let Ok(_permit) = shared.waiting.try_acquire() else { return false };
        let mut ended = shared.ended.subscribe();
        if self.0.task.is_some() && shared.request() {
            let _ = timeout(self.patience(), ended.changed()).await;
        }
        true
    }

    /// Returns whether [`refresh`](Self::refresh) would wait for an attempt.
    pub(in crate::auth::jwt) fn may_refresh(&self) -> bool {
        self.0.task.is_some() && self.0.shared.may_start(&self.0.shared.state.lock())
    }

    /// Returns the time until the keys are read again. 0 if they are being read, or it is not known.
    pub(in crate::auth::jwt) fn until_next_attempt(&self) -> Duration {
        let state = self.0.shared.state.lock();
        let next = state.next_start.filter(|_| !state.is_running);
        next.map_or(Duration::ZERO, |next| next.saturating_duration_since(Instant::now()))
    }

    fn patience(&self) -> Duration {
        self.0.shared.settings.timeout.saturating_add(Duration::from_secs(1))
    }
}

impl Shared {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            set: ArcSwapOption::empty(),
            state: Mutex::default(),
            ended: watch::Sender::new(0),
            wake: Notify::new(),
            waiting: Semaphore::new(MAX_WAITING),
            settings,
        }
    }

    fn is_fresh(&self) -> bool {
        let Some(max) = self.settings.max_age else { return true };
        self.state.lock().last_good.is_some_and(|good| good.elapsed() <= max)
    }

    fn may_start(&self, state: &State) -> bool {
        state.is_running || state.last_start.is_none_or(|start| start.elapsed() >= self.settings.cool_down)
    }

    /// Returns whether an attempt runs or was requested.
    fn request(&self) -> bool {
        let mut state = self.state.lock();
        if !self.may_start(&state) {
            return false;
        }
        if !state.is_running {
            // Others that come before the task wakes up wait for the same attempt.
            state.is_running = true;
            state.last_start = Some(Instant::now());
            state.stats.refreshes_for_unknown_keys += 1;
            self.wake.notify_one();
        }
        true
    }

    pub(super) fn begin(&self) {
        let mut state = self.state.lock();
        state.is_running = true;
        state.last_start = Some(Instant::now());
    }

    /// `wait` is the time until the next attempt.
    pub(super) fn end(&self, result: Result<KeySet, FetchError>, wait: Option<Duration>) {
        {
            let mut state = self.state.lock();
            state.is_running = false;
            state.next_start = wait.and_then(|wait| Instant::now().checked_add(wait));
            match result {
                Ok(set) => {
                    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
                    state.stats.keys = count(set.len());
                    state.stats.ignored = count(set.ignored().len());
                    state.stats.successes += 1;
                    state.stats.last_success = Some(SystemTime::now());
                    state.stats.last_error = None;
                    state.last_good = self.settings.max_age.map(|_| Instant::now());
                    self.set.store(Some(Arc::new(set)));
                }
                Err(error) => {
                    state.stats.failures += 1;
                    state.stats.last_error = Some(error.to_string());
                }
            }
        }
        self.ended.send_modify(|ended| *ended += 1);
    }
}

impl From<KeySet> for Keys {
    fn from(set: KeySet) -> Self {
        Self::fixed(set)
    }
}

impl From<VerifyingKey> for Keys {
    fn from(key: VerifyingKey) -> Self {
        Self::fixed(key)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
