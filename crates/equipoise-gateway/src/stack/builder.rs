use std::convert::Infallible;

use bytes::Bytes;
use equipoise_proxy::error::ErrorResponses;
use equipoise_tower::BoxError;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{AnyBody, FunctionsService, erase::Erased};
#[cfg(feature = "auth")]
use crate::auth::AuthLayer;
#[cfg(feature = "browser")]
use crate::browser::{CorsLayer, CsrfLayer, RequestIdLayer};
#[cfg(feature = "cache")]
use crate::cache::CacheLayer;
#[cfg(feature = "compression")]
use crate::compression::{CompressionLayer, DecompressionLayer};
use crate::filter::{
    FieldsLayer, FilterLayer, MaintenanceLayer, RedirectLayer, RequestBodyFilterLayer, ResponseBodyFilterLayer,
    UriLayer,
};
#[cfg(feature = "rate-limit")]
use crate::limit::{InFlightLayer, RateLimitLayer};

/// The functions of a listener or a route. See the [module](super) for their order.
///
/// Each method sets one function, and replaces it if it was set before. The default is no function. A layer can be used
/// in several `Functions`, which then share its state: one limit for two routes is one layer, and two limits are two
/// layers. Keep a clone of a layer to read its counters.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Functions {
    #[cfg(feature = "browser")]
    request_id: Option<RequestIdLayer>,
    client_fields: Option<FieldsLayer>,
    #[cfg(feature = "browser")]
    cors: Option<CorsLayer>,
    uri: Option<UriLayer>,
    filter: Option<FilterLayer>,
    maintenance: Option<MaintenanceLayer>,
    redirect: Option<RedirectLayer>,
    #[cfg(feature = "browser")]
    csrf: Option<CsrfLayer>,
    #[cfg(feature = "rate-limit")]
    limits: Limits,
    #[cfg(feature = "auth")]
    auth: Option<AuthLayer>,
    #[cfg(feature = "rate-limit")]
    identity_limits: Limits,
    #[cfg(feature = "compression")]
    compression: Option<CompressionLayer>,
    #[cfg(feature = "cache")]
    cache: Option<CacheLayer>,
    #[cfg(feature = "cache")]
    shares_cache: bool,
    backend_fields: Option<FieldsLayer>,
    #[cfg(feature = "compression")]
    decompression: Option<DecompressionLayer>,
    request_bodies: Option<RequestBodyFilterLayer>,
    response_bodies: Option<ResponseBodyFilterLayer>,
    errors: ErrorResponses,
}

#[cfg(feature = "rate-limit")]
#[derive(Clone, Debug, Default)]
struct Limits {
    rate: Option<RateLimitLayer>,
    in_flight: Option<InFlightLayer>,
}

#[cfg(feature = "rate-limit")]
impl Limits {
    fn use_identity(&self) -> bool {
        self.rate.as_ref().is_some_and(RateLimitLayer::uses_identity)
            || self.in_flight.as_ref().is_some_and(InFlightLayer::uses_identity)
    }
}

/// Which functions do not fit together, because a route would be open by mistake.
///
/// The text (`Display`) says what would be right. A `main` that returns `Result<(), Box<dyn Error>>` prints only the name
/// (`Debug`); one that returns `anyhow::Result<()>` prints the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidFunctions {
    /// The cache is behind the authentication, and its key does not contain the identity.
    #[error(
        "the cache would serve the response for one identity to another: add KeyPolicy::per_identity to its key, or call \
         share_cache_between_identities if all identities may see the same responses"
    )]
    SharedCache,
    /// The key of the cache contains the identity, and there is no authentication around it.
    #[error(
        "the key of the cache has the identity, which no request has without authentication: call authenticate, or leave \
         KeyPolicy::per_identity out"
    )]
    IdentityCacheWithoutAuthentication,
    /// A limit by identity has no authentication around it, or one that lets all requests pass without an identity
    /// ([`AuthLayer::anonymous`](crate::auth::AuthLayer::anonymous)).
    #[error("a limit of identities limits nothing without authentication: call authenticate, or limit by another key")]
    IdentityLimitWithoutAuthentication,
    /// A limit before the authentication has a key with the identity, which is not known there.
    #[error(
        "a limit by identity limits nothing before the authentication: use rate_limit_identities or \
         limit_identities_in_flight for it, or limit by another key"
    )]
    IdentityLimitBeforeAuthentication,
}

impl Functions {
    /// Creates an empty set of functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives each request an id (step 1).
    #[cfg(feature = "browser")]
    pub fn request_id(mut self, layer: RequestIdLayer) -> Self {
        self.request_id = Some(layer);
        self
    }

    /// Changes fields between the client and all other functions (step 1). Changes of responses apply also to those
    /// that other functions make, such as denials.
    pub fn client_fields(mut self, layer: FieldsLayer) -> Self {
        self.client_fields = Some(layer);
        self
    }

