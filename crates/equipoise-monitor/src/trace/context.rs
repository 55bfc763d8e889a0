//! The context of OpenTelemetry: read from requests, and passed on with attempts.

use std::{fmt, sync::Arc};

use http::HeaderMap;
use opentelemetry::{
    Context, global,
    propagation::TextMapPropagator,
    trace::{SpanContext, TraceContextExt},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Reads contexts from headers and writes them there. By default, the propagator that is installed for the process.
#[derive(Clone, Default)]
pub(super) struct Propagator(Option<Arc<dyn TextMapPropagator + Send + Sync>>);

impl Propagator {
    pub(super) fn new(propagator: impl TextMapPropagator + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(propagator)))
    }

    fn with<R>(&self, mut run: impl FnMut(&dyn TextMapPropagator) -> R) -> R {
        match &self.0 {
            Some(propagator) => run(&**propagator),
            None => global::get_text_map_propagator(run),
        }
    }

    /// Makes the context in the headers the parent of a span that was not entered yet. Does nothing if the headers have
    /// no valid context.
    pub(super) fn set_parent(&self, span: &Span, headers: &HeaderMap) {
        let context =
            self.with(|propagator| propagator.extract_with_context(&Context::new(), &HeaderExtractor(headers)));
        if context.span().span_context().is_valid() {
            // Fails only without a layer of OpenTelemetry, which then needs no parent.
            let _ = span.set_parent(context);
        }
    }

    /// Writes the context of a span to the headers. Does nothing if the span has none, so that the context of the client
    /// is passed on.
    pub(super) fn inject(&self, span: &Span, headers: &mut HeaderMap) {
        let context = span.context();
        if context.span().span_context().is_valid() {
            self.with(|propagator| propagator.inject_context(&context, &mut HeaderInjector(&mut *headers)));
        }
    }
}

impl fmt::Debug for Propagator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Propagator" } else { "global" })
    }
}

/// Returns the context of a span of `tracing`. Not valid without a layer of OpenTelemetry.
pub(super) fn span_context(span: &Span) -> SpanContext {
    span.context().span().span_context().clone()
}

/// Returns whether a new span has a parent on this thread.
pub(super) fn has_parent() -> bool {
    Context::map_current(|context| context.span().span_context().is_valid())
        || span_context(&Span::current()).is_valid()
}

/// Returns the id of the trace of the current span, in 32 hexadecimal digits, for logs and exemplars. `None` if there is
/// no span of OpenTelemetry.
///
/// Within an attempt of a balancer with a [`Trace`](super::Trace), it is the trace of the attempt.
pub fn current_trace_id() -> Option<String> {
    let mut context = span_context(&Span::current());
    if !context.is_valid() {
        context = Context::map_current(|current| current.span().span_context().clone());
    }
    context.is_valid().then(|| context.trace_id().to_string())
}
