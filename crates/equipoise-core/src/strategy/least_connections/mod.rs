mod tournament;

use std::{fmt, sync::Arc};

use self::tournament::{Tournament, WIDTH};
use super::{
    BuildError, Needs, PickCx, Picker, Strategy,
    live::{Enlisted, LiveParts},
    memories::Memories,
    sampling::{Lottery, below},
    tickets::Tickets,
};
use crate::{
    endpoint::{Endpoint, EndpointSpec, Slot},
    request::PickRequest,
    sync::{AtomicU32, Ordering},
    view::View,
};

/// The endpoint with the fewest requests in flight for its weight, exactly.
///
/// Choose it where requests are long and differ (uploads, streams, sessions, queries), so that the last bit of evenness
/// pays, or where there are so few endpoints that drawing two misses much. With many balancers in front of the same
/// endpoints it is no better than [`P2c`](super::P2c), which costs less: each is exact about no more than it sees itself.
/// As for all that count requests, an endpoint that fails fast looks idle, so one that fails is
/// [capped](super::Needs::caps_failing) at the share that its weight says. To send it less than that, use
/// [`PeakEwma`](super::PeakEwma) or ejection.
///
/// # Who is least loaded
///
/// With equal weights, whoever has the fewest requests in flight; one of them if there are several, by chance.
///
/// With unequal weights *fewest per weight* has a trap: in-flight comes in whole requests. By `in-flight / weight` every
/// idle endpoint comes before all busy ones, and of 198:1:1 the small ones get a third each at three in flight (HAProxy
/// does so); by `(in-flight + 1) / weight` they get nothing before 197 are in flight. Here half a request counts as
/// nothing:
///
/// - the *level* is the lowest `(in-flight + ½) / weight`; whoever carries no more than the level per weight is *low*;
/// - one endpoint is drawn in proportion to the weights (beyond 2048 endpoints: in turn, from a random start), and taken
///   if it is low;
/// - otherwise the one that makes the level is taken (by chance, if several do).
///
/// So idle shares are the weights, in-flight follows them under load, and nobody is picked who carries more per weight
/// than another would with half a request more. With equal weights only those with the fewest are low.
///
/// # Cost
///
/// Up to 16 endpoints are simply looked at. Beyond, a tournament of atomics (sixteen to a node) knows the lowest: pick,
/// acquisition and release are O(log₁₆ n), without locks; build is O(n). Requests that exclude endpoints walk the
/// tournament in order: O(log n) for each that is in the way, O(n) at worst.
///
/// Leases are counted at acquisition, whoever chose the endpoint, and the counts survive every update. On one thread the
/// choice is exact. With several, a pick can be wrong by what picks and releases that run at that very moment have not
/// written down yet: two threads that find one endpoint least loaded both take it. Nothing of that stays: as soon as no
/// such call is under way the next pick is exact. Ties are broken by chance, so threads seldom meet.
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
    /// The strategy; it has no settings.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Clone for LeastConnections {
    /// One that serves another pool: it has no settings, and what it is told of is not shared.
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
        LeastConnectionsState { leases: AtomicU32::new(0), _padding: [0; 5] }
    }

    fn needs(&self) -> Needs {
        Needs::new().leases().caps_failing()
    }

    fn build(&self, view: &View, last: Option<&LeastConnectionsPicker>) -> Result<LeastConnectionsPicker, BuildError> {
        let memories = Memories::of(view, last.map(|last| &last.memories));
        let mut slots: Box<[Slot]> =
            view.eligible().iter().copied().filter(|&slot| memories.get(slot).is_some()).collect();
        // Balancers that share the endpoints begin elsewhere each: among equals, a tournament favours those in its last
        // nodes, which have fewer children.
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
            Loads::Many(Tournament::enlisted(&slots, inverse, view.capacity(), &memories, &self.live))
        };
        Ok(LeastConnectionsPicker { slots, inverse, lottery, tickets: Tickets::new(), loads, memories })
    }

    fn admit(&self, state: &LeastConnectionsState, endpoint: &Endpoint, _: &PickRequest<'_>) -> bool {
        state.leases.fetch_add(1, Ordering::SeqCst);
        self.live.each(|tournament| tournament.follow(endpoint.slot(), state));
        true
    }

    fn on_release(&self, state: &LeastConnectionsState, endpoint: &Endpoint) {
        state.leases.fetch_sub(1, Ordering::SeqCst);
        self.live.each(|tournament| tournament.follow(endpoint.slot(), state));
    }
}

/// What [`LeastConnections`] remembers of an endpoint: how many leases are out.
#[derive(Debug)]
pub struct LeastConnectionsState {
    leases: AtomicU32,
    /// Makes it, with the counts of the `Arc` around it, a cache line long, so that endpoints do not share one.
    _padding: [u64; 5],
}

impl LeastConnectionsState {
    #[inline]
    fn count(&self) -> u32 {
        self.leases.load(Ordering::SeqCst)
    }
}

/// What endpoints are compared by: twice (in-flight + ½) / weight.
#[inline]
fn load_of(in_flight: u32, inverse: f64) -> f64 {
    (2.0 * f64::from(in_flight) + 1.0) * inverse
}

/// The picker of [`LeastConnections`].
pub struct LeastConnectionsPicker {
    slots: Box<[Slot]>,
    /// 1 / weight, by position; `None` for equal weights.
    inverse: Option<Box<[f64]>>,
    lottery: Lottery,
    tickets: Tickets,
    loads: Loads,
    memories: Memories<LeastConnectionsState>,
}

/// In larger pools whom to look at first goes by turns.
const MOST_DRAWN: usize = 2048;

enum Loads {
    /// By position.
    Few(Box<[Arc<LeastConnectionsState>]>),
    Many(Enlisted<Tournament>),
}

impl Picker for LeastConnectionsPicker {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        if self.slots.is_empty() {
            return None;
        }
        // Not in turn: whoever is done before its turn comes round again would look as fast as any. But where they are so
        // many that chance would find each out of the cache, neighbours in the pool are neighbours in memory.
        let bits = cx.random();
        let drawn = match self.slots.len() {
            ..=MOST_DRAWN => self.lottery.draw(bits),
            n => self.lottery.draw_in((cx.ticket(&self.tickets) % n as u64) as usize, bits as u32),
        };
        let at = match &self.loads {
            Loads::Few(states) => self.among_few(states, drawn, bits, cx),
            Loads::Many(tournament) => self.among_many(tournament, drawn, cx),
        };
        self.slots.get(at?).copied()
    }
}

impl LeastConnectionsPicker {
    /// Whether an endpoint of this load is low, where `lowest` makes the level: what it carries without the half.
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
            // Nobody carries less than nothing.
            return Some(drawn);
        }
        // The draw has used the upper half; where weights differ also the lower, whose last bits matter least to it.
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
