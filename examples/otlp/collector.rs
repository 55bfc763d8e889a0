//! A collector of spans: receives them over OTLP/HTTP, and keeps them.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    trace::v1::Span,
};
use parking_lot::Mutex;
use prost::Message;
use tokio::net::TcpListener;

type Spans = Arc<Mutex<Vec<Span>>>;

pub(crate) struct Collector {
    address: SocketAddr,
    spans: Spans,
}

impl Collector {
    /// Starts a collector on a free port.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let spans = Spans::default();
        let router = Router::new().route("/v1/traces", post(receive)).with_state(Arc::clone(&spans));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { address, spans })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans that were received so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().clone()
    }
}

async fn receive(State(spans): State<Spans>, body: Bytes) -> axum::response::Response {
    match ExportTraceServiceRequest::decode(body) {
        Ok(request) => {
            let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
            spans.lock().extend(scopes.flat_map(|scope| scope.spans));
            let response = ExportTraceServiceResponse::default().encode_to_vec();
            ([(CONTENT_TYPE, "application/x-protobuf")], response).into_response()
        }
        Err(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}
