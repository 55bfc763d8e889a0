//! What would be if an endpoint were gone.

use equipoise::{Availability, EndpointId, Pool};

use crate::{pools, sample::Sample};

/// What moves when an endpoint is gone; `None` where the pool would refuse that.
#[derive(Default)]
pub(crate) struct Absence {
    /// It is down: a member that takes nothing.
    pub(crate) down: Option<Moves>,
    /// It has left: it is no member any more.
    pub(crate) left: Option<Moves>,
}

impl Absence {
    /// Takes the endpoint out of `pool`.
    pub(crate) fn of(id: &EndpointId, pool: &Pool<()>, sample: &Sample) -> Self {
        // One pool for both: an endpoint that is down may leave as well.
        let down = pool.set_availability(id.clone(), Availability::Maintenance).is_ok();
        let down = down.then(|| Moves::of(id, pool, sample));
        let left = pool.remove(id.clone()).is_ok().then(|| Moves::of(id, pool, sample));
        Self { down, left }
    }
}

/// Keys that go elsewhere.
#[derive(Default)]
pub(crate) struct Moves {
    /// Of all keys.
    pub(crate) all: u64,
    /// Of those that were not the endpoint's own.
    pub(crate) others: u64,
}

impl Moves {
    fn of(gone: &EndpointId, pool: &Pool<()>, sample: &Sample) -> Self {
        let mut moves = Self::default();
        for (key, owner) in sample.keys() {
            // Nobody left to move to: not a move.
            let moved = pool.pick(&pools::request(key)).is_ok_and(|lease| lease.endpoint().id() != owner);
            moves.all += u64::from(moved);
            moves.others += u64::from(moved && owner != gone);
        }
        moves
    }
}
