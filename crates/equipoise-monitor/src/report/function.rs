use std::borrow::Cow;

use super::listener::ReadingKind;

/// What a [`Snapshot`](super::Snapshot) says of one function of a gateway, such as a cache or a rate limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FunctionReport {
    /// The name of the function, such as its place in the configuration.
    pub name: String,
    /// The counters and states of the function. Each combination of name and labels occurs once.
    pub readings: Vec<FunctionReading>,
    /// What does not work now, for people: for example why keys could not be read, or why Redis is not used. Empty if
    /// everything works.
    pub problems: Vec<String>,
}

/// One counter or gauge of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct FunctionReading {
    /// The name of the metric without the prefix `equipoise_` and without the suffix `_total`, such as `cache_requests`.
    pub name: &'static str,
    /// Whether the number may decrease.
    pub kind: ReadingKind,
    /// The labels with their values, without the name of the function. Readings with the same name have the same labels.
    /// Serialized as a map.
    #[cfg_attr(feature = "serde", serde(serialize_with = "map"))]
    pub labels: Vec<(&'static str, Cow<'static, str>)>,
    /// The number. Points in time are whole seconds since 1970.
    pub value: u64,
}

impl FunctionReport {
    /// Returns the number with a name and with the values of its labels, in their order. `None` if there is none.
    pub fn value(&self, name: &str, labels: &[&str]) -> Option<u64> {
        let is_it = |reading: &&FunctionReading| {
            reading.name == name && reading.labels.iter().map(|(_, value)| &**value).eq(labels.iter().copied())
        };
        self.readings.iter().find(is_it).map(|reading| reading.value)
    }
}

#[cfg(feature = "serde")]
fn map<S: serde::Serializer>(labels: &[(&'static str, Cow<'static, str>)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(labels.iter().map(|(name, value)| (name, value)))
}
