use std::{fmt, sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use equipoise_affinity::__private::{Failure, Link, LinkSettings, explain, is_full};
use equipoise_core::__private::saturating_nanos;
use equipoise_tower::RequestHead;
use redis::Value;
use sha2::{Digest, Sha256};
use tokio::{runtime::Handle, sync::Semaphore, task::AbortHandle};

use super::{
    super::{
        InvalidRateLimit, LimitKey,
        local::{Demands, Shape},
        rule::Limit,
        verdict::{LimitResult, Verdict},
    },
    RedisFallback, RedisLimitStats, RedisLimits,
    script::{Answer, LimitScript, Question, answers},
    stats::RedisCounters,
};

/// The shortest interval between two units that the times in Redis can express.
const MIN_INTERVAL: Duration = Duration::from_micros(1);
/// Maximum size of a reply in bytes. That of the script has two numbers for each limit.
const MAX_REPLY: usize = 64 * 1024;
const NOT_OF_THE_SCRIPT: &str = "its answer is not one of the script";

/// The limits of a layer with buckets in Redis.
pub(in crate::limit) struct SharedLimits {
    inner: Arc<Inner>,
    limits: Box<[SharedLimit]>,
    prefix: String,
    pub(in crate::limit) fallback: RedisFallback,
    task: AbortHandle,
}

#[derive(Debug)]
struct SharedLimit {
    name: String,
    shape: Shape,
    interval: u64,
    burst: u32,
    dry_run: bool,
}

struct Inner {
    link: Arc<Link>,
    counters: RedisCounters,
    script: LimitScript,
    waiting: Arc<Semaphore>,
    timeout: Duration,
    /// Why the server stores no more buckets, until it has stored one.
    full: ArcSwapOption<String>,
}

/// What is asked about one request. `None` if the limit does not apply.
pub(in crate::limit) struct Questions {
    /// The questions, each with the number of its limit.
    asked: Vec<(usize, Question, Shape)>,
}

/// The server gives no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::limit) enum Unavailable {
    /// It is away, or has not answered in time or as it should.
    Away,
    /// Too many requests wait for it, or it has no room for more buckets. Clients could cause both.
    Saturated,
}

impl SharedLimits {
    /// Checks the settings and starts the task that connects.
    pub(in crate::limit) fn start(settings: &RedisLimits, limits: &[Limit]) -> Result<Self, InvalidRateLimit> {
        for limit in limits {
            if limit.quota.interval() < MIN_INTERVAL {
                let (name, quota) = (limit.name.clone(), limit.quota);
                let expected = "use at most 10⁶ units per second with Redis";
                return Err(InvalidRateLimit::Quota { name, quota, expected });
            }
        }
        let server = settings.server()?;
        let runtime = Handle::try_current().map_err(|_| InvalidRateLimit::NoRuntime)?;
        let script = LimitScript::new();
        // It writes, so that a server that cannot be written to refuses it. The text loads the script.
        let key = [settings.prefix.as_bytes(), b"%1"].concat();
        let probe = Question { key, interval: 1_000_000, burst: u32::MAX, units: 1, dry_run: false };
        let (link, task) = Link::start(
            LinkSettings {
                server,
                user: "rate limits",
                prefix: settings.prefix.clone(),
                first: vec![script.call(&[probe], true)],
                check: |replies| match replies {
                    // It knows the script, and answers requests whose buckets it has.
                    [Value::ServerError(error)] if is_full(error) => Ok(()),
                    [Value::ServerError(error)] => Err(explain(error)),
                    [reply] if answers(reply, 1).is_some() => Ok(()),
                    _ => Err(NOT_OF_THE_SCRIPT.to_owned()),
                },
                connect_timeout: settings.connect_timeout,
                max_silence: settings.connect_timeout,
                backoff: settings.backoff,
                max_reply: MAX_REPLY,
            },
            &runtime,
        );
        let inner = Arc::new(Inner {
            link,
            counters: RedisCounters::default(),
            script,
            waiting: Arc::new(Semaphore::new(settings.max_waiting)),
            timeout: settings.timeout,
            full: ArcSwapOption::empty(),
        });
        let shared = |limit: &Limit| SharedLimit {
            name: limit.name.clone(),
            shape: Shape::new(limit.quota, limit.delay_after),
            interval: saturating_nanos(limit.quota.interval()),
            burst: limit.quota.max_burst(),
            dry_run: limit.dry_run,
        };
        let (limits, prefix) = (limits.iter().map(shared).collect(), settings.prefix.clone());
        Ok(Self { inner, limits, prefix, fallback: settings.fallback, task })
    }

