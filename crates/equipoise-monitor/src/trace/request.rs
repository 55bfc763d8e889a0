//! The spans of one request.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use equipoise_core::{Endpoint, EndpointId, Explanation, Verdict};
use equipoise_tower::{
    AttemptEnd, BodyEnd, Error, EventKind, ObserveRequest, QueueEnd, RequestOutcome, RequestStart, ResponseHead,
};
use http::HeaderMap;
use tracing::{Level, Span, event, field::Empty, span};

use super::{
    TARGET,
    semantics::{Described, Server, SpanKind, grpc_status},
    settings::Settings,
};

/// The spans of one request, which ends when it is dropped.
pub(super) struct RequestTrace {
    settings: Arc<Settings>,
    described: Described,
    strategy: Arc<str>,
    span: Traced,
    /// The attempt in progress, or the one whose response is read.
    attempt: Option<Attempt>,
    /// The number of the attempt that has started, until its span begins.
    number: usize,
    is_explained: bool,
}

struct Attempt {
    endpoint: EndpointId,
    span: Traced,
}

/// A span of a request or an attempt, and which responses are errors for it.
struct Traced {
    span: Span,
    kind: SpanKind,
}

impl RequestTrace {
    pub(super) fn new(settings: &Arc<Settings>, start: &RequestStart<'_>) -> Self {
        let head = start.head;
        let described = head.map(|head| Described::of(&head, &settings.urls)).unwrap_or_default();
        let (kind, of) = (settings.kind, &described);
        let is_server = kind == SpanKind::Server;
        let span = span!(
            target: TARGET,
            Level::DEBUG,
            "request",
            otel.name = of.name.as_deref().unwrap_or("request"),
            otel.kind = kind.as_str(),
            otel.status_code = Empty,
            otel.status_description = Empty,
            http.request.method = of.method,
            http.request.method_original = of.method_original.as_deref(),
            http.response.status_code = Empty,
            network.protocol.version = of.protocol_version.filter(|_| is_server),
            url.scheme = of.scheme.as_deref().filter(|_| is_server),
            url.path = of.path.as_deref().filter(|_| is_server),
            url.query = of.query.as_deref().filter(|_| is_server),
            url.full = (!is_server).then(|| of.url(&of.server)).flatten(),
            server.address = of.server.address.as_deref(),
            server.port = of.server.port,
            rpc.system.name = of.is_grpc().then_some("grpc"),
            rpc.method = of.rpc_method.as_deref(),
            rpc.response.status_code = Empty,
            "error.type" = Empty,
            equipoise.pool = &*settings.pool,
            equipoise.endpoint = Empty,
            equipoise.attempts = Empty,
            equipoise.outcome = Empty,
        );
        #[cfg(feature = "opentelemetry")]
        if let Some(head) = head
            && (is_server || !super::context::has_parent())
        {
            settings.propagator.set_parent(&span, head.headers);
        }
        let is_explained = settings.explained.next() && is_sampled(&span);
        let span = Traced { span, kind };
        let (settings, strategy) = (Arc::clone(settings), Arc::clone(start.strategy));
        Self { settings, described, strategy, span, attempt: None, number: 0, is_explained }
    }

    fn begin_attempt(&mut self, id: &EndpointId, address: Option<&str>) -> &Attempt {
        let (of, server) = (&self.described, address.map(Server::of_endpoint).unwrap_or_default());
        let span = span!(
            target: TARGET,
            parent: &self.span.span,
            Level::DEBUG,
            "attempt",
            otel.name = of.name.as_deref().unwrap_or("attempt"),
            otel.kind = SpanKind::Client.as_str(),
            otel.status_code = Empty,
            otel.status_description = Empty,
            http.request.method = of.method,
            http.request.method_original = of.method_original.as_deref(),
            http.request.resend_count = (self.number > 1).then(|| self.number as u64 - 1),
            http.response.status_code = Empty,
            url.full = of.url(&server),
            server.address = server.address.as_deref(),
            server.port = server.port,
            rpc.system.name = of.is_grpc().then_some("grpc"),
            rpc.method = of.rpc_method.as_deref(),
            rpc.response.status_code = Empty,
            "error.type" = Empty,
            equipoise.pool = &*self.settings.pool,
            equipoise.endpoint = id.as_str(),
            equipoise.outcome = Empty,
        );
        let span = Traced { span, kind: SpanKind::Client };
        self.attempt.insert(Attempt { endpoint: id.clone(), span })
    }

