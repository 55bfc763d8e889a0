//! What a balancer reports while it handles a request.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use equipoise_core::{BindingOutcome, EndpointId, PickError};
use tokio::time::Instant;

use crate::{
    error::{Error, PointError},
    error_class::ErrorClass,
    guard::guarded,
};

/// Receives the events of a balancer: for metrics, traces and logs. Set it with
/// [`Balance::observe`](crate::Balance::observe).
///
/// Every closure from `&Event` is an observer. [`on_event`](Self::on_event) runs within the request's `call`, `poll` or
/// drop: it must be fast and must not block. A panic in it is ignored. For each request it is called in the order of the
/// events. Every event that opens something (a request, an attempt, a wait in the queue) is followed by the one that
/// closes it, also if the request's future is dropped: the end is then `Cancelled`.
///
/// Counts by endpoint need no observer: see [`EndpointStatus::requests`](equipoise_core::EndpointStatus::requests), which
/// also count what happens to response bodies.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicUsize, Ordering}};
///
/// use equipoise_core::{EndpointSpec, Pool};
/// use equipoise_tower::{Balance, Event, EventKind, PlainProtocol};
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
/// let balance = Balance::with_protocol(pool, PlainProtocol::new()).observe(move |event: &Event<'_>| {
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
    /// Called with each event. Does nothing by default.
    fn on_event(&self, event: &Event<'_>) {
        let _ = event;
    }
}

impl<F: Fn(&Event<'_>) + Send + Sync + 'static> Observe for F {
    fn on_event(&self, event: &Event<'_>) {
        self(event);
    }
}

/// Something that happened to a request: see [`Observe`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The request, to tell which events belong together.
    pub request: RequestId,
    /// What happened.
    pub kind: EventKind<'a>,
}

/// The number of a request, unique in this process. Nested balancers give a request one number each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(u64);

impl RequestId {
    /// Returns the number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What happened to a request.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum EventKind<'a> {
    /// The balancer was called with the request. The first event of each request.
    Started,
    /// An endpoint was picked. An [attempt](Self::AttemptStarted) at it follows at once.
    Picked {
        /// The endpoint.
        endpoint: &'a EndpointId,
        /// What became of the request's binding, if it has one.
        binding: BindingOutcome,
    },
    /// An attempt has started. It includes the wait until the endpoint's service is ready.
    AttemptStarted {
        /// The endpoint.
        endpoint: &'a EndpointId,
        /// The attempt's number: 1 for the first attempt of the request.
        attempt: usize,
    },
    /// An attempt has ended.
    AttemptEnded {
        /// The endpoint.
        endpoint: &'a EndpointId,
        /// The attempt's number.
        attempt: usize,
        /// How it ended.
        end: AttemptEnd<'a>,
        /// The time since it started.
        elapsed: Duration,
    },
    /// The request goes to another endpoint, because an attempt has failed.
    Failover {
        /// The endpoint that failed the request.
        from: &'a EndpointId,
        /// The next endpoint; `None` if the request waits in the queue for one.
        to: Option<&'a EndpointId>,
    },
    /// The request waits in the pool's queue: no endpoint can take it now.
    QueueEntered,
    /// The request no longer waits in the queue.
    QueueLeft {
        /// Why not.
        end: QueueEnd<'a>,
        /// The time since it entered the queue.
        waited: Duration,
    },
    /// The response future has ended. The last event of each request. A response's body may still be read.
    Finished {
        /// How the request ended.
        outcome: RequestOutcome<'a>,
        /// The number of attempts.
        attempts: usize,
        /// The time since the balancer was called.
        elapsed: Duration,
    },
}

impl EventKind<'_> {
    /// The kind of event as a stable label for metrics and logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Picked { .. } => "picked",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::AttemptEnded { .. } => "attempt_ended",
            Self::Failover { .. } => "failover",
            Self::QueueEntered => "queue_entered",
            Self::QueueLeft { .. } => "queue_left",
            Self::Finished { .. } => "finished",
        }
    }
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum AttemptEnd<'a> {
    /// The head of a response has come, whatever its status.
    Response,
    /// The endpoint's service failed.
    Error {
        /// The error of the service, or an [`AttemptTimedOut`](crate::AttemptTimedOut).
        error: &'a (dyn std::error::Error + Send + Sync + 'static),
        /// What the error means.
        class: ErrorClass,
    },
    /// The endpoint's service was not ready, and the request goes elsewhere or fails.
    NotReady {
        /// Whether the request waited for the whole of [`ready_timeout`](crate::Balance::ready_timeout). If not, the
        /// attempt was skipped because other requests have waited in vain before, and it is not counted.
        waited: bool,
    },
    /// The request cannot be sent to the endpoint.
    Refused(&'a PointError),
    /// The response future was dropped.
    Cancelled,
}

impl AttemptEnd<'_> {
    /// The kind of end as a stable label for metrics and logs. For errors see also
    /// [`FailureStage::as_str`](crate::FailureStage::as_str).
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Error { .. } => "error",
            Self::NotReady { .. } => "not_ready",
            Self::Refused(_) => "refused",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a wait in the queue ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum QueueEnd<'a> {
    /// The request was given an endpoint.
    Served,
    /// The queue timeout has passed, or waiting cannot help any longer.
    Failed(&'a PickError),
    /// The response future was dropped.
    Cancelled,
}

