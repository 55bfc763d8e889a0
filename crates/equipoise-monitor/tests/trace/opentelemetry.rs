//! The spans of OpenTelemetry, and the context in headers.

use std::{io, sync::Arc, time::Duration};

use equipoise_core::EndpointId;
use equipoise_monitor::trace::{Exemplars, Trace, current_trace_id};
use equipoise_tower::Balance;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use opentelemetry::trace::{SpanId, SpanKind, Status, TracerProvider};
use opentelemetry_sdk::{
    propagation::TraceContextPropagator,
    trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData},
};
use parking_lot::Mutex;
use tracing::{Instrument, Level, level_filters::LevelFilter, subscriber::DefaultGuard, subscriber::set_default};
use tracing_subscriber::{Layer, layer::SubscriberExt, registry};

use crate::common::{Frames, Mock, failing, get, mock, pool};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Exports the spans of this thread to memory.
fn exporting(sampler: Sampler) -> (InMemorySpanExporter, DefaultGuard) {
    let exporter = InMemorySpanExporter::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).with_sampler(sampler).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    (exporter, set_default(registry().with(layer.with_filter(LevelFilter::DEBUG))))
}

/// The headers of requests, each with the trace that was current.
type Seen = Arc<Mutex<Vec<(HeaderMap, Option<String>)>>>;

/// A service that keeps the headers of each request, and the trace that was current.
fn keeping(seen: &Seen) -> Mock {
    let seen = Arc::clone(seen);
    mock(move |request| {
        seen.lock().push((request.headers().clone(), current_trace_id()));
        std::future::ready(Ok(Response::new(Frames::default())))
    })
}

fn from_client(flags: &str) -> Request<Full<bytes::Bytes>> {
    let mut request = get();
    request.headers_mut().insert("traceparent", format!("00-{TRACE}-{PARENT}-{flags}").parse().unwrap());
    request.headers_mut().insert("tracestate", "vendor=1".parse().unwrap());
    request
}

fn attribute(span: &SpanData, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == name);
    found.map(|attribute| attribute.value.as_str().into_owned())
}

#[tokio::test]
async fn the_context_of_the_client_is_the_parent_and_each_attempt_sends_its_own() {
    let (exporter, _guard) = exporting(Sampler::AlwaysOn);
    let (first, second) = (Arc::default(), Arc::default());
    let refuse = {
        let (keep, refuse) = (keeping(&first), failing(io::ErrorKind::ConnectionRefused));
        mock(move |request| {
            let (keep, refuse) = (keep.clone(), refuse.clone());
            async move {
                let _ = tower::ServiceExt::oneshot(keep, request).await;
                tower::ServiceExt::oneshot(refuse, get()).await
            }
        })
    };
    let pool = pool([("10.0.0.1:80", refuse), ("10.0.0.2:80", keeping(&second))]);
    let trace = Trace::server("web").propagator(TraceContextPropagator::new());
    drop(Balance::new(pool).observe(trace).oneshot(from_client("01")).await.unwrap());
    let spans = exporter.get_finished_spans().unwrap();
    let [failed, served, request] = &spans[..] else { panic!("{spans:#?}") };
    assert!(spans.iter().all(|span| span.span_context.trace_id().to_string() == TRACE));
    assert_eq!(request.parent_span_id.to_string(), PARENT);
    assert_eq!(request.span_kind, SpanKind::Server);
    assert_eq!(request.name, "GET");
    assert_eq!(attribute(request, "http.response.status_code").as_deref(), Some("200"));
    for attempt in [failed, served] {
        assert_eq!(attempt.parent_span_id, request.span_context.span_id());
        assert_eq!(attempt.span_kind, SpanKind::Client);
    }
    assert!(matches!(failed.status, Status::Error { .. }));
    assert_eq!(attribute(failed, "error.type").as_deref(), Some("not_sent"));
    assert_eq!(attribute(served, "http.request.resend_count").as_deref(), Some("1"));
    let events: Vec<_> = request.events.iter().map(|event| event.name.to_string()).collect();
    assert_eq!(events, ["pick", "failover", "pick"]);
    for (seen, attempt) in [(first, failed), (second, served)] {
        let (headers, current) = seen.lock().pop().unwrap();
        let sent = format!("00-{TRACE}-{}-01", attempt.span_context.span_id());
        assert_eq!(headers.get_all("traceparent").iter().collect::<Vec<_>>(), [sent.as_str()]);
        assert_eq!(headers["tracestate"], "vendor=1");
        assert_eq!(current.as_deref(), Some(TRACE));
    }
}