    fn picked(&self, endpoint: &EndpointId, binding: &'static str, explanation: Option<&Explanation>) {
        event!(
            target: TARGET,
            parent: &self.span.span,
            Level::DEBUG,
            equipoise.endpoint = endpoint.as_str(),
            equipoise.binding = binding,
            equipoise.strategy = &*self.strategy,
            equipoise.explanation = explanation.map(|explanation| tracing::field::display(Candidates(explanation))),
            "pick"
        );
    }

    fn attempt_ended(&mut self, id: &EndpointId, end: &AttemptEnd<'_>, elapsed: Duration) {
        if self.attempt.is_none() {
            // The request was not changed for the endpoint, so it never got as far as its service.
            self.begin_attempt(id, None);
        }
        let Some(attempt) = &self.attempt else { return };
        let span = &attempt.span;
        span.span.record("equipoise.outcome", end.as_str());
        match end {
            AttemptEnd::Response { verdict, head, .. } => {
                self.record_exemplar(attempt, elapsed);
                span.response(head.as_ref(), self.described.is_grpc());
                if let Some(verdict) = verdict {
                    span.verdict(*verdict);
                }
                // The span ends with the body of the response.
                return;
            }
            AttemptEnd::Error { error, class, .. } => {
                span.error(class.stage.as_str(), Some(error));
                span.verdict(class.verdict);
            }
            AttemptEnd::NotReady { .. } => span.error("not_ready", None),
            AttemptEnd::Refused(refused) => span.error(refused.as_str(), Some(refused)),
            // Cancelled by the caller, which is no error.
            _ => {}
        }
        self.attempt = None;
    }

    fn finished(&mut self, outcome: &RequestOutcome<'_>, attempts: usize) {
        let span = &self.span.span;
        span.record("equipoise.outcome", outcome.as_str());
        span.record("equipoise.attempts", attempts as u64);
        match outcome {
            RequestOutcome::Response { endpoint, head, .. } => {
                span.record("equipoise.endpoint", endpoint.as_str());
                self.span.response(head.as_ref(), self.described.is_grpc());
            }
            RequestOutcome::Error(error) => {
                if let Some(endpoint) = error.endpoint() {
                    span.record("equipoise.endpoint", endpoint.as_str());
                }
                let stage = match error {
                    Error::Endpoint { stage, .. } => stage.as_str(),
                    Error::Pick(error) => error.as_str(),
                    error => error.as_str(),
                };
                self.span.error(stage, Some(error));
            }
            _ => {}
        }
    }

    fn record_exemplar(&self, attempt: &Attempt, elapsed: Duration) {
        #[cfg(feature = "opentelemetry")]
        if let Some(exemplars) = &self.settings.exemplars {
            let context = super::context::span_context(&attempt.span.span);
            if context.is_valid() && context.is_sampled() {
                exemplars.record(&self.settings.pool, &attempt.endpoint, elapsed, context.trace_id().to_string());
            }
        }
        #[cfg(not(feature = "opentelemetry"))]
        let _ = (&self.settings.exemplars, &attempt.endpoint, elapsed);
    }
}

impl Traced {
    fn response(&self, head: Option<&ResponseHead<'_>>, is_grpc: bool) {
        let Some(head) = head else { return };
        let status = head.status.as_u16();
        if !is_grpc {
            self.span.record("http.response.status_code", status);
        }
        if is_grpc && status == 200 {
            if let Some(status) = grpc_status(head.headers) {
                self.grpc_status(status);
            }
        } else if self.kind.is_http_error(status) {
            self.span.record("error.type", head.status.as_str());
            self.span.record("otel.status_code", "ERROR");
        }
    }

    fn grpc_status(&self, status: &'static str) {
        self.span.record("rpc.response.status_code", status);
        if self.kind.is_grpc_error(status) {
            self.span.record("error.type", status);
            self.span.record("otel.status_code", "ERROR");
        }
    }

    fn error(&self, kind: &'static str, error: Option<&dyn StdError>) {
        self.span.record("error.type", kind);
        self.span.record("otel.status_code", "ERROR");
        if let Some(error) = error {
            self.span.record("otel.status_description", tracing::field::display(Causes(error)));
        }
    }

    fn verdict(&self, verdict: Verdict) {
        event!(
            target: TARGET,
            parent: &self.span,
            Level::DEBUG,
            equipoise.verdict = verdict.as_str(),
            "verdict"
        );
    }
}

