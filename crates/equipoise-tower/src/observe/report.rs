//! How a balancer reports to its observer.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use equipoise_core::{BindingOutcome, Endpoint, EndpointId, Explanation, Verdict};
use http::HeaderMap;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    event::{AttemptEnd, BodyEnd, EventKind, QueueEnd, RequestEvent, RequestId, RequestOutcome},
    observer::{Observe, ObserveRequest, RequestStart},
};
use crate::{guard::guarded, http::RequestHead};

/// The observer of a balancer. `None` if no observer is set.
#[derive(Clone, Default)]
pub(crate) struct Observer(Option<Arc<dyn Observe>>);

impl Observer {
    pub(crate) fn new(observe: impl Observe) -> Self {
        Self(Some(Arc::new(observe)))
    }

    /// Reports the start of a request, and returns the value that reports its other events. `head` returns the head of
    /// the request, and `strategy` the name of the pool's strategy.
    #[inline]
    pub(crate) fn request<'r>(
        &self,
        head: impl FnOnce() -> Option<RequestHead<'r>>,
        strategy: impl FnOnce() -> &'r Arc<str>,
    ) -> ObservedRequest {
        let observed = match &self.0 {
            Some(observe) if guarded(|| observe.is_enabled()).unwrap_or(false) => {
                Some(Observed::start(observe, guarded(head).flatten(), strategy()))
            }
            _ => None,
        };
        ObservedRequest { observed, attempts: 0 }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observer" } else { "None" })
    }
}

/// A request that is observed.
struct Observed {
    observe: Arc<dyn Observe>,
    request: RequestId,
    since: Instant,
    /// The observer of this request alone. The request, its attempts and its response body use it one after the other,
    /// so that none of them waits for the lock.
    own: Option<Mutex<Own>>,
}

struct Own {
    observer: Box<dyn ObserveRequest>,
    /// The explanation of the last pick, until it is reported.
    explanation: Option<Explanation>,
}

impl Observed {
    #[cold]
    fn start(observe: &Arc<dyn Observe>, head: Option<RequestHead<'_>>, strategy: &Arc<str>) -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let request = RequestId(NEXT.fetch_add(1, Ordering::Relaxed));
        let own = guarded(|| observe.observe_request(&RequestStart { request, head, strategy })).flatten();
        let own = own.map(|observer| Mutex::new(Own { observer, explanation: None }));
        let observed = Arc::new(Self { observe: Arc::clone(observe), request, since: Instant::now(), own });
        observed.emit(EventKind::Started);
        observed
    }

    fn emit(&self, kind: EventKind<'_>) {
        let _ = guarded(|| self.observe.on_event(&RequestEvent { request: self.request, kind }));
        self.own(|observer| observer.on_event(&kind));
    }

    /// Calls the observer of this request, if there is one. Returns `None` if there is none, or if it panics.
    fn own<R>(&self, call: impl FnOnce(&mut dyn ObserveRequest) -> R) -> Option<R> {
        let mut own = self.own.as_ref()?.lock();
        guarded(|| call(&mut *own.observer))
    }

    #[cold]
    fn before_pick(&self, explain: impl FnOnce() -> Explanation) {
        let wanted = self.own(ObserveRequest::wants_explanation).unwrap_or(false);
        let explanation = if wanted { guarded(explain) } else { None };
        if let Some(own) = &self.own {
            own.lock().explanation = explanation;
        }
    }

    #[cold]
    fn attempt(
        self: &Arc<Self>,
        endpoint: &EndpointId,
        binding_outcome: BindingOutcome,
        attempt: usize,
    ) -> Box<StartedAttempt> {
        let explanation = self.own.as_ref().and_then(|own| own.lock().explanation.take());
        // Between the explanation and the pick, the pool may have changed, or another request may have been picked for.
        let explanation = explanation.filter(|explanation| explanation.picked.as_ref() == Ok(endpoint));
        self.emit(EventKind::Picked { endpoint, binding_outcome, explanation: explanation.as_ref() });
        self.emit(EventKind::AttemptStarted { endpoint, attempt });
        let observed = Arc::clone(self);
        Box::new(StartedAttempt { observed, since: Instant::now(), endpoint: endpoint.clone(), attempt })
    }

    #[cold]
    fn finish(self: Arc<Self>, outcome: RequestOutcome<'_>, attempts: usize) -> Option<BodyObserver> {
        self.emit(EventKind::Finished { outcome, attempts, elapsed: self.since.elapsed() });
        let has_body = self.own.is_some() && matches!(outcome, RequestOutcome::Response { .. });
        has_body.then(|| BodyObserver(Some(self)))
    }

    #[cold]
    fn end_body(&self, end: BodyEnd<'_>) {
        self.own(|observer| observer.on_body_end(end));
    }
}

/// Reports the events of one request. If it is dropped, it reports the end of the request.
///
/// A request without an observer carries only a pointer, which is `None`.
pub(crate) struct ObservedRequest {
    observed: Option<Arc<Observed>>,
    /// The number of attempts. The last event of the request reports it.
    pub(crate) attempts: usize,
}

impl ObservedRequest {
    /// Explains the pick that follows, if the observer wants to know why.
    #[inline]
    pub(crate) fn before_pick(&self, explain: impl FnOnce() -> Explanation) {
        if let Some(observed) = &self.observed {
            observed.before_pick(explain);
        }
    }

    #[inline]
    pub(crate) fn attempt(
        &self,
        endpoint: &EndpointId,
        binding_outcome: BindingOutcome,
        attempt: usize,
    ) -> ObservedAttempt {
        ObservedAttempt(self.observed.as_ref().map(|observed| observed.attempt(endpoint, binding_outcome, attempt)))
    }

