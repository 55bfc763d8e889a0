//! Combinators: strategies that wrap another strategy and restrict the endpoints from which the wrapped strategy picks.
//!
//! A combinator can wrap any strategy, including another combinator. The wrapped strategy sees the whole request: its
//! key, its cost and its excluded endpoints. The combinator passes on the calls of all hooks of
//! [`Strategy`](super::Strategy) to the wrapped strategy. Explanations of picks include the scores of the wrapped
//! strategy, if it computes scores. A combinator works within one tier (priority group of endpoints), because each tier
//! has its own pickers.
//!
//! | task | solution |
//! | --- | --- |
//! | use other endpoints if all usual ones are down | a second [`Tier`](crate::Tier), such as [`Tier::BACKUP`](crate::Tier::BACKUP) |
//! | share the traffic between tiers | [`PoolBuilder::spillover`](crate::PoolBuilder::spillover) |
//! | limit the number of endpoints that a client connects to | [`Subset`], or [`Aperture`] if clients are numbered |
//! | prefer endpoints in the same zone | [`ZoneAware`] |
//! | give new endpoints little traffic at first | [`SlowStart`] |
//!
//! If combinators are nested, their order matters, because only the outermost one sees the whole tier:
//!
//! - [`SlowStart`] should be outermost. Inside a subset, it would also give little traffic to endpoints that are new to
//!   the subset but not to the pool.
//! - [`Subset`] or [`Aperture`] should come next.
//! - [`BoundedLoad`](crate::BoundedLoad) should wrap [`ZoneAware`], because [`BoundedLoad`](crate::BoundedLoad) must
//!   count the requests of the whole tier. [`ZoneAware`] divides the tier into two parts, and each part has its own
//!   picker of the wrapped strategy.
//!
//! ```
//! use equipoise_core::{EndpointSpec, P2c, PickRequest, Pool, SlowStart, Spillover, Tier, ZoneAware};
//!
//! let strategy = SlowStart::new(ZoneAware::new(P2c::new(), "eu-1a"));
//! let pool = Pool::<()>::builder(strategy).spillover(Spillover::ENVOY).build();
//! pool.update(
//!     [
//!         EndpointSpec::new("10.0.1.1:80").zone("eu-1a"),
//!         EndpointSpec::new("10.0.2.1:80").zone("eu-1b"),
//!         EndpointSpec::new("10.9.1.1:80").zone("us-1a").tier(Tier::BACKUP),
//!     ],
//!     |_| (),
//! )?;
//! assert_eq!(pool.pick(&PickRequest::new())?.endpoint().id().as_str(), "10.0.1.1:80");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod aperture;
mod error;
mod part;
mod slow_start;
mod subset;
mod zone;

pub use self::{aperture::Aperture, error::InvalidCombinator, slow_start::SlowStart, subset::Subset, zone::ZoneAware};
