use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use equipoise_proxy::error::ErrorResponses;
use http::{
    HeaderName, HeaderValue, StatusCode,
    header::{AUTHORIZATION, Entry, WWW_AUTHENTICATE},
    request::Parts,
};
use tower_layer::Layer;

use super::{
    Auth, AuthFailure, AuthStats, Authenticate, Authenticated, IdentityFields, Realm, Requirements,
    any::{Decision, Refused, Schemes},
    fields::remove_all,
    stats::LayerCounters,
};
use crate::{Denial, Identity};

/// A layer that passes on only requests whose sender has proved its identity.
///
/// - Clients cannot claim an identity: the [`IdentityFields`] and the fields that schemes write are removed from each
///   request, and set from the verified [`Identity`].
/// - The `Identity` is an extension of the request, for inner layers and services, and of the response, for access logs: also of
///   responses with status 403 to an identity that does not meet the requirements. An
///   `Identity` that an outer layer has set is replaced, and removed from anonymous requests.
/// - Requests that are not accepted get a response of the layer, and the inner service does not see them:
///
/// | status | code | reason |
/// | --- | --- | --- |
/// | 401 | `missing_credentials` | no scheme has found credentials |
/// | 401 | `invalid_credentials` | credentials are not valid |
/// | 403 | `forbidden`, `insufficient_scope` | the identity does not meet the [`Requirements`] |
/// | 503 | `auth_unavailable` | a scheme cannot decide at present |
/// | any | any | a scheme wants this response ([`AuthFailure::Denied`]) |
///
/// Responses with status 401 have `WWW-Authenticate`, with the challenges of all schemes. If no scheme has a challenge, as
/// with client certificates only, the status is 403 instead: HTTP allows 401 only with a challenge. Responses have
/// `Cache-Control: no-store`.
///
/// Preflight requests of CORS have no credentials, so that they are denied. Put the layer for CORS around this one.
///
/// The layer is cheap to clone. Clones share the counters. It allocates no memory for a request if the schemes decide at once.
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
    schemes: Schemes,
    optional: bool,
    realm: Realm,
    fields: IdentityFields,
    requirements: Requirements,
    errors: ErrorResponses,
    counters: Arc<LayerCounters>,
}

impl AuthLayer {
    /// Creates a layer with one scheme.
    #[must_use]
    pub fn new(scheme: impl Authenticate) -> Self {
        Self::of(Schemes::new(scheme), false)
    }

    /// Creates a layer without schemes, which passes on all requests without an identity. It removes the
    /// [identity fields](Self::identity_fields) of clients. Use it for routes without authentication if their backend believes
    /// these fields.
    #[must_use]
    pub fn anonymous() -> Self {
        Self::of(Schemes::default(), true)
    }

    fn of(schemes: Schemes, optional: bool) -> Self {
        Self {
            schemes,
            optional,
            realm: Realm::default(),
            fields: IdentityFields::default(),
            requirements: Requirements::default(),
            errors: ErrorResponses::default(),
            counters: Arc::default(),
        }
    }

    /// Adds a scheme. One of the schemes has to accept a request: see [`AnyOf`](super::AnyOf). For schemes that all have to
    /// accept it, use [`AllOf`](super::AllOf).
    #[must_use]
    pub fn or(mut self, scheme: impl Authenticate) -> Self {
        self.schemes.push(scheme);
        self
    }

    /// Passes on requests without credentials too, without an identity. Requests with invalid credentials are still denied, and
    /// so are those for which no decision is possible. Default: requests without credentials are denied. The
    /// [requirements](Self::require) hold for requests with an identity only.
    #[must_use]
    pub fn optional(mut self) -> Self {
        self.optional = true;
        self
    }

    /// Sets what identities need. Default: nothing.
    #[must_use]
    pub fn require(mut self, requirements: Requirements) -> Self {
        self.requirements = requirements;
        self
    }

    /// Sets the realm of challenges. Default: `gateway`.
    #[must_use]
    pub fn realm(mut self, realm: Realm) -> Self {
        self.realm = realm;
        self
    }

    /// Sets the fields that tell the backend about the identity. Default: `X-Auth-User` with its name.
    #[must_use]
    pub fn identity_fields(mut self, fields: IdentityFields) -> Self {
        self.fields = fields;
        self
    }

    /// Sets the form of the responses to requests that are denied. Default: [`ErrorResponses::new`].
    #[must_use]
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.errors = errors;
        self
    }

    /// Returns what the layer has decided since it was created.
    pub fn stats(&self) -> AuthStats {
        self.counters.stats(self.schemes.stats())
    }
}

impl<S> Layer<S> for AuthLayer {
    type Service = Auth<S>;

    fn layer(&self, inner: S) -> Auth<S> {
        Auth::new(inner, Arc::new(Gate::new(self)))
    }
}

impl fmt::Debug for AuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer")
            .field("schemes", &self.schemes)
            .field("optional", &self.optional)
            .field("realm", &self.realm)
            .field("fields", &self.fields)
            .field("requirements", &self.requirements)
            .finish_non_exhaustive()
    }
}

