//! The proxies in front of the gateway, which it trusts to report the addresses of clients.

use equipoise::affinity::source::TrustedProxies;
use toml::Spanned;

use crate::{
    config::Incoming,
    source::{ConfigError, Source},
};

/// Reads the networks of trusted proxies. Without any, no peer is trusted.
pub(crate) fn trusted(networks: Option<&Spanned<Vec<String>>>, source: &Source) -> Result<TrustedProxies, ConfigError> {
    let Some(networks) = networks else { return Ok(TrustedProxies::none()) };
    let is_everything =
        |network: &&String| network.rsplit_once('/').is_some_and(|(_, bits)| bits.trim().parse() == Ok(0));
    if let Some(network) = networks.get_ref().iter().find(is_everything) {
        let message = "would trust each client to choose its own address: name the networks of the proxies";
        return Err(source.error(networks.span(), format_args!("{network} {message}")));
    }
    networks.get_ref().join(",").parse().map_err(|error| source.caused(networks.span(), &error))
}

/// Returns the proxies whose connections begin with a header of the PROXY protocol. `None` if no header is expected.
pub(crate) fn sending_headers(
    proxy_protocol: Option<&Spanned<Incoming>>,
    networks: Option<&Spanned<Vec<String>>>,
    source: &Source,
) -> Result<Option<TrustedProxies>, ConfigError> {
    match (proxy_protocol, networks) {
        (Some(accept), None) if *accept.get_ref() == Incoming::Accept => {
            let message = "proxy_protocol needs trusted_proxies: the addresses of the proxies that send the header";
            Err(source.error(accept.span(), message))
        }
        (Some(accept), networks) if *accept.get_ref() == Incoming::Accept => trusted(networks, source).map(Some),
        _ => Ok(None),
    }
}

/// The same for a listener that trusts proxies for nothing else.
pub(crate) fn only_sending_headers(
    proxy_protocol: Option<&Spanned<Incoming>>,
    networks: Option<&Spanned<Vec<String>>>,
    source: &Source,
) -> Result<Option<TrustedProxies>, ConfigError> {
    let accepted = sending_headers(proxy_protocol, networks, source)?;
    match networks {
        Some(networks) if accepted.is_none() => {
            let message = "trusted_proxies has no effect here without proxy_protocol = \"accept\"";
            Err(source.error(networks.span(), message))
        }
        _ => Ok(accepted),
    }
}