    /// Returns what to ask about a request. `keys` are the keys of the limits, in their order.
    pub(in crate::limit) fn questions<'l>(
        &self,
        demands: &Demands,
        keys: impl Iterator<Item = &'l LimitKey>,
        head: RequestHead<'_>,
    ) -> Questions {
        let mut asked = Vec::with_capacity(self.limits.len());
        for (at, ((limit, demand), key)) in self.limits.iter().zip(demands).zip(keys).enumerate() {
            if let Some(demand) = demand {
                let key = self.name(limit, key, head);
                let SharedLimit { shape, interval, burst, dry_run, .. } = *limit;
                asked.push((at, Question { key, interval, burst, units: demand.units, dry_run }, shape));
            }
        }
        Questions { asked }
    }

    /// Returns the name of a key in Redis: the prefix, the name of the limit, and the hash of the key, or `-` if the
    /// key is missing. Names of limits contain no colon, so different limits have different names.
    fn name(&self, limit: &SharedLimit, key: &LimitKey, head: RequestHead<'_>) -> Vec<u8> {
        let mut hash = Sha256::new();
        let found = key.write(head, &mut |part| {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        });
        let mut name = Vec::with_capacity(self.prefix.len() + limit.name.len() + 33);
        name.extend_from_slice(self.prefix.as_bytes());
        name.extend_from_slice(limit.name.as_bytes());
        name.push(b':');
        if !found {
            name.push(b'-');
            return name;
        }
        for byte in hash.finalize().iter().take(16) {
            for half in [byte >> 4, byte & 0xf] {
                name.push(if half < 10 { b'0' + half } else { b'a' + half - 10 });
            }
        }
        name
    }

    /// Asks the server. The future is independent of the layer.
    pub(in crate::limit) fn ask(
        &self,
        questions: Questions,
    ) -> impl Future<Output = Result<Verdict, Unavailable>> + Send + 'static {
        let inner = Arc::clone(&self.inner);
        async move { inner.ask(questions).await }
    }

    pub(in crate::limit) fn stats(&self) -> RedisLimitStats {
        let reason = self.inner.link.reason().or_else(|| self.inner.full.load().as_deref().cloned());
        self.inner.counters.snapshot(reason, self.inner.link.reconnects())
    }
}

impl Inner {
    async fn ask(&self, Questions { asked }: Questions) -> Result<Verdict, Unavailable> {
        if asked.is_empty() {
            return Ok(Verdict::default());
        }
        let Some(live) = self.link.live() else {
            self.counters.disconnected.count();
            return Err(Unavailable::Away);
        };
        let Ok(_waiting) = self.waiting.try_acquire() else {
            self.counters.saturated.count();
            return Err(Unavailable::Saturated);
        };
        // A request of more units than the burst takes nothing.
        let mut questions: Vec<_> = asked.iter().map(|(_, question, _)| question.clone()).collect();
        let too_costly = asked.iter().any(|(_, question, _)| question.is_too_costly() && !question.dry_run);
        for question in &mut questions {
            if question.is_too_costly() || (too_costly && !question.dry_run) {
                question.units = 0;
            }
        }
        let call = |text| {
            if text {
                self.counters.script_reloads.count();
            }
            self.script.call(&questions, text)
        };
        let refusal = match live.run_within(self.timeout, call).await {
            Ok(reply) => match answers(&reply, asked.len()) {
                Some(answers) => {
                    self.counters.decisions.count();
                    if self.full.load().is_some() && has_written(&questions, &answers) {
                        self.full.store(None);
                    }
                    return Ok(verdict(&asked, &answers));
                }
                None => NOT_OF_THE_SCRIPT.to_owned(),
            },
            Err(Failure::Refused(error)) if is_full(&error) => {
                self.counters.errors.count();
                self.full.store(Some(Arc::new(explain(&error))));
                return Err(Unavailable::Saturated);
            }
            Err(Failure::Refused(error)) => explain(&error),
            Err(Failure::Ended) => {
                self.counters.errors.count();
                return Err(Unavailable::Away);
            }
            Err(Failure::TimedOut) => {
                self.counters.timeouts.count();
                return Err(Unavailable::Away);
            }
        };
        // No request causes this: the server cannot be used, at least for now. It is when it answers the probe again.
        self.counters.errors.count();
        live.refuse(refusal);
        Err(Unavailable::Away)
    }
}

