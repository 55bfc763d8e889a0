use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use equipoise_affinity::source::ClientAddress;
use equipoise_proxy::error::ErrorResponses;
use equipoise_tower::RequestHead;
use http::{Request, Response, StatusCode};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::{Limit, LimitedBody, too_large},
    condition::{declared_length, length},
    table::{FilterRules, FilterStats, Verdict},
};
use crate::{Denial, ReplyBody, ReplyFuture, reply_future::LateDenial};

/// A layer that allows or denies requests by [rules](FilterRules), and limits their sizes.
///
/// The inner service gets requests with the body [`LimitedBody`](super::LimitedBody), whatever the body is that the layered service
/// gets. Write `Request<_>` for the request of a handler, not one type of body: otherwise, the layered service is no service.
///
/// | reason | status | code |
/// | --- | --- | --- |
/// | a rule that denies | that of the rule | `forbidden`, or one for the status, such as `not_found` |
/// | [`Rule::only_methods`](super::Rule::only_methods) | 405 with `Allow` | `method_not_allowed` |
/// | no rule, with [`FilterRules::denying_others`] | 403 | `not_allowed` |
/// | the client's address decides, and is not known | 403 | `client_address_unknown` |
/// | an ambiguous path | 400 | `ambiguous_path` |
/// | the body is too long | 413 | `body_too_large` |
/// | path and query are too long | 414 | `uri_too_long` |
/// | too many or too long header fields | 431 | `fields_too_large` |
///
/// Bodies without `Content-Length` are counted while they are forwarded. If such a body becomes too long, it fails, and
/// the response has status 413 unless the inner service has responded before.
///
/// Clones share the rules and the counts. [`replace`](Self::replace) exchanges the rules while the layer is used.
///
/// ```
/// use equipoise_gateway::filter::{FilterLayer, FilterRules, Rule};
///
/// let rules = FilterRules::new([Rule::deny("scripts").path("/**/*.php")])?;
/// let layer = FilterLayer::new(rules).max_body_bytes(10 << 20);
/// # drop(layer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FilterLayer {
    rules: Arc<ArcSwap<FilterRules>>,
    client: ClientAddress,
    limits: Limits,
    dry_run: bool,
    errors: Arc<ErrorResponses>,
    counts: Arc<Counts>,
}

#[derive(Clone, Copy, Debug)]
struct Limits {
    body: Option<u64>,
    uri: usize,
    fields: usize,
    field_bytes: usize,
}

#[derive(Debug, Default)]
struct Counts {
    allowed: AtomicU64,
    denied: AtomicU64,
    too_large: Arc<AtomicU64>,
}

impl FilterLayer {
    /// Creates a layer with rules, and with the defaults that each setting names.
    #[must_use]
    pub fn new(rules: FilterRules) -> Self {
        let limits = Limits { body: None, uri: usize::MAX, fields: usize::MAX, field_bytes: usize::MAX };
        Self {
            rules: Arc::new(ArcSwap::from_pointee(rules)),
            client: ClientAddress::connection(),
            limits,
            dry_run: false,
            errors: Arc::default(),
            counts: Arc::default(),
        }
    }

    /// Sets how the address of the client is determined. Default: the address of the connection's peer.
    #[must_use]
    pub fn client_address(mut self, client: ClientAddress) -> Self {
        self.client = client;
        self
    }

    /// Sets the maximum length of a body in bytes. [`Rule::limit`](super::Rule::limit) sets another one for some
    /// requests. Default: no limit.
    #[must_use]
    pub fn max_body_bytes(mut self, bytes: u64) -> Self {
        self.limits.body = Some(bytes);
        self
    }

    /// Sets the maximum length of path and query together, in bytes. Default: no limit. A
    /// [`ReverseProxy`](equipoise_proxy::ReverseProxy) allows 8 KiB.
    #[must_use]
    pub fn max_uri_bytes(mut self, bytes: usize) -> Self {
        self.limits.uri = bytes;
        self
    }

    /// Sets the maximum number of header fields. Default: no limit. A
    /// [`ReverseProxy`](equipoise_proxy::ReverseProxy) allows 100.
    #[must_use]
    pub fn max_fields(mut self, fields: usize) -> Self {
        self.limits.fields = fields;
        self
    }

