mod load;
mod tournament;

use std::{fmt, sync::Arc};

pub use self::load::LeastConnectionsState;

use self::{
    load::load_of,
    tournament::{Tournament, WIDTH},
};
use super::{
    BuildError, Needs, PickCounter, PickCx, Picker, Strategy,
    live::{LiveParts, Registered},
    memories::Memories,
    sampling::Lottery,
};
use crate::{
    endpoint::{Endpoint, EndpointSpec, Slot},
    entropy::below,
    request::PickRequest,
    view::View,
};

/// A strategy that picks the endpoint with the fewest requests in flight, relative to the weights. It compares all
/// endpoints exactly.
///
/// Choose it if requests are long and differ in length (uploads, streams, sessions, queries), or if the pool is so
/// small that two random endpoints are a poor sample. If many balancers use the same endpoints, choose
/// [`P2c`](super::P2c). Each balancer counts only its own requests, so an exact comparison of these counts is no
/// better, and `P2c` costs less.
///
/// An endpoint that fails fast has few requests in flight, and would be picked often. A failing endpoint therefore gets
/// at most [its share of the picks by weight](super::Needs::caps_failing). To send it fewer requests, use
/// [`PeakEwma`](super::PeakEwma) or outlier detection.
///
/// # The least loaded endpoint
///
/// With equal weights, the endpoint with the fewest requests in flight is picked. If several endpoints have the fewest,
/// one of them is picked at random.
///
/// With unequal weights, it is not enough to compare (requests in flight / weight), because the number of requests in
/// flight is a whole number:
///
/// - If `in-flight / weight` were compared, each idle endpoint would be picked before all busy ones, as in HAProxy.
///   With weights 198:1:1 and three requests in flight, each of the two small endpoints would get a third of the
///   requests.
/// - If `(in-flight + 1) / weight` were compared, the small endpoints would get no requests while fewer than 197
///   requests are in flight.
///
/// This strategy ignores differences of half a request:
///
/// - The *level* is the lowest `(in-flight + ½) / weight` of all endpoints. An endpoint is *low* if its `in-flight /
///   weight` is at most the level.
/// - One endpoint is drawn at random in proportion to the weights. It is picked if it is low. In pools of more than
///   2,048 endpoints, the endpoints take turns instead of being drawn.
/// - If the drawn endpoint is not low, the endpoint with the lowest `(in-flight + ½) / weight` is picked. If several
///   endpoints have the lowest value, one of them is picked at random.
///
/// Without load, each endpoint therefore gets requests in proportion to its weight. Under load, its number of requests
/// in flight is in proportion to its weight. With equal weights, only the endpoints with the fewest requests are low.
///
/// # Cost
///
/// A pool of up to 16 endpoints is scanned. A larger pool has a tree of atomic numbers: each node has 16 children and
/// holds their lowest load. A pick, and the start and end of a lease, take O(log₁₆ n) time for n endpoints, without
/// locks. Building the picker takes O(n) time. If the request excludes endpoints, the pick searches the tree in the
/// order of the loads. Each excluded endpoint that the search finds before a usable one adds O(log n) time. At worst,
/// the search takes O(n) time.
///
/// The strategy counts all leases, including those of requests whose session belongs to an endpoint (session affinity).
/// The counts survive updates of the pool. On one thread, the choice is exact. With several threads, a pick does not
/// see leases that begin or end at the same moment. Two threads can therefore pick the same least loaded endpoint. This
/// is rare, because the choice between endpoints of equal load is random. The next pick is exact again.
///
/// Sources: HAProxy's `leastconn` and nginx's `least_conn`; for the half request, Webster's method of apportionment.
///
/// ```
/// use equipoise_core::{EndpointSpec, LeastConnections, PickRequest, Pool};
///
/// let pool = Pool::new(LeastConnections::new());
/// pool.update([EndpointSpec::new("a").weight(2), EndpointSpec::new("b")], |_| ())?;
/// let leases = (0..30).map(|_| pool.pick(&PickRequest::new())).collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(leases.iter().filter(|lease| lease.endpoint().id().as_str() == "a").count(), 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct LeastConnections {
    live: Arc<LiveParts<Tournament>>,
}

impl LeastConnections {
    /// Creates the strategy. It has no settings.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Clone for LeastConnections {
    /// Creates a new strategy for another pool. It shares no counts with the original.
    fn clone(&self) -> Self {
        Self::new()
    }
}

impl fmt::Debug for LeastConnections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeastConnections")
    }
}

impl Strategy for LeastConnections {
    type State = LeastConnectionsState;
    type Picker = LeastConnectionsPicker;

    fn state(&self, _: &EndpointSpec) -> LeastConnectionsState {
        LeastConnectionsState::default()
    }

    fn needs(&self) -> Needs {
        Needs::new().leases().caps_failing()
    }

