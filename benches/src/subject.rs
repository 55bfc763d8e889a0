//! The subject of the benches: a pick from a pool with a strategy, a size and weights.

use std::{cell::Cell, fmt, hint::black_box};

use equipoise_core::{
    AnyStrategy, Availability, BoundedLoad, Edf, EndpointId, EndpointSpec, FirstFit, Jump, Lease, LeastConnections,
    LeastTime, LogEwma, Maglev, P2c, PeakEwma, PickRequest, Pool, Random, Rendezvous, Ring, RoundRobin, Verdict,
};

use crate::timing::Effort;

/// The measured sizes of pools.
pub const SIZES: [usize; 5] = [3, 10, 100, 1_000, 10_000];

/// The measured strategies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`RoundRobin`].
    RoundRobin,
    /// [`Edf`].
    Edf,
    /// [`Random`].
    Random,
    /// [`P2c`].
    P2c,
    /// [`P2c`] of five choices.
    FiveChoices,
    /// [`LeastConnections`].
    LeastConnections,
    /// [`FirstFit`]. Each endpoint takes one request, and half of the endpoints that are up are full.
    FirstFit,
    /// [`LeastTime`].
    LeastTime,
    /// [`PeakEwma`].
    PeakEwma,
    /// [`LogEwma`].
    LogEwma,
    /// [`Maglev`].
    Maglev,
    /// [`BoundedLoad`] around [`Maglev`].
    BoundedMaglev,
    /// [`Ring`].
    Ring,
    /// [`Jump`].
    Jump,
    /// [`Rendezvous`].
    Rendezvous,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 15] = [
        Self::RoundRobin,
        Self::Edf,
        Self::Random,
        Self::P2c,
        Self::FiveChoices,
        Self::LeastConnections,
        Self::FirstFit,
        Self::LeastTime,
        Self::PeakEwma,
        Self::LogEwma,
        Self::Maglev,
        Self::BoundedMaglev,
        Self::Ring,
        Self::Jump,
        Self::Rendezvous,
    ];

    /// The kinds for calls of `Balance`, whose cost on top of a pick does not depend on the strategy.
    pub const CALLED: [Self; 5] = [Self::RoundRobin, Self::Random, Self::P2c, Self::PeakEwma, Self::LogEwma];

    /// Creates the strategy with its defaults.
    ///
    /// # Panics
    ///
    /// Never: the settings are valid.
    pub fn strategy(self) -> AnyStrategy {
        match self {
            Self::RoundRobin => AnyStrategy::new(RoundRobin::new()),
            Self::Edf => AnyStrategy::new(Edf::new()),
            Self::Random => AnyStrategy::new(Random::new()),
            Self::P2c => AnyStrategy::new(P2c::new()),
            Self::FiveChoices => AnyStrategy::new(P2c::with_choices(5).expect("from 2 to 10")),
            Self::LeastConnections => AnyStrategy::new(LeastConnections::new()),
            Self::FirstFit => AnyStrategy::new(FirstFit::new()),
            Self::LeastTime => AnyStrategy::new(LeastTime::new()),
            Self::PeakEwma => AnyStrategy::new(PeakEwma::new()),
            Self::LogEwma => AnyStrategy::new(LogEwma::new()),
            Self::Maglev => AnyStrategy::new(Maglev::new()),
            Self::BoundedMaglev => AnyStrategy::new(BoundedLoad::new(Maglev::new())),
            Self::Ring => AnyStrategy::new(Ring::new()),
            Self::Jump => AnyStrategy::new(Jump::new()),
            Self::Rendezvous => AnyStrategy::new(Rendezvous::new()),
        }
    }

    /// Returns whether the strategy hashes keys. Each request then has another key.
    pub fn is_keyed(self) -> bool {
        matches!(self, Self::Maglev | Self::BoundedMaglev | Self::Ring | Self::Jump | Self::Rendezvous)
    }

    /// Returns whether a pick looks at every endpoint.
    pub fn is_linear(self) -> bool {
        self == Self::Rendezvous
    }

    /// Returns the part of `effort` that takes a reasonable time with `n` endpoints.
    pub fn effort(self, effort: Effort, n: usize) -> Effort {
        let most = if self.is_linear() { 10_000_000 / n as u64 } else { u64::MAX };
        Effort { calls: effort.calls.min(most), ..effort }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::RoundRobin => "round-robin",
            Self::Edf => "edf",
            Self::Random => "random",
            Self::P2c => "p2c",
            Self::FiveChoices => "p2c-of-5",
            Self::LeastConnections => "least-connections",
            Self::FirstFit => "first-fit",
            Self::LeastTime => "least-time",
            Self::PeakEwma => "peak-ewma",
            Self::LogEwma => "log-ewma",
            Self::Maglev => "maglev",
            Self::BoundedMaglev => "bounded-maglev",
            Self::Ring => "ring",
            Self::Jump => "jump",
            Self::Rendezvous => "rendezvous",
        })
    }
}

