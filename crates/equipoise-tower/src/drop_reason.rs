//! What the caller of a balancer thinks of a response or a future: of one that it drops, and of one that it checks.

use std::cell::Cell;

use http::Response;

/// Why something is dropped, or what else the caller is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DropReason {
    /// Not known, so the endpoint is not to blame.
    Unknown,
    /// The response must not be used.
    Refused,
    /// The response did not begin in time.
    Late,
    /// Nothing is dropped: the caller polls a balancer, and will check the response.
    Checking,
}

thread_local! {
    /// The reason of what this thread is dropping.
    static REASON: Cell<DropReason> = const { Cell::new(DropReason::Unknown) };
}

impl DropReason {
    /// Returns the reason of what this thread is dropping.
    pub(crate) fn current() -> Self {
        // While a thread ends, its values are gone.
        REASON.try_with(Cell::get).unwrap_or(Self::Unknown)
    }

    fn during<R>(self, run: impl FnOnce() -> R) -> R {
        /// Ends the reason, also if `run` panics.
        struct Restore(DropReason);

        impl Drop for Restore {
            fn drop(&mut self) {
                REASON.set(self.0);
            }
        }

        let _restore = Restore(REASON.replace(self));
        run()
    }
}

/// Drops a response that must not be used, for example because its head is not valid HTTP. The request counts as failed
/// at its endpoint ([`Failure::Transport`](equipoise_core::Failure::Transport)), so that health rules notice it.
///
/// Without this function, a response that is dropped before its body was polled counts as a success: see
/// [`LeasedBody`](crate::LeasedBody). The body may be inside other bodies, such as boxed ones. It must be dropped with
/// the response, and not be moved to another thread.
///
/// The function does not change a verdict that was decided at the head. This is the case for responses with an empty
/// body, and for responses that switch protocols, unless the balancer was polled within [`poll_checked`].
///
/// ```
/// use equipoise_tower::{BoxError, refuse_response};
/// use http::Response;
///
/// fn json_only<B>(response: Response<B>) -> Result<Response<B>, BoxError> {
///     if response.headers().get("content-type").is_some_and(|kind| kind == "application/json") {
///         return Ok(response);
///     }
///     refuse_response(response);
///     Err("the response is not JSON".into())
/// }
/// # assert!(json_only(Response::new(())).is_err());
/// ```
pub fn refuse_response<B>(response: Response<B>) {
    DropReason::Refused.during(|| drop(response));
}

/// Calls a closure that drops the response future of a balancer, because no response has begun in time. If the request
/// was given to an endpoint, it counts as failed there ([`Failure::Timeout`](equipoise_core::Failure::Timeout)), so
/// that health rules notice it.
///
/// Without this function, a request whose future is dropped counts as cancelled by the client. Timeout layers above a
/// balancer, such as tower's, do not call it. The future must be dropped on this thread before the closure returns.
///
/// Prefer [`Balance::attempt_timeout`](crate::Balance::attempt_timeout), after which an idempotent request goes to
/// another endpoint.
///
/// ```
/// use equipoise_tower::drop_late;
///
/// let mut response = Some(Box::pin(std::future::pending::<()>()));
/// drop_late(|| response = None);
/// assert!(response.is_none());
/// ```
pub fn drop_late(drop: impl FnOnce()) {
    DropReason::Late.during(drop);
}

/// Polls the response future of a balancer for a caller that checks the head of the response, and then either forwards
/// or [refuses](refuse_response) it. Returns what the closure returns.
///
/// Without this function, a balancer counts a response as successful at its head if no body follows. Within it, such a
/// response counts as successful when its body is dropped or read, and as failed if it is refused. A response that
/// switches protocols counts as successful when the caller calls
/// [`TunnelLease::accept`](crate::TunnelLease::accept).
///
/// The future must be polled on this thread before the closure returns. Otherwise, the function has no effect.
///
/// ```
/// use std::{pin::Pin, task::{Context, Poll}};
/// use equipoise_tower::poll_checked;
///
/// fn poll<F: Future>(future: Pin<&mut F>, cx: &mut Context<'_>) -> Poll<F::Output> {
///     poll_checked(|| future.poll(cx))
/// }
/// # let mut cx = Context::from_waker(std::task::Waker::noop());
/// # assert_eq!(poll(std::pin::pin!(std::future::ready(1)), &mut cx), Poll::Ready(1));
/// ```
pub fn poll_checked<R>(poll: impl FnOnce() -> R) -> R {
    DropReason::Checking.during(poll)
}
