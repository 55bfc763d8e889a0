use std::{fmt, sync::Arc};

use equipoise_affinity::source::ClientAddress;
use equipoise_core::{Clock, SystemClock};
use equipoise_proxy::error::ErrorResponses;
use http::StatusCode;
use tower_layer::Layer;

#[cfg(feature = "rate-limit-redis")]
use super::redis::{RedisLimitStats, RedisLimits};
use super::{
    InvalidRateLimit, Limit, LimitFields, LimitKey, LimitStats, Quota, RateLimit,
    fields::FieldWriter,
    gate::{Gate, GateSettings},
};

/// Limits how many requests pass, by one or several [`Limit`]s. Wraps services in [`RateLimit`].
///
/// A request passes if all limits admit it. Otherwise, it gets status 429 with the code `rate_limited` and
/// `Retry-After`, and no limit counts it.
///
/// Clones of a layer, and all services that it has wrapped, share their buckets. Two layers that are built alike do
/// not.
///
/// ```
/// use equipoise_affinity::source::ClientAddress;
/// use equipoise_gateway::limit::{Limit, LimitKey, Quota, RateLimitLayer};
///
/// // One line: 10 requests per second and client, and up to 20 at once.
/// let simple = RateLimitLayer::per_client(Quota::per_second(10).burst(20))?;
///
/// let client = LimitKey::client(ClientAddress::connection());
/// let layer = RateLimitLayer::builder()
///     .limit(Limit::new("client", client, Quota::per_second(10).burst(20)))
///     .limit(Limit::new("user", LimitKey::identity(), Quota::per_day(10_000)))
///     .limit(Limit::new("all", LimitKey::global(), Quota::per_second(5_000)))
///     .build()?;
/// # drop((simple, layer));
/// # Ok::<(), equipoise_gateway::limit::InvalidRateLimit>(())
/// ```
#[derive(Clone)]
pub struct RateLimitLayer {
    gate: Arc<Gate>,
}

impl RateLimitLayer {
    /// Creates a layer with one limit, named `client`, for each client address of the connection. Behind other proxies,
    /// all clients of a proxy would share a bucket: use [`builder`](Self::builder) and a
    /// [`ClientAddress`] that trusts the proxies. All clients also share a bucket if the server does not set
    /// [`PeerAddr`](equipoise_affinity::source::PeerAddr), as `axum::serve`: see [`LimitKey::client`].
    ///
    /// The server has to set the address of the peer ([`PeerAddr`](equipoise_affinity::source::PeerAddr)) in the extensions of
    /// requests. That of `equipoise_proxy` does, and `axum::serve` does not. Without it, all clients share one bucket.
    ///
    /// # Errors
    ///
    /// [`InvalidRateLimit`] if the quota is invalid.
    pub fn per_client(quota: Quota) -> Result<Self, InvalidRateLimit> {
        Self::builder().limit(Limit::new("client", LimitKey::client(ClientAddress::connection()), quota)).build()
    }

    /// Returns settings of a layer without limits.
    pub fn builder() -> RateLimitBuilder {
        RateLimitBuilder {
            limits: Vec::new(),
            status: StatusCode::TOO_MANY_REQUESTS,
            fields: LimitFields::default(),
            errors: ErrorResponses::new(),
            clock: Arc::new(SystemClock::new()),
            #[cfg(feature = "rate-limit-redis")]
            redis: None,
        }
    }

    /// Returns whether the key of a limit contains [`LimitKey::identity`]. Such a layer belongs inside of the
    /// authentication. Closures of [`LimitKey::custom`] that read the identity are not known.
    pub fn uses_identity(&self) -> bool {
        self.gate.uses_identity()
    }

    /// Returns the counters of each limit, in the order in which the limits were added.
    pub fn stats(&self) -> Vec<LimitStats> {
        self.gate.stats()
    }

    /// Returns the counters of the limits in Redis, and whether it is available. `None` if the limits are not in Redis.
    #[cfg(feature = "rate-limit-redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "rate-limit-redis")))]
    pub fn redis_stats(&self) -> Option<RedisLimitStats> {
        self.gate.redis_stats()
    }
}

impl<S> Layer<S> for RateLimitLayer {
    type Service = RateLimit<S>;

    fn layer(&self, inner: S) -> RateLimit<S> {
        RateLimit::new(inner, Arc::clone(&self.gate))
    }
}

impl fmt::Debug for RateLimitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer").field("gate", &self.gate).finish()
    }
}

/// Settings from which a [`RateLimitLayer`] is built. Returned by [`RateLimitLayer::builder`].
#[must_use]
pub struct RateLimitBuilder {
    limits: Vec<Limit>,
    status: StatusCode,
    fields: LimitFields,
    errors: ErrorResponses,
    clock: Arc<dyn Clock>,
    #[cfg(feature = "rate-limit-redis")]
    redis: Option<RedisLimits>,
}

impl RateLimitBuilder {
    /// Adds a limit. A layer has 1 to 8 limits.
    pub fn limit(mut self, limit: Limit) -> Self {
        self.limits.push(limit);
        self
    }

    /// Sets the status of the response for a denied request. Range: 400 to 599. Default: 429. nginx uses 503 by
    /// default.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Sets the fields with which responses show the limits. Default: [`LimitFields::Standard`].
    pub fn fields(mut self, fields: LimitFields) -> Self {
        self.fields = fields;
        self
    }

    /// Sets the form of the responses for denied requests. Default: [`ErrorResponses::new`].
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.errors = errors;
        self
    }

    /// Sets the clock. Default: the system's monotonic clock. [Delays](Limit::delay_after) use the timer of Tokio
    /// instead.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Keeps the buckets in Redis, so that several gateways share them. Default: the buckets are in this process.
    #[cfg(feature = "rate-limit-redis")]
    #[cfg_attr(docsrs, doc(cfg(feature = "rate-limit-redis")))]
    pub fn redis(mut self, redis: RedisLimits) -> Self {
        self.redis = Some(redis);
        self
    }

    /// Builds the layer. All buckets are full.
    ///
    /// # Errors
    ///
    /// [`InvalidRateLimit`] if there is no limit, there are more than 8 limits, or a setting is out of range. With
    /// Redis, also if there is no Tokio runtime. A server that is unavailable is not an error.
    pub fn build(self) -> Result<RateLimitLayer, InvalidRateLimit> {
        #[cfg(feature = "rate-limit-redis")]
        let redis = self.redis;
        let Self { limits, status, fields, errors, clock, .. } = self;
        Limit::check_all(&limits)?;
        InvalidRateLimit::check_status(status)?;
        let fields = FieldWriter::new(fields, &limits);
        let settings = GateSettings {
            status,
            fields,
            errors,
            clock,
            #[cfg(feature = "rate-limit-redis")]
            redis,
        };
        Ok(RateLimitLayer { gate: Arc::new(Gate::new(limits, settings)?) })
    }
}

impl fmt::Debug for RateLimitBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitBuilder")
            .field("limits", &self.limits)
            .field("status", &self.status)
            .field("fields", &self.fields)
            .field("errors", &self.errors)
            .finish_non_exhaustive()
    }
}
