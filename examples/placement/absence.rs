//! Counts the keys that move when an endpoint is absent.

use equipoise::{Availability, EndpointId, Pool};

use crate::{pools, sample::Sample};

/// The moves when an endpoint is absent; `None` if the pool would refuse that.
#[derive(Default)]
pub(crate) struct Absence {
    /// Moves if the endpoint is down: a member that gets no requests.
    pub(crate) down: Option<Moves>,
    /// Moves if the endpoint has left the pool.
    pub(crate) left: Option<Moves>,
}

impl Absence {
    /// Measures the moves without the endpoint, which it takes out of `pool`.
    pub(crate) fn of(id: &EndpointId, pool: &Pool<()>, sample: &Sample) -> Self {
        // The same pool is used for both measurements: the endpoint is first set down and then removed.
        let down = pool.set_availability(id.clone(), Availability::Maintenance).is_ok();
        let down = down.then(|| Moves::of(id, pool, sample));
        let left = pool.remove(id.clone()).is_ok().then(|| Moves::of(id, pool, sample));
        Self { down, left }
    }
}

/// Numbers of keys that move.
#[derive(Default)]
pub(crate) struct Moves {
    /// Number of moved keys.
    pub(crate) all: u64,
    /// Number of moved keys that were at other endpoints.
    pub(crate) others: u64,
}

impl Moves {
    fn of(gone: &EndpointId, pool: &Pool<()>, sample: &Sample) -> Self {
        let mut moves = Self::default();
        for (key, owner) in sample.keys() {
            // Without another endpoint the key does not count as moved.
            let moved = pool.pick(&pools::request(key)).is_ok_and(|lease| lease.endpoint().id() != owner);
            moves.all += u64::from(moved);
            moves.others += u64::from(moved && owner != gone);
        }
        moves
    }
}
