//! Turns the spans of balancers into spans of OpenTelemetry, and exports them over OTLP.

use anyhow::Context;
use equipoise::monitor::trace;
use opentelemetry::{global, trace::TracerProvider};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{Resource, propagation::TraceContextPropagator, trace::SdkTracerProvider};
use tracing::Level;
use tracing_subscriber::{Layer, filter::Targets, layer::SubscriberExt};

pub(crate) struct Exporting {
    provider: SdkTracerProvider,
}

/// Exports the spans of this process to the collector at `address`.
pub(crate) fn start(address: &str) -> anyhow::Result<Exporting> {
    let exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", address.trim_end_matches('/')))
        .build()
        .context("the exporter cannot be built")?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name("equipoise-shop").build())
        .build();
    // The header `traceparent` of requests.
    global::set_text_map_propagator(TraceContextPropagator::new());
    // Only the spans of balancers: the exporter's own connection must not make spans.
    let filter = Targets::new().with_target(trace::TARGET, Level::DEBUG);
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("equipoise"))
        // Where in the source a span was made says nothing about a request.
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false);
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer.with_filter(filter)))?;
    Ok(Exporting { provider })
}

impl Exporting {
    /// Exports the spans that have ended, and stops.
    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        // Blocks until the collector has answered, and the collector may run on this thread.
        let flush = move || self.provider.force_flush().and_then(|()| self.provider.shutdown());
        tokio::task::spawn_blocking(flush).await?.context("not all spans were exported")
    }
}
