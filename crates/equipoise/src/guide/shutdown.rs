//! Shutdown: taking out an endpoint, or stopping the application, without losing requests.
//!
//! # Taking out an endpoint
//!
//! 1. **Drain** the endpoint. Clients with a session at this endpoint still reach it, and the strategy no longer picks
//!    it.
//! 2. **Wait** until its last request has ended, with a deadline.
//! 3. **Remove** it from the pool.
//!
//! ```
//! use std::time::Duration;
//!
//! use equipoise::{EndpointSpec, PickRequest, Pool};
//! use tokio::time::timeout;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let pool: Pool<()> = Pool::default();
//! pool.add(EndpointSpec::new("10.0.0.1:80"), ())?;
//! # let lease = pool.pick(&PickRequest::new())?;
//! # tokio::spawn(async move { drop(lease) });
//!
//! pool.drain("10.0.0.1:80")?;
//! let idle = pool.idle("10.0.0.1:80");
//! if timeout(Duration::from_secs(60), idle).await.is_err() {
//!     println!("requests are still in flight; they go on");
//! }
//! pool.remove("10.0.0.1:80")?;
//! assert!(pool.pick(&PickRequest::new()).is_err());
//! # Ok(())
//! # }
//! ```
//!
//! If the application uses [`Health`](crate::health::Health), call [`Health::drain`](crate::health::Health::drain)
//! instead. It does steps 1 and 2, and returns whether the last request has ended or the deadline has passed. At the
//! deadline it sets the endpoint to maintenance, so that clients with a session move to other endpoints too. During the
//! drain, checks and agents cannot make the endpoint available again. `drain` has an effect only while the future of
//! [`spawn`](crate::health::Health::spawn) or `run` is active:
//!
//! ```
//! use std::time::Duration;
//!
//! use equipoise::{EndpointSpec, Pool, health::{DrainOutcome, Health}};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let health = Health::builder().build()?;
//! let pool: Pool<()> = Pool::default();
//! let checking = health.spawn(&pool);
//! pool.add(EndpointSpec::new("10.0.0.1:80"), ())?;
//!
//! match health.drain(&pool, "10.0.0.1:80", Some(Duration::from_secs(60))).await {
//!     DrainOutcome::Completed => {}
//!     DrainOutcome::DeadlineExceeded { in_flight } => println!("{in_flight} requests are still in flight"),
//!     DrainOutcome::Cancelled => return Ok(()), // an operator has made it available again
//!     other => return Err(format!("not drained: {other:?}").into()), // such as an unknown id
//! }
//! pool.remove("10.0.0.1:80")?;
//! # drop(checking);
//! # Ok(())
//! # }
//! ```
//!
//! # Tunnels and endless bodies
//!
//! WebSockets and event streams do not end by themselves. The library reports when they should end, by two futures.
//! [`TunnelLease`](crate::tower::TunnelLease), [`LeasedBody`](crate::tower::LeasedBody) and [`Lease`](crate::Lease)
//! have a method for each of them:
//!
//! | future | ends when the endpoint | use it |
//! | --- | --- | --- |
//! | [`draining`](crate::tower::TunnelLease::draining) | drains, is set to maintenance, or is removed | to end the stream in an orderly way before the deadline of the drain |
//! | [`closing`](crate::tower::TunnelLease::closing) | reaches the deadline of its drain, is set to maintenance, or is removed | for clients with session affinity: if their stream ended earlier, they would reconnect to the draining endpoint |
//!
//! The library cuts off nothing: a tunnel that waits for neither future stays open until one side closes it.
//!
//! # Replacing a target
//!
//! To give an endpoint another target, such as a client with a new certificate, call
//! [`Pool::replace`](crate::Pool::replace). Requests in flight keep the old target, which is dropped when the final one
//! of these requests has ended. Do not remove the endpoint and add it again: until it is added, picks would not find
//! it.
//!
//! # What removing does
//!
//! [`Pool::remove`](crate::Pool::remove) ends no request. An [`update`](crate::Pool::update) with a list that lacks the
//! endpoint ends no request either:
//!
//! | | after the removal |
//! | --- | --- |
//! | requests in flight | go on to their end |
//! | failover | never goes to the removed endpoint |
//! | tunnels, such as WebSockets | their futures `draining` and `closing` end; they stay open until one side closes them |
//! | sessions bound to the endpoint | move to other endpoints with their next request |
//! | idle connections of hyper and reqwest clients | are closed by the client after its `pool_idle_timeout` (90 s by default) |
//! | a target, such as a tonic channel | is dropped with its last lease |
//!
//! Removing an endpoint without draining it therefore loses no requests. Drain an endpoint if clients have sessions at
//! it. Also drain it to find out when its server can be stopped.
//!
//! If a server stops without notice, requests that did not reach it go to other endpoints. A request in flight goes to
//! another endpoint if it is idempotent and its response has not begun. Other requests in flight fail.
//!
//! # Stopping the application
//!
//! A gateway is itself an endpoint of the balancers in front of it. Stop it in this order:
//!
//! 1. **Announce it.** Let the readiness check of the application fail. Go on serving until the balancers in front have
//!    noticed. This takes the interval of their checks, times the number of failed checks after which a server counts
//!    as down.
//! 2. **Stop accepting** connections, and let requests in flight end. HTTP/1 connections close after their current
//!    request; HTTP/2 connections get a GOAWAY. In axum this is `with_graceful_shutdown`, with hyper-util
//!    `GracefulShutdown`.
//! 3. **Set a deadline**, after which remaining connections are dropped. It must be shorter than the time after which
//!    your platform kills the process (30 s by default in Kubernetes).
//! 4. **Drop the rest**: the pool, the balancer, the guard of `Health::spawn`.
//!
//! Do not drain or remove the application's own endpoints while it stops: requests in flight may still need them for
//! failover. A balancer has no task or queue that must be shut down. Only `Health` has a task, which ends when its
//! guard is dropped.
//!
//! Step 2 does not wait for tunnels, because the HTTP server no longer controls an upgraded connection. To wait for
//! them, call [`Pool::idle`](crate::Pool::idle) for each endpoint: it also waits for every
//! [`TunnelLease`](crate::tower::TunnelLease).
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//!
//! use bytes::Bytes;
//! use equipoise::tower::Replayable;
//! use equipoise::{Balance, EndpointSpec, Pool};
//! use futures::future::join_all;
//! use http::{Request, Response};
//! use http_body_util::Full;
//! use hyper::body::Incoming;
//! use hyper_util::{
//!     rt::{TokioExecutor, TokioIo},
//!     server::{conn::auto, graceful::GracefulShutdown},
//!     service::TowerToHyperService,
//! };
//! use tokio::{net::TcpListener, time::timeout};
//! use tower::{ServiceBuilder, service_fn};
//!
//! /// Serves until `stop` ends, then for at most 20 s until all requests and tunnels have ended.
//! async fn serve<S, B>(
//!     listener: TcpListener,
//!     service: S,
//!     pool: Pool<impl Send + Sync + 'static>,
//!     stop: impl Future<Output = ()>,
//! ) -> std::io::Result<()>
//! where
//!     S: tower::Service<Request<Incoming>, Response = Response<B>, Future: Send> + Clone + Send + 'static,
//!     S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
//!     B: hyper::body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
//! {
//!     let graceful = GracefulShutdown::new();
//!     let mut stop = std::pin::pin!(stop);
//!     loop {
//!         let (stream, _) = tokio::select! {
//!             accepted = listener.accept() => accepted?,
//!             () = &mut stop => break,
//!         };
//!         let server = auto::Builder::new(TokioExecutor::new());
//!         let service = TowerToHyperService::new(service.clone());
//!         let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
//!         tokio::spawn(graceful.watch(connection));
//!     }
//!     drop(listener);
//!     let ended = async {
//!         graceful.shutdown().await;
//!         join_all(pool.endpoints().into_iter().map(|endpoint| pool.idle(endpoint.id))).await;
//!     };
//!     if timeout(Duration::from_secs(20), ended).await.is_err() {
//!         eprintln!("stopped with requests in flight");
//!     }
//!     Ok(())
//! }
//! # use http_body_util::BodyExt;
//! # use hyper_util::client::legacy::Client;
//! #
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #     // The request that is in flight asks the application to stop.
//! #     let stop = std::sync::Arc::new(tokio::sync::Notify::new());
//! #     let pool = Pool::default();
//! #     pool.update(["a"].map(EndpointSpec::new), |_| {
//! #         let stop = std::sync::Arc::clone(&stop);
//! #         service_fn(move |_: Request<Replayable<Incoming>>| {
//! #             stop.notify_one();
//! #             async {
//! #                 for _ in 0..100 {
//! #                     tokio::task::yield_now().await;
//! #                 }
//! #                 Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("done")))
//! #             }
//! #         })
//! #     })?;
//! #     let service = ServiceBuilder::new()
//! #         .map_request(|request: Request<Incoming>| request.map(Replayable::new))
//! #         .service(Balance::new(pool.clone()));
//! #     let listener = TcpListener::bind("127.0.0.1:0").await?;
//! #     let address = listener.local_addr()?;
//! #     let stopped = std::sync::Arc::clone(&stop);
//! #     let server = tokio::spawn(serve(listener, service, pool, async move { stopped.notified().await }));
//! #     let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
//! #     let response = client.request(Request::get(format!("http://{address}/")).body(Full::default())?).await?;
//! #     assert_eq!(response.into_body().collect().await?.to_bytes(), "done");
//! #     server.await??;
//! #     Ok(())
//! # }
//! ```
//!
//! # Deadlines
//!
//! | what takes time | how to limit it |
//! | --- | --- |
//! | a drain | the `deadline` of [`Health::drain`](crate::health::Health::drain), or tokio's `timeout` around [`Pool::idle`](crate::Pool::idle) |
//! | a request that waits for an endpoint | [`Balance::queue_timeout`](crate::Balance::queue_timeout); without it, requests do not wait |
//! | one attempt | a timeout [below the balancer](super::layers#timeouts), or [`Balance::attempt_timeout`](crate::Balance::attempt_timeout) |
//! | a request with all attempts | a timeout above the balancer |
//! | a response body, a tunnel | the library has no limit: use a timeout in the code that copies the bytes |
