#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod backoff;
mod binding;
mod candidate;
mod endpoint;
mod entropy;
mod ids;
mod lease;
mod load;
mod pool;
mod request;
pub mod spec;
pub mod strategy;
mod sync;
#[cfg(all(feature = "testing", not(loom)))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod time;
mod verdict;
mod view;

/// Helpers for the other crates of this project. They are not part of the public interface and may change in any
/// version.
#[doc(hidden)]
pub mod __private {
    pub use crate::{
        backoff::Backoff,
        endpoint::race_addresses,
        entropy::repeating,
        pool::{ChangeWatch, PoolChange, close_with_endpoint, watch_changes},
        strategy::picker::{guarded, take_panicked},
        time::{saturating_nanos, seconds_rounded_up},
    };
}

pub use crate::{
    binding::{Binding, BindingOutcome, MissReason},
    candidate::CandidateResult,
    endpoint::{Address, Availability, Closing, Endpoint, EndpointSpec, InvalidAddress, InvalidSpec, MAX_WEIGHT},
    entropy::{Entropy, SeededEntropy},
    ids::{EndpointId, Revision, Slot, Tier},
    lease::{AnyTarget, Lease},
    load::{LatencyHistogram, RequestCounts},
    pool::{
        Acquire, AppliedChanges, Candidate, Changes, DepartedEndpoint, EndpointStatus, Explanation, Idle, PickError,
        Pool, PoolBuilder, PoolStats, PoolStatus,
    },
    pool::{Spillover, TryUpdateError, UpdateError},
    request::PickRequest,
    strategy::{
        AnyStrategy, BuildError, LogEwma, Needs, P2c, PeakEwma, PickCounter, PickCx, Picker, Random, RoundRobin,
        Strategy,
    },
    strategy::{Aperture, InvalidCombinator, SlowStart, Subset, ZoneAware},
    strategy::{BoundedLoad, InvalidHashing, Jump, Keyed, Maglev, Rendezvous, Ring, SourceKey, SourcePrefix},
    strategy::{Edf, FirstFit, InvalidChoices, LeastConnections, LeastTime},
    strategy::{InvalidSpan, InvalidStrategy, StrategySpec},
    time::{Clock, ManualClock, SystemClock, Timestamp},
    verdict::{Failure, Verdict},
    view::{Layered, View},
};