    fn build(&self, view: &View, last: Option<&LeastConnectionsPicker>) -> Result<LeastConnectionsPicker, BuildError> {
        let memories = Memories::of(view, last.map(|last| &last.memories));
        let mut slots: Box<[Slot]> =
            view.eligible().iter().copied().filter(|&slot| memories.get(slot).is_some()).collect();
        // Each balancer begins at another endpoint. Of endpoints with equal loads, a tournament favours those in its
        // last nodes, because these nodes have fewer children.
        slots.rotate_left(below(slots.len(), view.random() as u32));
        let weights: Vec<u32> = slots.iter().map(|&slot| view.weight(slot)).collect();
        let lottery = Lottery::new(&weights);
        let inverse: Option<Box<[f64]>> = match lottery {
            Lottery::Equal(_) => None,
            Lottery::Alias(_) => Some(weights.iter().map(|&weight| 1.0 / f64::from(weight)).collect()),
        };
        let loads = if slots.len() <= WIDTH {
            Loads::Few(slots.iter().filter_map(|&slot| memories.get(slot).cloned()).collect())
        } else {
            let inverse = |at: usize| inverse.as_ref().map_or(1.0, |inverse| inverse[at]);
            Loads::Many(Tournament::registered(&slots, inverse, view.capacity(), &memories, &self.live))
        };
        Ok(LeastConnectionsPicker { slots, inverse, lottery, tickets: PickCounter::new(), loads, memories })
    }

    fn admit(&self, state: &LeastConnectionsState, endpoint: &Endpoint, _: &PickRequest<'_>) -> bool {
        state.begin();
        self.live.each(|tournament| tournament.follow(endpoint.slot(), state));
        true
    }

    fn on_release(&self, state: &LeastConnectionsState, endpoint: &Endpoint) {
        state.end();
        self.live.each(|tournament| tournament.follow(endpoint.slot(), state));
    }
}

/// The picker of [`LeastConnections`], which picks the endpoint of each request.
pub struct LeastConnectionsPicker {
    slots: Box<[Slot]>,
    /// 1 / weight for each position. `None` if all weights are equal.
    inverse: Option<Box<[f64]>>,
    lottery: Lottery,
    tickets: PickCounter,
    loads: Loads,
    memories: Memories<LeastConnectionsState>,
}

/// The size of the largest pool in which the first endpoint is drawn at random. In larger pools, the endpoints take
/// turns.
const MOST_DRAWN: usize = 2048;

/// The loads of all endpoints, in a form that depends on their number.
enum Loads {
    /// The state of the endpoint at each position. All of them are read at each pick.
    Few(Box<[Arc<LeastConnectionsState>]>),
    /// A tree that finds the lowest load without reading all.
    Many(Registered<Tournament>),
}

impl Picker for LeastConnectionsPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        if self.slots.is_empty() {
            return None;
        }
        // The endpoint is drawn at random, because with turns, every endpoint that finishes before its next turn would
        // seem equally fast. In a large pool, turns are used: a random endpoint costs a cache miss, and the next one
        // is a neighbour in memory.
        let bits = cx.random();
        let drawn = match self.slots.len() {
            ..=MOST_DRAWN => self.lottery.draw(bits),
            n => self.lottery.draw_in((cx.next_number(&self.tickets) % n as u64) as usize, bits as u32),
        };
        let at = match &self.loads {
            Loads::Few(states) => self.among_few(states, drawn, bits, cx),
            Loads::Many(tournament) => self.among_many(tournament, drawn, cx),
        };
        self.slots.get(at?).copied()
    }
}

impl LeastConnectionsPicker {
    /// Returns whether the endpoint at position `at` is low: whether its load without the half request is at most the
    /// lowest load.
    #[inline]
    fn is_low(&self, at: usize, load: f64, lowest: f64) -> bool {
        load - self.inverse(at) <= lowest
    }

    #[inline]
    fn inverse(&self, at: usize) -> f64 {
        self.inverse.as_ref().map_or(1.0, |inverse| inverse[at])
    }

    #[inline]
    fn among_few(
        &self,
        states: &[Arc<LeastConnectionsState>],
        drawn: usize,
        bits: u64,
        cx: &mut PickCx<'_>,
    ) -> Option<usize> {
        if !cx.is_checked() && states[drawn].count() == 0 {
            // No load is lower.
            return Some(drawn);
        }
        // The draw has used the upper half of the bits. With unequal weights it has also used the lower half, whose
        // last bits matter least. The rotation puts them first.
        let start = below(states.len(), (bits as u32).rotate_left(16));
        let (mut best, mut lowest, mut own) = (None, f64::INFINITY, f64::INFINITY);
        for part in [start..states.len(), 0..start] {
            for at in part {
                if !cx.usable(self.slots[at]) {
                    continue;
                }
                let load = load_of(states[at].count(), self.inverse(at));
                cx.score(self.slots[at], load / 2.0);
                if load < lowest {
                    (best, lowest) = (Some(at), load);
                }
                if at == drawn {
                    own = load;
                }
            }
        }
        if self.is_low(drawn, own, lowest) && own.is_finite() { Some(drawn) } else { best }
    }

    #[inline]
    fn among_many(&self, tournament: &Tournament, drawn: usize, cx: &mut PickCx<'_>) -> Option<usize> {
        let load = tournament.key(drawn);
        if self.is_low(drawn, load, tournament.lowest()) && cx.usable(self.slots[drawn]) {
            cx.score(self.slots[drawn], load / 2.0);
            return Some(drawn);
        }
        let bits = cx.random();
        if !cx.is_checked() {
            return tournament.winner(bits);
        }
        tournament.winner_among(bits, &mut |at| {
            let usable = cx.usable(self.slots[at]);
            if usable {
                cx.score(self.slots[at], tournament.key(at) / 2.0);
            }
            usable
        })
    }
}
