use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::endpoint::EndpointId;

/// Where a session belongs, and what is to happen when it cannot go there: see
/// [`PickRequest::bound`](crate::PickRequest::bound).
///
/// The endpoint is taken if it is a member that is not closed, not unfit (unless in a panic), not excluded and not at its
/// limit, also while it drains or has weight 0. (A [forced](Self::forced) binding does not ask for its state.) Otherwise,
/// in this order:
///
/// 1. the request fails, if the binding is [strict](Self::strict);
/// 2. if the binding knows its [session](Self::session), the endpoint is taken that rendezvous hashing names among those
///    which may be picked now, by priority: the same one on every balancer that sees the same endpoints as eligible,
///    and another one for each session, so that the sessions of one that has died spread over all by their weights;
/// 3. the strategy picks.
///
/// ```
/// use equipoise_core::{Binding, EndpointSpec, MissReason, PickRequest, Pool, BindingOutcome};
///
/// let pool = Pool::default();
/// pool.update(["a:80", "b:80", "c:80"].map(EndpointSpec::new), |_| ())?;
/// let binding = Binding::to("b:80").session(b"user-42");
/// let lease = pool.pick(&PickRequest::new().bound(&binding))?;
/// assert_eq!((lease.endpoint().id().as_str(), lease.binding_outcome()), ("b:80", BindingOutcome::Kept));
///
/// pool.remove("b:80")?;
/// let one = pool.pick(&PickRequest::new().bound(&binding))?;
/// let other = pool.pick(&PickRequest::new().bound(&binding))?;
/// assert_eq!(one.endpoint().id(), other.endpoint().id());
/// assert_eq!(one.binding_outcome(), BindingOutcome::Missed(MissReason::Gone));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Binding {
    pub(crate) endpoint: EndpointId,
    pub(crate) session: Option<u64>,
    pub(crate) until: Option<f32>,
    pub(crate) strict: bool,
    pub(crate) forced: bool,
}

/// Keeps the lot that a session draws apart from others that are drawn by the same bytes.
const SESSIONS: u64 = 0x7365_7373_696f_6e73;

impl Binding {
    /// To this endpoint; if it cannot be had, the strategy picks.
    pub fn to(endpoint: impl Into<EndpointId>) -> Self {
        Self { endpoint: endpoint.into(), session: None, until: None, strict: false, forced: false }
    }

    /// What tells the session from others that are bound to the same endpoint: a key, a token's number. Only a hash of it
    /// is kept.
    #[must_use]
    pub fn session(mut self, session: impl AsRef<[u8]>) -> Self {
        self.session = Some(xxh3_64_with_seed(session.as_ref(), SESSIONS));
        self
    }

    /// The endpoint is left when it would get more than `factor` times its share of what the eligible endpoints of its
    /// tier have in flight, by weight and rounded up (the bound of [`BoundedLoad`](crate::BoundedLoad)), and is come back
    /// to when it has less. At least 1, usually from 1.2 to 2; what is smaller or no number counts as 1. Costs a look at
    /// every endpoint of the tier, once the bound endpoint has anything in flight.
    #[must_use]
    pub fn max_share(mut self, factor: f32) -> Self {
        self.until = Some(factor.max(1.0));
        self
    }

    /// That endpoint or none: if it cannot be had the pick fails with
    /// [`PickError::Bound`](crate::PickError::Bound). Nobody has to [share](Self::max_share) then.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// The endpoint is taken in whatever state it is: also while it is [`Unfit`](crate::Availability::Unhealthy) or
    /// [`Closed`](crate::Availability::Maintenance), and on [`Trial`](crate::Availability::Probation) also if another request is
    /// trying it. For operators who look at a server in maintenance; HAProxy calls it `force-persist`.
    ///
    /// It still has to be a member, within its limit, let in by the strategy, and not excluded. Together with
    /// [`strict`](Self::strict) the request goes there or nowhere.
    ///
    /// ```
    /// use equipoise_core::{Availability, Binding, EndpointSpec, PickRequest, Pool};
    ///
    /// let pool = Pool::default();
    /// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// pool.set_availability("b:80", Availability::Maintenance)?;
    /// let binding = Binding::to("b:80").strict();
    /// assert!(pool.pick(&PickRequest::new().bound(&binding)).is_err());
    /// let binding = binding.forced();
    /// let lease = pool.pick(&PickRequest::new().bound(&binding))?;
    /// assert_eq!(lease.endpoint().id().as_str(), "b:80");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn forced(mut self) -> Self {
        self.forced = true;
        self
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &EndpointId {
        &self.endpoint
    }
}

/// What became of the endpoint that a request [preferred](crate::PickRequest::prefer) or was
/// [bound](crate::PickRequest::bound) to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum BindingOutcome {
    /// There was none.
    #[default]
    Unbound,
    /// It was taken.
    Kept,
    /// Another one was taken.
    Missed(MissReason),
}

/// Why a preferred endpoint was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum MissReason {
    /// The pool does not have it.
    Gone,
    /// It is closed: out of service, or its time to drain is over.
    Maintenance,
    /// It is unfit.
    Unhealthy,
    /// It is excluded from this request: it has failed it.
    Excluded,
    /// It is at its limit.
    Full,
    /// It is on trial, and another request is out to try it.
    OnProbation,
    /// The strategy lets no more in.
    Refused,
    /// It has more than its [share](Binding::max_share).
    Overloaded,
}

impl MissReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Gone,
        Self::Maintenance,
        Self::Unhealthy,
        Self::Excluded,
        Self::Full,
        Self::OnProbation,
        Self::Refused,
        Self::Overloaded,
    ];

    /// Whether it is there, and only has too much to do for the moment or is being tried, so that one may come back to it.
    pub const fn is_momentary(self) -> bool {
        matches!(self, Self::Full | Self::OnProbation | Self::Refused | Self::Overloaded)
    }
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gone => "gone",
            Self::Maintenance => "in maintenance",
            Self::Unhealthy => "unhealthy",
            Self::Excluded => "excluded",
            Self::Full => "full",
            Self::OnProbation => "on probation",
            Self::Refused => "refused by the strategy",
            Self::Overloaded => "overloaded",
        })
    }
}
