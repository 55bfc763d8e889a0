use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::report::{CertificateReport, ListenerReport, Reading};

type Read<V> = Arc<dyn Fn(&mut Vec<V>) + Send + Sync>;

/// A listener for a [`Monitor`](crate::Monitor): a server or a proxy, with the functions that read its counters.
///
/// A listener is put together from its parts, each of which has a method here behind a feature: for example a server
/// (`server`) whose connections are encrypted (`tls`) and begin with a header of the PROXY protocol (`proxy_protocol`).
/// If two parts report a number under the same name and label, the report has their sum.
///
/// After a reload that has replaced a proxy by another one, [add](crate::Monitor::add_listener) the new one under the same
/// name. The counters then start again at 0, which metrics treat as a restart.
///
/// ```
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering}};
/// use equipoise_monitor::{Monitor, WatchedListener, report::Reading};
///
/// let waiting = Arc::new(AtomicU64::new(7));
/// let jobs = WatchedListener::new("jobs", "queue").readings(move |into| {
///     into.push(Reading::gauge("jobs_waiting", "Jobs that wait for a worker.", waiting.load(Ordering::Relaxed)));
/// });
/// let monitor = Monitor::new();
/// monitor.add_listener(jobs);
/// assert_eq!(monitor.snapshot().listeners[0].readings[0].value, 7);
/// ```
#[derive(Clone)]
#[must_use]
pub struct WatchedListener {
    pub(crate) name: Arc<str>,
    mode: Arc<str>,
    readings: Vec<Read<Reading>>,
    certificates: Vec<Read<CertificateReport>>,
}

impl WatchedListener {
    /// Creates a listener without counters. `name` identifies it in metrics and on the status page, for example its
    /// address. `mode` says what it does, for example `http`.
    pub fn new(name: impl Into<Arc<str>>, mode: impl Into<Arc<str>>) -> Self {
        Self { name: name.into(), mode: mode.into(), readings: Vec::new(), certificates: Vec::new() }
    }

    /// Adds counters and gauges of any kind. The function is called for each snapshot, and must be fast. If it panics, the
    /// snapshot has none of its readings.
    pub fn readings(mut self, read: impl Fn(&mut Vec<Reading>) + Send + Sync + 'static) -> Self {
        self.readings.push(Arc::new(read));
        self
    }

    /// Adds certificates. The function is called for each snapshot, and must be fast. If it panics, the snapshot has none
    /// of its certificates.
    pub fn certificates(mut self, read: impl Fn(&mut Vec<CertificateReport>) + Send + Sync + 'static) -> Self {
        self.certificates.push(Arc::new(read));
        self
    }

    pub(crate) fn report(&self) -> ListenerReport {
        let (mut readings, mut certificates) = (Vec::new(), Vec::new());
        self.readings.iter().for_each(|read| read_into(&mut readings, read));
        add_up(&mut readings);
        self.certificates.iter().for_each(|read| read_into(&mut certificates, read));
        ListenerReport { name: self.name.to_string(), mode: self.mode.to_string(), readings, certificates }
    }
}

/// Adds what a function of the application reads, or nothing if it panics.
fn read_into<V>(values: &mut Vec<V>, read: &Read<V>) {
    let mut new = Vec::new();
    // The list is dropped after a panic, so no reader sees it half filled.
    if catch_unwind(AssertUnwindSafe(|| read(&mut new))).is_ok() {
        values.append(&mut new);
    }
}

/// Adds up readings of the same name and label, which no exporter could tell apart.
fn add_up(readings: &mut Vec<Reading>) {
    let mut sums: Vec<Reading> = Vec::with_capacity(readings.len());
    for reading in readings.drain(..) {
        match sums.iter_mut().find(|sum| sum.name == reading.name && sum.label == reading.label) {
            Some(sum) => sum.value = sum.value.saturating_add(reading.value),
            None => sums.push(reading),
        }
    }
    *readings = sums;
}

impl fmt::Debug for WatchedListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedListener").field("name", &self.name).field("mode", &self.mode).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_of_the_same_name_and_label_are_added_up() {
        let closed =
            |reason, value| Reading::counter("connections_closed", "Closed.", value).with_label("reason", reason);
        let listener = WatchedListener::new("a", "http")
            .readings(move |into| into.extend([closed("idle", 1), closed("aborted", 2)]))
            .readings(move |into| into.extend([closed("idle", 10), Reading::gauge("open", "Open.", u64::MAX)]))
            .readings(|into| into.push(Reading::gauge("open", "Open.", 1)));
        let values: Vec<_> = listener.report().readings.iter().map(|reading| reading.value).collect();
        assert_eq!(values, [11, 2, u64::MAX]);
    }

    #[test]
    fn a_function_that_panics_adds_nothing_and_the_others_are_read() {
        let listener = WatchedListener::new("a", "http")
            .readings(|into| {
                into.push(Reading::gauge("half", "Half.", 1));
                panic!("it panics");
            })
            .readings(|into| into.push(Reading::gauge("open", "Open.", 2)))
            .certificates(|_| panic!("it panics"));
        let report = listener.report();
        let readings: Vec<_> = report.readings.iter().map(|reading| (reading.name, reading.value)).collect();
        assert_eq!(readings, [("open", 2)]);
        assert!(report.certificates.is_empty());
    }
}
