//! What a listener serves: its routes, behind a reverse proxy.

use std::{collections::HashMap, ops::Range};

use equipoise::{
    affinity::source::ClientAddress,
    proxy::{
        ReverseProxy, ReverseProxyLayer, Timeouts,
        error::{ErrorFormat, ErrorResponses},
        headers::{FieldAction, ForwardingFields, ReportedField},
        route::{Route, RouteError, Router, Routes, Split},
        server::ServerLimits,
    },
};
use http::{Method, StatusCode};
use toml::Spanned;
use tower::Layer;

use crate::{
    backend::{Backend, Balanced},
    conditions::Conditions,
    config::{CertificateField, Errors, Field, Format, HttpListener, Mode, ProxyTimeouts, RouteTable},
    context::Context,
    proxies,
    source::{ConfigError, Source},
};

/// The proxy of a site.
pub(crate) type Proxy = ReverseProxy<Router<Balanced>>;

#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) proxy: Proxy,
    /// Finds the address of the client behind the trusted proxies.
    pub(crate) clients: ClientAddress,
    pub(crate) served_by_header: bool,
    pub(crate) limits: ServerLimits,
    /// Whether each request is logged.
    pub(crate) logs: bool,
}

impl Site {
    pub(crate) fn new(listener: &HttpListener, context: Context<'_>) -> Result<Self, ConfigError> {
        let source = context.source;
        let routes = routes(listener, context)?;
        let forwarding = forwarding(listener, source)?;
        let clients = forwarding.client().clone();
        let layer = ReverseProxyLayer::new().forwarding(forwarding).tunnels(context.tunnels.clone());
        let layer = layer.timeouts(timeouts(listener));
        let layer = match listener.limits.max_body_bytes {
            Some(max) => layer.max_body_bytes(max),
            None => layer,
        };
        let limits = listener.limits.server(listener.timeouts.idle);
        let proxy = layer.errors(errors(&listener.errors, source)?).layer(Router::new(routes));
        Ok(Self { proxy, clients, served_by_header: listener.served_by_header, limits, logs: context.logs })
    }
}

fn timeouts(listener: &HttpListener) -> Timeouts {
    let ProxyTimeouts { head, idle, total } = &listener.timeouts;
    let timeouts = Timeouts::new().head(*head.get_ref()).idle(*idle);
    total.as_ref().map_or(timeouts, |total| timeouts.total(*total.get_ref()))
}

/// Checks that an attempt in a pool ends before its request does. Otherwise, no request would get to another endpoint.
fn check_attempt(listener: &HttpListener, name: &str, pool: &Backend, source: &Source) -> Result<(), ConfigError> {
    let ProxyTimeouts { head, total, .. } = &listener.timeouts;
    let attempt = &pool.table.timeouts;
    let limits = [Some(("head", head)), total.as_ref().map(|total| ("total", total))];
    match limits.into_iter().flatten().find(|(_, limit)| *limit.get_ref() <= attempt.attempt()) {
        None => Ok(()),
        Some((key, limit)) => {
            let span = attempt.attempt.as_ref().unwrap_or(limit).span();
            let (attempt, limit) = (attempt.attempt(), limit.get_ref());
            Err(source.error(
                span,
                format_args!(
                    "the timeout attempt of pool {name:?} ({attempt:?}) must be shorter than {key} of the listener \
                     {} ({limit:?}): set it under timeouts of the pool",
                    listener.bind.get_ref()
                ),
            ))
        }
    }
}

/// Returns what endpoints learn about clients. Fields that endpoints do not get by default are passed on if the trusted
/// proxies write them.
fn forwarding(listener: &HttpListener, source: &Source) -> Result<ForwardingFields, ConfigError> {
    let written = match (&listener.written_by_proxies, &listener.trusted_proxies) {
        (Some(fields), None) => {
            return Err(source.error(fields.span(), "written_by_proxies has no effect without trusted_proxies"));
        }
        (Some(fields), Some(_)) => &fields.get_ref()[..],
        (None, _) => &[Field::XForwardedFor],
    };
    let trusted = proxies::trusted(listener.trusted_proxies.as_ref(), source)?;
    let rules = ForwardingFields::behind(trusted);
    let sends = |field, by_default| match &listener.client_certificate_fields {
        Some(fields) => fields.get_ref().contains(&field),
        None => by_default,
    };
    let action = |sent| if sent { FieldAction::Append } else { FieldAction::Remove };
    let is_written = |field| written.contains(&field);
    let reported = written.iter().map(|field| match field {
        Field::XForwardedFor => ReportedField::XForwardedFor,
        Field::XForwardedProto => ReportedField::XForwardedProto,
        Field::XForwardedHost => ReportedField::XForwardedHost,
        Field::XForwardedPort => ReportedField::XForwardedPort,
        Field::Forwarded => ReportedField::Forwarded,
        Field::ClientCert => ReportedField::ClientCert,
        Field::XForwardedClientCert => ReportedField::XForwardedClientCert,
    });
    let rules = rules
        .written_by_proxies(reported)
        .x_forwarded_port(action(is_written(Field::XForwardedPort)))
        .forwarded(action(is_written(Field::Forwarded)))
        .client_cert(action(sends(CertificateField::ClientCert, true)))
        .client_cert_chain(action(sends(CertificateField::ClientCertChain, false)))
        .x_forwarded_client_cert(action(sends(
            CertificateField::XForwardedClientCert,
            is_written(Field::XForwardedClientCert),
        )));
    Ok(rules)
}