    /// Tells browsers which sites may read responses (step 2), also those of all functions below, such as
    /// maintenance. A preflight reaches none of them, so they cannot limit or deny it.
    #[cfg(feature = "browser")]
    pub fn cors(mut self, layer: CorsLayer) -> Self {
        self.cors = Some(layer);
        self
    }

    /// Refuses or rewrites ambiguous paths (step 3, before the filter).
    pub fn uri(mut self, layer: UriLayer) -> Self {
        self.uri = Some(layer);
        self
    }

    /// Allows and denies requests by their head and the address of the client, and limits their size (step 3).
    pub fn filter(mut self, layer: FilterLayer) -> Self {
        self.filter = Some(layer);
        self
    }

    /// Answers all requests while maintenance is on (step 4).
    pub fn maintenance(mut self, layer: MaintenanceLayer) -> Self {
        self.maintenance = Some(layer);
        self
    }

    /// Redirects requests (step 4, after maintenance).
    pub fn redirect(mut self, layer: RedirectLayer) -> Self {
        self.redirect = Some(layer);
        self
    }

    /// Denies requests that other sites make browsers send (step 5).
    #[cfg(feature = "browser")]
    pub fn csrf(mut self, layer: CsrfLayer) -> Self {
        self.csrf = Some(layer);
        self
    }

    /// Limits the rate of requests before the authentication (step 6), by the address of the client or any key that needs no
    /// identity.
    #[cfg(feature = "rate-limit")]
    pub fn rate_limit(mut self, layer: RateLimitLayer) -> Self {
        self.limits.rate = Some(layer);
        self
    }

    /// Limits the number of requests in flight before the authentication (step 6, after the rate limit).
    #[cfg(feature = "rate-limit")]
    pub fn limit_in_flight(mut self, layer: InFlightLayer) -> Self {
        self.limits.in_flight = Some(layer);
        self
    }

    /// Passes on only requests with an identity (step 7).
    #[cfg(feature = "auth")]
    pub fn authenticate(mut self, layer: AuthLayer) -> Self {
        self.auth = Some(layer);
        self
    }

    /// Limits the rate of requests after the authentication (step 8), by identity or any other key.
    #[cfg(feature = "rate-limit")]
    pub fn rate_limit_identities(mut self, layer: RateLimitLayer) -> Self {
        self.identity_limits.rate = Some(layer);
        self
    }

    /// Limits the number of requests in flight after the authentication (step 8, after the rate limit).
    #[cfg(feature = "rate-limit")]
    pub fn limit_identities_in_flight(mut self, layer: InFlightLayer) -> Self {
        self.identity_limits.in_flight = Some(layer);
        self
    }

    /// Compresses responses (step 9).
    #[cfg(feature = "compression")]
    pub fn compress(mut self, layer: CompressionLayer) -> Self {
        self.compression = Some(layer);
        self
    }

    /// Stores responses (step 10). Behind an authentication, the key of the cache must contain the identity
    /// ([`KeyPolicy::per_identity`](crate::cache::KeyPolicy::per_identity)), unless
    /// [`share_cache_between_identities`](Self::share_cache_between_identities) is called.
    #[cfg(feature = "cache")]
    pub fn cache(mut self, layer: CacheLayer) -> Self {
        self.cache = Some(layer);
        self
    }

    /// Allows that a cache behind the authentication serves a response for one identity to another. The cache does so
    /// only with responses that permit it, for example with `Cache-Control: public` or `s-maxage` (RFC 9111, section
    /// 3.5). Make sure that the backend sends this only for what all identities may see. Default: not allowed.
    #[cfg(feature = "cache")]
    pub fn share_cache_between_identities(mut self) -> Self {
        self.shares_cache = true;
        self
    }

    /// Changes the fields of requests to the backend, and those of its responses before the cache stores them (step
    /// 11).
    pub fn backend_fields(mut self, layer: FieldsLayer) -> Self {
        self.backend_fields = Some(layer);
        self
    }

    /// Decompresses the bodies of requests (step 11).
    #[cfg(feature = "compression")]
    pub fn decompress(mut self, layer: DecompressionLayer) -> Self {
        self.decompression = Some(layer);
        self
    }

    /// Gives the bodies of requests to filters, after they are decompressed (step 11).
    pub fn filter_request_bodies(mut self, layer: RequestBodyFilterLayer) -> Self {
        self.request_bodies = Some(layer);
        self
    }

    /// Gives the bodies of responses of the backend to filters (step 11).
    pub fn filter_response_bodies(mut self, layer: ResponseBodyFilterLayer) -> Self {
        self.response_bodies = Some(layer);
        self
    }

