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

/// Whether the stream of the current task waits for its client.
#[derive(Debug)]
struct Progress {
    began: Instant,
    /// Milliseconds from `began` to the latest frame that the response's body has returned. [`WAITING`] if the stream
    /// does not wait for the client.
    frame_at: AtomicU64,
}

const WAITING: u64 = u64::MAX;

/// Notes whether the body of a response has just returned a frame, which the client must now take.
pub(super) fn on_frame(returned: bool) {
    // HTTP/1.1 connections have no such value: the timeout of their stream is enough.
    let _ = PROGRESS.try_with(|progress| {
        let elapsed = progress.began.elapsed().as_millis().try_into().unwrap_or(WAITING - 1);
        progress.frame_at.store(if returned { elapsed } else { WAITING }, Ordering::Relaxed);
    });
}

/// Runs the streams of an HTTP/2 connection, and resets those whose client takes no frame in time.
///
/// hyper asks a body for the next frame only when the client's flow control has room for it, and has no timeout for
/// this. So the task of each stream looks how old its latest frame is.
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
        let progress = Arc::new(Progress { began: Instant::now(), frame_at: AtomicU64::new(WAITING) });
        tokio::spawn(PROGRESS.scope(Arc::clone(&progress), async move {
            let _running = running;
            let (mut stream, mut alarm) = (pin!(stream), Alarm::default());
            std::future::poll_fn(|cx| {
                if stream.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                let frame_at = progress.frame_at.load(Ordering::Relaxed);
                if frame_at == WAITING {
                    return Poll::Pending;
                }
                let due = Duration::from_millis(frame_at).checked_add(timeout);
                match due.and_then(|due| progress.began.checked_add(due)) {
                    Some(due) => alarm.poll(cx, due).map(|()| counters.write_timeouts.add(1)),
                    None => Poll::Pending,
                }
            })
            .await;
        }));
    }
}
