use std::{fmt::Write as _, time::Duration};

use equipoise_core::__private::seconds_rounded_up;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    rule::Limit,
    verdict::{LimitResult, Reading, Verdict},
};

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");
const X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// The fields with which responses show the limits to clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LimitFields {
    /// `RateLimit-Policy` and `RateLimit` (draft-ietf-httpapi-ratelimit-headers-10), with one member per limit that
    /// applies to the request:
    ///
    /// - `RateLimit-Policy: "client";q=20;w=2`. `q` is the burst, and `w` the seconds in which an empty bucket becomes
    ///   full, rounded up. So `q / w` is the rate.
    /// - `RateLimit: "client";r=0;t=1`. `r` are the units that are left. `t` are the seconds until the next unit comes
    ///   back if the limit has denied the request or none is left, and otherwise the seconds until all units are back.
    ///   It is rounded up.
    #[default]
    Standard,
    /// `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`, of the limit that has the smallest part of
    /// its burst left. The values are `q`, `r` and `t` of [`Standard`](Self::Standard). They replace such fields of the
    /// backend.
    Legacy,
    /// The fields of [`Standard`](Self::Standard) and of [`Legacy`](Self::Legacy).
    Both,
    /// No fields. Denied requests still get `Retry-After`.
    None,
}

impl LimitFields {
    const fn has_standard(self) -> bool {
        matches!(self, Self::Standard | Self::Both)
    }

    const fn has_legacy(self) -> bool {
        matches!(self, Self::Legacy | Self::Both)
    }
}

/// Writes the fields of responses.
#[derive(Clone, Debug)]
pub(super) struct FieldWriter {
    fields: LimitFields,
    /// The members of `RateLimit-Policy` by limit; `None` if clients do not see the limit.
    policies: Box<[Option<String>]>,
    /// The policy if all visible limits apply to a request, as for most requests.
    whole_policy: Option<HeaderValue>,
}

impl FieldWriter {
    pub(super) fn new(fields: LimitFields, limits: &[Limit]) -> Self {
        let policy = |limit: &Limit| {
            let window = seconds_rounded_up(limit.quota.window());
            limit.is_visible().then(|| format!("\"{}\";q={};w={window}", limit.name, limit.quota.max_burst()))
        };
        let policies: Box<[_]> = limits.iter().map(policy).collect();
        let whole = policies.iter().flatten().cloned().collect::<Vec<_>>().join(", ");
        Self { fields, policies, whole_policy: HeaderValue::try_from(whole).ok().filter(|value| !value.is_empty()) }
    }

    /// Adds the fields of a decision to the headers of a response.
    pub(super) fn write(&self, verdict: &Verdict, limits: &[Limit], headers: &mut HeaderMap) {
        let shown = || {
            let known = limits.iter().zip(&self.policies).zip(&verdict.readings);
            known.filter_map(|((limit, policy), reading)| Some((limit, policy.as_ref()?, reading.as_ref()?)))
        };
        if self.fields.has_standard() && shown().next().is_some() {
            let mut state = String::with_capacity(48);
            for (limit, _, reading) in shown() {
                let (separator, t) = (if state.is_empty() { "" } else { ", " }, reset(reading));
                // Writing to a string cannot fail.
                let _ = write!(state, "{separator}\"{}\";r={};t={t}", limit.name, reading.remaining);
            }
            let policy = if shown().count() == self.policies.iter().flatten().count() {
                self.whole_policy.clone()
            } else {
                let policies: Vec<_> = shown().map(|(_, policy, _)| policy.as_str()).collect();
                HeaderValue::try_from(policies.join(", ")).ok()
            };
            if let (Some(policy), Ok(state)) = (policy, HeaderValue::try_from(state)) {
                headers.append(POLICY, policy);
                headers.append(STATE, state);
            }
        }
        if self.fields.has_legacy() {
            let part = |limit: &Limit, reading: &Reading| {
                f64::from(reading.remaining) / f64::from(limit.quota.max_burst().max(1))
            };
            let fewest = shown().min_by(|a, b| part(a.0, a.2).total_cmp(&part(b.0, b.2)));
            if let Some((limit, _, reading)) = fewest {
                headers.insert(X_LIMIT, limit.quota.max_burst().into());
                headers.insert(X_REMAINING, reading.remaining.into());
                headers.insert(X_RESET, reset(reading).into());
            }
        }
    }
}

fn reset(reading: &Reading) -> u64 {
    let nanos = match reading.result {
        LimitResult::Denied { retry_in } => retry_in,
        _ if reading.remaining == 0 => reading.unit_in,
        _ => reading.full_in,
    };
    seconds_rounded_up(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{LimitKey, Quota};

    fn limits() -> Vec<Limit> {
        vec![
            Limit::new("burst", LimitKey::identity(), Quota::per_second(10).burst(20)),
            Limit::new("hidden", LimitKey::global(), Quota::per_second(1000)),
            Limit::new("day", LimitKey::identity(), Quota::per_day(1000)),
        ]
    }

    fn reading(remaining: u32, result: LimitResult) -> Option<Reading> {
        Some(Reading { result, remaining, full_in: 1_500_000_000, unit_in: 86_400_000_000 })
    }

    fn written(fields: LimitFields, verdict: &Verdict) -> Vec<String> {
        let mut headers = HeaderMap::new();
        FieldWriter::new(fields, &limits()).write(verdict, &limits(), &mut headers);
        let line = |(name, value): (&HeaderName, &HeaderValue)| format!("{name}: {}", value.to_str().expect("text"));
        headers.iter().map(line).collect()
    }

    #[test]
    fn each_visible_limit_that_applies_is_shown() {
        let mut verdict = Verdict::default();
        let admitted = LimitResult::Admitted { delay: 0 };
        verdict.readings[0] = reading(5, admitted);
        verdict.readings[1] = reading(999, admitted);
        verdict.readings[2] = reading(0, LimitResult::Denied { retry_in: 86_000_000_000 });
        let policy = "ratelimit-policy: \"burst\";q=20;w=2, \"day\";q=1000;w=86400";
        let state = "ratelimit: \"burst\";r=5;t=2, \"day\";r=0;t=86";
        assert_eq!(written(LimitFields::Standard, &verdict), [policy, state]);
        let legacy = ["x-ratelimit-limit: 1000", "x-ratelimit-remaining: 0", "x-ratelimit-reset: 86"];
        assert_eq!(written(LimitFields::Legacy, &verdict), legacy);
        assert_eq!(written(LimitFields::Both, &verdict), [&[policy, state][..], &legacy].concat());
        assert!(written(LimitFields::None, &verdict).is_empty());
        verdict.readings[0] = None;
        let rest = ["ratelimit-policy: \"day\";q=1000;w=86400", "ratelimit: \"day\";r=0;t=86"];
        assert_eq!(written(LimitFields::Standard, &verdict), rest);
        verdict.readings[2] = None;
        assert!(written(LimitFields::Both, &verdict).is_empty());
    }

    #[test]
    fn an_empty_bucket_shows_when_the_next_unit_comes_back() {
        let mut verdict = Verdict::default();
        verdict.readings[2] = reading(0, LimitResult::Admitted { delay: 0 });
        assert!(written(LimitFields::Standard, &verdict)[1].ends_with("\"day\";r=0;t=87"));
    }
}
