use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use hyper::rt::Executor;
use tokio::time::Instant;

use super::{activity::Activity, stats::Counters};
use crate::timing::Alarm;

tokio::task_local! {
    static PROGRESS: Arc<Progress>;
}

/// What a stream waits for, and what its client has taken of the response.
#[derive(Debug)]
pub(super) struct Progress {
    activity: Arc<Activity>,
    began: Instant,
    /// Milliseconds from `began` to the latest frame that the response's body has returned. [`WAITING`] if the stream
    /// does not wait for the client.
    frame_at: AtomicU64,
    /// Milliseconds from `began` to the latest part of a frame that the client's flow control has let pass.
    taken_at: AtomicU64,
}

const WAITING: u64 = u64::MAX;

impl Progress {
    fn new(activity: Arc<Activity>) -> Self {
        let (frame_at, taken_at) = (AtomicU64::new(WAITING), AtomicU64::new(0));
        Self { activity, began: Instant::now(), frame_at, taken_at }
    }

    /// Returns that of the current task. `None` if it is not the task of an HTTP/2 stream: the timeout of the connection
    /// is enough for HTTP/1.1.
    pub(super) fn current() -> Option<Arc<Self>> {
        PROGRESS.try_with(Arc::clone).ok()
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_millis().try_into().unwrap_or(WAITING - 1)
    }

    /// Notes that the client must take what the service has returned, or that the service has returned nothing.
    pub(super) fn on_poll(&self, returned: bool) {
        self.frame_at.store(if returned { self.now() } else { WAITING }, Ordering::Relaxed);
    }

    /// Notes that HTTP/2 has got a frame of the response.
    pub(super) fn on_frame(&self) {
        self.activity.on_frame();
    }

    /// Notes that a part of a frame was written.
    pub(super) fn on_frame_part(&self) {
        self.taken_at.store(self.now(), Ordering::Relaxed);
        self.activity.on_frame_part();
    }

    /// Notes that a frame was written or discarded.
    pub(super) fn on_frame_end(&self) {
        self.activity.on_frame_end();
    }

    /// Returns when the client must have taken something. `None` if the stream does not wait for it, or if there is no
    /// such time.
    fn due(&self, timeout: Duration) -> Option<Instant> {
        let frame_at = Some(self.frame_at.load(Ordering::Relaxed)).filter(|at| *at != WAITING)?;
        let since = Duration::from_millis(frame_at.max(self.taken_at.load(Ordering::Relaxed)));
        self.began.checked_add(since.checked_add(timeout)?)
    }
}

/// Runs the streams of an HTTP/2 connection, and resets those whose client takes nothing in time.
///
/// hyper has no timeout for a client whose flow control has no room. It holds a frame of the body then, or does not ask
/// the body for one, which depends on its version. So the task of each stream looks when its client has taken something.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    pub(super) activity: Arc<Activity>,
    pub(super) write_timeout: Duration,
    pub(super) counters: Arc<Counters>,
}

/// Keeps the connection busy while a task runs.
struct Running(Arc<Activity>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.on_stream_end();
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let (timeout, counters) = (self.write_timeout, Arc::clone(&self.counters));
        self.activity.on_stream();
        let running = Running(Arc::clone(&self.activity));
        let progress = Arc::new(Progress::new(Arc::clone(&self.activity)));
        tokio::spawn(PROGRESS.scope(Arc::clone(&progress), async move {
            let _running = running;
            let (mut stream, mut alarm) = (pin!(stream), Alarm::default());
            std::future::poll_fn(|cx| {
                if stream.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                let Some(due) = progress.due(timeout) else { return Poll::Pending };
                alarm.poll(cx, due).map(|()| counters.write_timeouts.add(1))
            })
            .await;
        }));
    }
}
