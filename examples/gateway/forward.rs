//! A listener that is a forward proxy: clients ask it for destinations.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{self, Poll},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use equipoise::{
    affinity::source::ClientAddress,
    proxy::{
        Failed, Timeouts,
        forward::{
            AuthenticatedUser, BasicAuth, ForwardLimits, ForwardProxy, ForwardSettings, ForwardStats, InvalidRule,
            Rule, UpstreamKey, Upstreams,
        },
        server::ServerLimits,
    },
    tower::RequestHead,
};
use http::Request;
use hyper::body::Incoming;
use toml::Spanned;
use tower::Service;
use tracing::field::display;

use crate::{
    backend::HashOn,
    config::{Action, ForwardLimitsTable, ForwardListener, Mode, Port, Quota, Resolves, RuleTable},
    context::Context,
    log,
    source::{ConfigError, Source, causes},
    users,
};

/// The realm that clients show to their users, by default.
const REALM: &str = "proxy";

/// How much longer the server waits for a request body than the proxy, which responds with the reason.
const BODY_MARGIN: Duration = Duration::from_secs(15);

/// The rules and the settings of a forward proxy.
pub(crate) struct ForwardPlan {
    rules: Vec<Rule>,
    settings: ForwardSettings,
    pub(crate) limits: ServerLimits,
    logs: bool,
}

impl ForwardPlan {
    pub(crate) fn new(listener: &ForwardListener, context: Context<'_>) -> Result<Self, ConfigError> {
        let (source, timeouts) = (context.source, &listener.timeouts);
        let rules = listener.rule.iter().map(|table| rule(table, listener.users_file.is_some(), source));
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        if rules.is_empty() {
            let message =
                "a forward proxy without rules denies everything: add [[listener.rule]] with action = \"allow\"";
            return Err(source.error(listener.bind.span(), message));
        }
        let bind = *listener.bind.get_ref();
        let mut settings = ForwardSettings::new()
            .own_address(bind)
            .on_end(log::tunnel(bind, context.logs))
            .limits(limits(&listener.limits))
            .connect_timeout(timeouts.connect)
            .timeouts(Timeouts::new().head(timeouts.head).idle(timeouts.idle))
            .tunnels(context.tunnels.clone().idle_timeout(timeouts.idle));
        match (&listener.users_file, &listener.realm) {
            (Some(file), realm) => {
                let users = users::read(file, source)?;
                let text = realm.as_ref().map_or(REALM, |realm| realm.get_ref().as_str());
                let span = realm.as_ref().unwrap_or(&Spanned::new(file.span(), String::new())).span();
                settings =
                    settings.authentication(BasicAuth::new(text, users).map_err(|error| source.caused(span, &error))?);
            }
            (None, Some(realm)) => return Err(source.error(realm.span(), "realm has no effect without users_file")),
            (None, None) => {}
        }
        if let Some(upstreams) = upstreams(listener, context)? {
            settings = settings.upstreams(upstreams);
        }
        let limits = ServerLimits::new()
            .max_connections(listener.limits.max_connections)
            .any_authority(true)
            .body_timeout(timeouts.idle.saturating_add(BODY_MARGIN));
        Ok(Self { rules, settings, limits, logs: context.logs })
    }

    pub(crate) fn start(self) -> Forward {
        let Self { rules, settings, logs, .. } = self;
        Forward(Arc::new(ArcSwap::from_pointee(Running { proxy: ForwardProxy::with_settings(rules, settings), logs })))
    }
}

/// The service of a listener. Its proxy can be exchanged while it serves.
#[derive(Clone)]
pub(crate) struct Forward(Arc<ArcSwap<Running>>);

struct Running {
    proxy: ForwardProxy,
    /// Whether each request is logged.
    logs: bool,
}

impl Forward {
    /// Exchanges the rules and the settings for all later tunnels and requests.
    pub(crate) fn replace(&self, plan: ForwardPlan) {
        let ForwardPlan { rules, settings, logs, .. } = plan;
        let proxy = self.0.load().proxy.renewed(rules, settings);
        self.0.store(Arc::new(Running { proxy, logs }));
    }

    pub(crate) fn stats(&self) -> ForwardStats {
        self.0.load().proxy.stats()
    }

