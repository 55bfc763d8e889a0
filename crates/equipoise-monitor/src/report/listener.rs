use std::time::SystemTime;

/// What a [`Snapshot`](super::Snapshot) says of one listener: a server, or a proxy for TCP, UDP or clients.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ListenerReport {
    /// The name of the listener, such as its address.
    pub name: String,
    /// What the listener does: `http`, `tcp`, `udp`, `sni`, `forward`, or another word of the application.
    pub mode: String,
    /// The counters and gauges of the listener.
    pub readings: Vec<Reading>,
    /// The certificates of the listener, if it ends TLS.
    pub certificates: Vec<CertificateReport>,
}

/// One counter or gauge of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Reading {
    /// The name, in snake_case and without prefix and suffix, such as `connections_accepted`.
    pub name: &'static str,
    /// What the number counts, for people.
    pub help: &'static str,
    /// Whether the number may decrease.
    pub kind: ReadingKind,
    /// A further label and its value, such as `("reason", "timeout")`. Readings with the same name have the same label.
    pub label: Option<(&'static str, &'static str)>,
    /// The number.
    pub value: u64,
}

/// Whether a [`Reading`] may decrease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum ReadingKind {
    /// A number of events so far. It never decreases.
    Counter,
    /// A number of things that exist now.
    Gauge,
}

impl Reading {
    /// Creates the reading of a counter without a label.
    pub const fn counter(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind: ReadingKind::Counter, label: None, value }
    }

    /// Creates the reading of a gauge without a label.
    pub const fn gauge(name: &'static str, help: &'static str, value: u64) -> Self {
        Self { name, help, kind: ReadingKind::Gauge, label: None, value }
    }

    /// Returns the reading with a label.
    #[must_use]
    pub const fn with_label(mut self, name: &'static str, value: &'static str) -> Self {
        self.label = Some((name, value));
        self
    }
}

/// A certificate of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CertificateReport {
    /// Where the certificate was read, such as a file name.
    pub source: String,
    /// The server names for which the certificate is used.
    pub names: Vec<String>,
    /// Whether clients get this certificate if no other one has their name.
    pub is_default: bool,
    /// When the certificate expires. Serialized as seconds since 1970.
    #[cfg_attr(feature = "serde", serde(serialize_with = "super::time::serialize_time"))]
    pub not_after: SystemTime,
}

impl CertificateReport {
    /// Creates the report of a certificate: where it was read, the server names for which it is used, whether it is the
    /// default, and when it expires.
    pub fn new(source: impl Into<String>, names: Vec<String>, is_default: bool, not_after: SystemTime) -> Self {
        Self { source: source.into(), names, is_default, not_after }
    }
}
