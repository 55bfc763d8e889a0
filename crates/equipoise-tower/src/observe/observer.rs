//! The traits of observers.

use std::sync::Arc;

use equipoise_core::Endpoint;
use http::HeaderMap;

use super::event::{BodyEnd, EventKind, RequestEvent, RequestId};
use crate::http::RequestHead;

/// Receives the events of a balancer, for metrics, traces and logs. Set it with
/// [`Balance::observe`](crate::Balance::observe).
///
/// A closure `Fn(&RequestEvent<'_>)` is an observer, too. So are an `Arc`, an `Option`, a `Vec` and a pair of observers:
/// with a pair or a `Vec`, each of the observers receives all events. The events of one request arrive in the order in
/// which they happened.
///
/// An observer that keeps state for each request, such as the span of a trace, returns an [`ObserveRequest`] from
/// [`observe_request`](Self::observe_request).
///
/// The balancer calls [`on_event`](Self::on_event) while it handles the request: in `call`, in `poll`, or when the
/// response future is dropped. The method must therefore be fast and must not block. If the method panics, the panic is
/// ignored.
///
/// Each event that starts something (a request, an attempt, a wait in the queue) is followed by an event that ends it.
/// If the response future is dropped, the event that ends it reports `Cancelled`.
///
/// To count requests by endpoint, no observer is needed: see
/// [`EndpointStatus::requests`](equipoise_core::EndpointStatus::requests). A request is counted there when its response
/// body has ended. There is no event for the end of the response body: see
/// [`ObserveRequest::on_body_end`](ObserveRequest::on_body_end).
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
///
/// use equipoise_core::{EndpointSpec, Pool};
/// use equipoise_tower::{Balance, RequestEvent, EventKind, PlainProtocol};
/// use tower::service_fn;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let pool = Pool::default();
/// pool.update(["a", "b"].map(EndpointSpec::new), |_| {
///     service_fn(|n: u32| std::future::ready(Ok::<_, std::io::Error>(n + 1)))
/// })?;
/// let attempts = Arc::new(AtomicUsize::new(0));
/// let counter = Arc::clone(&attempts);
/// let balance = Balance::with_protocol(pool, PlainProtocol::new()).observe(move |event: &RequestEvent<'_>| {
///     println!("request {}: {}", event.request, event.kind.as_str());
///     if let EventKind::AttemptStarted { .. } = event.kind {
///         counter.fetch_add(1, Ordering::Relaxed);
///     }
/// });
/// assert_eq!(balance.oneshot(1).await?, 2);
/// assert_eq!(attempts.load(Ordering::Relaxed), 1);
/// # Ok(())
/// # }
/// ```
pub trait Observe: Send + Sync + 'static {
    /// Returns whether the observer wants to know of a request that begins now. Called once for each request, before all
    /// other methods. If it returns false, the request costs almost nothing: it gets no number, and no other method is
    /// called for it. If it panics, the result is false. Default: true.
    fn is_enabled(&self) -> bool {
        true
    }

    /// Called with each event of each request. Does nothing by default.
    fn on_event(&self, event: &RequestEvent<'_>) {
        let _ = event;
    }

    /// Called once for each request, before its first event. Returns an observer of this request alone, or `None` if the
    /// request needs none. It receives the same events as [`on_event`](Self::on_event), and is called at further points
    /// of the request. Default: `None`.
    ///
    /// Costs two allocations for each request for which it returns an observer.
    fn observe_request(&self, start: &RequestStart<'_>) -> Option<Box<dyn ObserveRequest>> {
        let _ = start;
        None
    }
}

impl<F: Fn(&RequestEvent<'_>) + Send + Sync + 'static> Observe for F {
    fn on_event(&self, event: &RequestEvent<'_>) {
        self(event);
    }
}

/// A request that a balancer was called with, before anything has happened to it. An [`Observe`] receives it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestStart<'a> {
    /// The number of the request, as in its events.
    pub request: RequestId,
    /// The head of the request. `None` if the protocol's requests have no such head: see
    /// [`Protocol::request_head`](crate::Protocol::request_head).
    pub head: Option<RequestHead<'a>>,
    /// The strategy of the pool, for people, as [`Pool::strategy`](equipoise_core::Pool::strategy) returns it. The
    /// balancer asks the pool only once.
    pub strategy: &'a Arc<str>,
}