    /// Sets the responses for errors of the service, such as 502 for a backend that cannot be reached, and 404 for a request
    /// without a route. They are made just outside of the cache, which may serve a stored response instead, so all functions
    /// of the steps 1 to 9 apply to them. The denials of each function have a setting of their own. Give a `ReverseProxy`
    /// around the functions the same responses, and [`own_responses`](Self::own_responses): it answers the requests that it
    /// refuses and its own timeouts. Default: [`ErrorResponses::new`].
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.errors = errors;
        self
    }

    /// Checks whether the functions fit together.
    ///
    /// # Errors
    /// [`InvalidFunctions`] says which do not.
    pub fn check(&self) -> Result<(), InvalidFunctions> {
        #[cfg(all(feature = "auth", feature = "cache"))]
        if self.has_identities()
            && let Some(cache) = &self.cache
            && !cache.is_per_identity()
            && !self.shares_cache
        {
            return Err(InvalidFunctions::SharedCache);
        }
        #[cfg(feature = "cache")]
        if !self.has_authentication() && self.cache.as_ref().is_some_and(CacheLayer::is_per_identity) {
            return Err(InvalidFunctions::IdentityCacheWithoutAuthentication);
        }
        #[cfg(feature = "rate-limit")]
        if self.limits.use_identity() {
            return Err(InvalidFunctions::IdentityLimitBeforeAuthentication);
        }
        #[cfg(feature = "rate-limit")]
        if !self.has_identities() && (self.identity_limits.rate.is_some() || self.identity_limits.in_flight.is_some()) {
            return Err(InvalidFunctions::IdentityLimitWithoutAuthentication);
        }
        Ok(())
    }

    /// Returns whether there is an authentication, also if it lets all requests pass.
    #[cfg(feature = "cache")]
    fn has_authentication(&self) -> bool {
        #[cfg(feature = "auth")]
        return self.auth.is_some();
        #[cfg(not(feature = "auth"))]
        false
    }

    /// Returns whether requests have identities behind the authentication.
    #[cfg(any(feature = "rate-limit", all(feature = "auth", feature = "cache")))]
    fn has_identities(&self) -> bool {
        #[cfg(feature = "auth")]
        return self.auth.as_ref().is_some_and(|auth| !auth.is_anonymous());
        #[cfg(not(feature = "auth"))]
        false
    }

    /// Puts the functions around a service. The service is cloned for each request, and waited for until it is ready. It
    /// gets requests with the body [`AnyBody`]: write `Request<_>` for the request of a handler, not one type of body.
    ///
    /// # Errors
    /// [`InvalidFunctions`] says which functions do not fit together.
    pub fn layer<S, B, R>(&self, service: S) -> Result<FunctionsService<B, R>, InvalidFunctions>
    where
        S: Service<Request<AnyBody<B>>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.check().map(|()| self.wrap(service))
    }

    pub(super) fn wrap<S, B, R>(&self, service: S) -> FunctionsService<B, R>
    where
        S: Service<Request<AnyBody<B>>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        // From the innermost to the outermost.
        let service =
            Erased::backend(service).wrap(self.response_bodies.as_ref()).wrap_body(self.request_bodies.as_ref());
        #[cfg(feature = "compression")]
        let service = service.wrap_body(self.decompression.as_ref());
        let service = service.wrap(self.backend_fields.as_ref());
        #[cfg(feature = "cache")]
        let service = service.wrap(self.cache.as_ref());
        let service = service.answer_errors(self.errors.clone());
        #[cfg(feature = "compression")]
        let service = service.wrap(self.compression.as_ref());
        #[cfg(feature = "rate-limit")]
        let service = service.wrap(self.identity_limits.in_flight.as_ref()).wrap(self.identity_limits.rate.as_ref());
        #[cfg(feature = "auth")]
        let service = service.wrap(self.auth.as_ref());
        #[cfg(feature = "rate-limit")]
        let service = service.wrap(self.limits.in_flight.as_ref()).wrap(self.limits.rate.as_ref());
        #[cfg(feature = "browser")]
        let service = service.wrap(self.csrf.as_ref());
        let service = service
            .wrap(self.redirect.as_ref())
            .wrap(self.maintenance.as_ref())
            .wrap_body(self.filter.as_ref())
            .wrap(self.uri.as_ref())
            .take_late_responses();
        FunctionsService::new(self.toward_client(service))
    }

    /// Puts the functions of the steps 1 and 2 around a service.
    pub(super) fn toward_client<B, R>(&self, service: Erased<B, R, Infallible>) -> Erased<B, R, Infallible>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        #[cfg(feature = "browser")]
        let service = service.wrap(self.cors.as_ref());
        let service = service.wrap(self.client_fields.as_ref());
        #[cfg(feature = "browser")]
        let service = service.wrap(self.request_id.as_ref());
        service
    }
}
