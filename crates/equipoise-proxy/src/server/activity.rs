use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::Instant;

use super::limits::ServerLimits;

/// What happens on a connection. Its streams, its service and the bodies of its responses write it; the task of the
/// connection reads it after each step.
#[derive(Debug)]
pub(super) struct Activity {
    began: Instant,
    requests: AtomicU64,
    /// Number of requests, and of tasks of HTTP/2 streams.
    in_flight: AtomicU32,
    /// Number of frames of responses that HTTP/2 has got from their bodies, and has not written.
    held_frames: AtomicU32,
    /// The time at which no cancelled request is counted any more. Each cancelled request moves it by [`RESET_INTERVAL`].
    resets_until: AtomicU64,
    /// When a request has ended, or a held frame was written.
    idle_since: AtomicU64,
    /// When the first byte came after the latest request. [`NEVER`] if none has come.
    head_since: AtomicU64,
    ended: AtomicBool,
    /// Whether the latest body is complete, and hyper has used all its bytes. The service may read a body long after its
    /// response has ended.
    awaits_request: AtomicBool,
    /// The number of the request of which a part of the body has not come yet. 0 if there is none.
    open_body: AtomicU64,
    /// Whether the connection becomes a tunnel after its latest response.
    switched: AtomicBool,
    /// When hyper began to wait for bytes of a body. [`NEVER`] if bytes have come since.
    body_wait_since: AtomicU64,
    /// Whether hyper has asked for bytes of a body in its latest poll. It does not if the service has dropped the body.
    waits_for_body: AtomicBool,
    /// Whether the response to the latest request has begun.
    is_answering: AtomicBool,
    /// The number of the first request that must be refused, because parsers can read it differently. [`NEVER`] if there
    /// is none.
    refused: AtomicU64,
    /// Whether bytes wait until the client takes some. A request ends when hyper has its response, not when the client
    /// has it.
    is_writing: AtomicBool,
    write_timed_out: AtomicBool,
    /// Whether hyper closes the connection, but the socket must stay open.
    rests: AtomicBool,
}

const NEVER: u64 = u64::MAX;

/// After how many milliseconds a cancelled request is forgotten: 10 in a second.
const RESET_INTERVAL: u64 = 100;

/// What a time means that is too long for the clock.
const NO_LIMIT: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// The minimum time between two looks at a busy HTTP/2 connection, whatever the timeout.
const MIN_RECHECK: Duration = Duration::from_secs(1);

/// How long after its latest request an HTTP/1.1 connection keeps its buffers, which hold some 25 KB. With a much shorter
/// time, clients with few requests would cost more CPU time, and with a much longer one, a wave of clients more memory.
const REST_AFTER: Duration = Duration::from_millis(250);

