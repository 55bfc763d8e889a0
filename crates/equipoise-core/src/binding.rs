use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ids::EndpointId;

/// The endpoint to which a session is bound, and what happens if that endpoint cannot serve a request. Passed to a pool
/// with [`PickRequest::bound`](crate::PickRequest::bound).
///
/// The bound endpoint is picked if all of these conditions are met:
///
/// - Its [availability](crate::Availability) accepts requests that are bound to it. Its weight may be 0.
/// - It has reached neither its maximum number of requests in flight nor its [maximum share](Self::max_share).
/// - The request does not exclude it.
/// - The strategy admits the request.
///
/// Otherwise the pool applies the first of these rules whose condition is met:
///
/// 1. If the binding is [strict](Self::strict), the pick fails.
/// 2. If the binding has a [session](Self::session), another endpoint serves the request. It is chosen by rendezvous
///    hashing of the session among the eligible endpoints of the first tier (priority group) that has capacity. All
///    balancers that see the same eligible endpoints choose the same endpoint. The sessions of a failed endpoint are
///    spread over the other endpoints by weight.
/// 3. If the binding has no session, or if rendezvous hashing finds no endpoint, the strategy picks an endpoint.
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
    /// `None`: the endpoint has left the pool, and its id is not known.
    pub(crate) endpoint: Option<EndpointId>,
    pub(crate) session: Option<u64>,
    pub(crate) max_share: Option<f32>,
    pub(crate) strict: bool,
    pub(crate) forced: bool,
}

/// The seed of the session's hash. It makes this hash independent of other hashes of the same bytes.
const SALT: u64 = 0x7365_7373_696f_6e73;

impl Binding {
    /// Creates a binding to the endpoint with this id. If the endpoint cannot serve a request, the strategy picks
    /// another endpoint.
    pub fn to(endpoint: impl Into<EndpointId>) -> Self {
        Self { endpoint: Some(endpoint.into()), session: None, max_share: None, strict: false, forced: false }
    }

    /// Creates a binding of `session` to an endpoint that has left the pool. The id of this endpoint is not known, for
    /// example because the session stores only a keyed hash of the id.
    ///
    /// The pool treats the bound endpoint as [`Gone`](MissReason::Gone). Another endpoint serves the request: it is
    /// chosen by rendezvous hashing of the [session](Self::session).
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

    /// Sets a value that identifies the session, such as a user name. If the bound endpoint cannot serve a request, the
    /// pool hashes this value to choose another endpoint. The choice is the same for each request of the session, as
    /// long as the eligible endpoints are the same. Only a hash of the value is stored. Default: no session, so that
    /// the strategy picks the other endpoint.
    #[must_use]
    pub fn session(mut self, session: impl AsRef<[u8]>) -> Self {
        self.session = Some(xxh3_64_with_seed(session.as_ref(), SALT));
        self
    }

    /// Sets the maximum share of the bound endpoint: the maximum number of its requests in flight, as a multiple of its
    /// fair share.
    ///
    /// - The fair share of an endpoint is its part, by weight, of the requests in flight in its tier (priority group).
    ///   The new request is included.
    /// - The maximum is `factor` × the fair share, rounded up. Example: 20 requests, including the new one, would be in
    ///   flight at 10 endpoints of equal weight. The fair share is 2. With `factor` 1.5, the maximum is 3.
    /// - If the new request would exceed the maximum, another endpoint serves it, if another endpoint can.
    ///
    /// Range: 1.0 and above. Lower values and NaN count as 1.0. Usual values are 1.2 to 2. Default: no maximum.
    /// [Strict](Self::strict) bindings ignore the maximum. Checking the maximum takes O(n) time for n endpoints of the
    /// tier, or O(1) if the endpoint has no requests in flight.
    #[must_use]
    pub fn max_share(mut self, factor: f32) -> Self {
        self.max_share = Some(factor.max(1.0));
        self
    }

    /// Makes the binding strict: if the bound endpoint cannot serve a request, the pick fails with
    /// [`PickError::Bound`](crate::PickError::Bound). A strict binding ignores [`max_share`](Self::max_share).
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Makes the binding forced: the bound endpoint is picked regardless of its availability. It may be unhealthy or in
    /// maintenance. It may be on [probation](crate::Availability::Probation), even if it already serves its single
    /// request.
    ///
    /// Operators can use this to test a server in maintenance. HAProxy calls it `force-persist`. These conditions still
    /// apply:
    ///
    /// - The endpoint is in the pool.
    /// - It has fewer requests in flight than its maximum.
    /// - The request does not exclude it.
    /// - The strategy admits the request.
    ///
    /// If the binding is also [strict](Self::strict), the request goes to the bound endpoint or fails.
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

    /// Returns the id of the bound endpoint. `None` if the binding was created with [`to_departed`](Self::to_departed):
    /// the endpoint has left the pool and its id is not known.
    pub fn endpoint(&self) -> Option<&EndpointId> {
        self.endpoint.as_ref()
    }
}

/// Whether a pick followed the [binding](crate::PickRequest::bound) or the [preference](crate::PickRequest::prefer) of
/// its request. Returned by [`Lease::binding_outcome`](crate::Lease::binding_outcome).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum BindingOutcome {
    /// The request has no binding and no preferred endpoint.
    #[default]
    Unbound,
    /// The endpoint that the request is bound to or prefers was picked.
    Kept,
    /// The request is bound to an endpoint or prefers an endpoint, but another endpoint was picked. The value says why
    /// the bound or preferred endpoint was not picked.
    Missed(MissReason),
}

impl BindingOutcome {
    /// Returns the outcome as a stable label for metrics and logs: `unbound`, `kept` or `missed`. For the reason of a
    /// miss, see [`MissReason::as_str`].
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
    /// The pool has no endpoint with the id of the bound or preferred endpoint.
    Gone,
    /// The bound or preferred endpoint is in [maintenance](crate::Availability::Maintenance), for example because the
    /// deadline of its drain has passed.
    Maintenance,
    /// The bound or preferred endpoint is [unhealthy](crate::Availability::Unhealthy), and its tier (priority group) is
    /// not in a [panic](crate::PoolBuilder::panic_threshold).
    Unhealthy,
    /// The request excludes the endpoint that it is bound to or prefers, usually because that endpoint has already
    /// failed to serve it.
    Excluded,
    /// The bound or preferred endpoint has reached its [maximum number of requests in
    /// flight](crate::EndpointSpec::max_in_flight).
    Full,
    /// The bound or preferred endpoint is on [probation](crate::Availability::Probation): it may serve only a single
    /// request, and another request has already been sent to it.
    OnProbation,
    /// The strategy did not admit the request to the bound or preferred endpoint.
    Refused,
    /// The bound endpoint has its [maximum share](Binding::max_share): with one more request, its part of the requests
    /// in flight in its tier (priority group) would exceed the maximum.
    Overloaded,
}

impl MissReason {
    /// All variants of `MissReason`, in the order of their declaration.
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

    /// Returns the reason as a stable label for metrics and logs, such as `on_probation`.
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

    /// Returns whether the reason is temporary, so that the endpoint can probably serve the session again soon. True
    /// for [`Full`](Self::Full), [`OnProbation`](Self::OnProbation), [`Refused`](Self::Refused) and
    /// [`Overloaded`](Self::Overloaded).
    pub const fn is_temporary(self) -> bool {
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