/// The weights of the endpoints of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// All weights are 1.
    Equal,
    /// The weights are 1, 2, 3, 1, 2, 3 …
    Cycling,
}

impl Weights {
    /// Both kinds of weights.
    pub const ALL: [Self; 2] = [Self::Equal, Self::Cycling];

    fn of(self, at: usize) -> u32 {
        match self {
            Self::Equal => 1,
            Self::Cycling => [1, 2, 3][at % 3],
        }
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Equal => "equal",
            Self::Cycling => "weighted",
        })
    }
}

/// Returns the id of the endpoint with this index.
pub fn id(at: usize) -> EndpointId {
    EndpointId::from(format!("10.0.{}.{}:80", at / 256, at % 256))
}

/// A pool to pick from.
pub struct Subject {
    pool: Pool<()>,
    keyed: bool,
    /// Leases that fill the endpoints that must be full.
    _leases: Vec<Lease<()>>,
}

thread_local! {
    static KEY: Cell<u64> = const { Cell::new(0) };
}

/// Returns another key for each call, from a counter of this thread.
#[inline]
pub fn next_key() -> [u8; 8] {
    KEY.with(|key| key.replace(key.get().wrapping_add(1)).to_le_bytes())
}

impl Subject {
    /// Creates a pool of `n` endpoints that are all up.
    pub fn new(kind: Kind, n: usize, weights: Weights) -> Self {
        Self::with(kind, n, weights, |_| true)
    }

    /// Creates a pool of `n` endpoints of weight 1, of which nine in ten are in maintenance.
    pub fn mostly_down(kind: Kind, n: usize) -> Self {
        Self::with(kind, n, Weights::Equal, |at| at % 10 == 0)
    }

    fn with(kind: Kind, n: usize, weights: Weights, up: impl Fn(usize) -> bool) -> Self {
        let pool = Pool::new(kind.strategy());
        let fills = kind == Kind::FirstFit;
        let specs = (0..n).map(|at| {
            let spec = EndpointSpec::new(id(at).as_str()).weight(weights.of(at));
            if fills { spec.max_in_flight(1) } else { spec }
        });
        pool.update(specs, |_| ()).expect("valid endpoints");
        for at in (0..n).filter(|&at| !up(at)) {
            pool.set_availability(id(at), Availability::Maintenance).expect("a member");
        }
        let full = if fills { (0..n).filter(|&at| up(at)).count() / 2 } else { 0 };
        let leases = (0..full).map(|_| pool.pick(&PickRequest::new()).expect("half of them are free")).collect();
        Self { pool, keyed: kind.is_keyed(), _leases: leases }
    }

    /// Returns the pool.
    pub fn pool(&self) -> &Pool<()> {
        &self.pool
    }

    /// Makes one pick and ends its lease with success.
    ///
    /// # Panics
    ///
    /// No endpoint can be picked.
    #[inline]
    pub fn pick(&self) {
        let key;
        let mut request = PickRequest::new();
        if self.keyed {
            key = next_key();
            request = request.key(&key);
        }
        let lease = self.pool.pick(black_box(&request)).expect("endpoints are up");
        black_box(&lease);
        lease.finish(Verdict::Success);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mostly_down_pool_has_every_tenth_endpoint_up() {
        let endpoints = Subject::mostly_down(Kind::P2c, 100).pool().endpoints();
        assert_eq!(endpoints.len(), 100);
        assert_eq!(endpoints.iter().filter(|endpoint| endpoint.availability == Availability::Up).count(), 10);
    }

    #[test]
    fn a_pick_gives_its_lease_back() {
        for kind in Kind::ALL {
            let subject = Subject::new(kind, 3, Weights::Cycling);
            (0..100).for_each(|_| subject.pick());
            let in_flight: u32 = subject.pool().endpoints().iter().map(|endpoint| endpoint.in_flight).sum();
            assert_eq!(in_flight, if kind == Kind::FirstFit { 1 } else { 0 }, "{kind}");
        }
    }

    #[test]
    fn keys_differ() {
        assert_ne!(next_key(), next_key());
    }
}
