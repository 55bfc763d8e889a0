//! What a listener serves: its routes, behind a reverse proxy.

use std::sync::Arc;

use equipoise::{
    affinity::source::ClientAddress,
    gateway::stack::AnyBody,
    proxy::{
        ProxyBody, RequestBody, ReverseProxy, ReverseProxyLayer, Timeouts,
        error::{ErrorFormat, ErrorResponses},
        headers::{FieldAction, ForwardingFields, ReportedField},
        route::Router,
        server::ServerLimits,
    },
};
use http::StatusCode;
use hyper::body::Incoming;
use toml::Spanned;
use tower::Layer;

use crate::{
    backend::RoutedBody,
    config::{AuthTable, CertificateField, Errors, Field, Format, HttpListener, ProxyTimeouts, Setting},
    context::Context,
    functions::Functional,
    proxies,
    routes::{self, Routed},
    source::{ConfigError, Source},
};

/// The proxy of a site. The functions around the router are those that can change where a request goes.
pub(crate) type Proxy = ReverseProxy<Functional<Router<Routed>, RequestBody<Incoming>, RouterBody>>;

/// The body of a response of the router.
type RouterBody = ProxyBody<AnyBody<RoutedBody>>;

#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) proxy: Proxy,
    /// The same as in the proxy, to explain it.
    pub(crate) router: Router<Routed>,
    /// Finds the address of the client behind the trusted proxies.
    pub(crate) clients: ClientAddress,
    pub(crate) served_by_header: bool,
    pub(crate) limits: ServerLimits,
    /// Whether each request is logged.
    pub(crate) logs: bool,
    /// The parameters of the query with API keys, whose values are not logged.
    pub(crate) secret_parameters: Arc<[String]>,
    /// Whether there is a cache, whose outcome is logged.
    pub(crate) caches: bool,
}

impl Site {
    /// `number` is that of the listener among those with mode "http", from 1.
    pub(crate) fn new((listener, number): (&HttpListener, usize), context: Context<'_>) -> Result<Self, ConfigError> {
        let source = context.source;
        let errors = errors(&listener.errors, source)?;
        let (routes, before, own_responses) = routes::new((listener, number), &errors, context)?;
        let router = Router::new(routes);
        let before = before.around(router.clone()).map_err(|error| source.caused(listener.bind.span(), &error))?;
        let forwarding = forwarding(listener, source)?;
        let clients = forwarding.client().clone();
        let layer = ReverseProxyLayer::new().forwarding(forwarding).tunnels(context.tunnels.clone());
        let layer = layer.timeouts(timeouts(listener));
        let layer = match listener.limits.max_body_bytes {
            Some(max) => layer.max_body_bytes(max),
            None => layer,
        };
        let layer = match own_responses {
            Some(functions) => layer.own_responses(functions.own_responses()),
            None => layer,
        };
        let limits = listener.limits.server(listener.timeouts.idle).interim_responses(listener.interim_responses);
        let proxy = layer.errors(errors).layer(before);
        Ok(Self {
            proxy,
            router,
            clients,
            served_by_header: listener.served_by_header,
            limits,
            logs: context.logs,
            secret_parameters: secret_parameters(listener),
            caches: caches(listener),
        })
    }
}

/// Returns the parameters of the query in which requests to the listener can have API keys.
fn secret_parameters(listener: &HttpListener) -> Arc<[String]> {
    let routes = listener.route.iter().map(|route| &route.get_ref().auth);
    let settings = std::iter::once(&listener.auth).chain(routes).flatten();
    let parameter = |setting: &Spanned<Setting<AuthTable>>| match setting.get_ref() {
        Setting::On(table) => Some(table.api_key.as_ref()?.get_ref().query.as_ref()?.get_ref().clone()),
        Setting::Off => None,
    };
    settings.filter_map(parameter).collect()
}

/// Returns whether the listener or one of its routes has a cache.
fn caches(listener: &HttpListener) -> bool {
    let routes = listener.route.iter().map(|route| &route.get_ref().cache);
    std::iter::once(&listener.cache).chain(routes).flatten().any(|cache| matches!(cache.get_ref(), Setting::On(_)))
}

fn timeouts(listener: &HttpListener) -> Timeouts {
    let ProxyTimeouts { head, idle, total } = &listener.timeouts;
    let timeouts = Timeouts::new().head(*head.get_ref()).idle(*idle);
    total.as_ref().map_or(timeouts, |total| timeouts.total(*total.get_ref()))
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
