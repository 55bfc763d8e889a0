use std::sync::Arc;

use crate::{binding::Binding, ids::EndpointId};

/// The properties of a request that decide where it is sent: its key, its cost, the endpoints that it excludes, and the
/// endpoint that it is bound to or prefers. Passed to [`Pool::pick`](crate::Pool::pick).
///
/// The type is `Copy`. It borrows the key and the ids, so that creating a request allocates no memory. For this reason,
/// [`exclude`](Self::exclude) and [`prefer`](Self::prefer) take references to [`EndpointId`]s. Other functions take
/// `impl Into<EndpointId>`, which allocates memory if the id is given as text.
///
/// ```
/// use equipoise_core::{EndpointId, EndpointSpec, PickRequest, Pool};
///
/// let pool = Pool::default();
/// pool.update(["10.0.0.7:8080", "10.0.0.8:8080"].map(EndpointSpec::new), |_| ())?;
/// let tried = [EndpointId::from("10.0.0.7:8080")];
/// let lease = pool.pick(&PickRequest::new().key(b"user-42").exclude(&tried))?;
/// assert_eq!(lease.endpoint().id().as_str(), "10.0.0.8:8080");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct PickRequest<'a> {
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) cost: f32,
    pub(crate) exclude: &'a [EndpointId],
    pub(crate) prefer: Option<Prefer<'a>>,
}

/// The endpoint that is tried before the strategy is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Prefer<'a> {
    Endpoint(&'a EndpointId),
    Bound(&'a Binding),
}

impl<'a> Prefer<'a> {
    pub(crate) fn endpoint(self) -> Option<&'a EndpointId> {
        match self {
            Self::Endpoint(id) => Some(id),
            Self::Bound(binding) => binding.endpoint(),
        }
    }
}

impl<'a> PickRequest<'a> {
    /// Creates a request with cost 1.0. It has no key, no binding and no preferred endpoint, and excludes no endpoint.
    pub const fn new() -> Self {
        Self { key: None, cost: 1.0, exclude: &[], prefer: None }
    }

    /// Sets the key of the request. Hashing strategies send all requests with the same key to the same endpoint. Other
    /// strategies ignore the key. An empty key is valid and differs from no key. Default: no key.
    #[must_use]
    pub const fn key(mut self, key: &'a [u8]) -> Self {
        self.key = Some(key);
        self
    }

    /// Sets the work that the request causes, as a multiple of the work of an average request. Default: 1.0. The
    /// strategies of this crate ignore the cost. A custom strategy can read it with
    /// [`PickCx::cost`](crate::PickCx::cost).
    #[must_use]
    pub const fn cost(mut self, cost: f32) -> Self {
        self.cost = cost;
        self
    }

    /// Sets the endpoints that must not be picked, such as those that have already failed to serve this request.
    /// Default: no endpoint is excluded.
    #[must_use]
    pub const fn exclude(mut self, ids: &'a [EndpointId]) -> Self {
        self.exclude = ids;
        self
    }

    /// Sets the endpoint that the request prefers. Default: no preferred endpoint. Replaces a binding that was set with
    /// [`bound`](Self::bound).
    ///
    /// The preferred endpoint is picked if all of these conditions are met:
    ///
    /// - Its [availability](crate::Availability) accepts requests that prefer it. Its weight may be 0.
    /// - It has not reached its maximum number of requests in flight.
    /// - The request does not exclude it.
    /// - The strategy admits the request.
    ///
    /// Otherwise the strategy picks an endpoint.
    #[must_use]
    pub const fn prefer(mut self, id: &'a EndpointId) -> Self {
        self.prefer = Some(Prefer::Endpoint(id));
        self
    }

    /// Sets the endpoint to which the request's session is bound, and what happens if that endpoint cannot serve the
    /// request. Default: no binding. Replaces an endpoint that was set with [`prefer`](Self::prefer).
    #[must_use]
    pub const fn bound(mut self, binding: &'a Binding) -> Self {
        self.prefer = Some(Prefer::Bound(binding));
        self
    }

    /// Returns whether the request has a [key](Self::key).
    pub const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Returns whether the request has a [strict](Binding::strict) binding: only one endpoint may serve it.
    pub(crate) fn is_strict(&self) -> bool {
        matches!(self.prefer, Some(Prefer::Bound(binding)) if binding.strict)
    }

    /// Returns whether the request has a forced binding.
    pub(crate) fn is_forced(&self) -> bool {
        matches!(self.prefer, Some(Prefer::Bound(binding)) if binding.forced)
    }

    /// Returns whether the request excludes this endpoint.
    pub(crate) fn excludes(&self, id: &EndpointId) -> bool {
        self.exclude.contains(id)
    }
}

