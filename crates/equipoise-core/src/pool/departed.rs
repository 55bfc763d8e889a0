//! The counts of endpoints that have left a pool, so that its totals never lose a request.
//!
//! An endpoint that has left may still have leases, and their ends still count. [`Departures`] therefore keeps a reader of
//! the counts of each such endpoint, until no lease and no snapshot of the pool can change them. It then keeps only the
//! numbers. After the time for which endpoints are listed, the numbers are added to those of all endpoints that have left.
//!
//! Neither endpoints nor targets are kept alive.

use std::{
    collections::{HashSet, VecDeque},
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

/// The maximum number of listed endpoints that have left. In a pool whose endpoints change all the time, the list would
/// grow without it, and so would the number of time series of metrics.
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

/// An endpoint that has left the pool.
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

enum Counts {
    /// A lease may still change the counts.
    Open(Box<[StripeReader]>),
    Final(Box<(Totals, Histograms)>),
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
            counts: Counts::Open(members.readers(slot)),
        })
    }

    pub(super) fn totals(&self) -> Totals {
        match &self.counts {
            Counts::Final(counts) => counts.0,
            Counts::Open(stripes) => stripes.iter().fold(Totals::default(), |mut totals, stripe| {
                let (bytes_sent, bytes_received) = stripe.traffic().bytes();
                totals.add(&Totals { requests: stripe.counts(), bytes_sent, bytes_received });
                totals
            }),
        }
    }

    pub(super) fn histograms(&self) -> Histograms {
        match &self.counts {
            Counts::Final(counts) => counts.1.clone(),
            Counts::Open(stripes) => read_histograms(stripes.iter().map(StripeReader::traffic)),
        }
    }

    /// Returns whether the counts can still change.
    fn is_open(&self) -> bool {
        match &self.counts {
            Counts::Final(_) => false,
            Counts::Open(stripes) => !stripes.iter().all(StripeReader::is_final),
        }
    }

    /// Returns the record with its numbers alone, if they cannot change any more.
    fn settled(&self) -> Option<Self> {
        let settles = matches!(self.counts, Counts::Open(_)) && !self.is_open();
        settles.then(|| Self {
            id: self.id.clone(),
            address: Arc::clone(&self.address),
            zone: self.zone.clone(),
            counts: Counts::Final(Box::new((self.totals(), self.histograms()))),
            ..*self
        })
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
        let is_old = |departed: &Departed| now.since(departed.left_at) >= keep;
        if self.listed.front().is_some_and(|first| is_old(first)) {
            // Metrics add up the counts of all endpoints with the same id. Their counters would decrease if only some of
            // them were listed.
            let listed = self.listed.iter().filter(|departed| !is_old(departed));
            let young: HashSet<EndpointId> = listed.map(|departed| departed.id.clone()).collect();
            let unlisted = &mut self.unlisted;
            self.listed.retain(|departed| {
                let id = &departed.id;
                let has_later = || young.contains(id) || members.index.contains_key(id.as_str());
                let stays = !is_old(departed) || (!keep.is_zero() && has_later());
                if !stays {
                    unlisted.push(Arc::clone(departed));
                }
                stays
            });
        }
        while self.listed.len() > MAX_LISTED {
            self.unlisted.extend(self.listed.pop_front());
        }
        let (past, past_histograms) = (&mut self.past, &mut self.past_histograms);
        self.unlisted.retain(|departed| {
            let is_open = departed.is_open();
            if !is_open {
                past.add(&departed.totals());
                add_histograms(past_histograms, departed.histograms());
            }
            is_open
        });
        for departed in &mut self.listed {
            if let Some(settled) = departed.settled() {
                *departed = Arc::new(settled);
            }
        }
    }
}