impl ObserveRequest for RequestTrace {
    fn on_event(&mut self, kind: &EventKind<'_>) {
        let parent = &self.span.span;
        match kind {
            EventKind::Picked { endpoint, binding_outcome, explanation, .. } => {
                self.picked(endpoint, binding_outcome.as_str(), *explanation);
            }
            EventKind::AttemptStarted { attempt, .. } => {
                (self.number, self.attempt) = (*attempt, None);
            }
            EventKind::AttemptEnded { endpoint, end, elapsed, .. } => self.attempt_ended(endpoint, end, *elapsed),
            EventKind::Failover { from, to, .. } => {
                let to = to.map(EndpointId::as_str);
                event!(target: TARGET, parent: parent, Level::DEBUG, equipoise.from = from.as_str(), equipoise.to = to, "failover");
            }
            EventKind::QueueEntered => event!(target: TARGET, parent: parent, Level::DEBUG, "queue entered"),
            EventKind::QueueLeft { end, waited, .. } => {
                let reason = match end {
                    QueueEnd::Failed(error) => Some(error.as_str()),
                    _ => None,
                };
                let (end, waited) = (end.as_str(), waited.as_secs_f64());
                event!(
                    target: TARGET,
                    parent: parent,
                    Level::DEBUG,
                    equipoise.queue.end = end,
                    equipoise.queue.reason = reason,
                    equipoise.queue.seconds = waited,
                    "queue left"
                );
            }
            EventKind::Finished { outcome, attempts, .. } => self.finished(outcome, *attempts),
            _ => {}
        }
    }

    fn wants_explanation(&mut self) -> bool {
        self.is_explained
    }

    fn before_send(&mut self, endpoint: &Endpoint, headers: Option<&mut HeaderMap>) {
        if self.attempt.is_none() {
            self.begin_attempt(endpoint.id(), Some(endpoint.address()));
        }
        #[cfg(feature = "opentelemetry")]
        if let (Some(attempt), Some(headers)) = (&self.attempt, headers) {
            self.settings.propagator.inject(&attempt.span.span, headers);
        }
        #[cfg(not(feature = "opentelemetry"))]
        let _ = headers;
    }

    fn in_scope(&mut self, poll: &mut dyn FnMut()) {
        match &self.attempt {
            Some(attempt) => attempt.span.span.in_scope(poll),
            None => poll(),
        }
    }

    fn on_body_end(&mut self, end: BodyEnd<'_>) {
        let is_grpc = self.described.is_grpc();
        let attempt = self.attempt.take();
        let spans = || attempt.iter().map(|attempt| &attempt.span).chain([&self.span]);
        match end {
            BodyEnd::Complete { verdict, trailers, .. } => {
                let status = match trailers.filter(|_| is_grpc).and_then(grpc_status) {
                    // The trailers should have had it. Clients of gRPC then report this one.
                    None if is_grpc && verdict.is_some() => Some("UNKNOWN"),
                    status => status,
                };
                if let Some(status) = status {
                    spans().for_each(|span| span.grpc_status(status));
                }
                if let (Some(attempt), Some(verdict)) = (&attempt, verdict) {
                    attempt.span.verdict(verdict);
                }
            }
            BodyEnd::Failed => {
                let failure = equipoise_core::Failure::Transport;
                spans().for_each(|span| span.error(failure.as_str(), None));
                if let Some(attempt) = &attempt {
                    attempt.span.verdict(Verdict::Failure(failure));
                }
            }
            // By the caller, after the head of the response.
            _ => spans().for_each(|span| {
                span.span.record("equipoise.outcome", "cancelled");
            }),
        }
    }
}

/// Returns whether the span is exported. Spans that are only logged are.
fn is_sampled(span: &Span) -> bool {
    #[cfg(feature = "opentelemetry")]
    {
        let context = super::context::span_context(span);
        !context.is_valid() || context.is_sampled()
    }
    #[cfg(not(feature = "opentelemetry"))]
    {
        !span.is_disabled()
    }
}

/// An error with its causes, in one line.
struct Causes<'a>(&'a dyn StdError);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// What an explanation says about the endpoints, in one line. Those that the strategy has compared come first. At most
/// [`MAX`](Self::MAX) of them are written, because a pool can have thousands.
struct Candidates<'a>(&'a Explanation);

impl Candidates<'_> {
    const MAX: usize = 20;
}

impl fmt::Display for Candidates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = &self.0.candidates;
        let (scored, others): (Vec<_>, Vec<_>) = all.iter().partition(|candidate| candidate.score.is_some());
        for (at, candidate) in scored.into_iter().chain(others).take(Self::MAX).enumerate() {
            let (id, in_flight, result) = (&candidate.status.id, candidate.status.in_flight, candidate.result.as_str());
            write!(f, "{}{id} {result} in_flight={in_flight}", if at == 0 { "" } else { "; " })?;
            if let Some(score) = candidate.score {
                write!(f, " score={score:.3}")?;
            }
        }
        match all.len().saturating_sub(Self::MAX) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}
