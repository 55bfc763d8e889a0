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
//! WebSockets and event streams do not end by themselves. A [`ReverseProxy`](crate::proxy::ReverseProxy) ends the tunnels
//! of an endpoint when its future `closing` (below) ends, and tunnels in which no byte has passed for the
//! [idle timeout](crate::proxy::Tunnels::idle_timeout). It does not end bodies that still make progress.
//!
//! Code that copies the bytes itself learns from two futures when they should end. [`TunnelLease`](crate::tower::TunnelLease), [`LeasedBody`](crate::tower::LeasedBody) and [`Lease`](crate::Lease)
//! have a method for each of them:
//!
//! | future | ends when the endpoint | use it |
//! | --- | --- | --- |
//! | [`draining`](crate::tower::TunnelLease::draining) | drains, is set to maintenance, or is removed | to end the stream in an orderly way before the deadline of the drain |
//! | [`closing`](crate::tower::TunnelLease::closing) | reaches the deadline of its drain, is set to maintenance, or is removed | for clients with session affinity: if their stream ended earlier, they would reconnect to the draining endpoint |
//!
//! A balancer without a `ReverseProxy` cuts off nothing: a tunnel that waits for neither future stays open until one side
//! closes it.
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
//! | tunnels, such as WebSockets | their futures `draining` and `closing` end; a `ReverseProxy` closes them then |
//! | sessions bound to the endpoint | move to other endpoints with their next request |
//! | idle connections of [`HttpClient`](crate::HttpClient) | are closed at once |
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
//!    request; HTTP/2 connections get a GOAWAY. [`Server::shutdown`](crate::proxy::server::Server::shutdown) does this.
//!    In axum it is `with_graceful_shutdown`, with hyper-util `GracefulShutdown`.
//! 3. **End the tunnels.** `shutdown` waits for those over HTTP/2, which are streams of their connections, and aborts them
//!    at its deadline. It does not wait for the others. So call [`Tunnels::close`](crate::proxy::Tunnels::close) shortly
//!    before the deadline. Tunnels can begin until the last request has ended, so wait for
//!    [`Tunnels::closed`](crate::proxy::Tunnels::closed) after step 2.
//! 4. **Set a deadline** for both, after which remaining connections are dropped. It must be shorter than the time after
//!    which your platform kills the process (30 s by default in Kubernetes).
//! 5. **Drop the rest**: the pool, the balancer, the guard of `Health::spawn`. End the tokio runtime with
//!    `Runtime::shutdown_background`: otherwise it waits for threads that resolve a name.
//!
//! Do not drain or remove the application's own endpoints while it stops: requests in flight may still need them for
//! failover. A balancer has no task or queue that must be shut down. Only `Health` has a task, which ends when its
//! guard is dropped.
//!
//! ```
//! use std::{pin::pin, time::Duration};
//!
//! use equipoise::HttpClient;
//! use equipoise::proxy::{ReverseProxy, server::Server};
//! use tokio::{net::TcpListener, time::timeout};
//!
//! /// Serves until `stop` ends, then for at most 20 s until all requests and tunnels have ended.
//! async fn serve(listener: TcpListener, client: HttpClient, stop: impl Future<Output = ()>) {
//!     let proxy = ReverseProxy::new(client);
//!     let tunnels = proxy.tunnels().clone();
//!     let server = Server::new(proxy);
//!     tokio::spawn(server.clone().serve(listener));
//!     stop.await;
//!
//!     let mut ended = pin!(async {
//!         let aborted = server.shutdown(Duration::from_secs(20)).await;
//!         tunnels.closed().await;
//!         aborted
//!     });
//!     let aborted = match timeout(Duration::from_secs(19), &mut ended).await {
//!         Ok(aborted) => aborted,
//!         Err(_) => {
//!             eprintln!("closing {} tunnels", tunnels.open());
//!             tunnels.close();
//!             ended.await
//!         }
//!     };
//!     if aborted > 0 {
//!         eprintln!("{aborted} connections were aborted");
//!     }
//! }
//! # use std::{convert::Infallible, sync::Arc};
//! # use equipoise::{EndpointSpec, Pool, Upstream};
//! # use http::{Request, Response};
//! # use http_body_util::BodyExt;
//! # use hyper::body::Incoming;
//! # use tokio::sync::Notify;
//! #
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! #     // The request that is in flight asks the application to stop.
//! #     let stop = Arc::new(Notify::new());
//! #     let stops = Arc::clone(&stop);
//! #     let backend = tower::service_fn(move |_: Request<Incoming>| {
//! #         stops.notify_one();
//! #         async {
//! #             for _ in 0..100 {
//! #                 tokio::task::yield_now().await;
//! #             }
//! #             Ok::<_, Infallible>(Response::new("done".to_owned()))
//! #         }
//! #     });
//! #     let client = |address: std::net::SocketAddr| {
//! #         let pool = Pool::default();
//! #         pool.try_update([EndpointSpec::new(address.to_string())], |spec| Upstream::new(spec.address()))?;
//! #         Ok::<_, Box<dyn std::error::Error>>(HttpClient::new(pool))
//! #     };
//! #     let (behind, front) = (TcpListener::bind("127.0.0.1:0").await?, TcpListener::bind("127.0.0.1:0").await?);
//! #     let (to_backend, to_gateway) = (client(behind.local_addr()?)?, client(front.local_addr()?)?);
//! #     tokio::spawn(Server::new(backend).serve(behind));
//! #     let gateway = tokio::spawn(serve(front, to_backend, async move { stop.notified().await }));
//! #     let response = to_gateway.get("/").await?;
//! #     assert_eq!(response.into_body().collect().await?.to_bytes(), "done");
//! #     gateway.await?;
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
//! | a request with all attempts | [`Timeouts::total`](crate::proxy::Timeouts::total) of a reverse proxy, or a timeout above the balancer |
//! | the head of a response | [`Timeouts::head`](crate::proxy::Timeouts::head): 60 s by default |
//! | a body that stalls | [`Timeouts::idle`](crate::proxy::Timeouts::idle): 60 s between frames by default |
//! | a tunnel that is silent | [`Tunnels::idle_timeout`](crate::proxy::Tunnels::idle_timeout): 10 minutes by default |
//! | a client that sends or reads slowly | [`ServerLimits`](crate::proxy::server::ServerLimits) |
//! | the shutdown of a server | the argument of [`Server::shutdown`](crate::proxy::server::Server::shutdown) |
//!
//! Without a `ReverseProxy`, the library has no limit for bodies and tunnels: use a timeout in the code that copies the
//! bytes.
