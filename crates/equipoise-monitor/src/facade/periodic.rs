use std::{
    io,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use super::bridge::Bridge;

/// The shortest interval of [`Bridge::spawn`]. Exporters are asked every few seconds, so a shorter one has no use.
const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// Keeps the thread of [`Bridge::spawn`] running. When it is dropped, the thread records once more and ends. Dropping
/// does not wait for the thread.
#[derive(Debug)]
#[must_use = "the thread ends when it is dropped"]
pub struct BridgeGuard {
    _running: Sender<()>,
}

impl Bridge {
    /// Starts a thread that describes all metrics to the global recorder, and copies them into it at once and then after
    /// each interval. Install the recorder first. An interval below 100 ms counts as 100 ms.
    ///
    /// # Errors
    ///
    /// Fails if the operating system cannot start a thread.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use equipoise_monitor::{Monitor, facade::Bridge};
    ///
    /// let monitor = Monitor::new();
    /// let guard = Bridge::new(&monitor).spawn(Duration::from_secs(10))?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn spawn(mut self, interval: Duration) -> io::Result<BridgeGuard> {
        let (running, ended) = channel();
        let interval = interval.max(MIN_INTERVAL);
        thread::Builder::new().name("equipoise-metrics".to_owned()).spawn(move || {
            self.describe();
            self.record();
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                self.record();
            }
            self.record();
        })?;
        Ok(BridgeGuard { _running: running })
    }
}
