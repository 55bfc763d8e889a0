//! The schemes of authentication, except tokens.

use std::{ops::Range, sync::Arc};

use equipoise::{
    affinity::source::ClientAddress,
    gateway::auth::{
        AllowedCertificates, ApiKey, ApiKeys, Authenticate, Basic, CertificateName, ClientCertificates, DecisionCache,
        External, InvalidExternal, Live, Users,
    },
};
use http::{HeaderName, uri};
use toml::Spanned;

use super::{file, names::header_name};
use crate::{
    client::client_address,
    config::{ApiKeyTable, BasicTable, CertificateAuthTable, CertificateNameKind, DecisionCacheTable, ExternalTable},
    context::Context,
    source::{ConfigError, Source},
};

/// A scheme of any kind.
pub(super) type Scheme = Arc<dyn Authenticate>;

/// Reads a file with users.
pub(super) fn users(table: &BasicTable, source: &Source) -> Result<Users, ConfigError> {
    let file = &table.users_file;
    let users: Users = file::read(file, source)?.parse().map_err(|error| file::wrong(file, &error, source))?;
    match users.is_empty() {
        false => Ok(users),
        true => {
            let message = "the file has no user, so no request would pass: write NAME:HASH, as `htpasswd -nB NAME` \
                           prints it";
            Err(source.error(file.span(), format_args!("{}: {message}", file.get_ref().display())))
        }
    }
}

pub(super) fn basic(table: &BasicTable, users: &Live<Users>) -> Basic {
    let BasicTable { forward, cache_time, max_cached, max_verifications, max_waiting, .. } = table;
    let mut basic = Basic::new(users.clone());
    if let Some(time) = cache_time {
        basic = basic.cache_ttl(*time.get_ref());
    }
    if let Some(max) = max_cached {
        basic = basic.cache_capacity(*max);
    }
    if let Some(max) = max_verifications {
        basic = basic.max_verifications(*max);
    }
    if let Some(max) = max_waiting {
        basic = basic.max_waiting(*max);
    }
    basic.forward_credentials(*forward)
}

pub(super) fn certificates(table: &CertificateAuthTable, source: &Source) -> Result<ClientCertificates, ConfigError> {
    let CertificateAuthTable { name, allow, issuer, fingerprint, revoked, check_expiry } = table;
    let name = match name {
        CertificateNameKind::Subject => CertificateName::Subject,
        CertificateNameKind::CommonName => CertificateName::CommonName,
        CertificateNameKind::Uri => CertificateName::Uri,
        CertificateNameKind::Dns => CertificateName::Dns,
        CertificateNameKind::Email => CertificateName::Email,
        CertificateNameKind::Fingerprint => CertificateName::Fingerprint,
    };
    let mut allowed = AllowedCertificates::new();
    if let Some(names) = allow {
        allowed = allowed.names(names.iter().cloned());
    }
    if let Some(issuers) = issuer {
        allowed = allowed.issuers(issuers.iter().cloned());
    }
    if let Some(list) = fingerprint {
        allowed = allowed.fingerprints(list.get_ref()).map_err(|error| source.caused(list.span(), &error))?;
    }
    if let Some(list) = revoked {
        allowed = allowed.revoked(list.get_ref()).map_err(|error| source.caused(list.span(), &error))?;
    }
    Ok(ClientCertificates::new(name).allow(allowed).check_expiry(*check_expiry))
}

/// Checks that the endpoints of a pool are asked by https, if the URL of the requests says so.
pub(super) fn check_pool(
    scheme: Option<&uri::Scheme>,
    (pool, uri): (&Spanned<String>, &Spanned<String>),
    context: Context<'_>,
) -> Result<(), ConfigError> {
    let Some(backend) = context.pools.get(pool.get_ref()).filter(|_| scheme == Some(&uri::Scheme::HTTPS)) else {
        return Ok(());
    };
    let is_plain = |address: &str| !address.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("https://"));
    let endpoints = backend.table.endpoints.get_ref().iter().map(|endpoint| endpoint.get_ref().address.get_ref());
    match endpoints.into_iter().find(|address| is_plain(address)) {
        None => Ok(()),
        Some(address) => {
            let (name, url) = (pool.get_ref(), uri.get_ref());
            let message = format!(
                "{url:?} is asked for without https, because the pool {name:?} has the address {address:?}: write \
                 https:// before it"
            );
            Err(context.source.error(uri.span(), message))
        }
    }
}