    pub(crate) fn queue(&self) -> ObservedWait {
        ObservedWait(self.observed.as_ref().map(|observed| {
            // The explanation says why the request waits, and not why it is picked for later.
            if let Some(own) = &observed.own {
                own.lock().explanation = None;
            }
            observed.emit(EventKind::QueueEntered);
            Box::new((Arc::clone(observed), Instant::now()))
        }))
    }

    pub(crate) fn failover(&self, from: &EndpointId, to: Option<&EndpointId>) {
        if let Some(observed) = &self.observed {
            observed.emit(EventKind::Failover { from, to });
        }
    }

    /// Reports the end of the request. Returns the value that reports the end of the response body, if there is one.
    #[inline]
    pub(crate) fn finish(&mut self, outcome: RequestOutcome<'_>) -> Option<BodyObserver> {
        self.observed.take()?.finish(outcome, self.attempts)
    }
}

impl Drop for ObservedRequest {
    #[inline]
    fn drop(&mut self) {
        let _ = self.finish(RequestOutcome::Cancelled);
    }
}

/// Reports the end of an attempt. If it is dropped, the attempt was cancelled.
pub(crate) struct ObservedAttempt(Option<Box<StartedAttempt>>);

struct StartedAttempt {
    observed: Arc<Observed>,
    since: Instant,
    endpoint: EndpointId,
    attempt: usize,
}

impl StartedAttempt {
    #[cold]
    fn end(self, end: AttemptEnd<'_>) {
        let Self { observed, since, endpoint, attempt } = self;
        let elapsed = since.elapsed();
        observed.emit(EventKind::AttemptEnded { endpoint: &endpoint, attempt, end, elapsed });
    }
}

impl ObservedAttempt {
    /// Lets the observer change the headers of the attempt. `headers` returns those of the request.
    #[inline]
    pub(crate) fn before_send<'r>(&self, endpoint: &Endpoint, headers: impl FnOnce() -> Option<&'r mut HeaderMap>) {
        if let Some(started) = &self.0 {
            started.observed.own(|observer| observer.before_send(endpoint, headers()));
        }
    }

    /// Returns what surrounds the polls of the endpoint's service. `None` without an observer.
    #[inline]
    pub(crate) fn scope(&self) -> Option<PollScope<'_>> {
        self.0.as_ref().map(|started| PollScope(&started.observed))
    }

    #[inline]
    pub(crate) fn end(&mut self, end: AttemptEnd<'_>) {
        if let Some(started) = self.0.take() {
            started.end(end);
        }
    }
}

/// Surrounds polls of an endpoint's service by the scope of the observer.
pub(crate) struct PollScope<'a>(&'a Observed);

impl PollScope<'_> {
    /// Calls `poll` within the scope, and returns its result.
    #[cold]
    pub(crate) fn poll<R>(&self, mut poll: impl FnMut() -> R) -> R {
        let mut outcome = None;
        let mut once = || {
            if outcome.is_none() {
                outcome = Some(catch_unwind(AssertUnwindSafe(&mut poll)));
            }
        };
        self.0.own(|observer| observer.in_scope(&mut once));
        match outcome {
            Some(Ok(result)) => result,
            // A panic of the service is not one of the observer.
            Some(Err(panic)) => resume_unwind(panic),
            None => poll(),
        }
    }
}

impl Drop for ObservedAttempt {
    #[inline]
    fn drop(&mut self) {
        self.end(AttemptEnd::Cancelled);
    }
}

/// Reports the end of a wait in the queue. If it is dropped, the wait was cancelled.
pub(crate) struct ObservedWait(Option<Box<(Arc<Observed>, Instant)>>);

impl ObservedWait {
    pub(crate) fn end(&mut self, end: QueueEnd<'_>) {
        if let Some(started) = self.0.take() {
            let (observed, since) = *started;
            observed.emit(EventKind::QueueLeft { end, waited: since.elapsed() });
        }
    }
}

impl Drop for ObservedWait {
    fn drop(&mut self) {
        self.end(QueueEnd::Cancelled);
    }
}

/// Reports the end of a response body to the observers of its request. A [`Protocol`](crate::Protocol) receives it in
/// [`observe_response`](crate::Protocol::observe_response). If it is dropped, it reports that the body was dropped before
/// its end ([`BodyEnd::Cancelled`]).
#[must_use = "when it is dropped, it reports that the body was dropped"]
pub struct BodyObserver(Option<Arc<Observed>>);

impl BodyObserver {
    /// Reports that the body has ended without an error. `verdict` is the verdict that the end of the body has decided.
    /// `None` if the verdict was decided before. `trailers` are those of the response.
    pub fn complete(mut self, verdict: Option<Verdict>, trailers: Option<&HeaderMap>) {
        self.end(BodyEnd::Complete { verdict, trailers });
    }

    /// Reports that the body has failed.
    pub fn failed(mut self) {
        self.end(BodyEnd::Failed);
    }

    /// Reports the end of the body. Does nothing if it was reported before.
    #[inline]
    pub(crate) fn end(&mut self, end: BodyEnd<'_>) {
        if let Some(observed) = self.0.take() {
            observed.end_body(end);
        }
    }
}

impl Drop for BodyObserver {
    #[inline]
    fn drop(&mut self) {
        self.end(BodyEnd::Cancelled);
    }
}

impl fmt::Debug for BodyObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyObserver").finish_non_exhaustive()
    }
}