    /// Sets the maximum length of all header fields together, in bytes. Each field counts with its name, its value and
    /// 4 bytes. Default: no limit. A [`ReverseProxy`](equipoise_proxy::ReverseProxy) allows 32 KiB.
    #[must_use]
    pub fn max_field_bytes(mut self, bytes: usize) -> Self {
        self.limits.field_bytes = bytes;
        self
    }

    /// Sets whether the rules are only counted, and deny nothing. The limits of this layer apply. Default: false.
    #[must_use]
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Sets the form of the responses to denied requests. Default: [`ErrorResponses::new`].
    #[must_use]
    pub fn errors(mut self, errors: ErrorResponses) -> Self {
        self.errors = Arc::new(errors);
        self
    }

    /// Exchanges the rules in this layer, its clones and their services. The counts of the rules begin at 0.
    pub fn replace(&self, rules: FilterRules) {
        self.rules.store(Arc::new(rules));
    }

    /// Returns what this layer and its clones have counted.
    pub fn stats(&self) -> FilterStats {
        let mut stats = FilterStats {
            allowed: self.counts.allowed.load(Ordering::Relaxed),
            denied: self.counts.denied.load(Ordering::Relaxed),
            too_large: self.counts.too_large.load(Ordering::Relaxed),
            ..FilterStats::default()
        };
        self.rules.load().count(&mut stats);
        stats
    }

    fn decide<B>(&self, request: &Request<B>) -> Verdict {
        let denied = |status, code, text| Verdict { denial: Some(Denial::new(status, code, text)), max_body: None };
        let Limits { uri, fields, field_bytes, .. } = self.limits;
        if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > uri) {
            return denied(StatusCode::URI_TOO_LONG, "uri_too_long", "the target of the request is too long");
        }
        if request.headers().len() > fields || field_bytes < usize::MAX && length(request.headers()) > field_bytes {
            let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return denied(status, "fields_too_large", "the header fields of the request are too large");
        }
        let head = RequestHead::of(request);
        let mut verdict = self.rules.load().decide(head, &|| self.client.of(head), self.dry_run);
        verdict.max_body = verdict.max_body.or(self.limits.body);
        if verdict.denial.is_none()
            && let Some(max) = verdict.max_body
            && declared_length(request.headers()).is_some_and(|length| length > max)
        {
            self.counts.too_large.fetch_add(1, Ordering::Relaxed);
            verdict.denial = Some(too_large());
        }
        verdict
    }
}

impl fmt::Debug for FilterLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilterLayer")
            .field("rules", &self.rules.load())
            .field("client", &self.client)
            .field("limits", &self.limits)
            .field("dry_run", &self.dry_run)
            .finish_non_exhaustive()
    }
}

/// The service of a [`FilterLayer`].
#[derive(Clone, Debug)]
pub struct Filter<S> {
    inner: S,
    layer: FilterLayer,
}

impl<S> Layer<S> for FilterLayer {
    type Service = Filter<S>;

    fn layer(&self, inner: S) -> Filter<S> {
        Filter { inner, layer: self.clone() }
    }
}

impl<S, B, R> Service<Request<B>> for Filter<S>
where
    S: Service<Request<LimitedBody<B>>, Response = Response<R>>,
    B: Body<Data = Bytes>,
{
    type Response = Response<ReplyBody<R>>;
    type Error = S::Error;
    type Future = ReplyFuture<S::Future, R>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let Verdict { denial, max_body } = self.layer.decide(&request);
        if let Some(denial) = denial {
            self.layer.counts.denied.fetch_add(1, Ordering::Relaxed);
            return ReplyFuture::own(denial.respond(&request, &self.layer.errors));
        }
        self.layer.counts.allowed.fetch_add(1, Ordering::Relaxed);
        let Some(max) = max_body.filter(|_| !request.body().is_end_stream()) else {
            return ReplyFuture::inner(self.inner.call(request.map(|body| LimitedBody::new(body, None))));
        };
        let denial = Arc::new(OnceLock::new());
        let late = LateDenial::new(&request, Arc::clone(&denial), Arc::clone(&self.layer.errors));
        let limit = Limit::new(max, denial, Arc::clone(&self.layer.counts.too_large));
        ReplyFuture::inner_or_denied(self.inner.call(request.map(|body| LimitedBody::new(body, Some(limit)))), late)
    }
}