pub(super) fn external(table: &Spanned<ExternalTable>, context: Context<'_>) -> Result<External, ConfigError> {
    let (span, table, source) = (table.span(), table.get_ref(), context.source);
    let client = context.clients.client(table.pool.get_ref());
    let mut external = External::new(client, table.uri.get_ref())
        .map_err(|error| source.caused(table.uri.span(), &error))?
        .client_address(ClientAddress::connection().peer(client_address))
        .ambiguous_paths(table.ambiguous_paths)
        .fail_open(table.fail_open);
    external = with(&table.forward_headers, &span, source, |names| external.forward_fields(names))?;
    external = with(&table.response_headers, &span, source, |names| external.response_fields(names))?;
    if let Some(headers) = &table.denial_headers {
        external = with(headers, &span, source, |names| external.denial_fields(names))?;
    }
    if table.with_method {
        external = external.with_method();
    }
    if table.with_path {
        external = external.with_path();
    }
    match &table.send_headers {
        Some(_) if table.send_all_headers => {
            let message = "send_headers names the fields that are sent: leave it or send_all_headers out";
            return Err(source.error(span, message));
        }
        Some(headers) => external = with(headers, &span, source, |names| external.send_fields(names))?,
        None if table.send_all_headers => external = external.send_all_fields(),
        None => {}
    }
    if let Some(name) = &table.name_header {
        external = external.name_from(header_name(name, source)?);
    }
    for (attribute, field) in &table.attribute_headers {
        external = external.attribute_from(header_name(field, source)?, attribute.as_str());
    }
    if let Some(timeout) = &table.timeout {
        external = external.timeout(*timeout.get_ref());
    }
    match table.max_requests {
        Some(0) => return Err(source.error(span, "max_requests cannot be 0: no request could be decided")),
        Some(max) => external = external.max_requests(max),
        None => {}
    }
    if let Some(challenge) = &table.challenge {
        let wrong = |_| {
            let message =
                "a challenge is a scheme of WWW-Authenticate, such as \"Bearer\", and has characters of ASCII";
            source.error(challenge.span(), message)
        };
        external = external.challenge(challenge.get_ref().parse().map_err(wrong)?);
    }
    if let Some(DecisionCacheTable { time, by_headers, max_bytes }) = &table.cache {
        let mut cache = DecisionCache::new(*time);
        if let Some(headers) = by_headers {
            cache = with(headers, &span, source, |names| cache.by_fields(names))?;
        }
        external = external.cache(max_bytes.iter().fold(cache, |cache, max| cache.max_bytes(*max)));
    }
    Ok(external)
}

/// Passes names of fields on to a setting. `span` is the place of an error about a list without names.
fn with<T>(
    names: &[Spanned<String>],
    span: &Range<usize>,
    source: &Source,
    set: impl FnOnce(Vec<HeaderName>) -> Result<T, InvalidExternal>,
) -> Result<T, ConfigError> {
    let fields = names.iter().map(|name| header_name(name, source)).collect::<Result<_, _>>()?;
    set(fields).map_err(|error| source.caused(names.first().map_or_else(|| span.clone(), Spanned::span), &error))
}

/// Reads a file with API keys.
pub(super) fn keys(table: &ApiKeyTable, source: &Source) -> Result<ApiKeys, ConfigError> {
    let file = &table.keys_file;
    let keys: ApiKeys = file::read(file, source)?.parse().map_err(|error| file::wrong(file, &error, source))?;
    match keys.is_empty() {
        false => Ok(keys),
        true => {
            let message = "the file has no API key, so no request would pass: write NAME:HASH, with the hash of a random \
                           key: `printf %s KEY | sha256sum | cut -d' ' -f1`";
            Err(source.error(file.span(), format_args!("{}: {message}", file.get_ref().display())))
        }
    }
}

/// Returns a scheme for each place in which requests can have a key.
pub(super) fn api_key(
    table: &Spanned<ApiKeyTable>,
    keys: &Live<ApiKeys>,
    source: &Source,
) -> Result<Vec<Scheme>, ConfigError> {
    let mut schemes = Vec::<Scheme>::new();
    let ApiKeyTable { header, bearer, query, forward, .. } = table.get_ref();
    let mut add = |scheme: ApiKey| schemes.push(Arc::new(scheme.forward_credentials(*forward)));
    match header {
        Some(header) => {
            let scheme = ApiKey::header_named(header_name(header, source)?, keys.clone());
            add(scheme.map_err(|error| source.caused(header.span(), &error))?);
        }
        None if *bearer || query.is_some() => {}
        None => add(ApiKey::header(keys.clone())),
    }
    if *bearer {
        add(ApiKey::bearer(keys.clone()));
    }
    if let Some(query) = query {
        if query.get_ref().is_empty() {
            return Err(source.error(query.span(), "query is the name of a parameter, such as \"key\""));
        }
        add(ApiKey::query(query.get_ref().as_str(), keys.clone()));
    }
    Ok(schemes)
}
