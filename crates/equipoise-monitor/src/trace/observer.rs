use std::sync::Arc;

use equipoise_tower::{Observe, ObserveRequest, RequestStart};
use tracing::Level;

#[cfg(feature = "opentelemetry")]
use super::context::Propagator;
use super::{
    TARGET,
    exemplars::Exemplars,
    request::RequestTrace,
    semantics::SpanKind,
    settings::{Settings, Share},
};

/// An [observer](Observe) that makes a span for each request of a balancer, and a child span for each attempt. Set it
/// with `Balance::observe`. See the [module](crate::trace) for the spans and their fields.
///
/// Clones share the sampling of explanations and the exemplars.
#[derive(Clone, Debug)]
#[must_use = "a `Trace` does nothing until `Balance::observe` gets it"]
pub struct Trace {
    settings: Arc<Settings>,
}

impl Trace {
    /// Creates an observer for a balancer that is the client of its callers: the spans of requests have the kind
    /// `client`. `pool` is the name of the pool, as in [`WatchedPool::new`](crate::WatchedPool::new).
    ///
    /// The parent of a request's span is the span that is current when the balancer is called. Without one, it is the
    /// context in the headers of the request (feature `opentelemetry`). Use this constructor also below a server whose own
    /// layer makes a span for each request.
    ///
    /// The balancer must be called within the parent: `async { balance.call(request).await }.instrument(parent)`. With
    /// `balance.call(request).instrument(parent)`, the call comes before the parent is entered.
    pub fn client(pool: impl Into<Arc<str>>) -> Self {
        Self { settings: Arc::new(Settings::new(SpanKind::Client, pool.into())) }
    }

    /// Creates an observer for the balancer of a proxy: the spans of requests have the kind `server`. `pool` is the name
    /// of the pool, as in [`WatchedPool::new`](crate::WatchedPool::new).
    ///
    /// The parent of a request's span is the context in the headers of the request (feature `opentelemetry`). Without a
    /// valid one, it is the current span.
    pub fn server(pool: impl Into<Arc<str>>) -> Self {
        Self { settings: Arc::new(Settings::new(SpanKind::Server, pool.into())) }
    }

    fn change(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Sets the scheme of requests whose URI has none, as those that a server receives over HTTP/1.1: `http` or `https`.
    /// Without a scheme, spans have no `url.scheme`, and those of endpoints without a scheme no `url.full`. Default:
    /// none.
    pub fn scheme(self, scheme: impl Into<String>) -> Self {
        self.change(|settings| settings.urls.scheme = Some(scheme.into()))
    }

    /// Sets whether the query of a request's URI is recorded. Queries often contain tokens and personal data. Default:
    /// false.
    pub fn queries(self, queries: bool) -> Self {
        self.change(|settings| settings.urls.queries = queries)
    }

    /// Sets the share of requests whose picks are explained, from 0 to 1. The event `pick` of such a request says for up
    /// to 20 endpoints why they were picked or not. The requests are chosen evenly, such as each 100th with 0.01. Of the
    /// requests that OpenTelemetry does not sample, none is explained. Default: 0.
    ///
    /// An explanation takes O(n) time for n endpoints, and allocates.
    pub fn explain(self, share: f64) -> Self {
        self.change(|settings| settings.explained = Share::new(share))
    }

    /// Sets where attempts are recorded as exemplars for metrics: those that got a response and are sampled by
    /// OpenTelemetry. Without the feature `opentelemetry`, there are no traces, and nothing is recorded. Default: none.
    pub fn exemplars(self, exemplars: &Exemplars) -> Self {
        self.change(|settings| settings.exemplars = Some(exemplars.clone()))
    }

    /// Sets what reads the context of a request from its headers, and writes that of an attempt to its headers. Default:
    /// the propagator that `opentelemetry::global::set_text_map_propagator` has installed for the process. Without one,
    /// no context is read or written.
    #[cfg(feature = "opentelemetry")]
    #[cfg_attr(docsrs, doc(cfg(feature = "opentelemetry")))]
    pub fn propagator(
        self,
        propagator: impl opentelemetry::propagation::TextMapPropagator + Send + Sync + 'static,
    ) -> Self {
        self.change(|settings| settings.propagator = Propagator::new(propagator))
    }
}

impl Observe for Trace {
    fn is_enabled(&self) -> bool {
        tracing::span_enabled!(target: TARGET, Level::DEBUG)
    }

    fn observe_request(&self, start: &RequestStart<'_>) -> Option<Box<dyn ObserveRequest>> {
        // Asked again, because another observer of the same balancer can be enabled.
        self.is_enabled().then(|| Box::new(RequestTrace::new(&self.settings, start)) as Box<dyn ObserveRequest>)
    }
}
