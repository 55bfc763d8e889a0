use std::{fmt, time::Duration};

/// The error for an invalid health setting. Its text names the check (if any), the setting, the value, and what is valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{setting} cannot be {value}: {expected}", prefix(.check.as_deref()))]
#[non_exhaustive]
pub struct InvalidHealth {
    /// The name of the check that has the setting. `None` for outlier detection and for a schedule without a check.
    pub check: Option<String>,
    /// The name of the setting.
    pub setting: &'static str,
    /// The invalid value.
    pub value: String,
    /// What a valid value is.
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

/// The error for an unknown name of a preset. Its text lists the known names.
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
