//! What is measured: a pick from a pool of some strategy, size and weights.

use std::{fmt, hint::black_box};

use equipoise_core::{
    AnyStrategy, Availability, EndpointSpec, P2c, PeakEwma, PickRequest, Pool, Random, RoundRobin, Verdict,
};

/// The sizes of pools that are measured.
pub const SIZES: [usize; 5] = [3, 10, 100, 1_000, 10_000];

/// The strategies that are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`RoundRobin`].
    RoundRobin,
    /// [`Random`].
    Random,
    /// [`P2c`].
    P2c,
    /// [`PeakEwma`].
    PeakEwma,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::RoundRobin, Self::Random, Self::P2c, Self::PeakEwma];

    /// The strategy itself, at its defaults.
    pub fn strategy(self) -> AnyStrategy {
        match self {
            Self::RoundRobin => AnyStrategy::new(RoundRobin::new()),
            Self::Random => AnyStrategy::new(Random::new()),
            Self::P2c => AnyStrategy::new(P2c::new()),
            Self::PeakEwma => AnyStrategy::new(PeakEwma::new()),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::P2c => "p2c",
            Self::PeakEwma => "peak-ewma",
        })
    }
}

/// How the endpoints of a pool are weighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weights {
    /// All 1.
    Equal,
    /// 1, 2, 3, 1, 2, 3 …
    Cycling,
}

impl Weights {
    /// Both.
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

/// A pool of `n` endpoints, all open.
///
/// # Panics
///
/// Never: the endpoints are valid.
pub fn pool(kind: Kind, n: usize, weights: Weights) -> Pool<()> {
    let pool = Pool::new(kind.strategy());
    let specs = (0..n).map(|at| EndpointSpec::new(format!("10.0.{}.{}:80", at / 256, at % 256)).weight(weights.of(at)));
    pool.update(specs, |_| ()).expect("valid endpoints");
    pool
}

/// A pool of `n` endpoints of weight 1, of which nine in ten are closed.
///
/// # Panics
///
/// Never: only members are closed.
pub fn mostly_closed(kind: Kind, n: usize) -> Pool<()> {
    let pool = pool(kind, n, Weights::Equal);
    for (at, endpoint) in pool.endpoints().into_iter().enumerate() {
        if at % 10 != 0 {
            pool.set_availability(endpoint.id, Availability::Closed).expect("a member");
        }
    }
    pool
}

/// One pick, its lease, and its end in success.
///
/// # Panics
///
/// When nobody can be picked.
#[inline]
pub fn pick(pool: &Pool<()>) {
    let lease = pool.pick(black_box(&PickRequest::new())).expect("endpoints are open");
    black_box(&lease);
    lease.finish(Verdict::Success);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mostly_closed_pool_has_every_tenth_endpoint_open() {
        let endpoints = mostly_closed(Kind::P2c, 100).endpoints();
        assert_eq!(endpoints.len(), 100);
        assert_eq!(endpoints.iter().filter(|endpoint| endpoint.availability == Availability::Open).count(), 10);
    }

    #[test]
    fn a_pick_gives_its_lease_back() {
        for kind in Kind::ALL {
            let pool = pool(kind, 3, Weights::Cycling);
            (0..100).for_each(|_| pick(&pool));
            assert!(pool.endpoints().iter().all(|endpoint| endpoint.in_flight == 0), "{kind}");
        }
    }
}
