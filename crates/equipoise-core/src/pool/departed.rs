//! The counts of endpoints that have left a pool, so that its totals never lose a request.
//!
//! An endpoint that has left may still have leases, and their ends still count. [`Departures`] therefore keeps a reader of
//! the counts of each such endpoint, until no lease and no snapshot of the pool can change them. It then keeps only the
//! numbers. After the time for which endpoints are listed, the counts are added to those of the next listed endpoint with
//! the same id, if there is one, and otherwise to those of all endpoints that have left. An id of the pool keeps one entry.
//!
//! Neither endpoints nor targets are kept alive.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use crate::{
    endpoint::Availability,
    ids::{EndpointId, Revision, Slot, Tier},
    load::{LatencyHistogram, RequestCounts, StripeReader, read_histograms},
    sync::Mutex,
    time::{Clock, Timestamp},
    view::Members,
};

/// The maximum number of listed endpoints whose ids are not in the pool. In a pool whose ids change all the time, the list
/// would grow without it, and so would the number of time series of metrics. If more endpoints are listed, whatever their
/// ids, those with the same id become one.
pub(super) const MAX_LISTED: usize = 1_000;

/// The counts of the requests and bytes of one or several endpoints.
#[derive(Clone, Copy, Default)]
pub(super) struct Totals {
    pub(super) requests: RequestCounts,
    pub(super) bytes_sent: u64,
    pub(super) bytes_received: u64,
}

impl Totals {
    pub(super) fn add(&mut self, other: &Self) {
        self.requests.add(other.requests);
        self.bytes_sent = self.bytes_sent.wrapping_add(other.bytes_sent);
        self.bytes_received = self.bytes_received.wrapping_add(other.bytes_received);
    }
}

/// The histograms of the times to the first byte and of the whole times.
pub(super) type Histograms = Option<(LatencyHistogram, LatencyHistogram)>;

/// Adds histograms.
fn add_histograms(sum: &mut Histograms, other: Histograms) {
    match (sum.as_mut(), other) {
        (Some(sum), Some(other)) => {
            sum.0.add(&other.0);
            sum.1.add(&other.1);
        }
        (None, other) => *sum = other,
        (Some(_), None) => {}
    }
}

/// An endpoint that has left the pool. Its counts may contain those of endpoints with the same id that left earlier.
pub(super) struct Departed {
    pub(super) id: EndpointId,
    pub(super) joined: Revision,
    pub(super) address: Arc<str>,
    pub(super) tier: Tier,
    pub(super) zone: Option<Arc<str>>,
    pub(super) weight: u32,
    pub(super) max_in_flight: Option<u32>,
    /// The availability when it left.
    pub(super) availability: Availability,
    pub(super) left_at: Timestamp,
    counts: Counts,
}

#[derive(Clone)]
struct Counts {
    /// What cannot change any more.
    totals: Totals,
    histograms: Histograms,
    /// The counts that a lease may still change. Shared between records, because a second reader of a stripe would count as
    /// one that can change it.
    open: Vec<Arc<StripeReader>>,
}

impl Counts {
    fn totals(&self) -> Totals {
        self.open.iter().fold(self.totals, |mut totals, stripe| {
            let (bytes_sent, bytes_received) = stripe.traffic().bytes();
            totals.add(&Totals { requests: stripe.counts(), bytes_sent, bytes_received });
            totals
        })
    }

    fn histograms(&self) -> Histograms {
        let mut sum = self.histograms.clone();
        add_histograms(&mut sum, read_histograms(self.open.iter().map(|stripe| stripe.traffic())));
        sum
    }

    /// Returns whether the counts can still change.
    fn is_open(&self) -> bool {
        !self.open.iter().all(|stripe| stripe.is_final())
    }
}

impl Departed {
    /// Returns the record of the endpoint in this slot, which leaves the pool now. `None` for an empty slot.
    pub(super) fn of(members: &Members, slot: Slot, availability: Availability, left_at: Timestamp) -> Option<Self> {
        let member = members.get(slot)?;
        Some(Self {
            id: member.spec.id().clone(),
            joined: member.endpoint.joined,
            address: Arc::clone(member.spec.shared_address()),
            tier: member.spec.tier_value(),
            zone: member.spec.zone_name().cloned(),
            weight: member.weight(),
            max_in_flight: member.max_in_flight(),
            availability,
            left_at,
            counts: Counts {
                totals: Totals::default(),
                histograms: None,
                open: members.readers(slot).into_vec().into_iter().map(Arc::new).collect(),
            },
        })
    }

    pub(super) fn totals(&self) -> Totals {
        self.counts.totals()
    }

    pub(super) fn histograms(&self) -> Histograms {
        self.counts.histograms()
    }

    /// Returns the record with the numbers of the stripes that cannot change any more. `None` if there are no new ones.
    fn settled(&self) -> Option<Self> {
        let (done, open): (Vec<_>, Vec<_>) = self.counts.open.iter().cloned().partition(|stripe| stripe.is_final());
        (!done.is_empty()).then(|| {
            let mut counts = Counts { open: done, ..self.counts.clone() };
            counts = Counts { totals: counts.totals(), histograms: counts.histograms(), open };
            self.with(counts)
        })
    }

    /// Returns the record with the counts of an endpoint with the same id that left earlier added to its own.
    fn with_earlier(&self, earlier: &Self) -> Self {
        let mut counts = self.counts.clone();
        counts.totals.add(&earlier.counts.totals);
        add_histograms(&mut counts.histograms, earlier.counts.histograms.clone());
        counts.open.extend(earlier.counts.open.iter().cloned());
        self.with(counts)
    }

