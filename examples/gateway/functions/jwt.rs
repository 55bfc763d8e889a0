//! JSON Web Tokens.

use std::{
    net::SocketAddr,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use equipoise::{
    gateway::auth::{
        AuthFuture, Authenticate, Live, Realm,
        jwt::{Algorithm, InvalidJwt, InvalidKey, Jwt, JwtBuilder, KeySet, Keys, VerifyingKey},
    },
    monitor::FunctionReadings,
    tower::RequestHead,
};
use http::{HeaderName, HeaderValue, Uri, request::Parts, uri::Scheme};
use serde_json::{Value, json};
use toml::Spanned;

use super::{file, names::header_name, schemes};
use crate::{
    backend::Backend,
    config::{JwksTable, JwtTable},
    context::Context,
    source::{ConfigError, Source},
};

/// Tokens whose keys a reload can replace.
#[derive(Clone)]
pub(super) struct LiveJwt {
    /// What tells the tokens apart from others in metrics.
    name: Arc<str>,
    jwt: Live<Jwt>,
    /// The hash of the file with the keys.
    file: Arc<AtomicU64>,
    /// What the keys of a URL are read by.
    jwks: Option<JwksTable>,
}

/// Tokens with the keys of a file, and the hash of the file.
#[derive(Clone)]
pub(super) struct FileJwt {
    jwt: Jwt,
    file: u64,
}

impl LiveJwt {
    pub(super) fn of_url(table: &JwtTable, jwt: Jwt) -> Self {
        Self { name: name(table), jwt: Live::new(jwt), file: Arc::default(), jwks: table.jwks.clone() }
    }

    pub(super) fn of_file(table: &JwtTable, FileJwt { jwt, file }: FileJwt) -> Self {
        Self { name: name(table), jwt: Live::new(jwt), file: Arc::new(file.into()), jwks: None }
    }

    /// Returns the keys of a URL, if they are read by an equal table. So a reload of other settings keeps the last good
    /// keys while the issuer is away.
    pub(super) fn keys_of(&self, jwks: &JwksTable) -> Option<Keys> {
        self.jwks.as_ref().filter(|own| *own == jwks).map(|_| self.jwt.current().keys().clone())
    }

    /// Uses the keys of a file from now on, unless they are the same.
    pub(super) fn replace(&self, FileJwt { jwt, file }: FileJwt) {
        if self.file.swap(file, Ordering::Relaxed) != file {
            self.jwt.replace(jwt);
        }
    }

    pub(super) fn watch(&self, into: &mut FunctionReadings) {
        into.jwt(&self.name, &self.jwt.current().stats());
    }

    pub(super) fn report(&self) -> Value {
        let stats = self.jwt.current().stats();
        let keys = &stats.keys;
        let refused = stats.refused.iter().map(|(reason, count)| (reason.as_str().to_owned(), json!(count)));
        json!({
            "accepted": stats.accepted,
            "remembered": stats.remembered,
            "missing": stats.missing,
            "refused": refused.collect::<serde_json::Map<_, _>>(),
            "unavailable": stats.unavailable,
            "keys": {
                "usable": keys.keys,
                "ignored": keys.ignored,
                "successes": keys.successes,
                "failures": keys.failures,
                "refreshes_for_unknown_keys": keys.refreshes_for_unknown_keys,
                "seconds_since_success": keys.last_success.and_then(|at| at.elapsed().ok()).map(|age| age.as_secs()),
                "last_error": keys.last_error,
            },
        })
    }
}

/// Returns the first issuer, or the place of the keys.
fn name(table: &JwtTable) -> Arc<str> {
    let file = table.keys_file.iter().chain(&table.secret_file).map(|file| file.get_ref().display().to_string());
    // A query may have a secret.
    let url = table.jwks.iter().filter_map(|jwks| jwks.uri.get_ref().split('?').next()).map(str::to_owned);
    table.issuer.iter().cloned().chain(file).chain(url).next().unwrap_or_default().into()
}

impl Authenticate for LiveJwt {
    fn authenticate(&self, head: RequestHead<'_>) -> AuthFuture {
        self.jwt.current().authenticate(head)
    }

    fn challenge(&self, realm: &Realm) -> Option<HeaderValue> {
        self.jwt.current().challenge(realm)
    }

    fn remove_credentials(&self, parts: &mut Parts) {
        self.jwt.current().remove_credentials(parts);
    }

    fn written_fields(&self) -> Vec<HeaderName> {
        self.jwt.current().written_fields()
    }

    fn mechanism(&self) -> equipoise::gateway::Mechanism {
        equipoise::gateway::Mechanism::Jwt
    }
}

/// Reads the keys of a table from its file. `None` if they have a URL. `names_issuer` is whether names have the issuer
/// unless the table says so.
pub(super) fn of_file(
    (table, names_issuer): (&JwtTable, bool),
    span: Range<usize>,
    source: &Source,
) -> Result<Option<FileJwt>, ConfigError> {
    let algorithms = algorithms(table, source)?;
    let (keys, file) = match (&table.keys_file, &table.jwks, &table.secret_file) {
        (Some(path), None, None) => {
            let text = file::read(path, source)?;
            let keys = KeySet::read(&text).map_err(|error| file::wrong(path, &error, source))?;
            (Keys::fixed(keys), file::hash(&text))
        }
        (None, None, Some(path)) => {
            let Some([algorithm]) = algorithms.as_deref() else {
                let message = "secret_file needs one algorithm: write algorithm = [\"HS256\"]";
                return Err(source.error(path.span(), message));
            };
            let text = file::read(path, source)?;
            let key = VerifyingKey::secret(*algorithm, text.trim()).map_err(|error| match error {
                InvalidKey::KeyAsSecret { .. } => {
                    let file = source.path(path.get_ref());
                    let message = "a file with public keys belongs in keys_file";
                    source.error(path.span(), format_args!("{}: {error}; {message}", file.display()))
                }
                error => file::wrong(path, &error, source),
            })?;
            (Keys::fixed(key), file::hash(&text))
        }
        (None, Some(_), None) => return Ok(None),
        (None, None, None) => {
            let message =
                "jwt has no keys, so it is not said whose tokens are valid: add keys_file, jwks or secret_file";
            return Err(source.error(span, message));
        }
        _ => return Err(source.error(span, "jwt has keys from several places: use keys_file, jwks or secret_file")),
    };
    let jwt = built(Jwt::builder(keys), (table, names_issuer), algorithms, span, source)?;
    Ok(Some(FileJwt { jwt, file }))
}

fn url(jwks: &JwksTable, source: &Source) -> Result<Uri, ConfigError> {
    let uri = &jwks.uri;
    let wrong = |_| source.error(uri.span(), format_args!("{:?} is not a URL: write https://HOST/PATH", uri.get_ref()));
    uri.get_ref().parse().map_err(wrong)
}

/// Refuses keys that somebody else could exchange on their way.
pub(super) fn check_url(jwks: &JwksTable, context: Context<'_>) -> Result<(), ConfigError> {
    let (uri, source) = (&jwks.uri, context.source);
    let parsed = url(jwks, source)?;
    schemes::check_pool(parsed.scheme(), (&jwks.pool, uri), context)?;
    if parsed.scheme() != Some(&Scheme::HTTPS) && !jwks.insecure && !is_near(context.pools.get(jwks.pool.get_ref())) {
        let message = "keys that are read by http from another host could be exchanged on their way, and then tokens of \
                       anybody are valid: use https, or say insecure = true";
        return Err(source.error(uri.span(), message));
    }
    Ok(())
}

/// Returns tokens with the keys of a URL.
pub(super) fn of_url(
    keys: Keys,
    (table, names_issuer): (&JwtTable, bool),
    span: Range<usize>,
    source: &Source,
) -> Result<Jwt, ConfigError> {
    built(Jwt::builder(keys), (table, names_issuer), algorithms(table, source)?, span, source)
}

/// Starts to read the keys of a URL.
pub(super) fn keys(jwks: &JwksTable, context: Context<'_>) -> Result<Keys, ConfigError> {
    let source = context.source;
    let (uri, parsed) = (&jwks.uri, url(jwks, source)?);
    let mut keys = Keys::url(parsed, context.clients.client(jwks.pool.get_ref()));
    if let Some(interval) = &jwks.refresh_interval {
        keys = keys.refresh_interval(*interval.get_ref());
    }
    if let Some(cool_down) = &jwks.cool_down {
        keys = keys.cool_down(*cool_down.get_ref());
    }
    if let Some(timeout) = &jwks.timeout {
        keys = keys.fetch_timeout(*timeout.get_ref());
    }
    if let Some(age) = &jwks.max_age {
        keys = keys.max_age(*age.get_ref());
    }
    keys.start().map_err(|error| source.caused(uri.span(), &error))
}

/// Returns whether requests to all endpoints of a pool stay on this host, or are encrypted.
fn is_near(pool: Option<&Backend>) -> bool {
    let endpoints = pool.map(|pool| pool.table.endpoints.get_ref()).into_iter().flatten();
    endpoints.into_iter().all(|endpoint| {
        let address = endpoint.get_ref().address.get_ref().to_ascii_lowercase();
        let host = address.strip_prefix("http://").unwrap_or(&address);
        let is_loopback = host.starts_with("localhost:")
            || host.parse().is_ok_and(|address: SocketAddr| address.ip().to_canonical().is_loopback());
        is_loopback
            || address.starts_with(['/', '.'])
            || address.starts_with("unix:")
            || address.starts_with("https://")
    })
}

fn algorithms(table: &JwtTable, source: &Source) -> Result<Option<Vec<Algorithm>>, ConfigError> {
    let Some(names) = &table.algorithm else { return Ok(None) };
    let algorithm = |name: &String| {
        let parsed = name.parse::<Algorithm>();
        parsed.map_err(|error| source.caused(names.span(), &error))
    };
    names.get_ref().iter().map(algorithm).collect::<Result<_, _>>().map(Some)
}

fn built(
    mut jwt: JwtBuilder,
    (table, names_issuer): (&JwtTable, bool),
    algorithms: Option<Vec<Algorithm>>,
    span: Range<usize>,
    source: &Source,
) -> Result<Jwt, ConfigError> {
    if let Some(algorithms) = algorithms {
        jwt = jwt.algorithms(algorithms);
    }
    for (any, is_any, names, has_names) in [
        ("any_issuer", table.any_issuer, "issuer", !table.issuer.is_empty()),
        ("any_audience", table.any_audience, "audience", !table.audience.is_empty()),
        ("any_token_type", table.any_token_type, "token_type", table.token_type.is_some()),
    ] {
        if is_any && has_names {
            return Err(source.error(span, format_args!("{any} accepts more than {names}: leave one of them out")));
        }
    }
    jwt = table.issuer.iter().fold(jwt, JwtBuilder::issuer);
    jwt = table.audience.iter().fold(jwt, JwtBuilder::audience);
    if table.any_issuer {
        jwt = jwt.any_issuer();
    }
    if table.any_audience {
        jwt = jwt.any_audience();
    }
    if let Some(types) = &table.token_type {
        jwt = jwt.token_types(types);
    }
    if table.any_token_type {
        jwt = jwt.any_token_type();
    }
    if let Some(leeway) = &table.leeway {
        jwt = jwt.leeway(*leeway.get_ref());
    }
    if let Some(lifetime) = &table.max_lifetime {
        jwt = jwt.max_lifetime(*lifetime.get_ref());
    }
    if let Some(max) = table.max_bytes {
        jwt = jwt.max_length(max);
    }
    if let Some(max) = table.max_cached {
        jwt = jwt.remembered(max);
    }
    if let Some(scopes) = &table.scope {
        jwt = jwt.scopes(scopes);
    }
    if let Some(scopes) = &table.any_scope {
        jwt = jwt.any_scope(scopes);
    }
    jwt = table.require_present.iter().fold(jwt, JwtBuilder::require);
    for (claim, values) in &table.require {
        jwt = jwt.require_value(claim.as_str(), values.iter().cloned());
    }
    if let Some(claim) = &table.name_claim {
        jwt = jwt.name_claim(claim);
    }
    if table.name_with_issuer.unwrap_or(names_issuer) {
        jwt = jwt.name_with_issuer();
    }
    for (attribute, claim) in &table.attributes {
        jwt = jwt.claim(claim.as_str(), attribute.as_str());
    }
    if let Some(cookie) = &table.cookie {
        jwt = jwt.cookie(cookie.as_str());
    }
    if let Some(header) = &table.header {
        jwt = jwt.header(header_name(header, source)?);
    }
    if table.forward == Some(false) {
        jwt = jwt.remove_token();
    }
    jwt.build().map_err(|error| match error {
        InvalidJwt::NoIssuer => {
            let message = "tokens of any issuer would be accepted: write issuer = [\"https://issuer.test\"], or any_issuer = true";
            source.error(span, message)
        }
        InvalidJwt::NoAudience => {
            let message = "tokens for other services would be accepted: write audience = [\"api\"], or any_audience = true";
            source.error(span, message)
        }
        InvalidJwt::Field(_) => source.caused(table.header.as_ref().map_or(span, Spanned::span), &error),
        error => source.caused(span, &error),
    })
}

/// Returns schemes of one type.
pub(super) fn schemes(jwts: &[LiveJwt]) -> impl Iterator<Item = Arc<dyn Authenticate>> {
    jwts.iter().map(|jwt| Arc::new(jwt.clone()) as Arc<dyn Authenticate>)
}
