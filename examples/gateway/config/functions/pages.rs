//! The table `maintenance`.

use std::{path::PathBuf, time::Duration};

use serde::Deserialize;
use toml::Spanned;

use super::FunctionTable;
use crate::config::values::some_timeout;

/// When clients get a page instead of the service. `gateway.toml` describes each key.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct MaintenanceTable {
    /// Default: true without a file.
    pub(crate) active: Option<bool>,
    /// Maintenance is active while this file exists.
    pub(crate) file: Option<Spanned<PathBuf>>,
    pub(crate) message: Option<String>,
    /// A page for browsers.
    pub(crate) page_file: Option<Spanned<PathBuf>>,
    #[serde(deserialize_with = "some_timeout")]
    pub(crate) retry_after: Option<Spanned<Duration>>,
    /// Whether only requests that may change something get the page.
    pub(crate) read_only: bool,
    pub(crate) allow: AllowedDuringMaintenance,
}

impl FunctionTable for MaintenanceTable {
    const VALID: &'static str = "true, or a table such as { file = \"maintenance.flag\" }";

    fn plain() -> Option<Self> {
        Some(Self::default())
    }
}

/// Which requests are passed on nevertheless.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AllowedDuringMaintenance {
    pub(crate) address: Option<Spanned<Vec<String>>>,
    pub(crate) path: Vec<Spanned<String>>,
    /// A field whose value is the secret.
    pub(crate) header: Option<Spanned<String>>,
    pub(crate) secret_file: Option<Spanned<PathBuf>>,
}
