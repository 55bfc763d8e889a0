//! What a load has measured.

pub(crate) struct Outcome {
    /// The number of requests, connections, datagrams or handshakes; of bytes with `TcpBulk`.
    pub(crate) count: u64,
    pub(crate) seconds: f64,
    /// `None` with `TcpBulk`.
    pub(crate) latency: Option<Quantiles>,
    /// Number of datagrams that were sent again. `None` if the load is not UDP.
    pub(crate) repeats: Option<u64>,
}

/// Microseconds.
pub(crate) struct Quantiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Quantiles {
    /// Takes latencies in microseconds. Returns `None` if there is none.
    pub(super) fn of(mut latencies: Vec<u32>) -> Option<Self> {
        latencies.sort_unstable();
        let at = |quantile: f64| latencies.get((latencies.len() as f64 * quantile) as usize).copied().map(f64::from);
        Some(Self { p50: at(0.5)?, p99: at(0.99)? })
    }
}
