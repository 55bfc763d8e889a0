use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use equipoise_core::__private::guarded;
use equipoise_tower::RequestHead;

use super::{InvalidRateLimit, LimitKey, MissingKey, Quota};
use crate::InvalidSetting;

/// Maximum number of limits of a layer. The state of a request has room for each of them.
pub(super) const MAX_LIMITS: usize = 8;
const MAX_KEYS: usize = 1 << 24;

type CostFn = dyn Fn(RequestHead<'_>) -> u32 + Send + Sync;

/// One limit of a [`RateLimitLayer`](super::RateLimitLayer): which requests share a bucket, and how many units a bucket
/// has.
///
/// ```
/// use equipoise_affinity::source::ClientAddress;
/// use equipoise_gateway::limit::{Limit, LimitKey, Quota};
///
/// // A client may send 100 requests per minute. An export counts as ten requests.
/// let limit = Limit::new("client", LimitKey::client(ClientAddress::connection()), Quota::per_minute(100))
///     .cost(|head| if head.uri.path().starts_with("/export") { 10 } else { 1 });
/// # drop(limit);
/// ```
#[derive(Clone)]
pub struct Limit {
    pub(super) name: String,
    pub(super) key: LimitKey,
    pub(super) quota: Quota,
    pub(super) missing: MissingKey,
    pub(super) delay_after: Option<u32>,
    pub(super) max_delay: Duration,
    pub(super) max_keys: usize,
    pub(super) dry_run: bool,
    pub(super) announce: bool,
    cost: Option<Arc<CostFn>>,
}

impl Limit {
    /// Creates a limit. The name is in the response fields and the statistics. It has 1 to 64 characters of `a-z`,
    /// `A-Z`, `0-9`, `_`, `-` and `.`, and no other limit of the layer has the same name.
    #[must_use]
    pub fn new(name: impl Into<String>, key: LimitKey, quota: Quota) -> Self {
        Self {
            name: name.into(),
            announce: !key.is_constant(),
            key,
            quota,
            missing: MissingKey::default(),
            delay_after: None,
            max_delay: Duration::from_secs(10),
            max_keys: 65_536,
            dry_run: false,
            cost: None,
        }
    }

    /// Sets what happens to requests without the key. Default: [`MissingKey::Shared`].
    #[must_use]
    pub fn missing(mut self, missing: MissingKey) -> Self {
        self.missing = missing;
        self
    }

    /// Sets a closure that returns how many units a request uses. Default: one unit. A request of 0 units is always
    /// admitted. A request of more units than the burst is always denied, without `Retry-After`. If the closure panics,
    /// the request uses one unit.
    #[must_use]
    pub fn cost(mut self, cost: impl Fn(RequestHead<'_>) -> u32 + Send + Sync + 'static) -> Self {
        self.cost = Some(Arc::new(cost));
        self
    }

    /// Delays requests of a burst instead of passing them on at once. The first `units` units of a burst pass at once.
    /// Each further request waits until its units have come back, so such requests reach the backend at the rate of the
    /// quota. Requests beyond the burst are denied, as always. With 0, all requests are spread evenly. Default: no
    /// request is delayed.
    ///
    /// No request waits for longer than [`max_delay`](Self::max_delay): those that would are denied at once.
    ///
    /// nginx does the same with `burst=… delay=…` (and without `nodelay`, if `units` is 0). If its client goes away, a
    /// waiting request has used its units all the same. At most as many requests of a key wait as the burst has units.
    #[must_use]
    pub fn delay_after(mut self, units: u32) -> Self {
        self.delay_after = Some(units);
        self
    }

    /// Sets the longest time that a request is delayed by [`delay_after`](Self::delay_after). Default: 10 s. A request
    /// that would have to wait for longer is denied, because its client or a proxy would give it up, and its units would
    /// be used in vain. So the burst is at most what comes back in this time, besides the units that pass at once.
    #[must_use]
    pub fn max_delay(mut self, max: Duration) -> Self {
        self.max_delay = max;
        self
    }

    /// Returns a quota with the burst that is left if no request is delayed for longer than the maximum.
    pub(super) fn bounded(&self, quota: Quota) -> Quota {
        let Some(free) = self.delay_after else { return quota };
        let delayed = self.max_delay.as_nanos() / u128::from(quota.interval_nanos()).max(1);
        let delayed = u32::try_from(delayed).unwrap_or(u32::MAX);
        quota.burst(quota.max_burst().min(free.saturating_add(1).saturating_add(delayed)))
    }

    /// Sets how many keys this process can tell apart. If more keys are in use (their buckets are not full), a new key
    /// starts with a part of its quota used. No key ever gets more than its quota. The table needs at most 53 bytes of
    /// memory for each key: 0.8 GiB for the maximum, of which 80 MiB are allocated at once. Range: 1 to 2²⁴. Default:
    /// 65,536. The key [`LimitKey::global`] needs one place only.
    ///
    /// With limits in Redis, this is the number of keys for which this process decides instead of the server. The number
    /// of keys in Redis is bounded by their expiry and by the `maxmemory` of the server.
    #[must_use]
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// Counts what the limit would deny or delay, but admits it at once. Use it to find the right quota. Default:
    /// false.
    #[must_use]
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Sets whether the response fields show this limit to clients. Default: true, except for
    /// [`LimitKey::global`], which would show how much traffic the gateway has.
    #[must_use]
    pub fn announce(mut self, announce: bool) -> Self {
        self.announce = announce;
        self
    }

    /// Returns how many units a request uses.
    pub(super) fn cost_of(&self, head: RequestHead<'_>) -> u32 {
        self.cost.as_ref().map_or(1, |cost| guarded(|| cost(head)).unwrap_or(1))
    }

    /// Whether the fields show this limit.
    pub(super) fn is_visible(&self) -> bool {
        self.announce && !self.dry_run
    }

    pub(super) fn check_all(limits: &[Self]) -> Result<(), InvalidRateLimit> {
        if !(1..=MAX_LIMITS).contains(&limits.len()) {
            return Err(InvalidRateLimit::Count { count: limits.len(), max: MAX_LIMITS });
        }
        let mut names = BTreeSet::new();
        for Self { name, max_keys, quota, .. } in limits {
            let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            if !(1..=64).contains(&name.len()) || !name.bytes().all(is_fit) {
                return Err(InvalidRateLimit::Name { name: name.clone() });
            }
            if !names.insert(name) {
                return Err(InvalidRateLimit::DuplicateName { name: name.clone() });
            }
            if !(1..=MAX_KEYS).contains(max_keys) {
                return Err(InvalidSetting::new("max_keys", max_keys, "from 1 to 2²⁴").into());
            }
            quota.checked().map_err(|expected| InvalidRateLimit::quota(name, *quota, expected))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limit")
            .field("name", &self.name)
            .field("key", &self.key)
            .field("quota", &self.quota)
            .field("missing", &self.missing)
            .field("delay_after", &self.delay_after)
            .field("max_delay", &self.max_delay)
            .field("max_keys", &self.max_keys)
            .field("dry_run", &self.dry_run)
            .field("announce", &self.announce)
            .finish_non_exhaustive()
    }
}