impl Question {
    fn is_too_costly(&self) -> bool {
        self.units > self.burst
    }
}

/// Whether the script has stored a bucket.
fn has_written(questions: &[Question], answers: &[Answer]) -> bool {
    let pairs = || questions.iter().zip(answers);
    let passes = pairs().all(|(question, answer)| question.dry_run || answer.admitted);
    pairs().any(|(question, answer)| answer.admitted && question.units > 0 && (passes || question.dry_run))
}

/// Translates the answers of the script. The time of the server is not known, so zero is the time of the decision.
fn verdict(asked: &[(usize, Question, Shape)], answers: &[Answer]) -> Verdict {
    let denied = asked
        .iter()
        .zip(answers)
        .any(|((_, question, _), answer)| !question.dry_run && (!answer.admitted || question.is_too_costly()));
    let mut verdict = Verdict::default();
    for ((at, question, shape), answer) in asked.iter().zip(answers) {
        let (before, units) = (answer.full_in, question.units);
        let result = if question.is_too_costly() {
            LimitResult::TooCostly
        } else if answer.admitted {
            LimitResult::Admitted { delay: shape.delay(before, units, 0) }
        } else {
            // At least 1 ns: it was denied.
            LimitResult::Denied { retry_in: shape.retry_in(before, units, 0).max(1) }
        };
        let taken = matches!(result, LimitResult::Admitted { .. }) && (question.dry_run || !denied);
        let full_at = if taken { before.saturating_add(shape.nanos(units)) } else { before };
        if let Some(place) = verdict.readings.get_mut(*at) {
            *place = Some(shape.reading(result, full_at, 0));
        }
    }
    verdict
}

impl Drop for SharedLimits {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl fmt::Debug for SharedLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimits").field("link", &self.inner.link).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Quota;

    const MS: u64 = 1_000_000;

    fn asked(at: usize, quota: Quota, delay_after: Option<u32>, units: u32) -> (usize, Question, Shape) {
        let interval = saturating_nanos(quota.interval());
        let question = Question { key: Vec::new(), interval, burst: quota.max_burst(), units, dry_run: false };
        (at, question, Shape::new(quota, delay_after))
    }

    #[test]
    fn an_answer_has_the_same_meaning_as_a_bucket_of_this_process() {
        // 250 of 400 ms are used, so two units are not whole.
        let asked = [asked(1, Quota::per_second(10).burst(4), Some(1), 1)];
        let reading = verdict(&asked, &[Answer { admitted: true, full_in: 250 * MS }]).readings[1].expect("a reading");
        assert_eq!(reading.result, LimitResult::Admitted { delay: 150 * MS });
        assert_eq!((reading.remaining, reading.full_in, reading.unit_in), (0, 350 * MS, 50 * MS));
        let denied = verdict(&asked, &[Answer { admitted: false, full_in: 350 * MS }]).readings[1].expect("a reading");
        assert_eq!((denied.result, denied.remaining), (LimitResult::Denied { retry_in: 50 * MS }, 0));
    }

    #[test]
    fn a_limit_beside_one_that_denies_shows_that_nothing_was_taken() {
        let asked = [asked(0, Quota::per_second(10), None, 1), asked(2, Quota::per_second(10), None, 11)];
        let answers = [Answer { admitted: true, full_in: 0 }; 2];
        let readings = verdict(&asked, &answers).readings;
        assert_eq!(readings[0].map(|reading| reading.remaining), Some(10));
        assert_eq!(readings[1], None);
        assert_eq!(readings[2].map(|reading| reading.result), Some(LimitResult::TooCostly));
    }
}
