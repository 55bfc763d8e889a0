use std::{fmt, sync::Arc};

use equipoise_proxy::error::ErrorResponses;
use tower_layer::Layer;

use super::{
    Auth, AuthStats, Authenticate, IdentityFields, Realm, Requirements,
    any::Schemes,
    gate::{Gate, Settings},
};

/// A layer that passes on only requests whose sender has proved its identity.
///
/// - Clients cannot claim an identity: the [`IdentityFields`] and the fields that schemes write are removed from each
///   request, and set from the verified [`Identity`](crate::Identity).
/// - The `Identity` is an extension of the request, for inner layers and services, and of the response, for access
///   logs: also of responses with status 403 to an identity that does not meet the requirements. An `Identity` that an
///   outer layer has set is replaced, and removed from anonymous requests.
/// - Requests that are not accepted get a response of the layer, and the inner service does not see them:
///
/// | status | code | reason |
/// | --- | --- | --- |
/// | 401 | `missing_credentials` | no scheme has found credentials |
/// | 401 | `invalid_credentials` | credentials are not valid |
/// | 403 | `forbidden`, `insufficient_scope` | the identity does not meet the [`Requirements`] |
/// | 503 | `auth_unavailable` | a scheme cannot decide at present. With `Retry-After` |
/// | any | any | the response of a scheme ([`AuthFailure::Denied`](super::AuthFailure::Denied)) |
///
/// Responses with status 401 have `WWW-Authenticate`, with the challenges of all schemes. If no scheme has a challenge,
/// as with client certificates only, the status is 403 instead: HTTP allows 401 only with a challenge. Responses have
/// `Cache-Control: no-store`.
///
/// Preflight requests of CORS have no credentials, so that they are denied. Put the layer for CORS around this one.
///
/// The layer is cheap to clone. Clones share the counters. It allocates no memory for a request if the schemes decide
/// at once.
///
/// ```
/// use equipoise_gateway::auth::{ApiKey, ApiKeys, AuthLayer, Requirements};
///
/// let generated = ApiKeys::generate();
/// let keys: ApiKeys = format!("reports:{}:team=a", generated.hash).parse()?;
/// let layer = AuthLayer::new(ApiKey::header(keys)).require(Requirements::new().attribute("team", ["a", "b"]));
/// # drop(layer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct AuthLayer {
    settings: Settings,
}

impl AuthLayer {
    /// Creates a layer with one scheme.
    #[must_use]
    pub fn new(scheme: impl Authenticate) -> Self {
        Self::of(Schemes::new(scheme), false)
    }

    /// Creates a layer without schemes, which passes on all requests without an identity. It removes the [identity
    /// fields](Self::identity_fields) of clients. Use it for routes without authentication if their backend believes
    /// these fields.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::of(Schemes::default(), true)
    }

    fn of(schemes: Schemes, optional: bool) -> Self {
        Self { settings: Settings::new(schemes, optional) }
    }

    /// Adds a scheme. One of the schemes has to accept a request: see [`AnyOf`](super::AnyOf). For schemes that all
    /// have to accept it, use [`AllOf`](super::AllOf). Names of different schemes can be equal: compare the
    /// [mechanism](Requirements::mechanisms) too if the names of one scheme can be chosen by others.
    #[must_use]
    pub fn or(mut self, scheme: impl Authenticate) -> Self {
        self.settings.schemes.push(scheme);
        self
    }

    /// Passes on requests without credentials too, without an identity. Requests with invalid credentials are still
    /// denied, and so are those for which no decision is possible. Default: requests without credentials are denied.
    /// The [requirements](Self::require) hold for requests with an identity only.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.settings.optional = true;
        self
    }

    /// Sets what identities need. Default: nothing.
    #[must_use]
    pub fn require(mut self, requirements: Requirements) -> Self {
        self.settings.requirements = requirements;
        self
    }

    /// Sets the realm of challenges. Default: `gateway`.
    #[must_use]
    pub fn realm(mut self, realm: Realm) -> Self {
        self.settings.realm = realm;
        self
    }

    /// Sets the fields that tell the backend about the identity. Default: `X-Auth-User` with its name.
    #[must_use]
    pub fn identity_fields(mut self, fields: IdentityFields) -> Self {
        self.settings.fields = fields;
        self
    }

    /// Sets the form of the responses to requests that are denied. Default: [`ErrorResponses::new`].
    #[must_use]
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.settings.errors = errors;
        self
    }

    /// Returns whether the layer has no scheme, as that of [`anonymous`](Self::anonymous): then no request that it passes
    /// on has an identity.
    pub fn is_anonymous(&self) -> bool {
        self.settings.schemes.is_empty()
    }

    /// Returns what the layer has decided since it was created.
    pub fn stats(&self) -> AuthStats {
        self.settings.counters.stats(self.settings.schemes.stats())
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth::new(inner, Arc::new(Gate::new(self.settings.clone())))
    }
}

impl fmt::Debug for AuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer")
            .field("schemes", &self.settings.schemes)
            .field("optional", &self.settings.optional)
            .field("realm", &self.settings.realm)
            .field("fields", &self.settings.fields)
            .field("requirements", &self.settings.requirements)
            .finish_non_exhaustive()
    }
}
