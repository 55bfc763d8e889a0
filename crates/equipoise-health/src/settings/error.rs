use std::{fmt, time::Duration};

/// The error for an invalid setting of health checks or outlier detection. The text of the error names the setting, the
/// invalid value, and what to use instead. If the setting belongs to a check, the text also names the check.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{setting} cannot be {value}: {expected}", prefix(.check.as_deref()))]
#[non_exhaustive]
pub struct InvalidHealth {
    /// The name of the check that has the invalid setting in its schedule. `None` in these cases:
    ///
    /// - The setting belongs to [`Outliers`](crate::Outliers) or [`HealthPolicy`](crate::HealthPolicy).
    /// - A schedule was validated without a check, by [`Schedule::validate`](crate::Schedule::validate).
    pub check: Option<String>,
    /// The name of the invalid setting, such as `fall`. The method that sets it has the same name.
    pub setting: &'static str,
    /// The invalid value as text, such as `0`.
    pub value: String,
    /// What to use instead, as text for people, such as `use 1 or more probes`.
    pub expected: &'static str,
}

impl InvalidHealth {
    pub(crate) fn new(setting: &'static str, value: impl fmt::Display, expected: &'static str) -> Self {
        Self { check: None, setting, value: value.to_string(), expected }
    }

    pub(crate) fn time(setting: &'static str, value: Duration, expected: &'static str) -> Self {
        Self { check: None, setting, value: format!("{value:?}"), expected }
    }

    pub(super) fn of_check(self, name: &str) -> Self {
        Self { check: Some(name.to_owned()), ..self }
    }
}

fn prefix(check: Option<&str>) -> String {
    check.map(|name| format!("check {name:?}: ")).unwrap_or_default()
}

/// The error of parsing a [`Schedule`](crate::Schedule) or [`Outliers`](crate::Outliers) from a text that is not the
/// name of a preset. The error's message lists the known names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no preset {name:?} for {what}: {known}")]
pub struct UnknownPreset {
    name: String,
    what: &'static str,
    known: &'static str,
}

impl UnknownPreset {
    pub(super) fn new(name: &str, what: &'static str, known: &'static str) -> Self {
        Self { name: name.to_owned(), what, known }
    }
}