/// What a client gets if its request is not passed on.
pub(super) struct Denied {
    pub(super) denial: Box<Denial>,
    /// The identity of the client, if it is known.
    pub(super) identity: Option<Identity>,
}

/// What services need of a layer.
#[derive(Debug)]
pub(super) struct Gate {
    layer: AuthLayer,
    /// The challenges of the schemes that have one, with the places of the schemes.
    challenges: Vec<(usize, HeaderValue)>,
    /// The fields that schemes write.
    written: Vec<HeaderName>,
}

impl Gate {
    fn new(layer: &AuthLayer) -> Self {
        let challenges = layer.schemes.challenges(&layer.realm);
        Self { challenges, written: layer.schemes.written_fields(), layer: layer.clone() }
    }

    pub(super) fn schemes(&self) -> &Schemes {
        &self.layer.schemes
    }

    pub(super) fn errors(&self) -> &ErrorResponses {
        &self.layer.errors
    }

    /// Removes what a client cannot say before schemes read the request.
    pub(super) fn clean(&self, parts: &mut Parts) {
        // A client could otherwise have fields removed that are set below, where hop-by-hop fields are removed.
        equipoise_proxy::headers::remove_named_fields(&mut parts.headers);
        self.layer.fields.remove_from(&mut parts.headers);
        parts.extensions.remove::<Identity>();
        if let Entry::Occupied(mut fields) = parts.headers.entry(AUTHORIZATION) {
            fields.iter_mut().for_each(|value| value.set_sensitive(true));
        }
    }

    /// Applies a decision to a request. Returns what the response to a request that is passed on gets. `None` if it is
    /// anonymous.
    pub(super) fn apply(&self, parts: &mut Parts, decision: Decision) -> Result<Option<Authenticated>, Denied> {
        let counters = &self.layer.counters;
        match decision {
            Ok(authenticated) => {
                if let Some(denial) = self.layer.requirements.denial(authenticated.identity(), &self.layer.realm) {
                    counters.forbidden.fetch_add(1, Relaxed);
                    tracing::debug!(
                        mechanism = %authenticated.identity().mechanism(), code = denial.code(),
                        "a request is denied: its identity does not meet the requirements"
                    );
                    let identity = Some(authenticated.identity().clone());
                    return Err(Denied { denial: Box::new(denial), identity });
                }
                counters.allowed.fetch_add(1, Relaxed);
                self.remove(parts);
                self.admit(parts, &authenticated);
                Ok(Some(authenticated))
            }
            Err(Refused { failure: AuthFailure::Missing, .. }) if self.layer.optional => {
                counters.anonymous.fetch_add(1, Relaxed);
                self.remove(parts);
                Ok(None)
            }
            Err(refused) => {
                counters.count_failure(&refused.failure);
                Err(Denied { denial: self.denial(refused), identity: None })
            }
        }
    }

    /// Removes credentials, and what a client cannot say. Before it, schemes can read fields that they write themselves.
    fn remove(&self, parts: &mut Parts) {
        self.layer.schemes.remove_credentials(parts);
        remove_all(&mut parts.headers, &self.written);
    }

    fn admit(&self, parts: &mut Parts, authenticated: &Authenticated) {
        for (name, value) in authenticated.fields().filter(|(name, _)| self.written.contains(name)) {
            parts.headers.append(name, value.clone());
        }
        self.layer.fields.set(&mut parts.headers, authenticated.identity());
        parts.extensions.insert(authenticated.identity().clone());
    }

    fn denial(&self, refused: Refused) -> Box<Denial> {
        let (code, message) = match refused.failure {
            AuthFailure::Denied(denial) => return denial,
            AuthFailure::Unavailable { reason } => {
                tracing::debug!(%reason, "a request is denied: its authentication is not possible");
                let message = "the credentials cannot be verified at present";
                return Box::new(Denial::new(StatusCode::SERVICE_UNAVAILABLE, "auth_unavailable", message));
            }
            AuthFailure::Missing => ("missing_credentials", "the request has no credentials"),
            AuthFailure::Invalid { reason, .. } => {
                tracing::debug!(reason, "a request is denied: its credentials are not valid");
                ("invalid_credentials", "the credentials of the request are not valid")
            }
        };
        let own = |at: usize| refused.challenges.iter().find(|(place, _)| *place == at);
        let mut challenges: Vec<&HeaderValue> =
            self.challenges.iter().map(|(at, challenge)| own(*at).map_or(challenge, |(_, own)| own)).collect();
        let has_general = |at: &usize| self.challenges.iter().any(|(place, _)| place == at);
        challenges.extend(refused.challenges.iter().filter(|(at, _)| !has_general(at)).map(|(_, own)| own));
        let status = if challenges.is_empty() { StatusCode::FORBIDDEN } else { StatusCode::UNAUTHORIZED };
        let denial = Denial::new(status, code, message);
        let add = |denial: Denial, challenge: &HeaderValue| denial.field(WWW_AUTHENTICATE, challenge.clone());
        Box::new(challenges.into_iter().fold(denial, add))
    }
}