fn errors(errors: &Errors, source: &Source) -> Result<ErrorResponses, ConfigError> {
    let mut responses = ErrorResponses::new().format(match errors.format {
        Format::Negotiated => ErrorFormat::Negotiated,
        Format::Text => ErrorFormat::Text,
        Format::Json => ErrorFormat::Json,
    });
    for (status, text) in &errors.text {
        let parsed =
            status.parse().ok().filter(|status: &StatusCode| status.is_client_error() || status.is_server_error());
        let wrong =
            || source.error(text.span(), format_args!("{status:?} is not the status of an error: use 400 to 599"));
        responses = responses.message(parsed.ok_or_else(wrong)?, text.get_ref());
    }
    Ok(responses)
}

/// Builds the table of routes. Routes with the same conditions share their requests by weight.
fn routes(listener: &HttpListener, context: Context<'_>) -> Result<Routes<Balanced>, ConfigError> {
    let source = context.source;
    let service = |pool: &Spanned<String>| {
        let backend = context.pool(pool, *listener.bind.get_ref(), Mode::Http)?;
        check_attempt(listener, pool.get_ref(), backend, source)?;
        Ok(backend.service.clone())
    };
    // Routes with the same conditions are a group. The index is the place of the group, in the order of the file.
    let (mut groups, mut known) = (Vec::<Vec<&Spanned<RouteTable>>>::new(), HashMap::new());
    for route in &listener.route {
        let at = *known.entry(Conditions::of(route.get_ref())).or_insert(groups.len());
        match groups.get_mut(at) {
            Some(group) => group.push(route),
            None => groups.push(vec![route]),
        }
    }
    if let Some(pool) = listener.pool.as_ref().filter(|_| known.contains_key(&Conditions::default())) {
        let message =
            "pool gets no requests, because a route without conditions gets all of them: leave one of them out";
        return Err(source.error(pool.span(), message));
    }
    let mut routes = Vec::new();
    for group in groups {
        let Some(route) = group.first() else { continue };
        let mut choices = Vec::new();
        for route in &group {
            let weight = match (&route.get_ref().weight, group.len()) {
                (None, 1) => 1,
                (Some(weight), 1) => {
                    let message = "weight has no effect, because no other route has the same conditions: leave it out";
                    return Err(source.error(weight.span(), message));
                }
                (Some(weight), _) => *weight.get_ref(),
                (None, _) => {
                    let message = "another route has the same conditions: give each a weight to share the requests";
                    return Err(source.error(route.span(), message));
                }
            };
            choices.push((service(&route.get_ref().pool)?, weight));
        }
        // The name of a route is that of its pools.
        let names: Vec<_> = group.iter().map(|route| route.get_ref().pool.get_ref().as_str()).collect();
        let split = Split::new(choices).map_err(|error| source.caused(route.span(), &error))?;
        let built = with_conditions(Route::split(names.join("|"), split), route, source)?;
        // Checked alone, so that the error has the line of this route.
        Routes::new([built.clone()]).map_err(|error| source.caused(span_of(&error.error, route), &error.error))?;
        routes.push(built);
    }
    match &listener.pool {
        Some(pool) => routes.push(Route::to(pool.get_ref(), service(pool)?)),
        None if routes.is_empty() => {
            return Err(
                source.error(listener.bind.span(), "the listener has no pool and no routes: add a pool, or routes")
            );
        }
        None => {}
    }
    Routes::new(routes).map_err(|error| source.caused(listener.bind.span(), &error))
}

fn with_conditions(
    mut built: Route<Balanced>,
    route: &Spanned<RouteTable>,
    source: &Source,
) -> Result<Route<Balanced>, ConfigError> {
    let RouteTable { host, path_prefix, method, header, cookie, .. } = route.get_ref();
    if let Some(host) = host {
        built = built.host(host.get_ref());
    }
    if let Some(prefix) = path_prefix {
        built = built.path_prefix(prefix.get_ref());
    }
    if let Some(method) = method {
        let (method, span) = (method.get_ref(), method.span());
        let parsed =
            method.parse().ok().filter(|parsed: &Method| !parsed.as_str().bytes().any(|b| b.is_ascii_lowercase()));
        let wrong = || source.error(span, format_args!("{method:?} is not a method: write it as \"GET\""));
        built = built.method(parsed.ok_or_else(wrong)?);
    }
    let built = header.iter().fold(built, |built, (name, value)| built.header(name, value.get_ref()));
    Ok(cookie.iter().fold(built, |built, (name, value)| built.cookie(name, value.get_ref())))
}

/// Returns the place of what the table of routes has refused.
fn span_of(error: &RouteError, route: &Spanned<RouteTable>) -> Range<usize> {
    let table = route.get_ref();
    let value = match error.setting {
        "host" => table.host.as_ref(),
        "path_prefix" => table.path_prefix.as_ref(),
        "header" => table.header.get(&error.text),
        "cookie" => table.cookie.get(&error.text),
        _ => None,
    };
    value.map_or_else(|| route.span(), Spanned::span)
}
