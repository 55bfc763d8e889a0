use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use equipoise_core::{__private::seconds_rounded_up, Clock};
use equipoise_proxy::error::ErrorResponses;
use equipoise_tower::RequestHead;
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};

#[cfg(feature = "rate-limit-redis")]
use super::redis::{RedisFallback, RedisLimitStats, RedisLimits, SharedLimits, Unavailable};
use super::{
    InvalidRateLimit, Limit, LimitStats, MissingKey,
    fields::FieldWriter,
    key::KeyHasher,
    local::{Demand, Demands, LocalLimits, nanos_of},
    stats::LimitCounters,
    verdict::{Action, LimitResult, Verdict},
};
use crate::Denial;

/// The limits of a layer and their state, without the service.
pub(super) struct Gate {
    limits: Box<[Limit]>,
    counters: Box<[LimitCounters]>,
    hasher: KeyHasher,
    local: LocalLimits,
    #[cfg(feature = "rate-limit-redis")]
    shared: Option<SharedLimits>,
    settings: GateSettings,
}

pub(super) struct GateSettings {
    pub(super) status: StatusCode,
    pub(super) fields: FieldWriter,
    pub(super) errors: ErrorResponses,
    pub(super) clock: Arc<dyn Clock>,
    #[cfg(feature = "rate-limit-redis")]
    pub(super) redis: Option<RedisLimits>,
}

/// The decision on a request, or why there is none.
pub(super) type Outcome = Result<Verdict, Undecided>;

/// A decision for which a server is asked.
pub(super) type Pending = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// The server with the buckets is unavailable, and requests are denied then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Undecided;

/// A limit requires a key, but the request has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyRequired;

impl Gate {
    pub(super) fn new(mut limits: Vec<Limit>, settings: GateSettings) -> Result<Self, InvalidRateLimit> {
        #[cfg(feature = "rate-limit-redis")]
        let gateways = match settings.redis.as_ref().map(RedisLimits::fallback_setting) {
            Some(RedisFallback::Local { gateways }) => gateways,
            _ => 1,
        };
        #[cfg(not(feature = "rate-limit-redis"))]
        let gateways = 1;
        for limit in &mut limits {
            limit.quota = limit.bounded(limit.quota);
        }
        Ok(Self {
            #[cfg(feature = "rate-limit-redis")]
            shared: settings.redis.as_ref().map(|redis| SharedLimits::start(redis, &limits)).transpose()?,
            counters: limits.iter().map(|_| LimitCounters::default()).collect(),
            hasher: KeyHasher::default(),
            local: LocalLimits::new(&limits, |limit| limit.quota.share(gateways))?,
            limits: limits.into(),
            settings,
        })
    }

    pub(super) fn uses_identity(&self) -> bool {
        self.limits.iter().any(|limit| limit.key.uses_identity())
    }

    pub(super) fn errors(&self) -> &ErrorResponses {
        &self.settings.errors
    }

    /// Returns what a request asks of the limits.
    pub(super) fn demands(&self, head: RequestHead<'_>) -> Result<Demands, KeyRequired> {
        let mut demands = Demands::default();
        for ((limit, counters), demand) in self.limits.iter().zip(&self.counters).zip(&mut demands) {
            let key = match self.hasher.hash(&limit.key, head) {
                Some(key) => key,
                None => {
                    counters.missing_key.count();
                    match limit.missing {
                        MissingKey::Shared => KeyHasher::MISSING,
                        MissingKey::Skip => continue,
                        MissingKey::Deny if limit.dry_run => continue,
                        MissingKey::Deny => return Err(KeyRequired),
                    }
                }
            };
            *demand = Some(Demand { key, units: limit.cost_of(head) });
        }
        Ok(demands)
    }

    /// Asks Redis for a decision. `None` if the buckets are in this process.
    #[cfg(feature = "rate-limit-redis")]
    pub(super) fn ask_server(self: &Arc<Self>, demands: Demands, head: RequestHead<'_>) -> Option<Pending> {
        let shared = self.shared.as_ref()?;
        let questions = shared.questions(&demands, self.limits.iter().map(|limit| &limit.key), head);
        let (gate, answer) = (Arc::clone(self), shared.ask(questions));
        Some(Box::pin(async move {
            match answer.await {
                Ok(verdict) => Ok(verdict),
                Err(unavailable) => gate.decide_alone(&demands, unavailable),
            }
        }))
    }

