//! What all requests of a balancer share, and the decisions about one request: where it may go, how long it may wait,
//! and how many attempts it may still make.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
    time::Duration,
};

use equipoise_core::{EndpointId, PickRequest, Pool, Verdict};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    error::{BoxError, Error, FailureStage, InvalidAddress},
    error_class::retries_below,
    observe::Observer,
    placement::Placement,
    protocol::{Attempt, NestedRetries, Protocol},
};

/// The data that all clones of a balancer and all of its requests share.
pub(super) struct Core<T, P> {
    pub(super) pool: Pool<T>,
    pub(super) settings: Settings<P>,
    pub(super) unready: Unready,
    /// The name of the pool's strategy, once an observer has needed it.
    strategy: OnceLock<Arc<str>>,
}

impl<T, P> Core<T, P> {
    pub(super) fn new(pool: Pool<T>, settings: Settings<P>) -> Self {
        Self { pool, settings, unready: Unready::default(), strategy: OnceLock::new() }
    }

    /// Returns the name of the pool's strategy. Allocates only the first time.
    #[cold]
    pub(super) fn strategy(&self) -> &Arc<str> {
        self.strategy.get_or_init(|| self.pool.strategy().into())
    }
}

/// The settings of a balancer: see the setters of [`Balance`](super::Balance).
#[derive(Clone, Debug)]
pub(super) struct Settings<P> {
    pub(super) protocol: P,
    pub(super) max_attempts: usize,
    pub(super) queue_timeout: Option<Duration>,
    pub(super) ready_timeout: Duration,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) observer: Observer,
}

impl<P> Settings<P> {
    pub(super) fn new(protocol: P) -> Self {
        Self {
            protocol,
            // HAProxy's default: three retries.
            max_attempts: 4,
            queue_timeout: None,
            // A caller with a timeout of 100 ms has time left for a second endpoint.
            ready_timeout: Duration::from_millis(50),
            attempt_timeout: None,
            observer: Observer::default(),
        }
    }
}

/// The endpoints whose services were not ready within `ready_timeout`, each with the time until which other requests do
/// not wait for it.
///
/// Only requests that find the service of their endpoint not ready read this list.
#[derive(Debug, Default)]
pub(super) struct Unready(Mutex<Vec<(EndpointId, Instant)>>);

impl Unready {
    /// How long requests skip an endpoint whose service was not ready. Then one request waits for it again, so an
    /// endpoint that never becomes ready delays one request each second.
    const PAUSE: Duration = Duration::from_secs(1);

    /// Returns whether a request may wait for the endpoint. During the pause, it may not. The first request after the
    /// pause may wait, and starts the next pause.
    pub(super) fn may_wait(&self, endpoint: &EndpointId) -> bool {
        let now = Instant::now();
        match self.0.lock().iter_mut().find(|(id, _)| id == endpoint) {
            Some((_, until)) if *until > now => false,
            Some((_, until)) => {
                *until = now + Self::PAUSE;
                true
            }
            None => true,
        }
    }

    /// Starts a pause for an endpoint, because its service did not become ready while a request waited for it.
    pub(super) fn timed_out(&self, endpoint: &EndpointId) {
        let now = Instant::now();
        let mut all = self.0.lock();
        // Removes old entries, whose endpoints have left the pool or have recovered.
        all.retain(|(id, until)| id != endpoint && *until + Self::PAUSE > now);
        all.push((endpoint.clone(), now + Self::PAUSE));
    }

    /// Ends the pause of an endpoint, because its service became ready while a request waited for it.
    pub(super) fn got_ready(&self, endpoint: &EndpointId) {
        self.0.lock().retain(|(id, _)| id != endpoint);
    }
}

/// Returns the verdict for an endpoint whose service was not ready. `waited` says whether a request has waited for it.
///
/// The verdict is `Overloaded` and not a failure, because a tower service that is not ready is at capacity. Strategies
/// send such an endpoint less, but outlier detection must not eject endpoints that are only busy.
pub(super) fn verdict(waited: bool) -> Verdict {
    if waited { Verdict::Overloaded { retry_after: None } } else { Verdict::Neutral }
}

