//! Traces: a span of `tracing` for each request, and for each attempt to send it to an endpoint.
//!
//! [`Trace`] is an observer of a balancer:
//!
//! ```
//! use bytes::Bytes;
//! use equipoise_core::{EndpointSpec, Pool};
//! use equipoise_monitor::trace::Trace;
//! use equipoise_tower::Balance;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::service_fn;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::default();
//! pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |_| {
//!     service_fn(|_: Request<Full<Bytes>>| std::future::ready(Ok::<_, std::io::Error>(Response::new(String::new()))))
//! })?;
//! let balance = Balance::new(pool).observe(Trace::client("web").explain(0.01));
//! balance.oneshot(Request::get("http://shop/").body(Full::default())?).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Filters
//!
//! All spans and events have the target [`TARGET`] and the level `DEBUG`. At the level `INFO`, there are none of them, and
//! an observer allocates nothing: each request costs one test of the level. To turn them on with the filter of
//! `tracing-subscriber`, write `info,equipoise::request=debug`.
//!
//! # Spans
//!
//! A request is a span `request`, and each of its attempts is a child `attempt`. They end with the body of the response.
//! The fields follow the semantic conventions of OpenTelemetry 1.45 for
//! [HTTP](https://opentelemetry.io/docs/specs/semconv/http/http-spans/) and
//! [gRPC](https://opentelemetry.io/docs/specs/semconv/rpc/grpc/):
//!
//! | field | span | value |
//! | --- | --- | --- |
//! | `otel.name` | both | the method of HTTP, or service and method of gRPC; `request` and `attempt` for other protocols |
//! | `otel.kind` | both | `server` or `client` for requests, `client` for attempts |
//! | `otel.status_code` | both | `ERROR`, if it failed |
//! | `otel.status_description` | both | the error with its causes |
//! | `error.type` | both | the status of HTTP or gRPC, or the name of the error, such as `no_response` |
//! | `http.request.method` | both | the method, `_OTHER` if it is not a known one |
//! | `http.request.method_original` | both | the method, if it is not a known one |
//! | `http.request.resend_count` | attempt | the number of earlier attempts, from the second attempt on |
//! | `http.response.status_code` | both | the status of the response |
//! | `url.full` | both | the URL, for attempts with the address of the endpoint; not of server requests |
//! | `url.scheme`, `url.path`, `url.query`, `network.protocol.version` | request | of server requests only |
//! | `server.address`, `server.port` | both | the host that the client asks for; the host of the endpoint |
//! | `rpc.system.name`, `rpc.method`, `rpc.response.status_code` | both | for gRPC, instead of the fields of HTTP |
//! | `equipoise.pool` | both | the name of the pool |
//! | `equipoise.endpoint` | both | the id of the endpoint, of requests the one that has responded |
//! | `equipoise.attempts` | request | the number of attempts |
//! | `equipoise.outcome` | both | how it ended: `response`, `error`, `not_ready`, `refused` or `cancelled` |
//!
//! Neither headers nor bodies are recorded, and queries only if [`Trace::queries`] says so. User names and passwords in
//! URLs are left out.
//!
//! # Events
//!
//! | event | span | fields |
//! | --- | --- | --- |
//! | `pick` | request | `equipoise.endpoint`, `equipoise.binding` (`unbound`, `kept` or `missed`), `equipoise.strategy` ([`Pool::strategy`](equipoise_core::Pool::strategy)), and for a [share](Trace::explain) of requests `equipoise.explanation`: why this endpoint and not the others |
//! | `queue entered` | request | |
//! | `queue left` | request | `equipoise.queue.end`, `equipoise.queue.reason`, `equipoise.queue.seconds` |
//! | `failover` | request | `equipoise.from`, `equipoise.to` |
//! | `verdict` | attempt | `equipoise.verdict`: what the attempt says about the endpoint, such as `success` or `failure_connect` |
//!
//! `equipoise.explanation` is always the one of the picked endpoint. It is missing if the request has waited in the queue,
//! or if the pick has chosen another endpoint than its explanation: see
//! [`EventKind::Picked`](equipoise_tower::EventKind::Picked).
//!
//! While the service of an endpoint is polled, the span of the attempt is the current span. The polls of the response
//! body are outside of it.
//!
//! # OpenTelemetry
//!
//! With a layer of `tracing-opentelemetry`, the spans are spans of OpenTelemetry. The feature `opentelemetry` connects
//! them with those of other processes: the context in the headers of a request (`traceparent`) becomes the parent, and
//! each attempt sends its own context to its endpoint. Without the feature, without such a layer and without a
//! propagator, balancers and the reverse proxy pass the headers of clients on as they are.

#[cfg(feature = "opentelemetry")]
mod context;
mod exemplars;
mod observer;
mod request;
mod semantics;
mod settings;

#[cfg(feature = "opentelemetry")]
#[cfg_attr(docsrs, doc(cfg(feature = "opentelemetry")))]
pub use self::context::current_trace_id;
pub use self::{
    exemplars::{Exemplar, Exemplars},
    observer::Trace,
};

/// The target of all spans and events of traces, for filters.
pub const TARGET: &str = "equipoise::request";
