//! Settings in configuration files: the name of a preset, or a table whose fields are called as the builders' methods.

use std::{fmt, marker::PhantomData, str::FromStr};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, IntoDeserializer, value::MapAccessDeserializer},
};

use super::{
    CheckPolicy, FailurePercentage, Growth, InvalidHealth, LatencyOutlier, OnTrip, Outliers, Policy, Schedule, Start,
    SuccessRate,
};
use crate::{probe::Silence, text::Time};

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct OutliersTable {
    #[serde(default, deserialize_with = "preset", skip_serializing)]
    preset: Option<Outliers>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consecutive_failures: Option<Switch<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consecutive_gateway: Option<Switch<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consecutive_connection: Option<Switch<u32>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failures_within: Option<Switch<FailuresWithin>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    success_rate: Option<Switch<SuccessRate>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_percentage: Option<Switch<FailurePercentage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency: Option<Switch<LatencyOutlier>>,
    on_trip: Option<OnTrip>,
    interval: Option<Time>,
    ejection: Option<Ejection>,
    growth: Option<Growth>,
    jitter: Option<f64>,
    most_percent: Option<u32>,
    longest_pause: Option<Switch<Time>>,
    abandoned: Option<Switch<f64>>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct FailuresWithin {
    failures: u32,
    time: Time,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Ejection {
    base: Time,
    longest: Time,
}

impl From<OutliersTable> for Outliers {
    fn from(table: OutliersTable) -> Self {
        let mut outliers = table.preset.unwrap_or_default();
        set(&mut outliers.failures, table.consecutive_failures.map(Switch::into_option));
        set(&mut outliers.gateway, table.consecutive_gateway.map(Switch::into_option));
        set(&mut outliers.connection, table.consecutive_connection.map(Switch::into_option));
        let within = |within: FailuresWithin| (within.failures, within.time.0);
        set(&mut outliers.within, table.failures_within.map(|rule| rule.into_option().map(within)));
        set(&mut outliers.success_rate, table.success_rate.map(Switch::into_option));
        set(&mut outliers.failure_percentage, table.failure_percentage.map(Switch::into_option));
        set(&mut outliers.latency, table.latency.map(Switch::into_option));
        set(&mut outliers.on_trip, table.on_trip);
        set(&mut outliers.interval, table.interval.map(|time| time.0));
        set(&mut outliers.base, table.ejection.as_ref().map(|ejection| ejection.base.0));
        set(&mut outliers.longest, table.ejection.map(|ejection| ejection.longest.0));
        set(&mut outliers.growth, table.growth);
        set(&mut outliers.jitter, table.jitter);
        set(&mut outliers.most_percent, table.most_percent);
        set(&mut outliers.longest_pause, table.longest_pause.map(|pause| pause.into_option().map(|time| time.0)));
        set(&mut outliers.abandoned, table.abandoned.map(Switch::into_option));
        outliers
    }
}

impl From<&Outliers> for OutliersTable {
    fn from(outliers: &Outliers) -> Self {
        // All of it by name, so that no setting is forgotten.
        let &Outliers {
            failures,
            gateway,
            connection,
            within,
            success_rate,
            failure_percentage,
            latency,
            on_trip,
            interval,
            base,
            longest,
            growth,
            jitter,
            most_percent,
            longest_pause,
            abandoned,
        } = outliers;
        let within = within.map(|(failures, time)| FailuresWithin { failures, time: Time(time) });
        Self {
            preset: None,
            consecutive_failures: failures.map(Switch::On),
            consecutive_gateway: gateway.map(Switch::On),
            consecutive_connection: connection.map(Switch::On),
            failures_within: within.map(Switch::On),
            success_rate: success_rate.map(Switch::On),
            failure_percentage: failure_percentage.map(Switch::On),
            latency: latency.map(Switch::On),
            on_trip: Some(on_trip),
            interval: Some(Time(interval)),
            ejection: Some(Ejection { base: Time(base), longest: Time(longest) }),
            growth: Some(growth),
            jitter: Some(jitter),
            most_percent: Some(most_percent),
            longest_pause: Some(longest_pause.map_or(Switch::Off, |time| Switch::On(Time(time)))),
            abandoned: Some(abandoned.map_or(Switch::Off, Switch::On)),
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
        outliers.check().map_err(de::Error::custom)?;
        Ok(outliers)
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ScheduleTable {
    #[serde(default, deserialize_with = "preset", skip_serializing)]
    preset: Option<Schedule>,
    interval: Option<Time>,
    fast: Option<Switch<Time>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    down: Option<Time>,
    timeout: Option<Time>,
    rise: Option<u32>,
    fall: Option<u32>,
    jitter: Option<f64>,
    start: Option<Start>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
}

impl From<ScheduleTable> for Schedule {
    fn from(table: ScheduleTable) -> Self {
        let mut schedule = table.preset.unwrap_or_default();
        set(&mut schedule.interval, table.interval.map(|time| time.0));
        set(&mut schedule.fast, table.fast.map(|fast| fast.into_option().map(|time| time.0)));
        set(&mut schedule.down, table.down.map(|time| Some(time.0)));
        set(&mut schedule.timeout, table.timeout.map(|time| time.0));
        set(&mut schedule.rise, table.rise);
        set(&mut schedule.fall, table.fall);
        set(&mut schedule.jitter, table.jitter);
        set(&mut schedule.start, table.start);
        set(&mut schedule.port, table.port.map(Some));
        schedule
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &Schedule { interval, fast, down, timeout, rise, fall, jitter, start, port } = self;
        let table = ScheduleTable {
            preset: None,
            interval: Some(Time(interval)),
            fast: Some(fast.map_or(Switch::Off, |time| Switch::On(Time(time)))),
            down: down.map(Time),
            timeout: Some(Time(timeout)),
            rise: Some(rise),
            fall: Some(fall),
            jitter: Some(jitter),
            start: Some(start),
            port,
        };
        table.serialize(serializer)
    }
}

/// A schedule whose check is left to the check that it belongs to, which has a name.
struct Unchecked(Schedule);

impl<'de> Deserialize<'de> for Unchecked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "the name of a preset, such as \"haproxy\", or a table of a schedule";
        deserializer.deserialize_any(NameOrTable::<_, ScheduleTable>::new(expected)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Unchecked(schedule) = Unchecked::deserialize(deserializer)?;
        schedule.check().map_err(de::Error::custom)?;
        Ok(schedule)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckTable {
    name: String,
    schedule: Option<Unchecked>,
    #[serde(default)]
    silence: Silence,
}

impl TryFrom<CheckTable> for CheckPolicy {
    type Error = InvalidHealth;

    fn try_from(CheckTable { name, schedule, silence }: CheckTable) -> Result<Self, InvalidHealth> {
        let schedule = schedule.map_or_else(Schedule::new, |Unchecked(schedule)| schedule);
        let check = Self { name, schedule, silence };
        check.check()?;
        Ok(check)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyTable {
    #[serde(default)]
    checks: Vec<CheckPolicy>,
    outliers: Option<Outliers>,
    most_probes: Option<usize>,
}

impl TryFrom<PolicyTable> for Policy {
    type Error = InvalidHealth;

    fn try_from(table: PolicyTable) -> Result<Self, InvalidHealth> {
        let mut policy = Self { checks: table.checks, outliers: table.outliers, ..Self::new() };
        set(&mut policy.most_probes, table.most_probes);
        policy.check()?;
        Ok(policy)
    }
}

fn set<T>(setting: &mut T, to: Option<T>) {
    if let Some(to) = to {
        *setting = to;
    }
}

/// What can be turned off, by `"off"`: a rule that a preset has, or a time that has a default.
enum Switch<T> {
    On(T),
    Off,
}

const OFF: &str = "off";

impl<T> Switch<T> {
    fn into_option(self) -> Option<T> {
        match self {
            Self::On(value) => Some(value),
            Self::Off => None,
        }
    }
}

impl<T: Serialize> Serialize for Switch<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::On(value) => value.serialize(serializer),
            Self::Off => serializer.serialize_str(OFF),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Switch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SwitchVisitor(PhantomData))
    }
}

struct SwitchVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for SwitchVisitor<T> {
    type Value = Switch<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the setting's value, or \"off\"")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Switch<T>, E> {
        if text == OFF { Ok(Switch::Off) } else { T::deserialize(text.into_deserializer()).map(Switch::On) }
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Switch<T>, E> {
        T::deserialize(number.into_deserializer()).map(Switch::On)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Switch<T>, E> {
        T::deserialize(number.into_deserializer()).map(Switch::On)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Switch<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Switch::On)
    }
}

/// Settings `T` by the name of a preset, or by a table.
struct NameOrTable<T, Table> {
    expected: &'static str,
    kinds: PhantomData<(T, Table)>,
}

impl<T, Table> NameOrTable<T, Table> {
    fn new(expected: &'static str) -> Self {
        Self { expected, kinds: PhantomData }
    }
}

impl<'de, T, Table> de::Visitor<'de> for NameOrTable<T, Table>
where
    T: FromStr<Err: fmt::Display> + From<Table>,
    Table: Deserialize<'de>,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expected)
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<T, E> {
        name.parse().map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        Table::deserialize(MapAccessDeserializer::new(map)).map(T::from)
    }
}

fn preset<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    let name = String::deserialize(deserializer)?;
    name.parse().map(Some).map_err(de::Error::custom)
}
