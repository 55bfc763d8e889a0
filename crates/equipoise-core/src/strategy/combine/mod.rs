//! Combinators: strategies that narrow, divide or thin what another strategy chooses from.
//!
//! Each wraps any strategy, another combinator too, and hands on everything: the request's key, cost and exclusions,
//! the explanation's notes, all hooks, and what the wrapped strategy remembers. They compose with what the pool does
//! by itself: each tier has pickers of its own, so every combinator works within a tier.
//!
//! | question | answer |
//! | --- | --- |
//! | Who steps in when the others are gone? | a [`Tier`](crate::Tier): [`Tier::BACKUP`](crate::Tier::BACKUP) |
//! | When do tiers share the traffic? | [`PoolBuilder::spillover`](crate::PoolBuilder::spillover) |
//! | How many connections may a client hold? | [`Subset`], or [`Aperture`] where clients know their number |
//! | Who is near? | [`ZoneAware`] |
//! | Who is cold? | [`SlowStart`] |
//!
//! Order matters: what is outermost looks at the whole tier. Put [`SlowStart`] outermost, so that it sees who is new
//! to the pool and not who is new to a subset, and whoever limits connections next. What keeps one account of a tier
//! ([`BoundedLoad`](crate::BoundedLoad)) goes around [`ZoneAware`], which builds what it wraps twice.
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
