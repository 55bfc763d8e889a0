use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use http::StatusCode;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::fill::Filling;
use crate::cache::{
    CacheError,
    rules::vary::Selecting,
    store::{Entry, Key},
};

/// What a fetch has brought for all that wait for it.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// A response that is being received, or was received.
    Filling(Arc<Filling>),
    /// The stored response is still valid, or its head was updated.
    Validated(Entry),
    /// The backend has failed, with this status or with an error, and the stale response may be used.
    OnError { entry: Entry, status: Option<StatusCode> },
    /// The response is for one client only: the others fetch for themselves.
    Alone,
    /// There is no response.
    Failed(CacheError),
}

/// The fetches in progress of all caches with the same store. Requests to a cache for the same variant of the same key
/// wait for one fetch.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    map: Mutex<HashMap<FlightKey, Flight>>,
    next: AtomicU64,
}

/// A cache among those with the same store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CacheId(u64);

/// Which requests wait for the same fetch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlightKey {
    pub(crate) cache: CacheId,
    pub(crate) key: Key,
    /// The values of the request fields that select the variant, as far as the cache knows which these are.
    pub(crate) variant: Selecting,
    /// Whether the requests have credentials. Others would wait in vain if the response is for one client only.
    pub(crate) authorized: bool,
}

#[derive(Debug)]
struct Flight {
    id: u64,
    receiver: watch::Receiver<Option<Outcome>>,
}

/// The part of a request in a fetch.
pub(crate) enum Part {
    /// The request makes the fetch.
    Leads(Lead),
    /// The request waits for the fetch.
    Waits(watch::Receiver<Option<Outcome>>),
}

impl Flights {
    /// Returns a number that no other cache has.
    pub(crate) fn add_cache(&self) -> CacheId {
        CacheId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Joins the fetch of the key, or begins one.
    pub(crate) fn join(self: &Arc<Self>, key: &FlightKey) -> Part {
        let mut map = self.map.lock();
        if let Some(flight) = map.get(key) {
            return Part::Waits(flight.receiver.clone());
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = watch::channel(None);
        map.insert(key.clone(), Flight { id, receiver });
        Part::Leads(Lead { flights: Arc::clone(self), key: key.clone(), id, sender })
    }

    /// Lets nobody join this fetch any more, because its response is no longer fresh.
    pub(crate) fn end(&self, key: &FlightKey, receiver: &watch::Receiver<Option<Outcome>>) {
        let mut map = self.map.lock();
        if map.get(key).is_some_and(|flight| flight.receiver.same_channel(receiver)) {
            map.remove(key);
        }
    }

    /// Whether a fetch of the key is in progress.
    pub(crate) fn contains(&self, key: &FlightKey) -> bool {
        self.map.lock().contains_key(key)
    }

    /// Closes the fetches of these keys for further requests, because their responses were purged. Requests that wait
    /// already get them.
    pub(crate) fn detach(&self, is_purged: impl Fn(&Key) -> bool) {
        self.map.lock().retain(|key, _| !is_purged(&key.key));
    }

    /// Returns the number of fetches of a cache. O(fetches).
    pub(crate) fn len(&self, cache: CacheId) -> usize {
        self.map.lock().keys().filter(|key| key.cache == cache).count()
    }
}

/// The duty to make a fetch. When it is dropped, later requests begin another one.
pub(crate) struct Lead {
    flights: Arc<Flights>,
    key: FlightKey,
    id: u64,
    sender: watch::Sender<Option<Outcome>>,
}

impl Lead {
    /// Tells all that wait what the fetch has brought.
    pub(crate) fn publish(&self, outcome: Outcome) {
        self.sender.send_replace(Some(outcome));
    }

    /// Whether a request waits for the fetch.
    pub(crate) fn has_waiters(&self) -> bool {
        let map = self.flights.map.lock();
        let can_be_joined = map.get(&self.key).is_some_and(|flight| flight.id == self.id);
        self.sender.receiver_count() > usize::from(can_be_joined)
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        let mut map = self.flights.map.lock();
        if map.get(&self.key).is_some_and(|flight| flight.id == self.id) {
            map.remove(&self.key);
        }
    }
}
