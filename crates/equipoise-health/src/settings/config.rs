//! Serde implementations of the settings, for configuration files.
//!
//! - A `Schedule` and an `Outliers` are written as the name of a preset or as a table.
//! - A `CheckPolicy` and a `HealthPolicy` are written as a table.
//!
//! The fields of a table have the names of the setter methods.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    CheckPolicy, EjectionGrowth, FailurePercentage, HealthPolicy, InitialState, LatencyOutlier, OnFailureLimit,
    Outliers, Schedule, SuccessRate,
};
use crate::{
    format::{NameOrTable, Switch, Time, preset},
    probe::OnTimeout,
};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct OutliersTable {
    #[serde(default, deserialize_with = "preset", skip_serializing)]
    preset: Option<Outliers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consecutive_failures: Option<Switch<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consecutive_gateway_failures: Option<Switch<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consecutive_connection_failures: Option<Switch<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failures_within: Option<Switch<FailuresWithin>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_rate: Option<Switch<SuccessRate>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_percentage: Option<Switch<FailurePercentage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<Switch<LatencyOutlier>>,
    on_failure_limit: Option<OnFailureLimit>,
    interval: Option<Time>,
    base_ejection: Option<Time>,
    max_ejection: Option<Time>,
    growth: Option<EjectionGrowth>,
    jitter: Option<f64>,
    max_ejection_percent: Option<u32>,
    max_retry_after: Option<Switch<Time>>,
    abandon_factor: Option<Switch<f64>>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct FailuresWithin {
    failures: u32,
    time: Time,
}

impl From<OutliersTable> for Outliers {
    fn from(table: OutliersTable) -> Self {
        let mut outliers = table.preset.unwrap_or_default();
        set(&mut outliers.consecutive_failures, table.consecutive_failures.map(Switch::into_option));
        set(&mut outliers.consecutive_gateway_failures, table.consecutive_gateway_failures.map(Switch::into_option));
        set(
            &mut outliers.consecutive_connection_failures,
            table.consecutive_connection_failures.map(Switch::into_option),
        );
        let within = |within: FailuresWithin| (within.failures, within.time.0);
        set(&mut outliers.failures_within, table.failures_within.map(|rule| rule.into_option().map(within)));
        set(&mut outliers.success_rate, table.success_rate.map(Switch::into_option));
        set(&mut outliers.failure_percentage, table.failure_percentage.map(Switch::into_option));
        set(&mut outliers.latency, table.latency.map(Switch::into_option));
        set(&mut outliers.on_failure_limit, table.on_failure_limit);
        set(&mut outliers.interval, table.interval.map(|time| time.0));
        set(&mut outliers.base_ejection, table.base_ejection.map(|time| time.0));
        set(&mut outliers.max_ejection, table.max_ejection.map(|time| time.0));
        set(&mut outliers.growth, table.growth);
        set(&mut outliers.jitter, table.jitter);
        set(&mut outliers.max_ejection_percent, table.max_ejection_percent);
        set(&mut outliers.max_retry_after, table.max_retry_after.map(|time| time.into_option().map(|time| time.0)));
        set(&mut outliers.abandon_factor, table.abandon_factor.map(Switch::into_option));
        outliers
    }
}

impl From<&Outliers> for OutliersTable {
    fn from(outliers: &Outliers) -> Self {
        // Destructured, so that the compiler reports a setting that is missing here.
        let &Outliers {
            consecutive_failures,
            consecutive_gateway_failures,
            consecutive_connection_failures,
            failures_within,
            success_rate,
            failure_percentage,
            latency,
            on_failure_limit,
            interval,
            base_ejection,
            max_ejection,
            growth,
            jitter,
            max_ejection_percent,
            max_retry_after,
            abandon_factor,
        } = outliers;
        let within = failures_within.map(|(failures, time)| FailuresWithin { failures, time: Time(time) });
        Self {
            preset: None,
            consecutive_failures: consecutive_failures.map(Switch::On),
            consecutive_gateway_failures: consecutive_gateway_failures.map(Switch::On),
            consecutive_connection_failures: consecutive_connection_failures.map(Switch::On),
            failures_within: within.map(Switch::On),
            success_rate: success_rate.map(Switch::On),
            failure_percentage: failure_percentage.map(Switch::On),
            latency: latency.map(Switch::On),
            on_failure_limit: Some(on_failure_limit),
            interval: Some(Time(interval)),
            base_ejection: Some(Time(base_ejection)),
            max_ejection: Some(Time(max_ejection)),
            growth: Some(growth),
            jitter: Some(jitter),
            max_ejection_percent: Some(max_ejection_percent),
            max_retry_after: Some(max_retry_after.map_or(Switch::Off, |time| Switch::On(Time(time)))),
            abandon_factor: Some(abandon_factor.map_or(Switch::Off, Switch::On)),
        }
    }
}

impl Serialize for Outliers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        OutliersTable::from(self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Outliers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "the name of a preset, such as \"envoy\", or a table of outlier detection";
        let outliers: Self = deserializer.deserialize_any(NameOrTable::<_, OutliersTable>::new(expected))?;
        outliers.validate().map_err(de::Error::custom)?;
        Ok(outliers)
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ScheduleTable {
    #[serde(default, deserialize_with = "preset", skip_serializing)]
    preset: Option<Schedule>,
    interval: Option<Time>,
    fast_interval: Option<Switch<Time>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    down_interval: Option<Time>,
    timeout: Option<Time>,
    rise: Option<u32>,
    fall: Option<u32>,
    jitter: Option<f64>,
    initial_state: Option<InitialState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

impl From<ScheduleTable> for Schedule {
    fn from(table: ScheduleTable) -> Self {
        let mut schedule = table.preset.unwrap_or_default();
        set(&mut schedule.interval, table.interval.map(|time| time.0));
        set(&mut schedule.fast_interval, table.fast_interval.map(|fast| fast.into_option().map(|time| time.0)));
        set(&mut schedule.down_interval, table.down_interval.map(|time| Some(time.0)));
        set(&mut schedule.timeout, table.timeout.map(|time| time.0));
        set(&mut schedule.rise, table.rise);
        set(&mut schedule.fall, table.fall);
        set(&mut schedule.jitter, table.jitter);
        set(&mut schedule.initial_state, table.initial_state);
        set(&mut schedule.port, table.port.map(Some));
        schedule
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Schedule { interval, fast_interval, down_interval, timeout, rise, fall, jitter, initial_state, port } =
            self;
        let table = ScheduleTable {
            preset: None,
            interval: Some(Time(interval)),
            fast_interval: Some(fast_interval.map_or(Switch::Off, |time| Switch::On(Time(time)))),
            down_interval: down_interval.map(Time),
            timeout: Some(Time(timeout)),
            rise: Some(rise),
            fall: Some(fall),
            jitter: Some(jitter),
            initial_state: Some(initial_state),
            port,
        };
        table.serialize(serializer)
    }
}

/// A schedule that is not validated yet. The check that contains the schedule validates it, so that the error names
/// the check.
struct Unvalidated(Schedule);

impl<'de> Deserialize<'de> for Unvalidated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "the name of a preset, such as \"haproxy\", or a table of a schedule";
        deserializer.deserialize_any(NameOrTable::<_, ScheduleTable>::new(expected)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Unvalidated(schedule) = Unvalidated::deserialize(deserializer)?;
        schedule.validate().map_err(de::Error::custom)?;
        Ok(schedule)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CheckTable {
    name: String,
    schedule: Option<Unvalidated>,
    #[serde(default)]
    on_timeout: OnTimeout,
}

impl<'de> Deserialize<'de> for CheckPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let CheckTable { name, schedule, on_timeout } = CheckTable::deserialize(deserializer)?;
        let schedule = schedule.map_or_else(Schedule::new, |Unvalidated(schedule)| schedule);
        let check = Self { name, schedule, on_timeout };
        check.validate().map_err(de::Error::custom)?;
        Ok(check)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyTable {
    #[serde(default)]
    checks: Vec<CheckPolicy>,
    outliers: Option<Outliers>,
    max_concurrent_probes: Option<usize>,
}

impl<'de> Deserialize<'de> for HealthPolicy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = PolicyTable::deserialize(deserializer)?;
        let mut policy = Self { checks: table.checks, outliers: table.outliers, ..Self::new() };
        set(&mut policy.max_concurrent_probes, table.max_concurrent_probes);
        policy.validate().map_err(de::Error::custom)?;
        Ok(policy)
    }
}

fn set<T>(setting: &mut T, to: Option<T>) {
    if let Some(to) = to {
        *setting = to;
    }
}