/// Why a connection has to be closed at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The head of a request was begun, and must be complete.
    Head,
    /// The client sends nothing of a body for which the service waits.
    Body,
    /// The client sends nothing.
    Idle,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            requests: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            held_frames: AtomicU32::new(0),
            resets_until: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            head_since: AtomicU64::new(NEVER),
            ended: AtomicBool::new(false),
            awaits_request: AtomicBool::new(false),
            open_body: AtomicU64::new(0),
            switched: AtomicBool::new(false),
            body_wait_since: AtomicU64::new(NEVER),
            waits_for_body: AtomicBool::new(false),
            is_answering: AtomicBool::new(false),
            refused: AtomicU64::new(NEVER),
            is_writing: AtomicBool::new(false),
            write_timed_out: AtomicBool::new(false),
            rests: AtomicBool::new(false),
        }
    }

    /// Milliseconds since the connection began.
    fn now(&self) -> u64 {
        self.began.elapsed().as_millis().try_into().unwrap_or(NEVER - 1)
    }

    /// Notes that bytes of a body were read, and nothing of a head. The response may have ended before, so that no request
    /// is in flight.
    pub(super) fn on_body(&self) {
        self.idle_since.store(self.now(), Ordering::Relaxed);
    }

    /// Notes that bytes were read that may belong to a head.
    pub(super) fn on_read(&self) {
        if self.in_flight.load(Ordering::Relaxed) == 0 && self.head_since.load(Ordering::Relaxed) == NEVER {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Notes that hyper gets bytes. `refused` is the number of the request that must be refused, if there is one in them.
    pub(super) fn on_bytes(&self, refused: Option<u64>) {
        self.awaits_request.store(false, Ordering::Relaxed);
        self.body_wait_since.store(NEVER, Ordering::Relaxed);
        if let Some(number) = refused {
            self.refused.store(number, Ordering::Relaxed);
        }
    }

    /// Notes of which request a part of the body has not come yet, after the bytes that hyper gets. It may be a later one
    /// than the request in flight, because clients may send several at once.
    pub(super) fn set_open_body(&self, number: Option<u64>) {
        self.open_body.store(number.unwrap_or(0), Ordering::Relaxed);
    }

    /// Returns whether a part of the body of the HTTP/1 request with this number has not come yet.
    pub(super) fn is_body_open(&self, number: u64) -> bool {
        self.open_body.load(Ordering::Relaxed) == number
    }

    /// Notes that hyper has asked for bytes, which it does when it has used those before, and none have come.
    pub(super) fn on_no_bytes(&self, body_complete: bool) {
        self.awaits_request.store(body_complete, Ordering::Relaxed);
    }

    /// Notes that the connection becomes a tunnel after this response.
    pub(super) fn on_switch(&self) {
        self.switched.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_switched(&self) -> bool {
        self.switched.load(Ordering::Relaxed)
    }

    /// Notes that hyper's HTTP/1.1 connection is polled.
    pub(super) fn on_poll(&self) {
        self.waits_for_body.store(false, Ordering::Relaxed);
    }

    /// Notes that hyper has asked for bytes within a body, and none have come.
    pub(super) fn on_body_wait(&self) {
        self.waits_for_body.store(true, Ordering::Relaxed);
        if self.body_wait_since.load(Ordering::Relaxed) == NEVER {
            self.body_wait_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// Returns whether the request with this number must be refused. The first request of a connection has number 1.
    pub(super) fn is_refused(&self, number: u64) -> bool {
        number >= self.refused.load(Ordering::Relaxed)
    }

    /// Notes that the client sends no more bytes.
    pub(super) fn on_end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Notes that bytes were written, or that they wait. When the waiting bytes are written, the idle time begins again.
    /// If a part of a head has arrived meanwhile, its time begins again too.
    pub(super) fn on_write(&self, waits: bool) {
        if self.is_writing.load(Ordering::Relaxed) == waits {
            return;
        }
        if !waits {
            self.idle_since.store(self.now(), Ordering::Relaxed);
            if self.head_since.load(Ordering::Relaxed) != NEVER {
                self.head_since.store(self.now(), Ordering::Relaxed);
            }
        }
        self.is_writing.store(waits, Ordering::Relaxed);
    }

    pub(super) fn on_write_timeout(&self) {
        self.write_timed_out.store(true, Ordering::Relaxed);
    }

    /// Notes that a request begins. Returns how many have begun, with this one.
    pub(super) fn on_request(&self) -> u64 {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        self.head_since.store(NEVER, Ordering::Relaxed);
        self.is_answering.store(false, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed).saturating_add(1)
    }

    /// Notes that the response to a request begins.
    pub(super) fn on_response(&self) {
        self.is_answering.store(true, Ordering::Relaxed);
    }

    /// Notes that a request has ended. `answered` is whether its response has begun.
    pub(super) fn on_request_end(&self, answered: bool) {
        if !answered {
            let (now, interval) = (self.now(), RESET_INTERVAL);
            let later = |until: u64| Some(until.max(now).saturating_add(interval));
            // An error would mean that the closure has returned `None`.
            let _ = self.resets_until.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later);
        }
        self.on_stream_end();
    }

    /// Notes that the task of an HTTP/2 stream begins: that of a request, or that of a tunnel. The response body of a
    /// tunnel has ended when the tunnel begins, so its request does not keep the connection busy.
    pub(super) fn on_stream(&self) {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that the task of an HTTP/2 stream has ended.
    pub(super) fn on_stream_end(&self) {
        self.idle_since.store(self.now(), Ordering::Relaxed);
        self.in_flight.fetch_sub(1, Ordering::AcqRel);
    }

    /// Notes that HTTP/2 has got a frame of a response.
    pub(super) fn on_frame(&self) {
        self.held_frames.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes that a part of a held frame was written.
    pub(super) fn on_frame_part(&self) {
        self.idle_since.store(self.now(), Ordering::Relaxed);
    }

    /// Notes that a held frame was written or discarded.
    pub(super) fn on_frame_end(&self) {
        self.idle_since.store(self.now(), Ordering::Relaxed);
        self.held_frames.fetch_sub(1, Ordering::AcqRel);
    }

    /// Returns whether the client has to take a frame of a response that was complete for the service.
    pub(super) fn holds_frames(&self) -> bool {
        self.held_frames.load(Ordering::Acquire) > 0
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn has_in_flight(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) > 0
    }

    /// Returns whether a request is in flight, or bytes wait until the client takes some.
    pub(super) fn is_busy(&self) -> bool {
        self.has_in_flight() || self.is_writing.load(Ordering::Relaxed)
    }

    /// Returns whether the client has sent anything.
    pub(super) fn is_used(&self) -> bool {
        self.requests() > 0 || self.head_since.load(Ordering::Relaxed) != NEVER
    }

    /// Returns whether it is not busy, and no request has been begun.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_busy() && self.head_since.load(Ordering::Relaxed) == NEVER
    }

    /// Returns whether a part of the head of a request has come.
    pub(super) fn has_begun_head(&self) -> bool {
        !self.is_busy() && self.head_since.load(Ordering::Relaxed) != NEVER
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    pub(super) fn write_timed_out(&self) -> bool {
        self.write_timed_out.load(Ordering::Relaxed)
    }

    /// Returns whether the client has cancelled too many requests.
    pub(super) fn is_reset_flood(&self, limits: &ServerLimits) -> bool {
        let ahead = self.resets_until.load(Ordering::Relaxed).saturating_sub(self.now());
        ahead > u64::from(limits.max_reset_streams) * RESET_INTERVAL
    }

    /// Returns when and why an HTTP/1.1 connection must be closed. `None` while it is busy and the service does not wait
    /// for the client.
    pub(super) fn http1_due(&self, limits: &ServerLimits) -> Option<(Instant, Due)> {
        if self.is_busy() {
            let since = self.body_wait_since.load(Ordering::Relaxed);
            let waits = self.waits_for_body.load(Ordering::Relaxed) && since != NEVER;
            if !waits || self.is_answering.load(Ordering::Relaxed) || self.is_writing.load(Ordering::Relaxed) {
                return None;
            }
            return Some((self.after(since, limits.body_timeout), Due::Body));
        }
        let head = self.head_since.load(Ordering::Relaxed);
        if head != NEVER {
            return Some((self.after(head, limits.head_timeout), Due::Head));
        }
        if self.requests() == 0 {
            return Some((self.after(0, limits.head_timeout), Due::Idle));
        }
        Some((self.after(self.idle_since.load(Ordering::Relaxed), limits.keep_alive_timeout), Due::Idle))
    }

    /// Returns when the buffers of an HTTP/1.1 connection are freed. `None` while it is busy, before its first
    /// request, and while the body of a request is not complete or not used.
    pub(super) fn rest_due(&self) -> Option<Instant> {
        let may_rest = self.is_idle() && self.requests() > 0 && self.awaits_request.load(Ordering::Relaxed);
        may_rest.then(|| self.after(self.idle_since.load(Ordering::Relaxed), REST_AFTER))
    }

    /// Sets whether the socket stays open although hyper closes the connection.
    pub(super) fn rest(&self, rests: bool) {
        self.rests.store(rests, Ordering::Relaxed);
    }

    pub(super) fn rests(&self) -> bool {
        self.rests.load(Ordering::Relaxed)
    }

    /// Returns when an HTTP/2 connection must be closed, if no further request comes: at once if it is `draining` and
    /// idle. While it is busy, it returns when to look again, because the end of a request does not wake the connection's
    /// task.
    pub(super) fn http2_due(&self, limits: &ServerLimits, draining: bool) -> Instant {
        let idle_timeout = if draining { Duration::ZERO } else { limits.keep_alive_timeout };
        if self.is_busy() {
            return self.after(self.now(), idle_timeout.min(limits.write_timeout).max(MIN_RECHECK));
        }
        // A client may take the last frame of a response slowly, because of its flow control.
        let timeout = if self.holds_frames() { limits.write_timeout } else { idle_timeout };
        self.after(self.idle_since.load(Ordering::Relaxed), timeout)
    }

    /// Returns the time that is `duration` after the begin of the connection.
    pub(super) fn after_begin(&self, duration: Duration) -> Instant {
        let at = self.began.checked_add(duration).or_else(|| self.began.checked_add(NO_LIMIT));
        at.unwrap_or(self.began)
    }

    fn after(&self, since: u64, timeout: Duration) -> Instant {
        self.after_begin(Duration::from_millis(since).saturating_add(timeout))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    /// Ends so many requests, of which every second one was answered. Returns how many were ended before this counted as
    /// a flood.
    async fn ended(count: u64, pause: Duration) -> Option<u64> {
        let (activity, limits) = (Activity::new(), ServerLimits::new().max_reset_streams(200));
        for number in 1..=count {
            activity.on_request();
            activity.on_request_end(number % 2 == 0);
            if activity.is_reset_flood(&limits) {
                return Some(number);
            }
            advance(pause).await;
        }
        None
    }

    #[tokio::test(start_paused = true)]
    async fn answered_requests_do_not_excuse_cancelled_ones() {
        assert_eq!(ended(10_000, Duration::ZERO).await, Some(401));
        // 20 in a second are cancelled: 10 more than are forgotten in this time.
        let found = ended(10_000, Duration::from_millis(25)).await.expect("a flood");
        assert!((750..850).contains(&found), "{found}");
    }

    #[tokio::test(start_paused = true)]
    async fn times_without_a_limit_do_not_keep_a_connection_from_resting() {
        let (activity, never) = (Activity::new(), Duration::MAX);
        let limits = ServerLimits::new().head_timeout(never).keep_alive_timeout(never).write_timeout(never);
        let later = Instant::now() + Duration::from_secs(1_000_000_000);
        assert!(activity.http1_due(&limits).is_some_and(|(at, due)| at > later && due == Due::Idle));
        activity.on_request();
        activity.on_request_end(true);
        activity.on_no_bytes(true);
        assert!(activity.http1_due(&limits).is_some_and(|(at, due)| at > later && due == Due::Idle));
        assert!(activity.http2_due(&limits, false) > later);
        assert_eq!(activity.rest_due(), Some(activity.after_begin(REST_AFTER)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_does_not_rest_while_bytes_are_not_used() {
        let activity = Activity::new();
        activity.on_request();
        activity.on_request_end(true);
        activity.on_bytes(None);
        assert_eq!(activity.rest_due(), None);
        activity.on_no_bytes(false);
        assert_eq!(activity.rest_due(), None);
        activity.on_no_bytes(true);
        assert!(activity.rest_due().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_cancels_seldom_may_do_so_for_ever() {
        assert_eq!(ended(10_000, Duration::from_millis(50)).await, None);
    }
}
