use std::sync::Arc;

use crate::{binding::Binding, ids::EndpointId};

/// What a pick knows of a request: its key, its cost, the endpoints it excludes, and the one that it is bound to or
/// prefers.
///
/// ```
/// use equipoise_core::{EndpointId, PickRequest};
///
/// let tried = [EndpointId::from("10.0.0.7:8080")];
/// let request = PickRequest::new().key(b"user-42").exclude(&tried);
/// # let _ = request;
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
    /// Creates a request of cost 1, without key, exclusions or binding.
    pub const fn new() -> Self {
        Self { key: None, cost: 1.0, exclude: &[], prefer: None }
    }

    /// Sets the key. Hashing strategies send requests of one key to one endpoint; other strategies ignore it. An empty
    /// key is a valid key. Default: no key.
    #[must_use]
    pub const fn key(mut self, key: &'a [u8]) -> Self {
        self.key = Some(key);
        self
    }

    /// Sets the work of the request, relative to an average request, which has cost 1.0, the default. Strategies of
    /// this crate ignore it; a custom strategy can use [`PickCx::cost`](crate::PickCx::cost).
    #[must_use]
    pub const fn cost(mut self, cost: f32) -> Self {
        self.cost = cost;
        self
    }

    /// Sets the endpoints that must not be picked, such as those that have failed this request. Default: none.
    #[must_use]
    pub const fn exclude(mut self, ids: &'a [EndpointId]) -> Self {
        self.exclude = ids;
        self
    }

    /// Sets the endpoint that the request prefers. In place of [`bound`](Self::bound).
    ///
    /// It is picked if its [availability](crate::Availability) accepts such requests, and it is neither excluded nor at
    /// its limit. It may be draining or have weight 0. Otherwise the strategy picks.
    #[must_use]
    pub const fn prefer(mut self, id: &'a EndpointId) -> Self {
        self.prefer = Some(Prefer::Endpoint(id));
        self
    }

    /// Sets the endpoint to which the request's session is bound, and what happens if that cannot serve it. In place of
    /// [`prefer`](Self::prefer).
    #[must_use]
    pub const fn bound(mut self, binding: &'a Binding) -> Self {
        self.prefer = Some(Prefer::Bound(binding));
        self
    }

    /// Returns whether the request has a [key](Self::key).
    pub const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Returns whether only one endpoint can serve the request.
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

/// A copy of a [`PickRequest`], for requests that wait.
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

/// Which endpoints a waiting request can use. Of requests with equal wants, either all can use an endpoint or none can,
/// unless the strategy looks at their [cost](PickRequest::cost). So it suffices to try the first of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wants {
    /// One endpoint only.
    Only {
        endpoint: EndpointId,
        /// Whether the request has a key, if the strategy uses keys.
        keyed: bool,
        forced: bool,
        /// The request excludes the endpoint: it fails once the endpoint is a member.
        excluded: bool,
    },
    /// Any eligible endpoint, except excluded ones.
    Any {
        /// Sorted and without duplicates, so that equal sets compare equal.
        exclude: Arc<[EndpointId]>,
        /// The key, if the strategy may refuse one key and admit another. Empty if it only matters that there is one.
        key: Option<Box<[u8]>>,
        preferred: Option<Preferred>,
    },
}

/// What of a request's key decides whether an endpoint can serve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyUse {
    /// Nothing: the strategy ignores keys.
    Ignored,
    /// Whether there is one: a request with a key can use every endpoint that another with a key can use.
    Presence,
    /// The key itself.
    Value,
}

/// The endpoint that a waiting request prefers: it can use that even if it is not eligible.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Preferred {
    /// `None`: it has left the pool, and its id is not known.
    pub(crate) endpoint: Option<EndpointId>,
    pub(crate) forced: bool,
    /// Whether the request has a session, for which another endpoint can stand in.
    session: bool,
    /// The bits of [`Binding::max_share`].
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