/// Observes one request: receives its events, can change the headers that are sent to endpoints, and surrounds the polls
/// of the endpoints' services. An [`Observe`] returns it from [`observe_request`](Observe::observe_request).
///
/// The methods are called one after the other, on the threads that poll or drop the response future and the response
/// body. They must be fast and must not block. If a method panics, the panic is ignored. The observer is dropped when
/// the request has ended, and its response body has ended or was dropped.
///
/// ```
/// use equipoise_core::{Endpoint, EndpointSpec, Pool};
/// use equipoise_tower::{Balance, Observe, ObserveRequest, RequestStart};
/// use http::{HeaderMap, HeaderValue, Request, Response};
/// use tower::service_fn;
///
/// /// Adds the number of the request to the headers of all its attempts.
/// struct Numbers;
///
/// struct Number(u64);
///
/// impl Observe for Numbers {
///     fn observe_request(&self, start: &RequestStart<'_>) -> Option<Box<dyn ObserveRequest>> {
///         Some(Box::new(Number(start.request.get())))
///     }
/// }
///
/// impl ObserveRequest for Number {
///     fn before_send(&mut self, _: &Endpoint, headers: Option<&mut HeaderMap>) {
///         if let Some(headers) = headers {
///             headers.insert("x-request-number", HeaderValue::from(self.0));
///         }
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use http_body_util::Empty;
/// let pool = Pool::default();
/// pool.update(["a", "b"].map(EndpointSpec::new), |_| {
///     service_fn(|request: Request<Empty<bytes::Bytes>>| {
///         assert!(request.headers().contains_key("x-request-number"));
///         std::future::ready(Ok::<_, std::io::Error>(Response::new(String::new())))
///     })
/// })?;
/// Balance::new(pool).observe(Numbers).oneshot(Request::new(Empty::new())).await?;
/// # Ok(())
/// # }
/// ```
pub trait ObserveRequest: Send + 'static {
    /// Called with each event of the request. Does nothing by default.
    fn on_event(&mut self, kind: &EventKind<'_>) {
        let _ = kind;
    }

    /// Called before each pick of the request. If it returns true, the pick is explained, and the event
    /// [`Picked`](EventKind::Picked) has the explanation. An explanation takes O(n) time for n endpoints, and allocates.
    /// Some picks are not explained: those for which the request has waited in the queue, and those that choose another
    /// endpoint than the explanation that was made just before them. Default: false.
    fn wants_explanation(&mut self) -> bool {
        false
    }

    /// Called before each attempt is given to the service of its endpoint. `headers` are those of the request that the
    /// service receives. A change of them applies to this attempt only, if the request can be sent again; otherwise the
    /// next attempt has the changed headers. `None` if the protocol's requests have no headers: see
    /// [`Protocol::headers_mut`](crate::Protocol::headers_mut). Does nothing by default.
    ///
    /// If an attempt begins to wait again because no other endpoint can take the request, the method is called again for
    /// the same attempt.
    fn before_send(&mut self, endpoint: &Endpoint, headers: Option<&mut HeaderMap>) {
        let _ = (endpoint, headers);
    }

    /// Calls `poll`, which calls or polls the service of the endpoint in an attempt. An implementation can set up a
    /// context around this call, for example enter the span of a trace, and must end it before it returns. If it does
    /// not call `poll`, the service is polled after it has returned. The method must not call the balancer. Default:
    /// calls `poll`.
    fn in_scope(&mut self, poll: &mut dyn FnMut()) {
        poll();
    }

    /// Called once at the end of the response body, after the event [`Finished`](EventKind::Finished) with a response.
    /// Not called for requests without a response. Does nothing by default.
    fn on_body_end(&mut self, end: BodyEnd<'_>) {
        let _ = end;
    }
}
