use std::sync::Arc;

use super::{counters::Counters, schedule::Schedule};
use crate::{
    endpoint::{EndpointId, EndpointSpec, Slot},
    entropy::mix,
    ids::Revision,
    strategy::{BuildError, PickCx, Picker, Strategy, gcd},
    view::View,
};

/// Earliest deadline first: endpoints take turns in proportion to their weights, with a random start in each balancer.
///
/// Each endpoint has a sequence of deadlines on a virtual time scale. The deadlines of an endpoint of weight `w` have
/// the distance `1/w`, and the endpoint with the earliest deadline is picked next. The first deadline of an endpoint is
/// random between 0 and `1/w`. Balancers that start at the same time therefore do not all send their first requests to
/// the same endpoint. With [`RoundRobin`](super::RoundRobin), they would.
///
/// Choose it if many clients use the same endpoints, as with proxyless gRPC and sidecars. Choose `RoundRobin` if evenly
/// spaced turns matter more. Weakness of both: they ignore load.
///
/// The deadlines repeat after a cycle. The length of a cycle, in picks, is the sum of the weights divided by their
/// greatest common divisor. The order of a cycle is computed when a picker is built. Picks advance a shared counter and
/// take no lock. After an update, picks continue at the deadline that was reached before. Endpoints that stay keep
/// their deadlines. The first deadline of a new endpoint is random within one distance `1/w`.
///
/// A pick takes O(1) time. Building a picker takes O(n) time for n endpoints, and O(cycle × log cycle) if the
/// membership has changed. If a cycle would be longer than 65 536 picks, no cycle is computed. Picks then take O(log n)
/// time, and follow a low-discrepancy sequence (evenly spread numbers) over the weights. The sequence starts at a
/// random point. Sources: gRPC A58 and Envoy's EDF scheduler, which keep a queue of deadlines behind a lock.
///
/// ```
/// use equipoise_core::{Edf, EndpointSpec, PickRequest, Pool};
///
/// let pool = Pool::new(Edf::seeded(7));
/// pool.update([EndpointSpec::new("a").weight(3), EndpointSpec::new("b")], |_| ())?;
/// let turn = (0..4).map(|_| pool.pick(&PickRequest::new())).collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(turn.iter().filter(|lease| lease.endpoint().id().as_str() == "a").count(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Edf {
    seed: Option<u64>,
}

impl Edf {
    /// Creates a strategy that draws the first deadlines of the endpoints from the pool's
    /// [entropy](crate::PoolBuilder::entropy).
    pub const fn new() -> Self {
        Self { seed: None }
    }

    /// Creates a strategy in which the first deadline of an endpoint is not random: it depends only on `seed` and on
    /// the endpoint's id and weight. Use it for repeatable tests.
    pub const fn seeded(seed: u64) -> Self {
        Self { seed: Some(seed) }
    }
}

/// A deadline within the cycle, and its endpoint.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
struct Due {
    /// The time of the deadline. An endpoint of weight `w` has a deadline every `1 / w`.
    at: f64,
    slot: Slot,
}

impl Strategy for Edf {
    type State = ();
    type Picker = EdfPicker;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, last: Option<&EdfPicker>) -> Result<EdfPicker, BuildError> {
        let membership = view.membership_revision();
        // The seed is drawn when the first member exists, and then kept.
        let drawn = || (!view.members().is_empty()).then(|| view.random());
        let seed = self.seed.or(last.and_then(|last| last.seed)).or_else(drawn);
        let deadlines = match last {
            Some(last) if last.membership == membership => last.deadlines.clone(),
            _ => deadlines_of(view, seed.unwrap_or(0)),
        };
        let served = last.map_or(0, |last| last.counters.first.value());
        let (turn, first) = match &deadlines {
            Deadlines::LaidOut { period, all } => {
                let turn = eligible_part(all, view);
                let reached = last.and_then(|last| last.reached(served));
                let next = reached.map_or(0, |mut reached| {
                    reached.at %= period;
                    turn.partition_point(|due| *due <= reached)
                });
                (Turn::LaidOut(turn), next as u64)
            }
            Deadlines::TooLong => {
                let weights: Vec<u32> = view.eligible().iter().map(|&slot| view.weight(slot)).collect();
                let first = if last.is_some_and(|last| last.seed.is_some()) { served } else { seed.unwrap_or(0) };
                (Turn::Spread(Schedule::spread(&view.eligible().into(), &weights)), first)
            }
        };
        Ok(EdfPicker {
            slots: view.eligible().into(),
            turn,
            counters: Counters::starting_at(first, last.map(|last| &last.counters)),
            deadlines,
            membership,
            seed,
        })
    }
}

