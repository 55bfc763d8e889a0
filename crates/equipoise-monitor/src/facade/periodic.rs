use std::{
    io,
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use equipoise_core::__private::guarded;

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
    /// each interval. Install the recorder first. An interval below 100 ms counts as 100 ms. If a round panics, in the
    /// recorder or in a reading of a listener, the next one follows after the interval.
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
            guarded(|| self.describe());
            // Recorders and readings of listeners are code of the user.
            let mut round = || guarded(|| self.record());
            round();
            while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                round();
            }
            round();
        })?;
        Ok(BridgeGuard { _running: running })
    }
}

#[cfg(test)]
mod tests {
    use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

    use super::*;
    use crate::Monitor;

    /// Panics whenever a gauge is registered, and says so before.
    struct Panics(Sender<()>);

    impl Recorder for Panics {
        fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

        fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
            Counter::noop()
        }

        fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
            let _ = self.0.send(());
            panic!("a gauge is registered");
        }

        fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
            Histogram::noop()
        }
    }

    #[test]
    fn the_next_round_runs_after_one_that_panics() {
        let (sender, panics) = channel();
        // The only test of this crate that uses the global recorder.
        metrics::set_global_recorder(Panics(sender)).expect("the first one");
        let _guard = Bridge::new(&Monitor::new()).spawn(MIN_INTERVAL).expect("a thread");
        for _ in 0..3 {
            panics.recv_timeout(Duration::from_secs(60)).expect("a round");
        }
    }
}
