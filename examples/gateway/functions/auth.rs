//! Authentication.

use std::sync::Arc;

use equipoise::{
    gateway::{
        Mechanism,
        auth::{AllOf, AnyOf, ApiKeys, AuthLayer, Basic, External, IdentityFields, Live, Realm, Requirements, Users},
    },
    monitor::FunctionReadings,
};
use http::{HeaderName, Uri, header};
use serde_json::{Value, json};

use super::{
    Chain, Function, Shared,
    jwt::{self, LiveJwt},
    names::{header_name, parsed},
    schemes::{self, Scheme},
};
use crate::{
    config::{AuthTable, ExternalTable, HttpListener, MechanismKind, Mode, Placed, RequireTable, Setting, Tables},
    context::Context,
    source::{ConfigError, Source},
};

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
/// requests nevertheless, if another route or listener has some.
pub(super) fn add(
    chain: &mut Chain,
    tables: Tables<'_>,
    shared: &Shared<'_>,
    context: Context<'_>,
) -> Result<(), ConfigError> {
    let all_fields = context.identity_fields;
    match tables.auth.and_then(|placed| Some((placed, placed.table()?))) {
        Some((placed, (table, _))) => {
            check(table, &placed, tables, shared, context.source)?;
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

/// Refuses what would let nobody or everybody in.
fn check(
    table: &AuthTable,
    placed: &Placed<'_, AuthTable>,
    tables: Tables<'_>,
    shared: &Shared<'_>,
    source: &Source,
) -> Result<(), ConfigError> {
    if table.optional && table.require != RequireTable::default() {
        let message = "require would hold only for requests with credentials, because others pass with optional = true: \
                       leave one of them out";
        return Err(source.error(placed.setting.span(), message));
    }
    if let Some(certificate) = table.client_certificate.as_ref().filter(|_| !shared.has_client_ca) {
        let message = "clients are not asked for certificates: add client_ca to tls of the listener";
        return Err(source.error(certificate.span(), message));
    }
    if let Some(tokens) = table.jwt.as_ref().filter(|_| tables.csrf.is_none())
        && tokens.get_ref().0.iter().any(|table| table.cookie.is_some())
    {
        let message = "browsers send the cookie also with requests that other sites cause: add csrf = true, or csrf = false \
                       if the backend checks for such requests";
        return Err(source.error(tokens.span(), message));
    }
    Ok(())
}

fn function(
    placed: Placed<'_, AuthTable>,
    table: &AuthTable,
    shared: &Shared<'_>,
    context: Context<'_>,
) -> Result<Arc<AuthFunction>, ConfigError> {
    let (source, all_fields) = (context.source, context.identity_fields);
    if let Some(table) = &table.external {
        // Checked also if the function stays.
        let ExternalTable { pool, uri, .. } = table.get_ref();
        context.pool(pool, shared.bind, Mode::Http)?;
        let parsed = uri.get_ref().parse::<Uri>().ok();
        schemes::check_pool(parsed.as_ref().and_then(Uri::scheme), (pool, uri), context)?;
    }
    let users = table.basic.as_ref().map(|table| schemes::users(table, source)).transpose()?;
    let keys = table.api_key.as_ref().map(|table| schemes::keys(table.get_ref(), source)).transpose()?;
    let mut tokens = Vec::new();
    let all_tokens = table.jwt.iter().flat_map(|tables| tables.get_ref().0.iter().map(|table| (table, tables.span())));
    // Two issuers can give different users the same name.
    let names_issuer = table.jwt.as_ref().is_some_and(|tables| tables.get_ref().0.len() > 1);
    for (table, span) in all_tokens.clone() {
        if let Some(jwks) = &table.jwks {
            context.pool(&jwks.pool, shared.bind, Mode::Http)?;
            jwt::check_url(jwks, context)?;
        }
        tokens.push(jwt::of_file((table, names_issuer), span, source)?);
    }
    let place = format!("{} auth", placed.place);
    let running = context.functions.running::<AuthFunction>(&place);
    let keys_of = |jwks| match running.iter().flat_map(|function| &function.jwts).find_map(|jwt| jwt.keys_of(jwks)) {
        Some(keys) => Ok(keys),
        None => jwt::keys(jwks, context),
    };
    let function = context.functions.keep_or_build(&place, (table.clone(), all_fields.to_vec()), || {
        let (users, keys) = (Live::default(), Live::default());
        let (mut schemes, all) = (Vec::<Scheme>::new(), table.all);
        let basic = table.basic.as_ref().map(|table| schemes::basic(table, &users));
        schemes.extend(basic.iter().map(|basic| Arc::new(basic.clone()) as Scheme));
        if let Some(table) = &table.api_key {
            let places = schemes::api_key(table, &keys, source)?;
            schemes.extend(if all { alternatives(places) } else { places });
        }
        if let Some(table) = &table.client_certificate {
            schemes.push(Arc::new(schemes::certificates(table.get_ref(), source)?));
        }
        let external = table.external.as_ref().map(|table| schemes::external(table, context)).transpose()?;
        schemes.extend(external.iter().map(|external| Arc::new(external.clone()) as Scheme));
        let mut jwts = Vec::new();
        for ((table, span), of_file) in all_tokens.zip(&tokens) {
            jwts.push(match (of_file, &table.jwks) {
                (None, Some(jwks)) => {
                    let jwt = jwt::of_url(keys_of(jwks)?, (table, names_issuer), span, source)?;
                    LiveJwt::of_url(table, jwt)
                }
                (Some(jwt), _) => LiveJwt::of_file(table, jwt.clone()),
                (None, None) => continue,
            });
        }
        let tokens = jwt::schemes(&jwts).collect();
        schemes.extend(if all { alternatives(tokens) } else { tokens });
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

/// Makes one scheme of several, of which one is enough, such as tokens of one of several issuers.
fn alternatives(schemes: Vec<Scheme>) -> Vec<Scheme> {
    let mut schemes = schemes.into_iter();
    let any = schemes.next().map(|first| Arc::new(schemes.fold(AnyOf::new(first), AnyOf::or)) as Scheme);
    any.into_iter().collect()
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
    let RequireTable { name, mechanism, scope, attribute, contains } = table;
    let mut requirements = Requirements::new();
    if let Some(names) = name {
        requirements = requirements.names(names.iter().cloned());
    }
    if let Some(mechanisms) = mechanism {
        requirements = requirements.mechanisms(mechanisms.iter().map(|kind| match kind {
            MechanismKind::Basic => Mechanism::Basic,
            MechanismKind::ApiKey => Mechanism::ApiKey,
            MechanismKind::Jwt => Mechanism::Jwt,
            MechanismKind::ClientCertificate => Mechanism::ClientCertificate,
            MechanismKind::External => Mechanism::External,
        }));
    }
    if let Some(scopes) = scope {
        requirements = requirements.scopes(scopes);
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
                    ("other_schemes", _) => fields.other_schemes(field),
                    (_, Some(("attribute", attribute))) if !attribute.is_empty() => fields.attribute(attribute, field),
                    (other, _) => {
                        let message = format!(
                            "{name} cannot be {other:?}: use \"name\", \"mechanism\", \"other_schemes\" or \"attribute:NAME\""
                        );
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

/// Returns the fields in which backends learn about identities, in all tables of listeners and their routes. Fields with
/// credentials are none of them, since clients may send these.
pub(crate) fn identity_fields<'t>(
    listeners: impl Iterator<Item = &'t HttpListener>,
    source: &Source,
) -> Result<Vec<HeaderName>, ConfigError> {
    let of_listener = |listener: &'t HttpListener| {
        let of_routes = listener.route.iter().map(|route| &route.get_ref().auth);
        std::iter::once(&listener.auth).chain(of_routes).flatten()
    };
    let mut all = Vec::new();
    for setting in listeners.flat_map(of_listener) {
        let Setting::On(table) = setting.get_ref() else { continue };
        for name in table.external.iter().flat_map(|external| &external.get_ref().forward_headers) {
            let name = header_name(name, source)?;
            if ![header::AUTHORIZATION, header::COOKIE].contains(&name) {
                all.push(name);
            }
        }
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

    fn watch(&self, into: &mut FunctionReadings) {
        into.auth(&self.layer.stats());
        if let Some(basic) = &self.basic {
            into.basic(&basic.stats());
        }
        if let Some(external) = &self.external {
            into.external(&external.stats());
        }
        self.jwts.iter().for_each(|jwt| jwt.watch(into));
    }
}