/// Returns the position of an endpoint's deadlines within its interval, from 0 to 1. It depends on the seed and the id,
/// so that it never changes.
fn phase(seed: u64, id: &EndpointId) -> f64 {
    let drawn = id.as_str().bytes().fold(mix(seed), |drawn, byte| mix(drawn ^ u64::from(byte)));
    (drawn >> 11) as f64 / (1u64 << 53) as f64
}

/// Returns all deadlines of the members within one turn.
fn deadlines_of(view: &View, seed: u64) -> Deadlines {
    let divisor = view.members().iter().fold(0, |a, &slot| gcd(a, view.weight(slot))).max(1);
    let total: u64 = view.members().iter().map(|&slot| u64::from(view.weight(slot) / divisor)).sum();
    if total > super::schedule::LONGEST_TURN {
        return Deadlines::TooLong;
    }
    let mut all = Vec::with_capacity(total as usize);
    for &slot in view.members() {
        let (Some(endpoint), weight) = (view.endpoint(slot), view.weight(slot)) else { continue };
        let phase = phase(seed, endpoint.id());
        let due = |turn: u32| Due { at: (phase + f64::from(turn)) / f64::from(weight), slot };
        all.extend((0..weight / divisor).map(due));
    }
    all.sort_unstable_by(|a, b| a.at.total_cmp(&b.at).then(a.slot.cmp(&b.slot)));
    Deadlines::LaidOut { period: 1.0 / f64::from(divisor), all: all.into() }
}

/// The deadlines of all members. They depend only on the membership.
#[derive(Clone)]
enum Deadlines {
    /// The length of a turn, and its deadlines in order.
    LaidOut { period: f64, all: Arc<[Due]> },
    /// The turn has more deadlines than are computed.
    TooLong,
}

/// Returns the deadlines of the eligible endpoints.
fn eligible_part(all: &Arc<[Due]>, view: &View) -> Arc<[Due]> {
    if view.eligible().len() == view.members().len() {
        return Arc::clone(all);
    }
    let mut eligible = vec![false; view.capacity()];
    view.eligible().iter().for_each(|slot| eligible[slot.index()] = true);
    all.iter().filter(|due| eligible[due.slot.index()]).copied().collect()
}

enum Turn {
    LaidOut(Arc<[Due]>),
    Spread(Schedule),
}

/// The picker of [`Edf`], which picks the endpoint of each request.
pub struct EdfPicker {
    slots: Box<[Slot]>,
    turn: Turn,
    counters: Counters,
    deadlines: Deadlines,
    membership: Revision,
    /// `None` until the first member has joined.
    seed: Option<u64>,
}

impl EdfPicker {
    #[inline]
    fn at(&self, ticket: u64) -> Option<Slot> {
        match &self.turn {
            Turn::LaidOut(turn) => turn.get(ticket.checked_rem(turn.len() as u64)? as usize).map(|due| due.slot),
            Turn::Spread(schedule) => schedule.at(ticket),
        }
    }

    /// Returns the deadline of the last pick whose number is below `served`.
    fn reached(&self, served: u64) -> Option<Due> {
        let Turn::LaidOut(turn) = &self.turn else { return None };
        let last = served.checked_sub(1)?.checked_rem(turn.len() as u64)?;
        turn.get(last as usize).copied()
    }
}

impl Picker for EdfPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        self.counters.pick(|ticket| self.at(ticket), &self.slots, cx)
    }
}
