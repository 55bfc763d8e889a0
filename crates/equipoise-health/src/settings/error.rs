use std::{fmt, time::Duration};

/// Why settings are refused. Names the setting, what it was, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} cannot be {given}: {wanted}")]
pub struct InvalidHealth {
    /// The setting.
    pub setting: &'static str,
    /// What it was.
    pub given: String,
    /// What would be right.
    pub wanted: &'static str,
}

impl InvalidHealth {
    pub(crate) fn new(setting: &'static str, given: impl fmt::Display, wanted: &'static str) -> Self {
        Self { setting, given: given.to_string(), wanted }
    }

    pub(crate) fn time(setting: &'static str, given: Duration, wanted: &'static str) -> Self {
        Self { setting, given: format!("{given:?}"), wanted }
    }
}
