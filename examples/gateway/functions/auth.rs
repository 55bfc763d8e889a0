//! Authentication.

use std::sync::Arc;

use equipoise::{
    affinity::source::ClientAddress,
    gateway::auth::{
        AllOf, AllowedCertificates, ApiKey, ApiKeys, AuthLayer, Authenticate, Basic, CertificateName,
        ClientCertificates, DecisionCache, External, IdentityFields, Live, Realm, Requirements, Users,
    },
};
use http::HeaderName;
use serde_json::{Value, json};
use toml::Spanned;

use super::{
    Chain, Function, Shared, file,
    jwt::{self, LiveJwt},
};
use crate::{
    client::client_address,
    config::{
        ApiKeyTable, AuthTable, BasicTable, CertificateAuthTable, CertificateNameKind, DecisionCacheTable,
        ExternalTable, Mode, Placed, RequireTable, Tables,
    },
    context::Context,
    source::{ConfigError, Source},
};

/// A scheme of any kind.
type Scheme = Arc<dyn Authenticate>;

/// The authentication of a route or of a listener.
struct AuthFunction {
    layer: AuthLayer,
    /// The users and the API keys, which each reload reads again.
    users: Live<Users>,
    keys: Live<ApiKeys>,
    basic: Option<Basic>,
    jwts: Vec<LiveJwt>,
    external: Option<External>,
}

/// Adds the authentication of a route. Without it, the fields that tell backends about identities are removed from
/// requests nevertheless, if a listener or another route of it has some.
pub(super) fn add(
    chain: &mut Chain,
    tables: Tables<'_>,
    shared: &Shared<'_>,
    context: Context<'_>,
) -> Result<(), ConfigError> {
    let all_fields = &shared.identity_fields[..];
    match tables.auth.and_then(|placed| Some((placed, placed.table()?))) {
        Some((placed, (table, _))) => {
            let function = function(placed, table, shared, context)?;
            let layer = function.layer.clone().errors(shared.errors.clone());
            chain.add(|functions| functions.authenticate(layer));
        }
        None if !all_fields.is_empty() => {
            let fields = all_fields.iter().cloned().fold(IdentityFields::none(), IdentityFields::remove);
            let layer = AuthLayer::anonymous().identity_fields(fields);
            // No request has an identity, so a cache cannot mix up those of several ones.
            chain.add(|functions| functions.authenticate(layer).share_cache_between_identities());
        }
        None => {}
    }
    Ok(())
}

fn function(
    placed: Placed<'_, AuthTable>,
    table: &AuthTable,
    shared: &Shared<'_>,
    context: Context<'_>,
) -> Result<Arc<AuthFunction>, ConfigError> {
    let (source, all_fields) = (context.source, &shared.identity_fields[..]);
    if let Some(table) = &table.external {
        // Checked also if the function stays.
        context.pool(&table.get_ref().pool, shared.bind, Mode::Http)?;
    }
    let users = table.basic.as_ref().map(|table| users(table, source)).transpose()?;
    let keys = table.api_key.as_ref().map(|table| keys(table.get_ref(), source)).transpose()?;
    let mut tokens = Vec::new();
    let all_tokens = table.jwt.iter().flat_map(|tables| tables.get_ref().0.iter().map(|table| (table, tables.span())));
    for (table, span) in all_tokens.clone() {
        if let Some(jwks) = &table.jwks {
            context.pool(&jwks.pool, shared.bind, Mode::Http)?;
        }
        tokens.push(jwt::of_file(table, span, source)?);
    }
    let place = format!("{} auth", placed.place);
    let function = context.functions.keep_or_build(&place, (table.clone(), all_fields.to_vec()), || {
        let (users, keys) = (Live::default(), Live::default());
        let mut schemes: Vec<Scheme> = Vec::new();
        let basic = table.basic.as_ref().map(|table| basic(table, &users));
        schemes.extend(basic.iter().map(|basic| Arc::new(basic.clone()) as Scheme));
        if let Some(table) = &table.api_key {
            api_key(table, &keys, &mut schemes, source)?;
        }
        if let Some(table) = &table.client_certificate {
            schemes.push(Arc::new(certificates(table.get_ref())));
        }
        let external = table.external.as_ref().map(|table| external(table, context)).transpose()?;
        schemes.extend(external.iter().map(|external| Arc::new(external.clone()) as Scheme));
        let mut jwts = Vec::new();
        for ((table, span), of_file) in all_tokens.zip(&tokens) {
            jwts.push(match (of_file, &table.jwks) {
                (None, Some(jwks)) => LiveJwt::of_url(jwt::of_url(jwks, table, span, context)?),
                (Some(jwt), _) => LiveJwt::of_file(jwt.clone()),
                (None, None) => continue,
            });
        }
        schemes.extend(jwt::schemes(&jwts));
        let layer = layer(schemes, table, &placed, source)?;
        let layer = layer.identity_fields(fields(table, all_fields, source)?);
        Ok(AuthFunction { layer, users, keys, basic, jwts, external })
    })?;
    for (running, jwt) in function.jwts.iter().zip(tokens) {
        if let Some(jwt) = jwt {
            let running = running.clone();
            context.functions.on_apply(move || running.replace(jwt));
        }
    }
    if let Some(users) = users {
        let running = function.users.clone();
        context.functions.on_apply(move || running.replace(users));
    }
    if let Some(keys) = keys {
        let running = function.keys.clone();
        context.functions.on_apply(move || running.replace(keys));
    }
    Ok(function)
}

