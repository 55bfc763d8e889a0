//! Layers: what goes above the balancer, and what below.
//!
//! A [`Balance`](crate::Balance) is a tower service, so it can be combined with any tower layer. The place of a layer
//! decides what it applies to:
//!
//! - A layer **above** the balancer sees each request once, before an endpoint is picked, and the final response.
//! - A layer **below** the balancer sees each *attempt*: one try at one endpoint. A request with failover has several
//!   attempts. The balancer sees only what this layer lets through, and takes it as the behaviour of the endpoint.
//!
//! ```text
//! request ──► layers above ──► Balance ──► layers below ──► client ──► endpoint
//!             once a request               once an attempt
//! ```
//!
//! # Which layer goes where
//!
//! | layer | above | below |
//! | --- | --- | --- |
//! | session affinity (`affinity`) | directly above the balancer: it decides where the request goes | no |
//! | time-out | the deadline of the whole request, with all attempts | the time-out of one attempt |
//! | retry | retries by response, such as after 503 | no: see [retries](#retries) |
//! | concurrency limit | the total of this process | no: set [`EndpointSpec::max_in_flight`](crate::EndpointSpec::max_in_flight) |
//! | load shedding | above a concurrency limit | in the service of one endpoint |
//! | rate limit | the total of this process | in the service of one endpoint |
//! | tracing, metrics | one span per request | one span per attempt |
//! | request id, idempotency key | yes: all attempts of a request must carry the same | no |
//! | authentication by a token | yes, if all endpoints take the same token | if each endpoint has its own token |
//! | request signing | if the signature covers the name in `Host` | if it covers a time or the endpoint's address |
//! | following redirects | yes, with care: see [redirects](#redirects) | never |
//! | cache | yes: a cached response needs no endpoint | no |
//! | compression, decompression | yes | yes |
//! | `tower::buffer` | not needed: a balancer is `Clone` | not needed |
//!
//! # Time-outs
//!
//! Use both kinds. The time-out above bounds what the caller waits for in total. The time-out below bounds one attempt,
//! and tells the strategy and outlier detection that the endpoint was too slow
//! ([`Failure::Timeout`](crate::Failure::Timeout)). A request that timed out is not sent again, because the endpoint
//! may still be working on it.
//!
//! The time-out below should be the shorter one. If the time-out above ends first, the attempt is dropped without a
//! result. The strategy then learns that the endpoint takes at least that long. Outlier detection learns nothing,
//! unless `Outliers::on_abandon` of the health module is set.
//!
//! A service that does not get ready is a third case: after [`Balance::ready_timeout`](crate::Balance::ready_timeout),
//! the request goes to another endpoint.
//!
//! Time-outs of tower and hyper end with the head of the response. For bodies, the server or the reader of the body
//! needs a time-out of its own.
//!
//! # Retries
//!
//! The balancer retries by itself where that is safe: see failover in [`Balance`](crate::Balance). It never retries
//! because of a response. For that, use a retry layer above the balancer.
//!
//! A retry layer below the balancer is wrong for three reasons. It sends the request to the same endpoint again. The
//! strategy counts several requests as one. And the error of the last try hides that an earlier try may have reached
//! the endpoint, so that the balancer may repeat a request that must not be repeated. For the same reason, switch off
//! retries in the client itself.
//!
//! Retries multiply. A retry layer with 3 tries above a balancer with 4 tries makes up to 12 attempts. Lower
//! [`Balance::max_attempts`](crate::Balance::max_attempts) if you retry above. Each retry starts with no knowledge of the first try,
//! so a strategy by key sends it to the same endpoint again. To prevent that, exclude the endpoint:
//! [`Placement::exclude`](crate::tower::Placement::exclude) has an example with `tower::retry`. The endpoint is in the
//! [`Attempt`](crate::tower::Attempt) extension of the response.
//!
//! Nested balancers, where the endpoints of one balancer are balancers themselves, share their retries: see
//! [`Balance::max_attempts`](crate::Balance::max_attempts).
//!
//! # Limits and load shedding
//!
//! A concurrency limit above the balancer bounds the requests of this process. `tower::limit::ConcurrencyLimit` makes
//! requests wait for their turn; with `tower::load_shed` above it, they fail at once instead. Load shedding directly
//! above the balancer does nothing, because a balancer is always ready. Below the balancer, in the service of one
//! endpoint, it sends requests to other endpoints: a request that was shed was not sent, and is not held against the
//! endpoint.
//!
//! Do not put a concurrency limit between the balancer and a shared client. Requests would wait there after their
//! endpoint was picked, and a slow endpoint would use up the places of the fast ones. To limit the requests of each
//! endpoint, set [`max_in_flight`](crate::EndpointSpec::max_in_flight): the balancer then picks another endpoint, and
//! with [`Balance::queue_timeout`](crate::Balance::queue_timeout) it queues requests while all endpoints are full.
//!
//! # Authentication
//!
//! The balancer keeps all headers. It changes scheme and authority of the URI, and with HTTP/1 the endpoint gets the
//! original name in `Host`. So a bearer token, or a signature over `Host`, can be set above the balancer, once for each
//! request. A signature that expires soon, or that must not be used twice, belongs below: then each attempt is signed
//! anew.
//!
//! # Redirects
//!
//! Do not follow redirects below the balancer. A followed redirect leaves the endpoint that was picked, and its errors
//! look like errors of the first request, which the endpoint has already processed. Then a POST could be sent twice.
//! Browsers' redirects pass through a gateway unchanged: let the client follow them.
//!
//! Above the balancer, each followed redirect is a new request to the pool. This is right for redirects within the
//! service. A redirect to another host would be sent to the pool too, because the balancer replaces the host. Restrict
//! the redirect policy to the host of the service.
//!
//! # Example
//!
//! ```
//! use std::{io, sync::{Arc, atomic::{AtomicUsize, Ordering::Relaxed}}, time::Duration};
//!
//! use bytes::Bytes;
//! use equipoise::{BalanceLayer, EndpointSpec, Pool, RoundRobin};
//! use http::{HeaderValue, Request, Response, header::AUTHORIZATION};
//! use http_body_util::Full;
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! let pool = Pool::new(RoundRobin::new());
//! pool.update(["10.0.0.1:80", "10.0.0.2:80"].map(EndpointSpec::new), |_| ())?;
//!
//! // Stands for an HTTP client. One endpoint refuses connections.
//! let client = service_fn(|request: Request<Full<Bytes>>| async move {
//!     assert_eq!(request.headers()[AUTHORIZATION], "Bearer token");
//!     match request.uri().host() {
//!         Some("10.0.0.1") => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
//!         _ => Ok(Response::new(Full::<Bytes>::default())),
//!     }
//! });
//!
//! let (requests, attempts) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
//! let count = |counter: &Arc<AtomicUsize>| {
//!     let counter = Arc::clone(counter);
//!     move |request: Request<Full<Bytes>>| {
//!         counter.fetch_add(1, Relaxed);
//!         request
//!     }
//! };
//! let service = ServiceBuilder::new()
//!     // Above: once for each request.
//!     .load_shed()
//!     .concurrency_limit(1000)
//!     .timeout(Duration::from_secs(30))
//!     .map_request(|mut request: Request<Full<Bytes>>| {
//!         request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Bearer token"));
//!         request
//!     })
//!     .map_request(count(&requests))
//!     .layer(BalanceLayer::new(pool))
//!     // Below: once for each attempt.
//!     .map_request(count(&attempts))
//!     .timeout(Duration::from_secs(5))
//!     .service(client);
//!
//! for _ in 0..2 {
//!     let request = Request::get("http://orders/today").body(Full::default())?;
//!     assert!(service.clone().oneshot(request).await?.status().is_success());
//! }
//! // The refused attempt was repeated at the other endpoint.
//! assert_eq!((requests.load(Relaxed), attempts.load(Relaxed)), (2, 3));
//! # Ok(())
//! # }
//! ```
