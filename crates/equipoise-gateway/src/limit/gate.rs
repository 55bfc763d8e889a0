use std::{fmt, sync::Arc, time::Duration};

use equipoise_core::Clock;
use equipoise_proxy::error::ErrorResponses;
use equipoise_tower::RequestHead;
use http::{HeaderMap, StatusCode, header::RETRY_AFTER};

use super::{
    InvalidRateLimit, Limit, LimitStats, MissingKey,
    fields::FieldWriter,
    key::KeyHasher,
    local::{Demand, Demands, LocalLimits, nanos_of, seconds},
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
    settings: GateSettings,
}

pub(super) struct GateSettings {
    pub(super) status: StatusCode,
    pub(super) fields: FieldWriter,
    pub(super) errors: ErrorResponses,
    pub(super) clock: Arc<dyn Clock>,
}

/// A limit requires a key, but the request has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyRequired;

impl Gate {
    pub(super) fn new(limits: Vec<Limit>, settings: GateSettings) -> Result<Self, InvalidRateLimit> {
        Ok(Self {
            counters: limits.iter().map(|_| LimitCounters::default()).collect(),
            hasher: KeyHasher::default(),
            local: LocalLimits::new(&limits, |limit| limit.quota)?,
            limits: limits.into(),
            settings,
        })
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

    /// Decides with the buckets of this process.
    pub(super) fn decide(&self, demands: &Demands) -> Verdict {
        let now = nanos_of(self.settings.clock.now());
        self.local.decide(demands, now)
    }

    /// Counts a decision, and returns what happens to the request.
    pub(super) fn conclude(&self, verdict: &Verdict) -> Action {
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
                    .field(RETRY_AFTER, seconds(retry_in.max(Duration::from_nanos(1))).into()),
            ),
            Action::DenyCost => {
                Some(Denial::new(status, "rate_limit_cost", "this request uses more units than the limit ever has"))
            }
        }
    }

    pub(super) fn write_fields(&self, verdict: &Verdict, headers: &mut HeaderMap) {
        self.settings.fields.write(verdict, &self.limits, headers);
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
