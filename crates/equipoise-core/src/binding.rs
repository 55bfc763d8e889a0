use std::fmt;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::ids::EndpointId;

/// The endpoint to which a session belongs, and what happens if this endpoint (the bound endpoint) cannot serve a
/// request of the session. Passed to a pool with [`PickRequest::bound`](crate::PickRequest::bound).
///
/// The bound endpoint is picked if all of these conditions are met:
///
/// - Its [availability](crate::Availability) accepts requests that are bound to it. Its weight may be 0.
/// - It has fewer requests in flight than its maximum, and fewer than its [maximum share](Self::max_share).
/// - The request does not exclude it.
/// - The strategy admits the request.
///
/// Otherwise the pool applies the first of these rules whose condition is met:
///
/// 1. If the binding is [strict](Self::strict), the pick fails.
/// 2. If the binding has a [session](Self::session), the pool chooses another endpoint by rendezvous hashing of the
///    session. It chooses among the eligible endpoints of the first tier (priority group) that has capacity. All
///    balancers that see the same eligible endpoints choose the same endpoint. If an endpoint fails, its sessions are
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

    /// Creates a binding of `session` to an endpoint that has left the pool. Use it if the id of that endpoint is not
    /// known, for example because the session stores only a keyed hash of the id.
    ///
    /// A pick with this binding chooses another endpoint by rendezvous hashing of the [session](Self::session). The
    /// [`BindingOutcome`] of the pick has the reason [`Gone`](MissReason::Gone).
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
    /// long as the eligible endpoints are the same. Only a hash of the value is stored. Default: no session. Without a
    /// session, the strategy picks the other endpoint.
    #[must_use]
    pub fn session(mut self, session: impl AsRef<[u8]>) -> Self {
        self.session = Some(xxh3_64_with_seed(session.as_ref(), SALT));
        self
    }

    /// Sets the maximum number of requests in flight at the bound endpoint, as a multiple of the endpoint's fair share.
    ///
    /// - The fair share is the bound endpoint's part, by weight, of all requests in flight in its tier (priority
    ///   group). The new request is included.
    /// - The maximum is `factor` × the fair share, rounded up. Example: with the new request, 20 requests would be in
    ///   flight at 10 endpoints of equal weight. The fair share is 2. With `factor` 1.5, the maximum is 3.
    /// - If the new request would exceed the maximum, the pool tries another endpoint. If no other endpoint can serve
    ///   the request, the bound endpoint serves it.
    ///
    /// Range of `factor`: 1.0 and above. Lower values and NaN count as 1.0. Usual values are 1.2 to 2. Default: no
    /// maximum. [Strict](Self::strict) bindings ignore the maximum. Checking the maximum takes O(n) time for n
    /// endpoints of the tier, or O(1) if the bound endpoint has no requests in flight.
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
    /// Operators can use this to test a server in maintenance. HAProxy has this feature under the name `force-persist`.
    /// These conditions still apply:
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

/// Whether a pick chose the endpoint to which the request is [bound](crate::PickRequest::bound) or which the request
/// [prefers](crate::PickRequest::prefer). Returned by [`Lease::binding_outcome`](crate::Lease::binding_outcome).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum BindingOutcome {
    /// The request has no binding and no preferred endpoint.
    #[default]
    Unbound,
    /// The endpoint that the request is bound to or prefers was picked.
    Kept,
    /// The request is bound to an endpoint or prefers an endpoint, but the pick chose another endpoint. The value says
    /// why the pick did not choose the bound or preferred endpoint.
    Missed(MissReason),
}

impl BindingOutcome {
    /// Returns the outcome as a stable label for metrics and logs: `unbound`, `kept` or `missed`. For the label of the
    /// reason in [`Missed`](Self::Missed), see [`MissReason::as_str`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unbound => "unbound",
            Self::Kept => "kept",
            Self::Missed(_) => "missed",
        }
    }
}

/// Why a pick did not choose the endpoint to which the request is bound or which the request prefers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum MissReason {
    /// The pool has no endpoint with the id of the bound or preferred endpoint.
    Gone,
    /// The bound or preferred endpoint is in [maintenance](crate::Availability::Maintenance), for example because the
    /// deadline of its drain has passed.
    Maintenance,
    /// The bound or preferred endpoint is [unhealthy](crate::Availability::Unhealthy). An unhealthy endpoint is picked
    /// only while its tier (priority group) is in a [panic](crate::PoolBuilder::panic_threshold), and this tier is not
    /// in a panic.
    Unhealthy,
    /// The request excludes the bound or preferred endpoint, usually because that endpoint has already failed to serve
    /// the request.
    Excluded,
    /// The bound or preferred endpoint has reached its [maximum number of requests in
    /// flight](crate::EndpointSpec::max_in_flight).
    Full,
    /// The bound or preferred endpoint is on [probation](crate::Availability::Probation): it gets only a single
    /// request, and that request has already been sent.
    OnProbation,
    /// The strategy did not admit the request to the bound or preferred endpoint.
    Refused,
    /// The bound endpoint has the maximum number of requests in flight that the binding allows with
    /// [`max_share`](Binding::max_share). One more request would exceed this maximum.
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
