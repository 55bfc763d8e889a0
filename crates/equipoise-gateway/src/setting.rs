use std::fmt;

/// A setting that is out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {value}: use {expected}")]
#[non_exhaustive]
pub struct InvalidSetting {
    /// The name of the setting.
    pub setting: &'static str,
    /// The value that was set, as text.
    pub value: String,
    /// What would be right, as text.
    pub expected: &'static str,
}

impl InvalidSetting {
    pub(crate) fn new(setting: &'static str, value: impl fmt::Display, expected: &'static str) -> Self {
        Self { setting, value: value.to_string(), expected }
    }
}