impl QueueEnd<'_> {
    /// The kind of end as a stable label for metrics and logs. For failures see also [`PickError::as_str`].
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Failed(_) => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum RequestOutcome<'a> {
    /// With a response, whatever its status.
    Response {
        /// The endpoint that sent it.
        endpoint: &'a EndpointId,
    },
    /// With an error.
    Error(&'a Error),
    /// The response future was dropped.
    Cancelled,
}

impl RequestOutcome<'_> {
    /// The kind of outcome as a stable label for metrics and logs. For errors see also [`Error::as_str`].
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Response { .. } => "response",
            Self::Error(_) => "error",
            Self::Cancelled => "cancelled",
        }
    }
}

/// The observer of a balancer, if it has one.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<dyn Observe>>);

impl Observer {
    pub(crate) fn new(observe: impl Observe) -> Self {
        Self(Some(Arc::new(observe)))
    }

    /// Starts to observe a request.
    #[inline]
    pub(crate) fn request(&self) -> ObservedRequest {
        ObservedRequest { open: self.0.as_ref().map(|observe| Box::new(Open::new(observe))), attempts: 0 }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observer" } else { "None" })
    }
}

/// Something of a request that has begun and not ended.
struct Open {
    observe: Arc<dyn Observe>,
    request: RequestId,
    since: Instant,
}

impl Open {
    #[cold]
    fn new(observe: &Arc<dyn Observe>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let request = RequestId(NEXT.fetch_add(1, Ordering::Relaxed));
        let open = Self { observe: Arc::clone(observe), request, since: Instant::now() };
        open.emit(EventKind::Started);
        open
    }

    /// A part of the same request that begins now.
    fn part(&self) -> Self {
        Self { observe: Arc::clone(&self.observe), request: self.request, since: Instant::now() }
    }

    fn emit(&self, kind: EventKind<'_>) {
        let _ = guarded(|| self.observe.on_event(&Event { request: self.request, kind }));
    }
}

/// Reports the end of a request, also if it is dropped. Empty without an observer. (What is open is boxed, so that requests
/// without an observer carry no more than a pointer.)
pub(crate) struct ObservedRequest {
    open: Option<Box<Open>>,
    /// The number of attempts, for the last event.
    pub(crate) attempts: usize,
}

impl ObservedRequest {
    #[inline]
    pub(crate) fn attempt(&self, endpoint: &EndpointId, binding: BindingOutcome, attempt: usize) -> ObservedAttempt {
        ObservedAttempt(self.open.as_ref().map(|open| {
            open.emit(EventKind::Picked { endpoint, binding });
            open.emit(EventKind::AttemptStarted { endpoint, attempt });
            Box::new((open.part(), endpoint.clone(), attempt))
        }))
    }

    pub(crate) fn queue(&self) -> ObservedWait {
        ObservedWait(self.open.as_ref().map(|open| {
            open.emit(EventKind::QueueEntered);
            Box::new(open.part())
        }))
    }

    pub(crate) fn failover(&self, from: &EndpointId, to: Option<&EndpointId>) {
        if let Some(open) = &self.open {
            open.emit(EventKind::Failover { from, to });
        }
    }

    #[inline]
    pub(crate) fn finish(&mut self, outcome: RequestOutcome<'_>) {
        if let Some(open) = self.open.take() {
            let (attempts, elapsed) = (self.attempts, open.since.elapsed());
            open.emit(EventKind::Finished { outcome, attempts, elapsed });
        }
    }
}

impl Drop for ObservedRequest {
    #[inline]
    fn drop(&mut self) {
        self.finish(RequestOutcome::Cancelled);
    }
}

/// Reports the end of an attempt, also if it is dropped.
pub(crate) struct ObservedAttempt(Option<Box<(Open, EndpointId, usize)>>);

impl ObservedAttempt {
    #[inline]
    pub(crate) fn end(&mut self, end: AttemptEnd<'_>) {
        if let Some(open) = self.0.take() {
            let (open, endpoint, attempt) = *open;
            let elapsed = open.since.elapsed();
            open.emit(EventKind::AttemptEnded { endpoint: &endpoint, attempt, end, elapsed });
        }
    }
}

impl Drop for ObservedAttempt {
    #[inline]
    fn drop(&mut self) {
        self.end(AttemptEnd::Cancelled);
    }
}

/// Reports the end of a wait in the queue, also if it is dropped.
pub(crate) struct ObservedWait(Option<Box<Open>>);

impl ObservedWait {
    pub(crate) fn end(&mut self, end: QueueEnd<'_>) {
        if let Some(open) = self.0.take() {
            open.emit(EventKind::QueueLeft { end, waited: open.since.elapsed() });
        }
    }
}

impl Drop for ObservedWait {
    fn drop(&mut self) {
        self.end(QueueEnd::Cancelled);
    }
}