/// An owned copy of a [`PickRequest`], for a request that waits in the queue.
#[derive(Debug)]
pub(crate) struct OwnedRequest {
    key: Option<Box<[u8]>>,
    cost: f32,
    exclude: Box<[EndpointId]>,
    prefer: Option<OwnedPrefer>,
}

#[derive(Debug)]
enum OwnedPrefer {
    Endpoint(EndpointId),
    Bound(Binding),
}

/// Which endpoints a waiting request can use. If two requests have equal `Wants`, each endpoint can serve both of them
/// or none of them. (A strategy that looks at their [cost](PickRequest::cost) is an exception.) The queue therefore
/// tries only the first of the two requests.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wants {
    /// The request can use this endpoint only.
    Only {
        endpoint: EndpointId,
        /// Whether the request has a key. Always false if the strategy ignores keys.
        keyed: bool,
        forced: bool,
        /// Whether the request excludes the endpoint. Such a request fails as soon as the endpoint is in the pool.
        excluded: bool,
    },
    /// The request can use all eligible endpoints that it does not exclude.
    Any {
        /// The ids of the excluded endpoints. Sorted and without duplicates, so that equal sets compare equal.
        exclude: Arc<[EndpointId]>,
        /// The key, if the strategy may refuse one key and admit another. Empty if only the presence of a key matters.
        /// `None` if the request has no key or the strategy ignores keys.
        key: Option<Box<[u8]>>,
        preferred: Option<Preferred>,
    },
}

/// Which property of a request's key decides whether an endpoint can serve the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyUse {
    /// No property: the strategy ignores keys.
    Ignored,
    /// The presence of a key. If an endpoint can serve one request with a key, it can serve every request with a key.
    Presence,
    /// The value of the key.
    Value,
}

/// The endpoint that a waiting request is bound to or prefers. The request can use it even if it is not eligible.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Preferred {
    /// `None`: the endpoint has left the pool, and its id is not known.
    pub(crate) endpoint: Option<EndpointId>,
    pub(crate) forced: bool,
    /// Whether the request has a session. If so, another endpoint can stand in for the preferred one.
    session: bool,
    /// The bits of the number that [`Binding::max_share`] has set.
    max_share: Option<u32>,
}

impl Preferred {
    fn plain(endpoint: Option<&EndpointId>) -> Self {
        Self { endpoint: endpoint.cloned(), forced: false, session: false, max_share: None }
    }

    fn bound(binding: &Binding) -> Self {
        Self {
            forced: binding.forced,
            session: binding.session.is_some(),
            max_share: binding.max_share.map(f32::to_bits),
            ..Self::plain(binding.endpoint.as_ref())
        }
    }
}

impl OwnedRequest {
    pub(crate) fn of(request: &PickRequest<'_>) -> Self {
        Self {
            key: request.key.map(Into::into),
            cost: request.cost,
            exclude: request.exclude.into(),
            prefer: request.prefer.map(|prefer| match prefer {
                Prefer::Endpoint(id) => OwnedPrefer::Endpoint(id.clone()),
                Prefer::Bound(binding) => OwnedPrefer::Bound(binding.clone()),
            }),
        }
    }

    pub(crate) fn as_request(&self) -> PickRequest<'_> {
        PickRequest {
            key: self.key.as_deref(),
            cost: self.cost,
            exclude: &self.exclude,
            prefer: self.prefer.as_ref().map(|prefer| match prefer {
                OwnedPrefer::Endpoint(id) => Prefer::Endpoint(id),
                OwnedPrefer::Bound(binding) => Prefer::Bound(binding),
            }),
        }
    }

    /// Returns which endpoints the request can use.
    pub(crate) fn wants(&self, key_use: KeyUse) -> Wants {
        let key = match key_use {
            KeyUse::Ignored => None,
            KeyUse::Presence => self.key.as_ref().map(|_| Box::default()),
            KeyUse::Value => self.key.clone(),
        };
        let preferred = match &self.prefer {
            Some(OwnedPrefer::Bound(Binding { endpoint: Some(id), strict: true, forced, .. })) => {
                let (excluded, keyed) = (self.exclude.contains(id), key.is_some());
                return Wants::Only { endpoint: id.clone(), keyed, forced: *forced, excluded };
            }
            Some(OwnedPrefer::Bound(binding)) => Some(Preferred::bound(binding)),
            Some(OwnedPrefer::Endpoint(id)) => Some(Preferred::plain(Some(id))),
            None => None,
        };
        let mut exclude = self.exclude.to_vec();
        exclude.sort_unstable();
        exclude.dedup();
        Wants::Any { exclude: exclude.into(), key, preferred }
    }
}

impl Default for PickRequest<'_> {
    fn default() -> Self {
        Self::new()
    }
}