/// The data that decides where a request goes: its key, its placement and the excluded endpoints. It is computed once
/// for each request and used for each of its picks.
pub(super) struct Routing {
    /// The key that the protocol has read from the request.
    key: Option<Key>,
    /// The placement that a layer above the balancer has set, without its exclusions. Boxed, because few requests have
    /// one.
    placement: Option<Box<Placement>>,
    /// The endpoints that must not be picked: those that the placement excludes, and those that the request was sent to
    /// before.
    pub(super) excluded: Vec<EndpointId>,
    /// How long the request may wait in the queue. `None` if it may not wait.
    pub(super) queue_timeout: Option<Duration>,
}

/// An owned copy of a key. Short keys need no allocation: a UUID without hyphens has 32 bytes, and a 64-bit number has
/// at most 20.
enum Key {
    Short { length: u8, bytes: [u8; Key::SHORT] },
    Long(Box<[u8]>),
}

impl Key {
    const SHORT: usize = 38;

    fn new(key: Cow<'_, [u8]>) -> Self {
        let mut bytes = [0; Self::SHORT];
        match bytes.get_mut(..key.len()) {
            Some(place) => {
                place.copy_from_slice(&key);
                Self::Short { length: key.len() as u8, bytes }
            }
            None => Self::Long(key.into_owned().into()),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

impl Routing {
    /// Reads the key from the request, and removes the placement from it, because the placement is not meant for
    /// balancers below.
    pub(super) fn of<P, Req, Res>(protocol: &P, request: &mut Req, queue_timeout: Option<Duration>) -> Self
    where
        P: Protocol<Req, Res>,
    {
        let key = protocol.key(request).map(Key::new);
        let mut placement = protocol.take_placement(request);
        let excluded = placement.as_mut().map(|placement| std::mem::take(&mut placement.exclude)).unwrap_or_default();
        let queue_timeout = placement.as_ref().and_then(|placement| placement.queue_timeout).or(queue_timeout);
        Self { key, placement: placement.map(Box::new), excluded, queue_timeout }
    }

    /// Returns the request in the form that the pool needs for a pick.
    pub(super) fn request(&self) -> PickRequest<'_> {
        let request = PickRequest::new().exclude(&self.excluded);
        let request = match &self.key {
            Some(key) => request.key(key.as_bytes()),
            None => request,
        };
        match &self.placement {
            Some(placement) => placement.of(request),
            None => request,
        }
    }
}

/// Counts the attempts that a request has made, and those that it may still make.
pub(super) struct Progress {
    /// The number of attempts that have begun. An attempt is not counted if it left its endpoint without waiting,
    /// because the endpoint was known not to be ready.
    pub(super) attempts: usize,
    /// Whether an endpoint may have processed the request in one of the attempts.
    pub(super) maybe_processed: bool,
    max_attempts: usize,
    /// The number of endpoints that the request has left before it was sent, because their services were not ready.
    moves: usize,
    /// The number of endpoints that the request has waited for and then left. They count in `attempts`, but not against
    /// `max_attempts`.
    waited_moves: usize,
    /// The retries that this balancer shares with other balancers. `None` if no balancer above this one retries.
    above: Option<NestedRetries>,
    /// The retries that the balancers below this one share. Without a balancer above that retries, they are created for
    /// the second attempt.
    below: Option<NestedRetries>,
    /// The number of retries that balancers below have made before `below` was created.
    made_below: usize,
}

impl Progress {
    /// The maximum number of moves to another endpoint. After them, the request waits even for an endpoint that is
    /// known not to be ready. The number is limited because each move adds to the list of excluded endpoints, which
    /// each pick reads.
    const MAX_MOVES: usize = 16;

    pub(super) fn new(max_attempts: usize, outer: Option<&Attempt>) -> Self {
        let above = outer.and_then(|attempt| attempt.retries.clone());
        let below = above.clone();
        Self {
            attempts: 0,
            maybe_processed: false,
            max_attempts,
            moves: 0,
            waited_moves: 0,
            above,
            below,
            made_below: 0,
        }
    }

    /// Returns the extension of the current attempt, which goes to this endpoint, for the request. `None` for the first
    /// attempt, unless a balancer above this one retries.
    pub(super) fn attempt(&mut self, endpoint: &EndpointId) -> Option<Attempt> {
        if self.attempts > 1 && self.max_attempts > 1 && self.below.is_none() {
            self.below = Some(NestedRetries::new(self.made_below));
        }
        let (number, retries) = (self.attempts, self.below.clone());
        (number > 1 || retries.is_some()).then(|| Attempt { number, endpoint: endpoint.clone(), retries })
    }

    /// Returns the extension of the current attempt, which this endpoint has answered, for the response. `None` for the
    /// first attempt. It does not contain the retries that balancers below share.
    pub(super) fn answered(&self, endpoint: &EndpointId) -> Option<Attempt> {
        let number = self.attempts;
        (number > 1).then(|| Attempt { number, endpoint: endpoint.clone(), retries: None })
    }

    /// Notes the error of an attempt, from which the retries of balancers below are known.
    pub(super) fn note_error(&mut self, error: &(dyn std::error::Error + 'static)) {
        if self.below.is_none() {
            self.made_below = self.made_below.saturating_add(retries_below(error));
        }
    }

    /// Returns the error of the current attempt after its endpoint has failed.
    pub(super) fn failed(&self, endpoint: &EndpointId, source: BoxError, stage: FailureStage) -> Error {
        let (attempts, maybe_processed) = (self.attempts, self.maybe_processed);
        Error::Endpoint { endpoint: endpoint.clone(), source, stage, attempts, maybe_processed }
    }

    /// Returns the error of the current attempt if the address of its endpoint cannot be used.
    pub(super) fn invalid_address(&self, endpoint: EndpointId, source: InvalidAddress) -> Error {
        Error::Address { endpoint, source, attempts: self.attempts, maybe_processed: self.maybe_processed }
    }

    /// Returns whether another attempt is allowed.
    pub(super) fn may_retry(&self) -> bool {
        self.attempts_left() && self.above.as_ref().is_none_or(|retries| retries.any_left(self.max_attempts))
    }

    /// Takes the permission for another attempt. Returns false if there is none.
    pub(super) fn take_retry(&self) -> bool {
        self.attempts_left() && self.above.as_ref().is_none_or(|retries| retries.take(self.max_attempts))
    }

    fn attempts_left(&self) -> bool {
        self.attempts.saturating_sub(self.waited_moves) < self.max_attempts
    }

    /// Returns whether the request may leave an endpoint whose service is not ready, without using a retry.
    pub(super) fn may_move(&self) -> bool {
        self.moves < Self::MAX_MOVES
    }

    /// Takes the permission to leave the endpoint of the current attempt, whose service is not ready. Returns false if
    /// there is no permission.
    ///
    /// Such a move is no retry, because the request was not sent to the endpoint. After [`MAX_MOVES`](Self::MAX_MOVES)
    /// moves, only a request that has `waited` may leave its endpoint, and this uses a retry. An attempt that has not
    /// waited is not counted.
    pub(super) fn take_move(&mut self, waited: bool) -> bool {
        if !self.may_move() {
            return waited && self.take_retry();
        }
        self.moves += 1;
        match waited {
            true => self.waited_moves += 1,
            false => self.attempts = self.attempts.saturating_sub(1),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_any_length_is_kept_whole() {
        for length in [0, 1, Key::SHORT - 1, Key::SHORT, Key::SHORT + 1, 1_000] {
            let key = vec![7; length];
            assert_eq!(Key::new(Cow::Borrowed(&key)).as_bytes(), key);
        }
    }
}
