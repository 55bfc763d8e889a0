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

    /// Whether it cannot go just anywhere.
    pub(crate) fn is_picky(&self) -> bool {
        !self.exclude.is_empty() || matches!(self.prefer, Some(Prefer::Bound(binding)) if binding.strict)
    }

    pub(crate) fn excludes(&self, id: &EndpointId) -> bool {
        self.exclude.contains(id)
    }
}

impl Default for PickRequest<'_> {
    fn default() -> Self {
        Self::new()
    }
}