#[tokio::test]
async fn a_client_is_a_child_of_the_current_span_and_not_of_the_headers() {
    let (exporter, _guard) = exporting(Sampler::AlwaysOn);
    let trace = Trace::client("web").propagator(TraceContextPropagator::new());
    let balance = Balance::new(pool([("a:80", keeping(&Arc::default()))])).observe(trace);
    drop(balance.clone().oneshot(from_client("01")).await.unwrap());
    let handler = tracing::span!(target: "app", Level::INFO, "handler");
    drop(async { balance.oneshot(from_client("01")).await }.instrument(handler).await.unwrap());
    let spans = exporter.get_finished_spans().unwrap();
    let [_, alone, _, within, handler] = &spans[..] else { panic!("{spans:#?}") };
    assert_eq!(alone.parent_span_id.to_string(), PARENT, "without a current span");
    assert_eq!(within.parent_span_id, handler.span_context.span_id());
    assert_eq!(handler.parent_span_id, SpanId::INVALID);
}

#[tokio::test]
async fn a_context_that_is_not_valid_begins_a_new_trace() {
    let (exporter, _guard) = exporting(Sampler::AlwaysOn);
    let trace = Trace::server("web").propagator(TraceContextPropagator::new());
    let balance = Balance::new(pool([("a:80", keeping(&Arc::default()))])).observe(trace);
    for bad in ["", "00", "00-0-0-01", "zz", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
        let mut request = get();
        request.headers_mut().insert("traceparent", bad.parse().unwrap());
        drop(balance.clone().oneshot(request).await.unwrap());
    }
    let spans = exporter.get_finished_spans().unwrap();
    let roots = spans.iter().filter(|span| span.parent_span_id == SpanId::INVALID);
    assert_eq!((roots.count(), spans.len()), (5, 10));
}

#[tokio::test]
async fn without_opentelemetry_the_context_of_the_client_is_passed_on() {
    let _guard = set_default(registry().with(crate::common::Recorder::default().with_filter(LevelFilter::DEBUG)));
    let seen = Arc::default();
    let trace = Trace::server("web").propagator(TraceContextPropagator::new());
    drop(Balance::new(pool([("a:80", keeping(&seen))])).observe(trace).oneshot(from_client("01")).await.unwrap());
    let (headers, current) = seen.lock().pop().unwrap();
    assert_eq!(headers["traceparent"], format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(current, None);
}

#[tokio::test]
async fn only_sampled_requests_are_exemplars_and_explained() {
    let (pool_name, endpoint): (Arc<str>, _) = ("web".into(), EndpointId::from("a:80"));
    let all = Duration::ZERO..Duration::MAX;
    for (sampler, flags) in [(Sampler::ParentBased(Box::new(Sampler::AlwaysOn)), "00"), (Sampler::AlwaysOn, "01")] {
        let (exporter, _guard) = exporting(sampler);
        let (exemplars, seen) = (Exemplars::new(), Arc::default());
        let trace = Trace::server("web").propagator(TraceContextPropagator::new()).explain(1.0).exemplars(&exemplars);
        drop(Balance::new(pool([("a:80", keeping(&seen))])).observe(trace).oneshot(from_client(flags)).await.unwrap());
        let exemplar = exemplars.newest(&pool_name, &endpoint, all.clone());
        let spans = exporter.get_finished_spans().unwrap();
        // The decision of the client is passed on in both cases.
        assert!(seen.lock()[0].0["traceparent"].to_str().unwrap().ends_with(flags));
        if flags == "00" {
            assert_eq!((exemplar, spans.len()), (None, 0));
            continue;
        }
        assert_eq!(exemplar.unwrap().trace_id, TRACE);
        let pick = &spans[1].events.events[0];
        assert!(pick.attributes.iter().any(|attribute| attribute.key.as_str() == "equipoise.explanation"));
    }
}
