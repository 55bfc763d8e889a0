use super::super::stats::Counter;

/// Counters of limits in Redis since the layer was built, and the state of the connection. Returned by
/// [`RateLimitLayer::redis_stats`](crate::limit::RateLimitLayer::redis_stats).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisLimitStats {
    /// Whether the server decides on requests now: there is a connection, and the server has room for buckets.
    pub connected: bool,
    /// Why the server does not decide on requests now. `None` if it does. That it is full is known from the last request
    /// with a bucket to store.
    pub reason: Option<String>,
    /// Number of requests on which the server has decided.
    pub decisions: u64,
    /// Number of requests on which the fallback has decided. Each of them is counted in one of the next four numbers.
    pub fallbacks: u64,
    /// Number of requests that used the fallback because there was no connection, or the server had stopped answering.
    pub disconnected: u64,
    /// Number of requests that used the fallback because the server did not answer in time.
    pub timeouts: u64,
    /// Number of requests that used the fallback because the server answered with an error, such as that it is full, or
    /// the connection ended.
    pub errors: u64,
    /// Number of requests that used the fallback because too many requests were waiting for the server.
    pub saturated: u64,
    /// Number of connections after the first one.
    pub reconnects: u64,
    /// Number of times that the server did not know the script, for example after its scripts were flushed. The request
    /// then sends the script's text.
    pub script_reloads: u64,
}

#[derive(Debug, Default)]
pub(super) struct RedisCounters {
    pub(super) decisions: Counter,
    pub(super) disconnected: Counter,
    pub(super) timeouts: Counter,
    pub(super) errors: Counter,
    pub(super) saturated: Counter,
    pub(super) script_reloads: Counter,
}

impl RedisCounters {
    pub(super) fn snapshot(&self, reason: Option<String>, reconnects: u64) -> RedisLimitStats {
        let (disconnected, timeouts) = (self.disconnected.get(), self.timeouts.get());
        let (errors, saturated) = (self.errors.get(), self.saturated.get());
        RedisLimitStats {
            connected: reason.is_none(),
            reason,
            decisions: self.decisions.get(),
            fallbacks: disconnected + timeouts + errors + saturated,
            disconnected,
            timeouts,
            errors,
            saturated,
            reconnects,
            script_reloads: self.script_reloads.get(),
        }
    }
}
