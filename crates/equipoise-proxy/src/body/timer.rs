use std::{
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::Instant;

use crate::timing::Alarm;

/// How long a proxy waits.
///
/// ```
/// use std::time::Duration;
/// use equipoise_proxy::Timeouts;
///
/// let timeouts = Timeouts::new().head(Duration::from_secs(10)).total(Duration::from_secs(300));
/// # drop(timeouts);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    pub(crate) head: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) total: Option<Duration>,
}

impl Timeouts {
    /// Creates the default timeouts: 60 s for the head and between frames, as in nginx, and none for the whole request.
    #[must_use]
    pub const fn new() -> Self {
        let minute = Some(Duration::from_secs(60));
        Self { head: minute, idle: minute, total: None }
    }

    /// Creates timeouts that never pass.
    #[must_use]
    pub const fn none() -> Self {
        Self { head: None, idle: None, total: None }
    }

    /// Sets how long the endpoint may take to send the head of its response. The time begins when the request is
    /// forwarded, and again with each frame of its body. Before that, the inner service has the same time to become
    /// ready. The client gets status 504 when it has passed, or 408 if the endpoint waits for the rest of the client's
    /// body. Default: 60 s.
    ///
    /// If the length of the client's body is not known and the body stays open, as in gRPC calls with a stream of
    /// messages, the proxy cannot tell which side is late. If neither side sends anything for this time or for the
    /// [idle time](Self::idle), the call ends with status 408 ([`RequestBodyError::Silent`](crate::RequestBodyError)),
    /// and does not count against the endpoint. Set both times above the longest silence of such calls.
    ///
    /// A balancer counts status 504 as a failure of the endpoint, but cannot send the request to another one. Set the
    /// balancer's [`attempt_timeout`](equipoise_tower::Balance::attempt_timeout) below this time, so that an idempotent
    /// request is sent to another endpoint before this time has passed. Attempts that take longer are failures of the
    /// endpoint, also while the client's body is open.
    #[must_use]
    pub const fn head(mut self, timeout: Duration) -> Self {
        self.head = Some(timeout);
        self
    }

    /// Sets the maximum time without a frame while the other side waits for one. Default: 60 s.
    ///
    /// - If the request's body stalls before the response has begun, the client gets status 408.
    /// - After that, the response is aborted if no frame comes in either direction. So one direction of a stream may be
    ///   silent for longer.
    /// - If the response has ended and the request's body stalls, the body fails, so that the connection to the
    ///   endpoint is not held for ever.
    ///
    /// The time does not count while the receiver of the body is slow. The server limits that.
    #[must_use]
    pub const fn idle(mut self, timeout: Duration) -> Self {
        self.idle = Some(timeout);
        self
    }

    /// Sets the maximum time from the start of the request to the end of the response. The client gets status 504 (or
    /// 408, if its own body is incomplete), or the response is aborted if its head was sent already. Tunnels are not
    /// limited. Default: no limit.
    #[must_use]
    pub const fn total(mut self, timeout: Duration) -> Self {
        self.total = Some(timeout);
        self
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::new()
    }
}

/// Which time has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Elapsed {
    /// Nothing has happened for too long.
    Idle,
    /// The whole request takes too long.
    Total,
}

/// Limits the time without progress, and the whole time.
///
/// The timer of the runtime is first used when a wait begins, so a request that never waits does not pay for it. It is
/// not moved with each step of progress: when it fires, the timer looks whether there was progress and, if so, waits
/// for the rest.
#[derive(Debug)]
pub(crate) struct Timer {
    idle: Option<Duration>,
    total: Option<Instant>,
    /// When the current wait began. `None` if nothing is waited for.
    since: Option<Instant>,
    alarm: Alarm,
}

impl Timer {
    /// Creates a timer. `total` is the time at which the whole request must end.
    pub(crate) fn new(idle: Option<Duration>, total: Option<Instant>) -> Self {
        Self { idle, total, since: None, alarm: Alarm::default() }
    }

    /// There was progress. Returns whether the whole time has passed nevertheless.
    pub(crate) fn progress(&mut self) -> Result<(), Elapsed> {
        self.since = None;
        match self.total {
            Some(total) if Instant::now() >= total => Err(Elapsed::Total),
            _ => Ok(()),
        }
    }

    /// Waits: returns `Ready` when a time has passed. Call it whenever the other side has returned `Pending`. `latest`
    /// is progress that this timer was not told of.
    pub(crate) fn poll_elapsed(&mut self, cx: &mut Context<'_>, latest: Option<Instant>) -> Poll<Elapsed> {
        if self.idle.is_none() && self.total.is_none() {
            return Poll::Pending;
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        let since = latest.map_or(since, |latest| since.max(latest));
        let idle = self.idle.and_then(|idle| since.checked_add(idle));
        let (at, elapsed) = match (idle, self.total) {
            (Some(idle), Some(total)) if idle < total => (idle, Elapsed::Idle),
            (_, Some(total)) => (total, Elapsed::Total),
            (Some(idle), None) => (idle, Elapsed::Idle),
            // So long that no clock reaches it.
            (None, None) => return Poll::Pending,
        };
        self.alarm.poll(cx, at).map(|()| elapsed)
    }

    /// Waits like [`poll_elapsed`](Self::poll_elapsed), but for the whole time only.
    pub(crate) fn poll_total(&mut self, cx: &mut Context<'_>) -> Poll<Elapsed> {
        match self.total {
            Some(total) => self.alarm.poll(cx, total).map(|()| Elapsed::Total),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn is_pending(timer: &mut Timer) -> bool {
        poll_fn(|cx| Poll::Ready(timer.poll_elapsed(cx, None).is_pending())).await
    }

    #[tokio::test(start_paused = true)]
    async fn progress_begins_the_wait_again() {
        let mut timer = Timer::new(Some(SECOND * 2), None);
        assert!(is_pending(&mut timer).await);
        advance(SECOND).await;
        assert_eq!(timer.progress(), Ok(()));
        assert!(is_pending(&mut timer).await);
        advance(SECOND + SECOND / 2).await;
        assert!(is_pending(&mut timer).await);
        assert_eq!(poll_fn(|cx| timer.poll_elapsed(cx, None)).await, Elapsed::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_time_passes_in_spite_of_progress() {
        let mut timer = Timer::new(Some(SECOND), Some(Instant::now() + SECOND));
        advance(SECOND / 2).await;
        assert_eq!(timer.progress(), Ok(()));
        assert_eq!(poll_fn(|cx| timer.poll_elapsed(cx, None)).await, Elapsed::Total);
        assert_eq!(timer.progress(), Err(Elapsed::Total));
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_time_alone_can_be_waited_for() {
        let began = Instant::now();
        let mut timer = Timer::new(Some(SECOND), Some(began + SECOND * 3));
        assert!(is_pending(&mut timer).await);
        assert_eq!(poll_fn(|cx| timer.poll_total(cx)).await, Elapsed::Total);
        assert_eq!(began.elapsed(), SECOND * 3);
        let mut timer = Timer::new(Some(SECOND), None);
        assert!(poll_fn(|cx| Poll::Ready(timer.poll_total(cx).is_pending())).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_without_limits_never_fires() {
        let mut timer = Timer::new(None, None);
        advance(SECOND * 1_000_000).await;
        assert!(is_pending(&mut timer).await);
        let mut timer = Timer::new(Some(Duration::MAX), None);
        assert!(is_pending(&mut timer).await);
    }
}