    fn with(&self, counts: Counts) -> Self {
        Self { id: self.id.clone(), address: Arc::clone(&self.address), zone: self.zone.clone(), counts, ..*self }
    }
}

/// What was read from [`Departures`] at one moment: each endpoint that has left is in exactly one of the fields.
pub(super) struct ReadDepartures {
    /// The endpoints that are listed, in the order in which they left.
    pub(super) listed: Vec<Arc<Departed>>,
    /// The endpoints that are not listed any more, but still have leases.
    pub(super) unlisted: Vec<Arc<Departed>>,
    /// The sum of all others.
    pub(super) past: Totals,
    past_histograms: Histograms,
    pub(super) at: Timestamp,
}

/// The endpoints that have left a pool.
pub(super) struct Departures {
    /// How long an endpoint is listed.
    keep: Duration,
    /// Locked for a short time by changes of the membership and by readers, never by picks. No code of users runs under
    /// the lock: what it drops has only weak references to targets.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In the order in which they left.
    listed: VecDeque<Arc<Departed>>,
    unlisted: Vec<Arc<Departed>>,
    past: Totals,
    past_histograms: Histograms,
}

impl ReadDepartures {
    /// Returns the sum of the histograms of the endpoints that have left and are not listed.
    pub(super) fn histograms_of_unlisted(&self) -> Histograms {
        let mut sum = self.past_histograms.clone();
        self.unlisted.iter().for_each(|departed| add_histograms(&mut sum, departed.histograms()));
        sum
    }
}

impl Departures {
    pub(super) fn new(keep: Duration) -> Self {
        Self { keep, state: Mutex::new(State::default()) }
    }

    /// Adds endpoints that leave now. `publish` makes the pool lose them. To a reader, both happens at once.
    pub(super) fn add(&self, leaving: impl Iterator<Item = Departed>, publish: impl FnOnce()) {
        let leaving: Vec<Arc<Departed>> = leaving.map(Arc::new).collect();
        let mut state = self.state.lock();
        state.listed.extend(leaving);
        publish();
    }

    /// Frees what is needed no longer. Called after a change of the membership, when its old snapshot is dropped.
    pub(super) fn tidy(&self, clock: &dyn Clock, members: &Members) {
        let now = self.now(clock);
        self.state.lock().tidy(now, self.keep, members);
    }

    /// Returns the time. A pool whose endpoints stay does not read its clock.
    fn now(&self, clock: &dyn Clock) -> Timestamp {
        let none_left = self.state.lock().listed.is_empty();
        if none_left { Timestamp::ZERO } else { clock.now() }
    }

    /// Reads all endpoints that have left. `read` reads the snapshot with those that have not left, at the
    /// same moment. `members` returns the endpoints of the snapshot.
    pub(super) fn read<R>(
        &self,
        clock: &dyn Clock,
        read: impl FnOnce() -> R,
        members: fn(&R) -> &Members,
    ) -> (R, ReadDepartures) {
        let at = self.now(clock);
        let mut state = self.state.lock();
        let snapshot = read();
        state.tidy(at, self.keep, members(&snapshot));
        let read = ReadDepartures {
            listed: state.listed.iter().cloned().collect(),
            unlisted: state.unlisted.clone(),
            past: state.past,
            past_histograms: state.past_histograms.clone(),
            at,
        };
        (snapshot, read)
    }
}

impl State {
    fn tidy(&mut self, now: Timestamp, keep: Duration, members: &Members) {
        for departed in &mut self.listed {
            if let Some(settled) = departed.settled() {
                *departed = Arc::new(settled);
            }
        }
        let is_old = |departed: &Departed| now.since(departed.left_at) >= keep;
        if self.listed.len() > MAX_LISTED || self.listed.front().is_some_and(|first| is_old(first)) {
            self.shorten(is_old, keep, members);
        }
        let (past, past_histograms) = (&mut self.past, &mut self.past_histograms);
        self.unlisted.retain(|departed| {
            let is_open = departed.counts.is_open();
            if !is_open {
                past.add(&departed.totals());
                add_histograms(past_histograms, departed.histograms());
            }
            is_open
        });
    }

    /// Shortens the list. Metrics add up the counts of all endpoints with the same id: their counters would decrease if only
    /// some of them were listed. The counts of an endpoint therefore stay in the list while its id is in the pool, or while
    /// one with its id that left later is listed.
    fn shorten(&mut self, is_old: impl Fn(&Departed) -> bool, keep: Duration, members: &Members) {
        let is_present = |departed: &Departed| members.index.contains_key(departed.id.as_str());
        let is_long = self.listed.len() > MAX_LISTED;
        let mut shorter: Vec<Arc<Departed>> = Vec::with_capacity(self.listed.len());
        // Where the next endpoint with an id is in `shorter`, which has the last one first.
        let mut next_of: HashMap<EndpointId, usize> = HashMap::new();
        let mut absent = 0;
        for departed in self.listed.drain(..).rev() {
            let is_old = is_old(&departed);
            let next = next_of.get(&departed.id).and_then(|&at| shorter.get_mut(at));
            match next {
                Some(next) if is_old || is_long => *next = Arc::new(next.with_earlier(&departed)),
                _ if is_old && (keep.is_zero() || !is_present(&departed)) => self.unlisted.push(departed),
                _ if !is_present(&departed) && absent == MAX_LISTED => self.unlisted.push(departed),
                _ => {
                    absent += usize::from(!is_present(&departed));
                    next_of.insert(departed.id.clone(), shorter.len());
                    shorter.push(departed);
                }
            }
        }
        self.listed.extend(shorter.into_iter().rev());
    }
}
