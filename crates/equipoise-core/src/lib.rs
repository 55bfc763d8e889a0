#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod binding;
mod endpoint;
mod entropy;
mod explain;
mod guard;
mod lease;
mod load;
mod pool;
mod request;
pub mod strategy;
mod sync;
#[cfg(all(feature = "testing", not(loom)))]
#[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
pub mod testing;
mod time;
mod verdict;
mod view;

#[doc(hidden)]
pub use crate::guard::take_panicked;
pub use crate::{
    binding::{Binding, BindingOutcome, MissReason},
    endpoint::{
        Address, Availability, Closing, Endpoint, EndpointId, EndpointSpec, InvalidAddress, InvalidSpec, MAX_WEIGHT,
        Slot, Tier,
    },
    entropy::{Entropy, SeededEntropy},
    explain::{Candidate, Explanation, Fate},
    lease::{AnyTarget, Lease},
    pool::{Acquire, AppliedChanges, Changes, EndpointStatus, Idle, PickError, Pool, PoolBuilder, Revision, Spillover},
    pool::{TryUpdateError, UpdateError},
    request::PickRequest,
    strategy::{AnyStrategy, BuildError, Needs, P2c, PeakEwma, PickCx, Picker, Random, RoundRobin, Strategy, Tickets},
    strategy::{Aperture, InvalidCombinator, SlowStart, Subset, ZoneAware},
    strategy::{BoundedLoad, InvalidHashing, Jump, Keyed, Maglev, Rendezvous, Ring, SourceKey, SourcePrefix},
    strategy::{Edf, FirstFit, InvalidChoices, LeastConnections, LeastTime},
    strategy::{InvalidSpan, InvalidStrategy, StrategySpec},
    time::{Clock, ManualClock, SystemClock, Timestamp},
    verdict::{Failure, Verdict},
    view::{Layered, View},
};
