//! Observing: what to log and what to measure.
//!
//! A [`Monitor`](crate::monitor::Monitor) (feature `monitor`) collects what is counted, and exports it as
//! [metrics](#metrics), as [events](#events) and on a [status page](#a-status-page). Without it, equipoise depends on no
//! metrics library, and an application can use any. equipoise reports what happened in these places:
//!
//! | source | reports |
//! | --- | --- |
//! | extensions of each response | which endpoint served it ([`ServedBy`](crate::tower::ServedBy)), at which attempt if it was not the first ([`Attempt`](crate::tower::Attempt)), and whether the session stayed at its endpoint ([`BindingOutcome`](crate::BindingOutcome), `affinity::AffinityOutcome`) |
//! | each [`Error`](crate::tower::Error) | which endpoint failed, after how many attempts, why, and which status a gateway should send |
//! | an [observer](crate::tower::Observe) | each step of a request |
//! | [traces](#traces) | the spans of a request and its attempts, for `tracing` and OpenTelemetry |
//! | a [reverse proxy](#a-reverse-proxy) and its server | the route of a request, why a request failed, the connections of clients |
//! | the pool | the state and the request counts of each endpoint ([`Pool::endpoints`](crate::Pool::endpoints)), and why a request goes to its endpoint ([`Pool::explain`](crate::Pool::explain)) |
//! | [`Health`](crate::health::Health) | the availability of each endpoint with its reasons, and each change |
//! | a [`Monitor`](crate::monitor::Monitor) | the counters of all pools and listeners at one moment, [each change](#events) of its pools, and samples of the last minutes |
//!
//! # Requests
//!
//! Log one line per request, with the endpoint. For a failed request, also log the causes of the error. The error
//! itself names the endpoint, and its [`source`](std::error::Error::source) says what happened there.
//!
//! ```
//! use std::error::Error as _;
//!
//! use bytes::Bytes;
//! use equipoise::tower::{Attempt, Error, ServedBy};
//! use equipoise::{Balance, EndpointSpec, Pool};
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::{ServiceExt, service_fn};
//!
//! /// The status that the client gets, the endpoint, the number of attempts, and for failures the causes.
//! fn log<B>(result: &Result<Response<B>, Error>) -> String {
//!     match result {
//!         Ok(response) => {
//!             let status = response.status().as_u16();
//!             let attempts = response.extensions().get().map_or(1, |attempt: &Attempt| attempt.number);
//!             match response.extensions().get() {
//!                 Some(ServedBy(endpoint)) => format!("{status} endpoint={endpoint} attempts={attempts}"),
//!                 None => format!("{status}"),
//!             }
//!         }
//!         Err(error) => {
//!             let endpoint = error.endpoint().map_or("-", |endpoint| endpoint.as_str());
//!             let (status, attempts) = (error.status().as_u16(), error.attempts());
//!             let mut line = format!("{status} endpoint={endpoint} attempts={attempts} error={error}");
//!             let mut cause = error.source();
//!             while let Some(error) = cause {
//!                 line += &format!(": {error}");
//!                 cause = error.source();
//!             }
//!             line
//!         }
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::default();
//! pool.update(["a"].map(EndpointSpec::new), |_| {
//!     service_fn(|request: Request<Full<Bytes>>| async move {
//!         match request.uri().path() {
//!             "/lost" => Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "reset by peer")),
//!             _ => Ok(Response::new(Full::<Bytes>::default())),
//!         }
//!     })
//! })?;
//! let mut lines = Vec::new();
//! for path in ["/", "/lost"] {
//!     let result = Balance::new(pool.clone()).oneshot(Request::get(path).body(Full::default())?).await;
//!     lines.push(log(&result));
//! }
//! pool.remove("a")?;
//! lines.push(log(&Balance::new(pool.clone()).oneshot(Request::new(Full::default())).await));
//! assert_eq!(lines[0], "200 endpoint=a attempts=1");
//! assert_eq!(lines[1], "502 endpoint=a attempts=1 error=endpoint a failed: reset by peer");
//! assert!(lines[2].starts_with("503 endpoint=- attempts=0 error=the pool has no endpoints"));
//! # Ok(())
//! # }
//! ```
//!
//! # A reverse proxy
//!
//! A [`ReverseProxy`](crate::proxy::ReverseProxy) returns no errors: it answers for them. The extensions of its responses
//! tell what has happened: [`Failed`](crate::proxy::Failed) has the error,
//! [`MatchedRoute`](crate::proxy::route::MatchedRoute) the name of the route, and `ServedBy` the endpoint. So that the
//! response for an error has the route, too, add a [`RouteNote`](crate::proxy::route::RouteNote) to the request, which
//! costs two allocations:
//!
//! ```
//! use equipoise::proxy::{Failed, route::{MatchedRoute, RouteNote}};
//! use equipoise::tower::ServedBy;
//! use http::{Request, Response};
//!
//! /// The line of an access log, from the response of a proxy.
//! fn line<B>(response: &Response<B>) -> String {
//!     let extensions = response.extensions();
//!     let route = extensions.get().map_or("-", |MatchedRoute(name)| name);
//!     match (extensions.get(), extensions.get()) {
//!         (Some(Failed(error)), _) => format!("{} route={route} failed={}", response.status(), error.as_str()),
//!         (None, Some(ServedBy(endpoint))) => format!("{} route={route} endpoint={endpoint}", response.status()),
//!         (None, None) => format!("{} route={route}", response.status()), // such as a redirect
//!     }
//! }
//!
//! # use bytes::Bytes;
//! # use equipoise::proxy::{ReverseProxy, route::{Route, RouteBody, Router, Routes}};
//! # use tower::ServiceExt;
//! # type Body = http_body_util::Full<Bytes>;
//! # type Routed = Request<RouteBody<equipoise::proxy::RequestBody<Body>>>;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let fails = tower::service_fn(async |_: Routed| Err::<Response<Body>, _>(std::io::Error::other("broken")));
//! # let proxy = ReverseProxy::new(Router::new(Routes::new([Route::to("web", fails)])?));
//! let mut request = Request::get("/").header("host", "app.test").body(Body::default())?;
//! request.extensions_mut().insert(RouteNote::new());
//! let response = proxy.oneshot(request).await?;
//! assert_eq!(line(&response), "502 Bad Gateway route=web failed=service");
//! # Ok(())
//! # }
//! ```
//!
//! The connections are counted on both sides. [`Server::stats`](crate::proxy::server::Server::stats) has those of
//! clients: how many are open, and how many were closed because a client was slow, idle or malformed.
//! [`Upstream::status`](crate::Upstream::status) has those to an endpoint, with the reasons why they were closed:
//!
//! ```
//! use equipoise::{EndpointSpec, Pool, Upstream, http::CloseReason};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::default();
//! pool.try_update([EndpointSpec::new("10.0.0.1:8080")], |spec| Upstream::new(spec.address()))?;
//! for endpoint in pool.endpoints() {
//!     let Some(upstream) = pool.target(&endpoint.id) else { continue };
//!     let status = upstream.status();
//!     println!("connections_open{{endpoint={:?}}} {}", endpoint.id.as_str(), status.open);
//!     for reason in CloseReason::ALL {
//!         println!("connections_closed{{reason={:?}}} {}", reason.as_str(), status.closed(reason));
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Steps of a request
//!
//! A balancer calls its [observer](crate::tower::Observe) at each step of a request. Each step that begins also ends,
//! even if the response future is dropped. For metrics, `as_str` returns the name of each kind of step and each kind of
//! result. These names never change.
//!
//! ```
//! use std::{collections::HashMap, sync::{Arc, Mutex}};
//!
//! use bytes::Bytes;
//! use equipoise::tower::{RequestEvent, EventKind};
//! use equipoise::{Balance, EndpointSpec, Pool, RoundRobin};
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use tower::service_fn;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool = Pool::new(RoundRobin::new());
//! pool.update(["dead", "works"].map(EndpointSpec::new), |spec| {
//!     let dead = spec.id().as_str() == "dead";
//!     service_fn(move |_: Request<Full<Bytes>>| async move {
//!         if dead {
//!             return Err(std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
//!         }
//!         Ok(Response::new(String::new()))
//!     })
//! })?;
//! let attempts: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
//! let counts = Arc::clone(&attempts);
//! let balance = Balance::new(pool).observe(move |event: &RequestEvent<'_>| {
//!     if let EventKind::AttemptEnded { endpoint, end, elapsed, .. } = event.kind {
//!         println!("request {}: {} from {endpoint} after {elapsed:?}", event.request, end.as_str());
//!         if let Ok(mut counts) = counts.lock() {
//!             *counts.entry(format!("{endpoint} {}", end.as_str())).or_default() += 1;
//!         }
//!     }
//! });
//! for _ in 0..2 {
//!     balance.clone().oneshot(Request::new(Full::default())).await?;
//! }
//! let counts = attempts.lock().map_err(|_| "poisoned")?;
//! assert_eq!(counts.get("works response"), Some(&2));
//! # Ok(())
//! # }
//! ```
//!
//! A layer [below the balancer](super::layers) sees each attempt. From the second attempt of a request on, the
//! [`Attempt`](crate::tower::Attempt) extension of the request has the number and the endpoint of the attempt. Measure
//! the number of attempts of each request. If
//! endpoints fail, this number rises, even while failover still hides the failures from clients.
//!
//! An observer that needs state for each request, or has to change the headers of attempts, returns an
//! [`ObserveRequest`](crate::tower::ObserveRequest) for each request.
//!
//! # Traces
//!
//! `monitor::trace::Trace` (feature `monitor-trace`) is an observer that makes spans of `tracing`: one for each request,
//! and a child for each attempt, with the fields of OpenTelemetry for HTTP and gRPC. Events in the spans tell of picks,
//! waits in the queue, failovers and verdicts.
//!
//! ```
//! # #[cfg(feature = "monitor-trace")]
//! # mod traced {
//! use equipoise::{Balance, HttpClient, Pool, Upstream, monitor::trace::Trace};
//!
//! /// A client that traces its requests, and explains one pick of a hundred.
//! pub fn traced(pool: Pool<Upstream>) -> HttpClient {
//!     HttpClient::with_balance(Balance::new(pool).observe(Trace::client("orders").explain(0.01)))
//! }
//! # }
//! ```
//!
//! The spans have the level `DEBUG` and the target `equipoise::request`. At the level `INFO`, there are none: an observer
//! then allocates nothing, and costs one test for each request. To log them, set the filter of `tracing-subscriber` to
//! `info,equipoise::request=debug`.
//!
//! To export them, add a layer of `tracing-opentelemetry` to the subscriber. With the feature `monitor-opentelemetry`, the
//! spans are then part of the trace of the client: the context is read from the headers of a request (`traceparent`), and
//! each attempt sends its own. Install a propagator for that with `opentelemetry::global::set_text_map_propagator`. Use
//! `Trace::server` in a proxy, and `Trace::client` everywhere else. The example `otlp` exports the spans of a client and a
//! proxy over OTLP.
//!
//! # Endpoints
//!
//! [`Pool::endpoints`](crate::Pool::endpoints) returns the present state of each endpoint: id, address, tier, zone,
//! weight, availability, requests in flight and their limit. It takes O(n) and allocates, so call it for a status page
//! or once per scrape of your metrics, not for each request.
//!
//! ```
//! use equipoise::{Availability, EndpointSpec, PickRequest, Pool};
//!
//! let pool: Pool<()> = Pool::default();
//! pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
//! pool.drain("b:80")?;
//! let lease = pool.pick(&PickRequest::new())?;
//!
//! for endpoint in pool.endpoints() {
//!     println!("in_flight{{endpoint={:?}}} {}", endpoint.id.as_str(), endpoint.in_flight);
//! }
//! let up = pool.endpoints().iter().filter(|endpoint| endpoint.availability == Availability::Up).count();
//! assert_eq!(up, 1);
//! # drop(lease);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! For each endpoint, the pool [counts its requests](crate::RequestCounts) by outcome. A request is counted when its
//! response body has ended. The counts are exact and survive updates. With
//! [`latency_histograms`](crate::PoolBuilder::latency_histograms), each endpoint also has a
//! [histogram](crate::LatencyHistogram) of the times to the first byte, and one of the whole times.
//!
//! ```
//! use equipoise::{EndpointSpec, P2c, PickRequest, Pool, Verdict};
//!
//! let pool: Pool<()> = Pool::builder(P2c::new()).latency_histograms(true).build();
//! pool.add(EndpointSpec::new("a:80"), ())?;
//! pool.pick(&PickRequest::new())?.finish(Verdict::Success);
//!
//! for endpoint in pool.endpoints() {
//!     for (outcome, count) in endpoint.requests.by_outcome() {
//!         println!("requests_total{{endpoint={:?},outcome={outcome:?}}} {count}", endpoint.id.as_str());
//!     }
//!     let p99 = endpoint.latency.and_then(|latency| latency.quantile(0.99));
//!     println!("{}: p99 {p99:?}", endpoint.id);
//!     assert_eq!(endpoint.requests.success, 1);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Pool::stats`](crate::Pool::stats) returns the totals of the pool. They also have the requests of endpoints that have
//! left. [`Pool::departed`](crate::Pool::departed) lists these endpoints for 10 minutes, so that a scrape gets their last
//! counts.
//!
//! ```
//! use equipoise::{EndpointSpec, PickRequest, Pool, Verdict};
//!
//! let pool: Pool<()> = Pool::default();
//! pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
//! pool.pick(&PickRequest::new())?.finish(Verdict::Success);
//! pool.update([EndpointSpec::new("c:80")], |_| ())?;
//!
//! let status = pool.status();
//! assert_eq!((status.endpoints.len(), status.departed.len()), (1, 2));
//! assert_eq!((status.stats.requests(), status.stats.attempts.success), (1, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why did this request go there?
//!
//! [`Pool::explain`](crate::Pool::explain) makes the same decision as a pick, without taking a lease. For each
//! endpoint, the result says whether the endpoint would be picked. If not, the result gives the reason: the endpoint
//! was compared with others and not picked (with its score), or it is excluded, full, draining or unhealthy, for
//! example. The result prints as a table. Give `explain` the same key and binding as the request has. For requests with
//! session affinity, use `Affinity::explain`.
//!
//! ```
//! use equipoise::{EndpointSpec, CandidateResult, PickRequest, Pool};
//!
//! let pool: Pool<()> = Pool::default();
//! pool.update(["a:80", "b:80"].map(EndpointSpec::new), |_| ())?;
//! pool.drain("b:80")?;
//!
//! let explanation = pool.explain(&PickRequest::new());
//! println!("{explanation}");
//! assert_eq!(explanation.candidates[1].result, CandidateResult::Draining);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Health
//!
//! [`statuses`](crate::health::Health::statuses) returns the availability of each endpoint, the reasons why it is not
//! up, and the last result of each check. [`changes`](crate::health::Health::changes) returns a receiver of all later
//! changes. The receiver's queue has no limit: read the changes, or drop the receiver.
//!
//! ```
//! use equipoise::health::{AdminState, Health, Source};
//! use equipoise::{EndpointSpec, Pool};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = Health::builder().build()?;
//! let pool: Pool<()> = Pool::default();
//! let checking = health.spawn(&pool);
//! pool.add(EndpointSpec::new("a:80"), ())?;
//! let mut changes = health.changes();
//! health.set_admin_state("a:80", AdminState::Maintenance);
//!
//! while let Some(change) = changes.next().await {
//!     println!("{change}");
//!     if change.source == Source::Operator {
//!         break;
//!     }
//! }
//! for status in health.statuses() {
//!     let reasons: Vec<_> = status.conditions.iter().map(|it| format!("{}: {}", it.source, it.reason)).collect();
//!     println!("{} {} {}", status.id, status.availability, reasons.join("; "));
//!     assert_eq!(reasons.len(), 1);
//! }
//! # drop(checking);
//! # Ok(())
//! # }
//! ```
//!
//! The times in statuses and changes (`since`, `at`) are on the clock of [`Health::now`](crate::health::Health::now).
//!
//! Each change is also a `tracing` event of level info with the target `equipoise::event`, the message `health changed` and
//! the fields `endpoint`, `from`, `to`, `source` and `reason`. If the pool has a name
//! ([`HealthBuilder::name`](crate::health::HealthBuilder::name)), the event has it as the field `pool`. Lost connections to
//! a session store are events of level warn.
//!
//! [`Health::stats`](crate::health::Health::stats) returns how many changes there were by source, how often outlier
//! detection has ejected endpoints, and how many probes have passed and failed.
//!
//! # Metrics
//!
//! An [`Exporter`](crate::monitor::prometheus::Exporter) (feature `monitor-prometheus`) writes what a monitor reads in the
//! formats of Prometheus and OpenMetrics. It is a tower service for the path `/metrics`. The counters are read when they are
//! scraped, so requests do not pay for it. Applications that use the facade of the crate `metrics` export the same with a
//! [`Bridge`](crate::monitor::facade::Bridge) (feature `monitor-metrics`).
//!
//! ```
//! # #[cfg(feature = "monitor-prometheus")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use equipoise::monitor::{Monitor, WatchedPool, prometheus::{Exporter, Format}};
//! use equipoise::{EndpointSpec, PickRequest, Pool, Verdict};
//!
//! let pool: Pool<()> = Pool::default();
//! pool.add(EndpointSpec::new("a:80"), ())?;
//! pool.pick(&PickRequest::new())?.finish(Verdict::Success);
//!
//! let monitor = Monitor::new();
//! monitor.add_pool(WatchedPool::new("web", &pool));
//! let text = Exporter::new(&monitor).text(Format::Prometheus)?;
//! assert!(text.contains("equipoise_pool_attempts_total{pool=\"web\",outcome=\"success\"} 1"));
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "monitor-prometheus"))]
//! # fn main() {}
//! ```
//!
//! [docs/monitoring](https://github.com/equipoise-rs/equipoise/blob/main/docs/monitoring/README.md) has a dashboard for
//! Grafana and alert rules. [Troubleshooting](https://github.com/equipoise-rs/equipoise/blob/main/docs/troubleshooting.md) says
//! what the status page, the metrics and `explain` show in six troubles, each with a command that causes it.
//!
//! # Events
//!
//! A [`Monitor`](crate::monitor::Monitor) with a task (feature `monitor-live`) records what happens in its pools: each
//! change of membership, availability, limits and weights, and certificates that expire within 30 days. Each event is
//! one line in the log, with the target `equipoise::event` and fields that do not change. A program can subscribe to
//! the events, and record its own. [`monitor::live`](crate::monitor::live) lists them, and says what is guaranteed.
//!
//! ```
//! use equipoise::monitor::{Monitor, WatchedPool, live::{MonitorEventKind, Received}};
//! use equipoise::{EndpointSpec, Pool};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool: Pool<()> = Pool::default();
//! let monitor = Monitor::new();
//! monitor.add_pool(WatchedPool::new("web", &pool));
//! let guard = monitor.spawn();
//! let mut events = monitor.subscribe();
//!
//! pool.add(EndpointSpec::new("a:80"), ())?;
//! monitor.record(MonitorEventKind::Reloaded { result: "ok", detail: "1 pool".to_owned() });
//!
//! while let Some(received) = events.next().await {
//!     match received {
//!         Received::Event(event) => {
//!             println!("{} {:?}", event.id, event.kind);
//!             if event.kind.as_str() == "membership" {
//!                 break;
//!             }
//!         }
//!         // This program was too slow.
//!         Received::Dropped(events) => println!("{events} events were dropped"),
//!         _ => {}
//!     }
//! }
//! # drop(guard);
//! # Ok(())
//! # }
//! ```
//!
//! # A status page
//!
//! [`StatusPage`](crate::monitor::page::StatusPage) (feature `monitor-page`) shows the pools of a monitor in a browser:
//! endpoints with their states and reasons, rates, latencies, sessions, listeners and events, live. It explains where a
//! request would go. With an authoriser, operators can drain endpoints and take them back. Other programs read the same
//! as JSON. It is a tower service, for a [server](crate::proxy::server::Server) of its own or below a path of an
//! application:
//!
//! ```
//! use equipoise::monitor::{Monitor, WatchedPool, page::StatusPage};
//! use equipoise::health::Health;
//! use equipoise::{EndpointSpec, P2c, Pool};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = Health::builder().build()?;
//! // The page shows latencies of pools with histograms only.
//! let pool: Pool<()> = Pool::builder(P2c::new()).latency_histograms(true).build();
//! let checking = health.spawn(&pool);
//! pool.add(EndpointSpec::new("10.0.0.7:8080"), ())?;
//!
//! let monitor = Monitor::new();
//! monitor.add_pool(WatchedPool::new("web", &pool).health(&health));
//! let app: axum::Router = axum::Router::new().nest_service("/status", StatusPage::new(&monitor));
//! // Serve it at an address that only operators reach, such as 127.0.0.1:9000.
//! # drop((app, checking));
//! # Ok(())
//! # }
//! ```
//!
//! Every client that can connect to the page can read it: [`monitor::page`](crate::monitor::page) has a section on
//! security.
//!
//! # What to measure
//!
//! | measure | from | watch for |
//! | --- | --- | --- |
//! | requests by endpoint and outcome | `Pool::endpoints`: `requests` | one endpoint with more errors than the others |
//! | time to the first byte, by endpoint | `Pool::endpoints`: `latency` (with `PoolBuilder::latency_histograms`), or an observer | one endpoint that is slower than the others |
//! | requests that wait | `Pool::stats`: `waiting`, `queued` | requests that wait for longer than a moment |
//! | time in the queue | an observer: `QueueLeft` | requests that wait at all, or a rising share of them |
//! | retries and failovers | `Pool::stats`: `retries`, `failovers` | a rising share of all requests |
//! | requests without an attempt, by reason | `Pool::stats`: `unserved` | each of these errors: no endpoint was available, or all were full |
//! | requests in flight, by endpoint | `Pool::endpoints` | a value near the endpoint's limit |
//! | share of endpoints that are up, by tier | `Pool::endpoints` | values near the [panic threshold](crate::PoolBuilder::panic_threshold) |
//! | health changes by source | `Health::stats`, `Health::changes` | ejections that repeat: after each ejection, the endpoint fails its next request |
//! | sessions by outcome | `Affinity::stats` | sessions that move; stores that do not answer |
//! | connections to endpoints, opened and closed by reason | [`Upstream::status`](crate::Upstream::status) | few requests per connection; `failed`, `ping_timeout` |
//! | connections of clients | [`Server::stats`](crate::proxy::server::Server::stats) | a number near `max_connections`; timeouts and `malformed` |
//! | failed requests by kind | [`Failed`](crate::proxy::Failed): `ProxyError::as_str` | any rise |
//!
//! # What to log
//!
//! - failed requests, with endpoint and causes;
//! - requests that took several attempts;
//! - health changes, with source and reason;
//! - changes of the pool: a monitor logs them as [events](#events). The result of [`Pool::update`](crate::Pool::update)
//!   lists which endpoints joined and left, too;
//! - errors of `Pool::update`, such as an invalid address: the pool then keeps its old endpoints.
