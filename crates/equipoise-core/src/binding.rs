use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ids::EndpointId;

/// The endpoint to which a session is bound, and what happens if that endpoint cannot serve a request: see
/// [`PickRequest::bound`](crate::PickRequest::bound).
///
/// The endpoint is picked if its [availability](crate::Availability) accepts bound requests, and it is neither excluded
/// nor at its limit. It may be draining or have weight 0. Otherwise:
///
/// 1. If the binding is [strict](Self::strict), the pick fails.
/// 2. If the binding has a [session](Self::session), another endpoint stands in: the one that rendezvous hashing of the
///    session gives among the eligible endpoints, by tier. All balancers that see the same eligible endpoints agree on
///    it. It differs between sessions, so the sessions of a failed endpoint are spread over the others by weight.
/// 3. Otherwise, or if no endpoint can stand in, the strategy picks.
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
    /// `None`: it has left the pool, and its id is not known.
    pub(crate) endpoint: Option<EndpointId>,
    pub(crate) session: Option<u64>,
    pub(crate) max_share: Option<f32>,
    pub(crate) strict: bool,
    pub(crate) forced: bool,
}

/// Keeps this hash independent of others of the same bytes.
const SALT: u64 = 0x7365_7373_696f_6e73;

impl Binding {
    /// Creates a binding to this endpoint. If it cannot serve a request, the strategy picks.
    pub fn to(endpoint: impl Into<EndpointId>) -> Self {
        Self { endpoint: Some(endpoint.into()), session: None, max_share: None, strict: false, forced: false }
    }

    /// Creates a binding to an endpoint that has left the pool and whose id is not known, such as one that only a keyed hash
    /// names. The endpoint is [`Gone`](MissReason::Gone), so the [session](Self::session) selects another one by
    /// rendezvous hashing.
    ///
    /// ```
    /// use equipoise_core::{Binding, BindingOutcome, EndpointSpec, MissReason, PickRequest, Pool};
    ///
    /// let pool = Pool::default();
    /// pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
    /// let binding = Binding::to_departed(b"user-42");
    /// let lease = pool.pick(&PickRequest::new().bound(&binding))?;
    /// assert_eq!(lease.binding_outcome(), BindingOutcome::Missed(MissReason::Gone));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn to_departed(session: impl AsRef<[u8]>) -> Self {
        Self { endpoint: None, session: None, max_share: None, strict: false, forced: false }.session(session)
    }

    /// Sets what identifies the session among those that are bound to the same endpoint, such as its key or the number
    /// of its token. If the endpoint cannot serve a request, the stand-in is chosen by it. Only a hash is stored.
    /// Default: none, so the strategy picks.
    #[must_use]
    pub fn session(mut self, session: impl AsRef<[u8]>) -> Self {
        self.session = Some(xxh3_64_with_seed(session.as_ref(), SALT));
        self
    }

    /// Sets the maximum share: requests go elsewhere while one more would give the endpoint more than `factor` times
    /// its average share of the requests in flight in its tier. The share is by weight and is rounded up, as in
    /// [`BoundedLoad`](crate::BoundedLoad).
    ///
    /// Usual values are 1.2 to 2; values below 1 and NaN count as 1. Default: no maximum. Strict bindings ignore it.
    /// The cost is O(n) in the endpoints of the tier while the endpoint has requests in flight, otherwise O(1).
    #[must_use]
    pub fn max_share(mut self, factor: f32) -> Self {
        self.max_share = Some(factor.max(1.0));
        self
    }

    /// Makes the binding strict: if the endpoint cannot serve a request, the pick fails with
    /// [`PickError::Bound`](crate::PickError::Bound). A strict binding ignores [`max_share`](Self::max_share).
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Makes the binding forced: the endpoint is picked regardless of its availability, even if it is unhealthy or in
    /// maintenance, or on probation with its one request out.
    ///
    /// For operators who test a server in maintenance; HAProxy calls it `force-persist`. The endpoint must still be a
    /// member, below its limit, admitted by the strategy and not excluded. If the binding is also
    /// [strict](Self::strict), the request goes to that endpoint or fails.
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

    /// Returns the id of the endpoint, or `None` if it has left the pool and [its id is not known](Self::to_departed).
    pub fn endpoint(&self) -> Option<&EndpointId> {
        self.endpoint.as_ref()
    }
}

/// Whether a pick followed the [binding](crate::PickRequest::bound) or [preference](crate::PickRequest::prefer) of its
/// request: returned by [`Lease::binding_outcome`](crate::Lease::binding_outcome).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum BindingOutcome {
    /// The request has no binding and no preference.
    #[default]
    Unbound,
    /// The endpoint that the request is bound to or prefers was picked.
    Kept,
    /// Another endpoint was picked, for this reason.
    Missed(MissReason),
}

impl BindingOutcome {
    /// The outcome as a stable label for metrics and logs. For the reason of a miss, see [`MissReason::as_str`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unbound => "unbound",
            Self::Kept => "kept",
            Self::Missed(_) => "missed",
        }
    }
}

/// Why the endpoint that a request is bound to or prefers was not picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum MissReason {
    /// The pool has no endpoint of this id.
    Gone,
    /// The endpoint is in maintenance, for example because the deadline of its drain has passed.
    Maintenance,
    /// The endpoint is unhealthy.
    Unhealthy,
    /// The request excludes the endpoint, usually because it has failed this request.
    Excluded,
    /// The endpoint is at its limit.
    Full,
    /// The endpoint is on probation, and another request decides it.
    OnProbation,
    /// The strategy did not admit the request.
    Refused,
    /// The endpoint has more than its [maximum share](Binding::max_share).
    Overloaded,
}

impl MissReason {
    /// All reasons, in the order of their declaration.
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

    /// The reason as a stable label for metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Maintenance => "maintenance",
            Self::Unhealthy => "unhealthy",
            Self::Excluded => "excluded",
            Self::Full => "full",
            Self::OnProbation => "on_probation",
            Self::Refused => "refused",
            Self::Overloaded => "overloaded",
        }
    }

    /// Returns whether the reason is temporary: the endpoint is busy or on probation, and may serve the session again
    /// soon.
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
