//! What listeners are made from: the pools of the same configuration, and what all listeners share.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    ops::Range,
};

use equipoise::{proxy::Tunnels, spec::most_similar};
use http::HeaderName;
use toml::Spanned;

use crate::{
    backend::{Backend, HashOn},
    config::{Mode, Outgoing},
    functions::{CacheStores, NewFunctions, PoolClients},
    source::{ConfigError, Source},
};

#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) pools: &'a BTreeMap<String, Backend>,
    pub(crate) tunnels: &'a Tunnels,
    /// Whether each request, connection, session and tunnel is logged.
    pub(crate) logs: bool,
    /// The functions of the listeners and routes.
    pub(crate) functions: &'a NewFunctions<'a>,
    /// The stores of caches.
    pub(crate) stores: &'a CacheStores,
    /// The pools of the running gateway, for requests of functions.
    pub(crate) clients: &'a PoolClients,
    /// The fields that tell backends about identities, on any route of any listener. Clients must not set them on any,
    /// because listeners can share pools.
    pub(crate) identity_fields: &'a [HeaderName],
    /// The pools that some requests reach only with authentication, on any route of any listener.
    pub(crate) protected_pools: &'a BTreeSet<&'a str>,
    pub(crate) source: &'a Source,
}

impl<'a> Context<'a> {
    /// Returns the pool with a name, if a listener with this mode can use it.
    pub(crate) fn pool(
        &self,
        name: &Spanned<String>,
        bind: SocketAddr,
        mode: Mode,
    ) -> Result<&'a Backend, ConfigError> {
        let Some(pool) = self.pools.get(name.get_ref()) else {
            return Err(self.source.error(name.span(), unknown(name.get_ref(), self.pools)));
        };
        match misfit(pool, mode) {
            None => Ok(pool),
            Some((span, reason)) => {
                let message = format!("{reason}, and the listener {bind} has {mode}");
                Err(self.source.error(span, message))
            }
        }
    }
}

/// Returns what of a pool a listener with this mode cannot use, and why.
fn misfit(pool: &Backend, mode: Mode) -> Option<(Range<usize>, String)> {
    let table = &pool.table;
    let requests = "belongs to a pool for listeners with mode = \"http\"";
    if let (Some(affinity), true) = (&table.affinity, mode != Mode::Http) {
        let instead = "use a strategy with keys, such as maglev, and hash_on = \"source\"";
        return Some((affinity.span(), format!("affinity {requests} ({instead})")));
    }
    if let (Some(span), Some(hash_on)) = (table.hash_on.as_ref().map(Spanned::span), &pool.hash_on) {
        let misfit = match (hash_on, mode) {
            (HashOn::Source, _) | (HashOn::Request(_), Mode::Http) => None,
            (HashOn::ServerName, Mode::Tcp | Mode::Sni | Mode::Forward) => None,
            (HashOn::Request(_), _) => Some(format!("this hash_on {requests} (use \"source\")")),
            (HashOn::ServerName, Mode::Http) => {
                Some("\"server-name\" is known of connections, not of requests (use \"header:host\")".to_owned())
            }
            (HashOn::ServerName, Mode::Udp) => {
                Some("\"server-name\" is not known of datagrams (use \"source\")".to_owned())
            }
        };
        if let Some(reason) = misfit {
            return Some((span, reason));
        }
    }
    if let Some(proxy_protocol) = &table.proxy_protocol {
        let reason = match (proxy_protocol.get_ref(), mode) {
            (Outgoing::V1, Mode::Udp) => Some("v1 of the PROXY protocol is not for datagrams (use \"v2\")"),
            (Outgoing::V1 | Outgoing::V2, Mode::Forward) => {
                Some("upstream proxies get no header of the PROXY protocol (leave proxy_protocol out)")
            }
            _ => None,
        };
        if let Some(reason) = reason {
            return Some((proxy_protocol.span(), reason.to_owned()));
        }
    }
    if let (Some(tls), Mode::Udp | Mode::Forward) = (&table.tls, mode) {
        return Some((
            tls.span(),
            "the tls of a pool is for listeners with mode = \"http\", \"tcp\" or \"sni\"".to_owned(),
        ));
    }
    table.endpoints.get_ref().iter().find_map(|endpoint| {
        let address = &endpoint.get_ref().address;
        let (text, valid) = (address.get_ref().to_ascii_lowercase(), "write it as \"10.0.0.1:5432\"");
        let is_unix = text.starts_with(['/', '.']) || text.starts_with("unix:");
        let has_scheme = text.contains("://");
        let fits = match mode {
            Mode::Http => true,
            // The TLS of the pool needs https.
            Mode::Tcp | Mode::Sni => !has_scheme || text.starts_with("https://") && table.tls.is_some(),
            Mode::Udp => !has_scheme && !is_unix,
            Mode::Forward => (!has_scheme || text.starts_with("http://")) && !is_unix,
        };
        let reason = || format!("{:?} is not an address for such connections ({valid})", address.get_ref());
        (!fits).then(|| (address.span(), reason()))
    })
}

fn unknown(name: &str, pools: &BTreeMap<String, Backend>) -> String {
    let known: Vec<_> = pools.keys().map(String::as_str).collect();
    match most_similar(name, known.iter().copied()) {
        _ if known.is_empty() => format!("there is no pool {name:?}, because there are no pools: add [pool.{name}]"),
        Some(similar) => format!("there is no pool {name:?}; did you mean {similar:?}?"),
        None => format!("there is no pool {name:?}; the pools are: {}", known.join(", ")),
    }
}
