use std::{cell::Cell, hash::Hash};

use governor::{nanos::Nanos, state::StateStore};
use parking_lot::Mutex;

use super::{key::KeyId, stats::TableCounters};

/// Number of keys in a set. All of them are compared with the key of a request, so it is a small number.
const WAYS: usize = 16;

/// The buckets of a limit: for each key the time at which its bucket is full again (the theoretical arrival time of
/// GCRA). It is the state store of a limiter of `governor`, whose own keyed stores grow without a bound.
///
/// The table is divided into sets of 16 keys, as processors divide their caches. The hash of a key selects its set, and
/// each set has its own lock. A new key takes the place of a key whose bucket is full: such a key loses nothing. If all
/// buckets of the set are in use, the new key replaces the key with the smallest debt (the fullest bucket), and starts
/// with this debt. This is the algorithm Space-Saving (Metwally, Agrawal, El Abbadi, 2005) for GCRA. It has these
/// consequences:
///
/// - A key that is not in the table owes at most `floor`, with which it would start. So a flood of keys cannot reset
///   the bucket of any key, and no key ever uses more than its quota.
/// - A flood of keys that send one request each leaves new keys almost full buckets. To exhaust the buckets of all new
///   keys, a flood needs more admitted requests than the whole quotas of all keys of a table.
#[derive(Debug)]
pub(super) struct Table {
    sets: Box<[Mutex<Set>]>,
    counters: TableCounters,
}

#[derive(Debug, Default)]
struct Set {
    /// The largest debt of a key that was replaced, as the time at which its bucket is full.
    floor: u64,
    ways: Vec<Way>,
}

#[derive(Clone, Copy, Debug)]
struct Way {
    key: KeyId,
    full_at: u64,
}

/// One access to the bucket of a key: what a limiter asks for, and what the bucket was. The limiters of `governor` do
/// not return the state of the bucket, so the table writes it into the visit.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    pub(super) key: KeyId,
    pub(super) now: u64,
    /// Whether nothing is taken.
    pub(super) look_only: bool,
    /// The time at which the bucket was full before the visit. At most `now` if it was full.
    pub(super) before: Cell<u64>,
    /// The time at which the bucket is full after the visit. The same as `before` if the request was denied.
    pub(super) after: Cell<u64>,
}

impl Visit {
    pub(super) fn new(key: KeyId, now: u64, look_only: bool) -> Self {
        Self { key, now, look_only, before: Cell::new(0), after: Cell::new(0) }
    }
}

impl PartialEq for Visit {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Visit {}

impl Hash for Visit {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl Table {
    /// Creates a table for at least `keys` keys. It has twice as many places, because the sets do not fill evenly. Only
    /// the sets themselves (40 bytes for each 8 keys) are allocated at once.
    pub(super) fn new(keys: usize) -> Self {
        let sets = keys.div_ceil(WAYS / 2).max(1);
        Self { sets: (0..sets).map(|_| Mutex::default()).collect(), counters: TableCounters::default() }
    }

    pub(super) fn counters(&self) -> &TableCounters {
        &self.counters
    }

    /// Gives back what a visit has taken, unless another visit has changed the bucket since. Subtracting the units then
    /// would give too much back if the bucket had become full in between.
    pub(super) fn give_back(&self, visit: &Visit) {
        if let Some(set) = self.set(visit.key)
            && let Some(way) = set.lock().ways.iter_mut().find(|way| way.key == visit.key)
            && way.full_at == visit.after.get()
        {
            way.full_at = visit.before.get();
        }
    }

    fn set(&self, key: KeyId) -> Option<&Mutex<Set>> {
        let [hash, _] = key.0;
        // Multiplies instead of dividing: the upper half is evenly distributed over the number of sets.
        let at = (u128::from(hash) * self.sets.len() as u128) >> 64;
        self.sets.get(at as usize)
    }
}

impl Set {
    /// Returns the place of a key. Otherwise, the place that a new key should take: a full bucket if there is one.
    fn find(&self, key: KeyId, now: u64) -> Result<usize, Option<usize>> {
        let mut smallest: Option<(usize, u64)> = None;
        for (at, way) in self.ways.iter().enumerate() {
            if way.key == key {
                return Ok(at);
            }
            if smallest.is_none_or(|(_, full_at)| way.full_at < full_at) {
                smallest = Some((at, way.full_at));
            }
        }
        Err(smallest.filter(|(_, full_at)| *full_at <= now || self.ways.len() >= WAYS).map(|(at, _)| at))
    }
}

impl StateStore for Table {
    type Key = Visit;

    fn measure_and_replace<T, F, E>(&self, visit: &Visit, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let note = |before: u64, after: u64| {
            visit.before.set(before);
            visit.after.set(after);
        };
        let Some(set) = self.set(visit.key) else {
            // A table has at least one set.
            note(visit.now, visit.now);
            return decide(None).map(|(decided, _)| decided);
        };
        let mut set = set.lock();
        let found = set.find(visit.key, visit.now);
        let before = match found {
            Ok(at) => set.ways.get(at).map_or(0, |way| way.full_at),
            Err(_) => set.floor,
        };
        note(before, before);
        let decided = decide(Some(Nanos::new(before)).filter(|_| before > visit.now));
        if found.is_err() && before > visit.now && !visit.look_only {
            self.counters.inherited.count();
        }
        let (decided, after) = decided?;
        visit.after.set(after.as_u64());
        if visit.look_only {
            return Ok(decided);
        }
        let way = Way { key: visit.key, full_at: after.as_u64() };
        let replaced = match found {
            Ok(at) => set.ways.get_mut(at).map(|place| *place = way).and(None),
            Err(Some(at)) => set.ways.get_mut(at).map(|place| std::mem::replace(place, way)),
            Err(None) => {
                set.ways.push(way);
                self.counters.keys.count();
                None
            }
        };
        if let Some(replaced) = replaced.filter(|replaced| replaced.full_at > visit.now) {
            set.floor = set.floor.max(replaced.full_at);
            self.counters.evicted.count();
        }
        Ok(decided)
    }
}
