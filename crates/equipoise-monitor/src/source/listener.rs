use std::{fmt, sync::Arc};

use crate::report::{CertificateReport, ListenerReport, Reading};

type Read<V> = Arc<dyn Fn(&mut Vec<V>) + Send + Sync>;

/// A listener for a [`Monitor`](crate::Monitor): a server or a proxy, with the functions that read its counters.
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

    /// Adds counters and gauges of any kind. The function is called for each snapshot, and must be fast.
    pub fn readings(mut self, read: impl Fn(&mut Vec<Reading>) + Send + Sync + 'static) -> Self {
        self.readings.push(Arc::new(read));
        self
    }

    /// Adds certificates. The function is called for each snapshot, and must be fast.
    pub fn certificates(mut self, read: impl Fn(&mut Vec<CertificateReport>) + Send + Sync + 'static) -> Self {
        self.certificates.push(Arc::new(read));
        self
    }

    pub(crate) fn report(&self) -> ListenerReport {
        let (mut readings, mut certificates) = (Vec::new(), Vec::new());
        self.readings.iter().for_each(|read| read(&mut readings));
        self.certificates.iter().for_each(|read| read(&mut certificates));
        ListenerReport { name: self.name.to_string(), mode: self.mode.to_string(), readings, certificates }
    }
}

impl fmt::Debug for WatchedListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchedListener").field("name", &self.name).field("mode", &self.mode).finish_non_exhaustive()
    }
}
