use std::{fmt, time::Duration};

/// Why settings are refused. Names the check, if it is one's, the setting, what it was, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{setting} cannot be {given}: {wanted}", of(.check.as_deref()))]
#[non_exhaustive]
pub struct InvalidHealth {
    /// The name of the check whose schedule is refused; `None` for outlier detection, and for a schedule by itself.
    pub check: Option<String>,
    /// The setting.
    pub setting: &'static str,
    /// What it was.
    pub given: String,
    /// What would be right.
    pub wanted: &'static str,
}

impl InvalidHealth {
    pub(crate) fn new(setting: &'static str, given: impl fmt::Display, wanted: &'static str) -> Self {
        Self { check: None, setting, given: given.to_string(), wanted }
    }

    pub(crate) fn time(setting: &'static str, given: Duration, wanted: &'static str) -> Self {
        Self { check: None, setting, given: format!("{given:?}"), wanted }
    }

    pub(super) fn of_check(self, name: &str) -> Self {
        Self { check: Some(name.to_owned()), ..self }
    }
}

fn of(check: Option<&str>) -> String {
    check.map(|name| format!("check {name:?}: ")).unwrap_or_default()
}

/// There is no preset of this name.
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
