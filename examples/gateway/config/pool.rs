//! The tables of a pool.

use std::{collections::BTreeMap, ops::Range, path::PathBuf, time::Duration};

use equipoise::{
    EndpointSpec, InvalidSpec, Tier, UpdateError,
    health::{Outliers, Schedule},
    proxy::proxy_protocol::Version,
};
use serde::Deserialize;
use toml::Spanned;

use super::values::{some_timeout, timeout};

#[derive(Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(crate) struct PoolTable {
    pub(crate) strategy: Option<Spanned<String>>,
    pub(crate) slow_start: Option<Spanned<String>>,
    pub(crate) hash_on: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) protocol: Protocol,
    pub(crate) proxy_protocol: Option<Spanned<Outgoing>>,
    #[serde(default)]
    pub(crate) timeouts: PoolTimeouts,
    pub(crate) tls: Option<Spanned<TlsTable>>,
    pub(crate) endpoints: Spanned<Vec<Spanned<EndpointTable>>>,
    pub(crate) health: Option<Spanned<HealthTable>>,
    pub(crate) outlier: Option<Outliers>,
    pub(crate) affinity: Option<Spanned<AffinityTable>>,
}

impl PoolTable {
    /// Returns the version of the header of the PROXY protocol with which connections to endpoints begin.
    pub(crate) fn proxy_version(&self) -> Option<Version> {
        match self.proxy_protocol.as_ref()?.get_ref() {
            Outgoing::Off => None,
            Outgoing::V1 => Some(Version::V1),
            Outgoing::V2 => Some(Version::V2),
        }
    }

    /// Returns the place of what an update of the pool's endpoints has refused.
    pub(crate) fn span_of(&self, error: &UpdateError) -> Range<usize> {
        let field = match error {
            UpdateError::Invalid(InvalidSpec::Id { id } | InvalidSpec::DuplicateId { id }) => {
                self.endpoint(id.as_str()).map(|endpoint| endpoint.id().span())
            }
            UpdateError::Invalid(InvalidSpec::Limit { id }) => {
                self.endpoint(id.as_str()).and_then(|endpoint| Some(endpoint.max_in_flight.as_ref()?.span()))
            }
            UpdateError::Invalid(InvalidSpec::Weight { id, .. }) => {
                self.endpoint(id.as_str()).and_then(|endpoint| Some(endpoint.weight.as_ref()?.span()))
            }
            _ => None,
        };
        field.unwrap_or_else(|| self.endpoints.span())
    }

    /// Returns the last endpoint with this id.
    fn endpoint(&self, id: &str) -> Option<&EndpointTable> {
        let mut endpoints = self.endpoints.get_ref().iter().map(Spanned::get_ref);
        endpoints.rfind(|endpoint| endpoint.id().get_ref() == id)
    }
}

/// The table `timeouts` of a pool.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct PoolTimeouts {
    #[serde(deserialize_with = "timeout")]
    pub(crate) connect: Duration,
    #[serde(deserialize_with = "some_timeout")]
    pub(crate) attempt: Option<Spanned<Duration>>,
}

impl PoolTimeouts {
    /// Half of the default time of a listener for the head of a response. A second attempt then has as much time as the
    /// first one, and requests that wait for news, often for 25 s, are not repeated.
    const ATTEMPT: Duration = Duration::from_secs(30);

    pub(crate) fn attempt(&self) -> Duration {
        self.attempt.as_ref().map_or(Self::ATTEMPT, |attempt| *attempt.get_ref())
    }
}

/// The version of HTTP towards the endpoints.
#[derive(Clone, Copy, Default, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protocol {
    #[default]
    Auto,
    Http1,
    Http2,
}

/// Which header of the PROXY protocol endpoints get at the start of each connection.
#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outgoing {
    Off,
    V1,
    V2,
}

/// TLS towards the endpoints.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, expecting = "a table such as { ca_file = \"ca.pem\" }")]
pub(crate) struct TlsTable {
    pub(crate) ca_file: Option<Spanned<PathBuf>>,
    pub(crate) server_name: Option<Spanned<String>>,
    pub(crate) certificate_file: Option<Spanned<PathBuf>>,
    pub(crate) key_file: Option<Spanned<PathBuf>>,
}

#[derive(Clone, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, expecting = "an endpoint such as { address = \"10.0.0.1:80\" }")]
pub(crate) struct EndpointTable {
    /// Default: the address.
    pub(crate) id: Option<Spanned<String>>,
    pub(crate) address: Spanned<String>,
    pub(crate) weight: Option<Spanned<u32>>,
    #[serde(default)]
    pub(crate) backup: bool,
    pub(crate) max_in_flight: Option<Spanned<u32>>,
    pub(crate) zone: Option<String>,
}

impl EndpointTable {
    fn id(&self) -> &Spanned<String> {
        self.id.as_ref().unwrap_or(&self.address)
    }

    pub(crate) fn spec(&self) -> EndpointSpec {
        let spec = EndpointSpec::new(self.address.get_ref()).with_id(self.id().get_ref().as_str());
        let spec = spec.weight(self.weight.as_ref().map_or(1, |weight| *weight.get_ref()));
        let spec = spec.zone(self.zone.as_deref().unwrap_or_default());
        let spec = if self.backup { spec.tier(Tier::BACKUP) } else { spec };
        if let Some(max) = &self.max_in_flight { spec.max_in_flight(*max.get_ref()) } else { spec }
    }
}

#[derive(Clone, Deserialize, PartialEq)]
pub(crate) struct HealthTable {
    pub(crate) check: Check,
    /// The path of the requests of the check `http`.
    pub(crate) path: Option<String>,
    /// The port of the checks. Default: that of the address.
    pub(crate) port: Option<u16>,
    /// All other keys: `interval`, `timeout`, `rise`, `fall` and others. Unknown ones are refused.
    #[serde(flatten)]
    pub(crate) schedule: Schedule,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Check {
    Http,
    Tcp,
}

/// An affinity by its text, or as a table with the same parameters.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(
    untagged,
    expecting = "an affinity is a text such as \"source(by=table)\" or a table such as \
                 { kind = \"cookie\", name = \"SRV\" }"
)]
pub(crate) enum AffinityTable {
    Text(String),
    Table(BTreeMap<String, toml::Value>),
}

impl Default for PoolTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), attempt: None }
    }
}