    /// Returns the present proxy. Its counters go on when it is exchanged, but those of later clients are not in them.
    pub(crate) fn proxy(&self) -> ForwardProxy {
        self.0.load().proxy.clone()
    }
}

impl Service<Request<Incoming>> for Forward {
    type Response = <ForwardProxy as Service<Request<Incoming>>>::Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let running = self.0.load_full();
        let client = ClientAddress::connection().of(RequestHead::of(&request));
        let (method, uri, began) = (request.method().clone(), request.uri().clone(), Instant::now());
        let response = running.proxy.clone().call(request);
        Box::pin(async move {
            let response = response.await?;
            let extensions = response.extensions();
            let user = extensions.get().map(|AuthenticatedUser(name)| display(name));
            let (client, destination) = (client.map(display), uri.authority().map(display));
            if let Some(Failed(error)) = extensions.get() {
                tracing::warn!(client, user, %method, destination, error = causes(&**error), "a request has failed");
            }
            if running.logs {
                tracing::info!(
                    target: "access",
                    client,
                    user,
                    %method,
                    destination,
                    status = response.status().as_u16(),
                    micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
                );
            }
            Ok(response)
        })
    }
}

fn rule(table: &Spanned<RuleTable>, has_users: bool, source: &Source) -> Result<Rule, ConfigError> {
    let RuleTable { action, name, host, port, network, user } = table.get_ref();
    let mut rule = match action {
        Action::Allow => Rule::allow(),
        Action::Deny => Rule::deny(),
    };
    if let Some(name) = name {
        rule = rule.named(name);
    }
    let wrong = |text: &Spanned<String>, error: InvalidRule| source.caused(text.span(), &error);
    for pattern in host {
        rule = rule.host(pattern.get_ref()).map_err(|error| wrong(pattern, error))?;
    }
    for Port(ports) in port {
        rule = rule.ports(ports.clone());
    }
    for text in network {
        rule = rule.network(text.get_ref()).map_err(|error| wrong(text, error))?;
    }
    for user in user {
        if !has_users {
            let message = "a rule for users has no effect without users_file: no client is a user";
            return Err(source.error(user.span(), message));
        }
        rule = rule.user(user.get_ref());
    }
    Ok(rule)
}

fn limits(table: &ForwardLimitsTable) -> ForwardLimits {
    let mut limits =
        ForwardLimits::new().max_tunnels(table.max_tunnels).max_tunnels_per_client(table.max_tunnels_per_client);
    if let Some(max) = table.max_tunnel_bytes {
        limits = limits.max_tunnel_bytes(max);
    }
    if let Some(max) = &table.max_tunnel_time {
        limits = limits.max_tunnel_time(*max.get_ref());
    }
    match &table.max_bytes_per_client {
        Some(Quota { bytes, period }) => limits.max_bytes_per_client(*bytes, *period),
        None => limits,
    }
}

/// Returns the proxies that everything is sent through.
fn upstreams(listener: &ForwardListener, context: Context<'_>) -> Result<Option<Upstreams>, ConfigError> {
    let source = context.source;
    let Some(pool) = &listener.pool else {
        let file = listener.credentials_file.as_ref().map(|file| ("credentials_file", file.span()));
        let resolves = listener.resolve_names.as_ref().map(|value| ("resolve_names", value.span()));
        return match file.or(resolves) {
            Some((key, span)) => Err(source.error(span, format_args!("{key} has no effect without a pool of proxies"))),
            None => Ok(None),
        };
    };
    let backend = context.pool(pool, *listener.bind.get_ref(), Mode::Forward)?;
    let resolves_names = listener.resolve_names.as_ref().is_some_and(|value| *value.get_ref() == Resolves::Upstream);
    let mut upstreams = Upstreams::new(backend.pool.clone())
        .connect_timeout(backend.table.timeouts.connect)
        .with_names_resolved_upstream(resolves_names)
        .key(match backend.hash_on {
            Some(HashOn::ServerName) => UpstreamKey::Host,
            Some(HashOn::Source | HashOn::Request(_)) | None => UpstreamKey::Client,
        });
    if let Some(file) = &listener.credentials_file {
        upstreams = upstreams.credentials(&users::credentials(file, source)?);
    }
    Ok(Some(upstreams))
}