/// Reads a file with users.
fn users(table: &BasicTable, source: &Source) -> Result<Users, ConfigError> {
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

fn basic(table: &BasicTable, users: &Live<Users>) -> Basic {
    let BasicTable { forward, cache_time, max_verifications, max_waiting, .. } = table;
    let mut basic = Basic::new(users.clone());
    if let Some(time) = cache_time {
        basic = basic.cache_ttl(*time.get_ref());
    }
    if let Some(max) = max_verifications {
        basic = basic.max_verifications(*max);
    }
    if let Some(max) = max_waiting {
        basic = basic.max_waiting(*max);
    }
    basic.forward_credentials(*forward)
}

fn certificates(table: &CertificateAuthTable) -> ClientCertificates {
    let CertificateAuthTable { name, allow, issuer, fingerprint, revoked, check_expiry } = table;
    let name = match name {
        CertificateNameKind::Subject => CertificateName::Subject,
        CertificateNameKind::CommonName => CertificateName::CommonName,
        CertificateNameKind::Uri => CertificateName::Uri,
        CertificateNameKind::Dns => CertificateName::Dns,
        CertificateNameKind::Email => CertificateName::Email,
        CertificateNameKind::Fingerprint => CertificateName::Fingerprint,
    };
    let mut allowed = AllowedCertificates::new().revoked(revoked);
    if let Some(names) = allow {
        allowed = allowed.names(names.iter().cloned());
    }
    if let Some(issuers) = issuer {
        allowed = allowed.issuers(issuers.iter().cloned());
    }
    if let Some(fingerprints) = fingerprint {
        allowed = allowed.fingerprints(fingerprints);
    }
    ClientCertificates::new(name).allow(allowed).check_expiry(*check_expiry)
}

fn external(table: &Spanned<ExternalTable>, context: Context<'_>) -> Result<External, ConfigError> {
    let (span, table, source) = (table.span(), table.get_ref(), context.source);
    let names =
        |names: &[Spanned<String>]| names.iter().map(|name| header_name(name, source)).collect::<Result<Vec<_>, _>>();
    let client = context.clients.client(table.pool.get_ref());
    let mut external = External::new(client, table.uri.get_ref())
        .map_err(|error| source.caused(table.uri.span(), &error))?
        .client_address(ClientAddress::connection().peer(client_address))
        .forward_fields(names(&table.forward_headers)?)
        .response_fields(names(&table.response_headers)?)
        .fail_open(table.fail_open);
    if table.with_method {
        external = external.with_method();
    }
    if table.with_path {
        external = external.with_path();
    }
    if let Some(headers) = &table.send_headers {
        external = external.send_fields(names(headers)?);
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
    if let Some(DecisionCacheTable { time, by_headers, max_decisions }) = &table.cache {
        let mut cache = DecisionCache::new(*time);
        if let Some(headers) = by_headers {
            cache = cache.by_fields(names(headers)?);
        }
        external = external.cache(max_decisions.iter().fold(cache, |cache, max| cache.capacity(*max)));
    }
    Ok(external)
}

/// Reads a file with API keys.
fn keys(table: &ApiKeyTable, source: &Source) -> Result<ApiKeys, ConfigError> {
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

fn api_key(
    table: &Spanned<ApiKeyTable>,
    keys: &Live<ApiKeys>,
    schemes: &mut Vec<Scheme>,
    source: &Source,
) -> Result<(), ConfigError> {
    let ApiKeyTable { header, bearer, query, forward, .. } = table.get_ref();
    let mut add = |scheme: ApiKey| schemes.push(Arc::new(scheme.forward_credentials(*forward)));
    match header {
        Some(header) => add(ApiKey::header_named(header_name(header, source)?, keys.clone())),
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
    Ok(())
}

/// Creates a layer with one or all of the schemes.
fn layer(
    schemes: Vec<Scheme>,
    table: &AuthTable,
    placed: &Placed<'_, AuthTable>,
    source: &Source,
) -> Result<AuthLayer, ConfigError> {
    let mut schemes = schemes.into_iter();
    let Some(first) = schemes.next() else {
        let message = "auth has no scheme, so it is not said which requests pass: add one such as basic, or write auth = \"none\"";
        return Err(source.error(placed.setting.span(), message));
    };
    let layer = match table.all {
        true => AuthLayer::new(schemes.fold(AllOf::new(first), AllOf::and)),
        false => schemes.fold(AuthLayer::new(first), AuthLayer::or),
    };
    let layer = match &table.realm {
        Some(realm) => layer.realm(Realm::new(realm.get_ref()).map_err(|error| source.caused(realm.span(), &error))?),
        None => layer,
    };
    let layer = if table.optional { layer.optional() } else { layer };
    Ok(layer.require(requirements(&table.require)))
}

fn requirements(table: &RequireTable) -> Requirements {
    let RequireTable { name, scope, attribute, contains } = table;
    let mut requirements = Requirements::new();
    if let Some(names) = name {
        requirements = requirements.names(names.iter().cloned());
    }
    if let Some(scopes) = scope {
        requirements = requirements.scopes(scopes.iter().cloned());
    }
    for (name, values) in attribute {
        requirements = requirements.attribute(name.as_str(), values.iter().cloned());
    }
    for (name, elements) in contains {
        requirements = requirements.attribute_contains(name.as_str(), elements.iter().cloned());
    }
    requirements
}

/// Returns the fields that tell backends about the identity, and removes those of other routes too.
fn fields(table: &AuthTable, all_fields: &[HeaderName], source: &Source) -> Result<IdentityFields, ConfigError> {
    let mut fields = match &table.identity_headers {
        None => IdentityFields::default(),
        Some(headers) => {
            let mut fields = IdentityFields::none();
            for (name, value) in headers {
                let field = parsed(name, value.span(), source)?;
                let added = match (value.get_ref().as_str(), value.get_ref().split_once(':')) {
                    ("name", _) => fields.name(field),
                    ("mechanism", _) => fields.mechanism(field),
                    (_, Some(("attribute", attribute))) if !attribute.is_empty() => fields.attribute(attribute, field),
                    (other, _) => {
                        let message =
                            format!("{name} cannot be {other:?}: use \"name\", \"mechanism\" or \"attribute:NAME\"");
                        return Err(source.error(value.span(), message));
                    }
                };
                fields = added.map_err(|error| source.caused(value.span(), &error))?;
            }
            fields
        }
    };
    for field in all_fields {
        fields = fields.remove(field.clone());
    }
    Ok(fields)
}

/// Returns the fields of the identity in all tables of a listener and its routes.
pub(super) fn all_fields<'t>(
    tables: impl Iterator<Item = Tables<'t>>,
    source: &Source,
) -> Result<Vec<HeaderName>, ConfigError> {
    let mut all = Vec::new();
    for table in tables.filter_map(|tables| Some(tables.auth?.table()?.0)) {
        match &table.identity_headers {
            None => all.push(HeaderName::from_static("x-auth-user")),
            Some(headers) => {
                for (name, value) in headers {
                    all.push(parsed(name, value.span(), source)?);
                }
            }
        }
    }
    all.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    all.dedup();
    Ok(all)
}

pub(super) fn header_name(name: &Spanned<String>, source: &Source) -> Result<HeaderName, ConfigError> {
    parsed(name.get_ref(), name.span(), source)
}

fn parsed(name: &str, span: std::ops::Range<usize>, source: &Source) -> Result<HeaderName, ConfigError> {
    let wrong =
        |_| source.error(span, format_args!("{name:?} is not a header name: use letters, digits and !#$%&'*+-.^_`|~"));
    name.parse().map_err(wrong)
}

impl Function for AuthFunction {
    fn report(&self) -> Value {
        let stats = self.layer.stats();
        let schemes = stats.schemes.iter().map(|scheme| {
            json!({
                "mechanism": scheme.mechanism.as_str(),
                "accepted": scheme.accepted,
                "missing": scheme.missing,
                "invalid": scheme.invalid,
                "denied": scheme.denied,
                "unavailable": scheme.unavailable,
            })
        });
        let basic = self.basic.as_ref().map(Basic::stats).map(|stats| {
            json!({
                "verifications": stats.verifications,
                "cache_hits": stats.cache_hits,
                "rejected": stats.rejected,
                "running": stats.running,
                "waiting": stats.waiting,
            })
        });
        let external = self.external.as_ref().map(External::stats).map(|stats| {
            json!({
                "requests": stats.requests,
                "failures": stats.failures,
                "timeouts": stats.timeouts,
                "rejected": stats.rejected,
                "fail_open": stats.fail_open,
                "cache_hits": stats.cache_hits,
                "waiting": stats.waiting,
            })
        });
        json!({
            "basic": basic,
            "jwt": self.jwts.iter().map(LiveJwt::report).collect::<Value>(),
            "external": external,
            "allowed": stats.allowed,
            "anonymous": stats.anonymous,
            "missing": stats.missing,
            "invalid": stats.invalid,
            "denied": stats.denied,
            "forbidden": stats.forbidden,
            "unavailable": stats.unavailable,
            "schemes": schemes.collect::<Value>(),
        })
    }
}
