//! Layers: which tower layers go above the balancer, and which below.
//!
//! A [`Balance`](crate::Balance) is a tower service, so it can be combined with any tower layer. It matters whether a
//! layer is above or below the balancer:
//!
//! - A layer **above** the balancer sees each request once, before an endpoint is picked, and the final response.
//! - A layer **below** the balancer sees each *attempt* to send the request to one endpoint. A request with failover
//!   has several attempts. The balancer sees the result that this layer returns. Strategies and outlier detection learn
//!   from this result how well the endpoint works.
//!
//! ```text
//! request ──► layers above ──► Balance ──► layers below ──► client ──► endpoint
//!             once per request             once per attempt
//! ```
//!
//! # Which layer goes where
//!
//! | layer | above | below |
//! | --- | --- | --- |
//! | session affinity (`affinity`) | directly above the balancer: it decides where the request goes | no |
//! | timeout | the deadline of the whole request, with all attempts | the timeout of one attempt |
//! | retry | retries by response, such as after 503 | no: see [retries](#retries) |
//! | concurrency limit | the total of this process | no: set [`EndpointSpec::max_in_flight`](crate::EndpointSpec::max_in_flight) |
//! | load shedding | above a concurrency limit | in the service of one endpoint |
//! | rate limit | the total of this process | in the service of one endpoint |
//! | tracing, metrics | one span per request | one span per attempt |
//! | request id, idempotency key | yes: all attempts of a request must have the same one | no |
//! | authentication by a token | yes, if all endpoints take the same token | if each endpoint has its own token |
//! | request signing | if the signature covers the name in `Host` | if it covers a time or the endpoint's address |
//! | following redirects | yes, with care: see [redirects](#redirects) | never |
//! | cache | yes: a cached response needs no endpoint | no |
//! | compression, decompression | yes | yes |
//! | filters, CORS, limits by client | yes; the chapter `gateway` has their order | no |
//! | `tower::buffer` | not needed: a balancer is `Clone` | not needed |
//!
//! # Timeouts
//!
//! Use both kinds. The timeout above the balancer limits how long the caller waits in total. The timeout below the
//! balancer limits one attempt, and tells the strategy and outlier detection that the endpoint was too slow
//! ([`Failure::Timeout`](crate::Failure::Timeout)). A request whose attempt timed out is not sent again, because the
//! endpoint may still be working on it. [`Balance::attempt_timeout`](crate::Balance::attempt_timeout) limits one
//! attempt too, but then sends an idempotent request to another endpoint.
//!
//! The timeout below should be the shorter one. If the timeout above ends first, the attempt is dropped without a
//! result. The strategy then learns that the endpoint takes at least that long. Outlier detection counts such an
//! attempt only if `Outliers::abandon_factor` of the health module is set.
//!
//! If the service below the balancer does not become ready, the request goes to another endpoint after
//! [`Balance::ready_timeout`](crate::Balance::ready_timeout).
//!
//! The timeouts of tower and hyper end when the head of the response arrives. To limit the time of a body, use another
//! timeout in the server or in the code that reads the body.
//!
//! # Retries
//!
//! The balancer retries by itself if this is safe: see failover in [`Balance`](crate::Balance). It never retries
//! because of a response, such as a 503. To retry after such responses, use a retry layer above the balancer.
//!
//! A retry layer below the balancer is wrong for three reasons:
//!
//! - It sends the request to the same endpoint again.
//! - The strategy counts several requests as one.
//! - The balancer sees only the error of the final try. An earlier try may have reached the endpoint, and the balancer
//!   may then repeat a request that must not be repeated.
//!
//! For the third reason, also turn off the retries of the client itself. `ReqwestService` (feature `reqwest`) turns off
//! those of reqwest. hyper-util's client needs no change: it repeats only requests that were not sent.
//!
//! Retries multiply. A retry layer with 3 tries above a balancer with 4 attempts makes up to 12 attempts. If you retry
//! above the balancer, use a lower [`Balance::max_attempts`](crate::Balance::max_attempts). For the balancer, each
//! retry from above is a new request, so a strategy by key sends it to the endpoint that has just failed. To prevent
//! this, exclude this endpoint: [`Placement::exclude`](crate::tower::Placement::exclude) has an example with
//! `tower::retry`. The response names its endpoint in the [`ServedBy`](crate::tower::ServedBy) extension.
//!
//! Nested balancers, where the endpoints of one balancer are balancers themselves, share their retries: see
//! [`Balance::max_attempts`](crate::Balance::max_attempts).
//!
//! # Limits and load shedding
//!
//! A concurrency limit above the balancer limits the requests of this process. With `tower::limit::ConcurrencyLimit`,
//! requests above the limit wait. With `tower::load_shed` above it, they fail at once instead.
//!
//! Load shedding directly above the balancer does nothing, because a balancer is always ready. Load shedding in the
//! service of one endpoint, below the balancer, sends requests to other endpoints. A request that was shed was not
//! sent, and it does not count as a failure of the endpoint.
//!
//! Do not put a concurrency limit between the balancer and a client that all endpoints share. Requests would wait there
//! after their endpoint was picked, and requests to one slow endpoint could use up the whole limit. To limit the
//! requests of each endpoint, set [`max_in_flight`](crate::EndpointSpec::max_in_flight). The balancer then picks
//! another endpoint. With [`Balance::queue_timeout`](crate::Balance::queue_timeout), requests wait in a queue while all
//! endpoints are full.
//!
//! # Authentication
//!
//! The balancer keeps all headers. It changes scheme and authority of the URI, and with HTTP/1 the endpoint gets the
//! original name in `Host`. A layer above the balancer can therefore add a bearer token, or a signature over `Host`,
//! once for each request. Put a layer below the balancer if its signature expires soon or must not be used twice. Each
//! attempt then gets a new signature.
//!
//! # Redirects
//!
//! Do not follow redirects below the balancer, neither with tower-http's `FollowRedirect` nor in the client. A followed
//! redirect is a second request, which does not go to the endpoint that was picked. If the second request fails, the
//! balancer cannot know that the endpoint has already processed the first request. It could then send a POST twice. In
//! a gateway for browsers, pass redirects through unchanged: the browser follows them.
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
//!     .layer(BalanceLayer::new(pool).check_addresses()?)
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