    /// Returns `None`: the buckets are in this process.
    #[cfg(not(feature = "rate-limit-redis"))]
    pub(super) fn ask_server(self: &Arc<Self>, _: Demands, _: RequestHead<'_>) -> Option<Pending> {
        None
    }

    /// Decides with the buckets of this process.
    pub(super) fn decide(&self, demands: &Demands) -> Verdict {
        self.local.decide(demands, nanos_of(self.settings.clock.now()))
    }

    /// Decides while Redis is unavailable.
    #[cfg(feature = "rate-limit-redis")]
    fn decide_alone(&self, demands: &Demands, unavailable: Unavailable) -> Outcome {
        match (unavailable, self.shared.as_ref().map(|shared| shared.fallback)) {
            (Unavailable::Away, Some(RedisFallback::Allow)) => Ok(Verdict::default()),
            (Unavailable::Away, Some(RedisFallback::Deny)) => Err(Undecided),
            // Clients must not get rid of their limits, or have others denied, by many requests or many keys.
            (Unavailable::Saturated, _) | (_, Some(RedisFallback::Local { .. }) | None) => Ok(self.decide(demands)),
        }
    }

    /// Counts a decision, and returns what happens to the request.
    pub(super) fn conclude(&self, outcome: &Outcome) -> Action {
        let Ok(verdict) = outcome else { return Action::DenyUndecided };
        for ((limit, counters), reading) in self.limits.iter().zip(&self.counters).zip(&verdict.readings) {
            match reading.as_ref().map(|reading| reading.result) {
                None => {}
                Some(LimitResult::Admitted { delay }) => {
                    counters.admitted.count();
                    if delay > 0 {
                        counters.delayed.count();
                    }
                }
                Some(_) if limit.dry_run => counters.dry_run_denied.count(),
                Some(_) => counters.denied.count(),
            }
        }
        verdict.action(|at| self.limits.get(at).is_some_and(|limit| !limit.dry_run))
    }

    /// Returns why a request is denied. `None` if it passes.
    pub(super) fn denial(&self, action: Action) -> Option<Denial> {
        let status = self.settings.status;
        match action {
            Action::Pass { .. } => None,
            Action::Deny { retry_in } => Some(
                Denial::new(status, "rate_limited", "too many requests")
                    // At least 1 s: clients take 0 as permission to try again at once.
                    .field(RETRY_AFTER, seconds_rounded_up(retry_in.max(Duration::from_nanos(1))).into()),
            ),
            Action::DenyUndecided => {
                let message = "the limits of requests cannot be checked now";
                Some(Denial::new(StatusCode::SERVICE_UNAVAILABLE, "rate_limit_unavailable", message))
            }
            Action::DenyCost => {
                Some(Denial::new(status, "rate_limit_cost", "this request uses more units than the limit ever has"))
            }
        }
    }

    pub(super) fn write_fields(&self, verdict: &Verdict, headers: &mut HeaderMap) {
        self.settings.fields.write(verdict, &self.limits, headers);
    }

    #[cfg(feature = "rate-limit-redis")]
    pub(super) fn redis_stats(&self) -> Option<RedisLimitStats> {
        self.shared.as_ref().map(SharedLimits::stats)
    }

    pub(super) fn stats(&self) -> Vec<LimitStats> {
        let limits = self.limits.iter().zip(&self.counters).enumerate();
        let stats = |(at, (limit, counters)): (usize, (&Limit, &LimitCounters))| {
            let table = self.local.counters(at);
            LimitStats {
                name: limit.name.clone(),
                admitted: counters.admitted.get(),
                denied: counters.denied.get(),
                dry_run_denied: counters.dry_run_denied.get(),
                delayed: counters.delayed.get(),
                missing_key: counters.missing_key.get(),
                keys: table.map_or(0, |table| table.keys.get()),
                evicted: table.map_or(0, |table| table.evicted.get()),
                inherited: table.map_or(0, |table| table.inherited.get()),
            }
        };
        limits.map(stats).collect()
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("limits", &self.limits).finish_non_exhaustive()
    }
}
