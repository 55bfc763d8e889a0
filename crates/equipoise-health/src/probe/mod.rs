//! Probes: one look at one endpoint.
//!
//! A probe is I/O and nothing else: when to look, how often, and what follows from the answer is the
//! machine's business. Time-outs are the driver's: whoever runs a probe drops it when its time is over, and catches its panics.

use std::{borrow::Cow, fmt};

use equipoise_core::EndpointId;
use futures::future::BoxFuture;

use crate::agent::AgentReply;

/// Whom to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The endpoint's id.
    pub id: EndpointId,
    /// Its address, as its spec has it: `host:port`, `[v6]:port`, or a URL.
    pub address: String,
    /// The port to look at instead of the address's, if checks have one of their own.
    pub port: Option<u16>,
}

/// One look at an endpoint.
pub trait Probe: Send + Sync + 'static {
    /// Looks. `Ok` says what the endpoint answered; an error is a failed probe, with the reason.
    ///
    /// Must not block its thread, and must be safe to drop at any time.
    fn probe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Answer, ProbeError>>;
}

/// What a probe that did not fail says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The endpoint looks able to work.
    Passed,
    /// What an agent on it says.
    Agent(AgentReply),
}

/// Why a probe failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The address is none that this probe can use.
    #[error("cannot be checked at {address:?}: {reason}")]
    Address {
        /// The address as the endpoint has it.
        address: String,
        /// What is wrong with it.
        reason: Cow<'static, str>,
    },
    /// No connection.
    #[error("no connection: {0}")]
    Connect(String),
    /// The connection broke, or something else went wrong underneath.
    #[error("{0}")]
    Broken(String),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// An answer that is not the expected one.
    #[error("unexpected answer: {0}")]
    Unexpected(String),
    /// The probe panicked.
    #[error("the probe panicked")]
    Panicked,
}

impl Target {
    /// Host and port: those of the address, the port overridden. A URL without a port has its scheme's.
    ///
    /// # Errors
    ///
    /// When there is no host or no port.
    pub fn host_and_port(&self) -> Result<(String, u16), ProbeError> {
        let refuse =
            |reason: &'static str| ProbeError::Address { address: self.address.clone(), reason: reason.into() };
        let (scheme, rest) = match self.address.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, &*self.address),
        };
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        let (host, port) = match authority.strip_prefix('[') {
            Some(v6) => {
                let (host, after) = v6.split_once(']').ok_or_else(|| refuse("'[' without ']'"))?;
                (host, after.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((_, port)) if port.contains(':') => (authority, None),
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err(refuse("it has no host"));
        }
        let known = match scheme {
            Some("http" | "ws") => Some(80),
            Some("https" | "wss") => Some(443),
            _ => None,
        };
        let port = match (self.port, port) {
            (Some(port), _) => port,
            (None, Some(port)) => port.parse().map_err(|_| refuse("its port is not a number from 0 to 65535"))?,
            (None, None) => known.ok_or_else(|| refuse("it has no port: give it one, or give the check one"))?,
        };
        Ok((host.to_owned(), port))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id, self.address)
    }
}
