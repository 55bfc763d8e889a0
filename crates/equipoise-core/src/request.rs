use std::sync::Arc;

use crate::{binding::Binding, endpoint::EndpointId};

/// What a pick may know of the request.
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

/// Where a request would rather go than where the strategy says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Prefer<'a> {
    Endpoint(&'a EndpointId),
    Bound(&'a Binding),
}

impl<'a> Prefer<'a> {
    pub(crate) fn endpoint(self) -> &'a EndpointId {
        match self {
            Self::Endpoint(id) => id,
            Self::Bound(binding) => &binding.endpoint,
        }
    }
}

impl<'a> PickRequest<'a> {
    /// A request of cost 1 about which nothing else is known.
    pub const fn new() -> Self {
        Self { key: None, cost: 1.0, exclude: &[], prefer: None }
    }

    /// What hashing strategies place the request by. Others ignore it. An empty key is a key like any other.
    #[must_use]
    pub const fn key(mut self, key: &'a [u8]) -> Self {
        self.key = Some(key);
        self
    }

    /// How much work it is, relative to the usual request (1.0), for strategies that care.
    #[must_use]
    pub const fn cost(mut self, cost: f32) -> Self {
        self.cost = cost;
        self
    }

    /// Endpoints that must not be picked: those already tried.
    #[must_use]
    pub const fn exclude(mut self, ids: &'a [EndpointId]) -> Self {
        self.exclude = ids;
        self
    }

    /// The endpoint that the client is bound to. It is taken if it is a member that is not closed, not excluded and
    /// not at its limit, also while it drains or has weight 0; otherwise the strategy picks.
    #[must_use]
    pub const fn prefer(mut self, id: &'a EndpointId) -> Self {
        self.prefer = Some(Prefer::Endpoint(id));
        self
    }

    /// Where the request's session belongs, and what is to happen if it cannot go there. In place of
    /// [`prefer`](Self::prefer).
    #[must_use]
    pub const fn bound(mut self, binding: &'a Binding) -> Self {
        self.prefer = Some(Prefer::Bound(binding));
        self
    }

    /// Whether it has a [key](Self::key).
    pub const fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Whether it can go to one endpoint only.
    pub(crate) fn is_strict(&self) -> bool {
        matches!(self.prefer, Some(Prefer::Bound(binding)) if binding.strict)
    }

    pub(crate) fn excludes(&self, id: &EndpointId) -> bool {
        self.exclude.contains(id)
    }
}

/// A [`PickRequest`] that owns what it says: for requests that wait.
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

/// What a waiting request can use. Of requests with equal wants, either each can use a place or none can, as far as it
/// does not depend on their [cost](PickRequest::cost); so the first of them stands for all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wants {
    /// This endpoint only.
    Only(EndpointId),
    /// Any endpoint that takes new work, except the excluded ones.
    Any {
        /// In order, so that equal sets are equal.
        exclude: Arc<[EndpointId]>,
        /// The request's key, if the strategy places by it: it might refuse one key and take another.
        key: Option<Box<[u8]>>,
        /// The endpoint that the request prefers, which it can use also while that takes no new work; and whether the
        /// request has a session, by which another endpoint can stand in.
        home: Option<(EndpointId, bool)>,
    },
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

    /// What it can use. `by_key`: the strategy places requests by their keys.
    pub(crate) fn wants(&self, by_key: bool) -> Wants {
        let home = match &self.prefer {
            Some(OwnedPrefer::Bound(binding)) if binding.strict => return Wants::Only(binding.endpoint.clone()),
            Some(OwnedPrefer::Bound(binding)) => Some((binding.endpoint.clone(), binding.session.is_some())),
            Some(OwnedPrefer::Endpoint(id)) => Some((id.clone(), false)),
            None => None,
        };
        let mut exclude = self.exclude.to_vec();
        exclude.sort_unstable();
        exclude.dedup();
        Wants::Any { exclude: exclude.into(), key: self.key.clone().filter(|_| by_key), home }
    }
}

impl Default for PickRequest<'_> {
    fn default() -> Self {
        Self::new()
    }
}
