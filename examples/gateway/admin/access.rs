//! Who may use the admin interface, and for what.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use equipoise::proxy::forward::{Credentials, Passwords};
use http::{HeaderMap, header, request::Parts, uri::Authority};

use crate::{
    config::AdminTable,
    source::{ConfigError, Source},
    users,
};

/// The realm that browsers show when they ask for a name and a password.
pub(super) const REALM: &str = "gateway";

/// What programs and operators may do. By default, every program that can connect may read, and none may change.
#[derive(Clone, Default)]
pub(crate) struct Access {
    /// Whether the states of endpoints can be set.
    pub(super) permits_changes: bool,
    /// The operators who may set them, if it is permitted. `None`: every program that can connect.
    operators: Option<Passwords>,
    /// The names under which the interface answers, besides addresses and `localhost`, in lower case.
    hosts: Vec<String>,
}

/// Why an operator is refused.
pub(super) enum Refusal {
    /// The name or the password is missing or wrong.
    Unauthenticated,
    /// The configuration permits no changes.
    Off,
}

impl Access {
    /// Reads the settings, and the file with the operators.
    pub(crate) fn read(table: &AdminTable, source: &Source) -> Result<Self, ConfigError> {
        // Changes without a password must be chosen.
        let permits_changes = table.changes.as_ref().map_or(table.users_file.is_some(), |changes| *changes.get_ref());
        if let (Some(file), false) = (&table.users_file, permits_changes) {
            return Err(
                source.error(file.span(), "users_file has no effect with changes = false: leave one of them out")
            );
        }
        let mut hosts = Vec::new();
        for host in &table.hosts {
            let name = host.get_ref().trim_end_matches('.').to_ascii_lowercase();
            let is_name = name.parse::<Authority>().is_ok_and(|authority| authority.host() == name);
            if !is_name || name.parse::<IpAddr>().is_ok() {
                let message = format!("{:?} is not a host name: write it as \"gateway.internal\"", host.get_ref());
                return Err(source.error(host.span(), message));
            }
            hosts.push(name);
        }
        let operators = table.users_file.as_ref().map(|file| users::read(file, source)).transpose()?;
        Ok(Self { permits_changes, operators, hosts })
    }

    /// Returns whether a page in a browser can be permitted changes, because it is known who its operator is.
    pub(super) const fn knows_operators(&self) -> bool {
        self.permits_changes && self.operators.is_some()
    }

    /// Returns the name of the operator that sends a request, or why a change is refused. Without a list of operators,
    /// the name is empty.
    pub(super) fn operator(&self, headers: &HeaderMap) -> Result<String, Refusal> {
        match &self.operators {
            _ if !self.permits_changes => Err(Refusal::Off),
            None => Ok(String::new()),
            Some(operators) => match credentials(headers).filter(|credentials| operators.contains(credentials)) {
                Some(credentials) => Ok(credentials.user().to_owned()),
                None => Err(Refusal::Unauthenticated),
            },
        }
    }

    /// Returns whether the request was sent to an address, to `localhost` or to one of the configured names. A page of a
    /// browser could read the answers under the name of its own server, if that name leads to this address (DNS rebinding).
    pub(super) fn knows_host(&self, head: &Parts) -> bool {
        let host = head.headers.get(header::HOST).and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
        let Some(authority) = head.uri.authority().cloned().or(host) else { return false };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok()
            || self.hosts.iter().any(|name| name.eq_ignore_ascii_case(host))
    }
}

/// Returns the name and the password of the scheme `Basic`.
fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    let (scheme, encoded) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some(Credentials::new(user, password))
}
