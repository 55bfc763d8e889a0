//! What a listener will serve, checked before its socket is opened.

use std::{convert::Infallible, net::SocketAddr};

use bytes::Bytes;
use equipoise::affinity::source::TrustedProxies;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tower::util::BoxCloneSyncService;

use crate::{
    config::{Listener, Mode},
    context::Context,
    forward::ForwardPlan,
    proxies,
    site::Site,
    sni::SniPlan,
    source::ConfigError,
    tcp::Relay,
    tls::CheckedTls,
    udp::Datagrams,
};

pub(crate) struct Plan {
    pub(crate) bind: SocketAddr,
    pub(crate) service: Service,
}

pub(crate) enum Service {
    /// Datagrams.
    Udp(Datagrams),
    /// Connections.
    Stream(Box<Layers>, Stream),
}

/// What is read at the start of each connection, before it is served.
#[derive(Default)]
pub(crate) struct Layers {
    /// The proxies whose connections begin with a header of the PROXY protocol, if there is one.
    pub(crate) proxies: Option<TrustedProxies>,
    pub(crate) tls: Option<CheckedTls>,
}

/// The service of the admin interface, which knows the servers. So they do not know its type.
pub(crate) type AdminService =
    BoxCloneSyncService<Request<Incoming>, Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible>;

/// What is done with connections.
pub(crate) enum Stream {
    Http(Site),
    Tcp(Relay),
    Forward(Box<ForwardPlan>),
    Sni(SniPlan),
    Admin(AdminService),
}

impl Plan {
    /// `number` is that of the listener among those with mode "http" before it, and of itself.
    pub(crate) fn new((listener, number): (&Listener, usize), context: Context<'_>) -> Result<Self, ConfigError> {
        let source = context.source;
        let service = match listener {
            Listener::Udp(table) => Service::Udp(Datagrams::new(table, context)?),
            Listener::Http(table) => {
                let proxies =
                    proxies::sending_headers(table.proxy_protocol.as_ref(), table.trusted_proxies.as_ref(), source)?;
                let tls = CheckedTls::read(table.tls.as_ref(), Mode::Http, source)?;
                Service::Stream(Box::new(Layers { proxies, tls }), Stream::Http(Site::new((table, number), context)?))
            }
            Listener::Tcp(table) => {
                let networks = table.trusted_proxies.as_ref();
                let proxies = proxies::only_sending_headers(table.proxy_protocol.as_ref(), networks, source)?;
                let tls = CheckedTls::read(table.tls.as_ref(), Mode::Tcp, source)?;
                Service::Stream(Box::new(Layers { proxies, tls }), Stream::Tcp(Relay::of_listener(table, context)?))
            }
            Listener::Forward(table) => {
                let networks = table.trusted_proxies.as_ref();
                let proxies = proxies::only_sending_headers(table.proxy_protocol.as_ref(), networks, source)?;
                let tls = CheckedTls::read(table.tls.as_ref(), Mode::Forward, source)?;
                Service::Stream(
                    Box::new(Layers { proxies, tls }),
                    Stream::Forward(Box::new(ForwardPlan::new(table, context)?)),
                )
            }
            Listener::Sni(table) => {
                let networks = table.trusted_proxies.as_ref();
                let proxies = proxies::only_sending_headers(table.proxy_protocol.as_ref(), networks, source)?;
                Service::Stream(Box::new(Layers { proxies, tls: None }), Stream::Sni(SniPlan::new(table, context)?))
            }
        };
        Ok(Self { bind: *listener.bind().get_ref(), service })
    }

    pub(crate) fn admin(bind: SocketAddr, admin: AdminService) -> Self {
        Self { bind, service: Service::Stream(Box::default(), Stream::Admin(admin)) }
    }

    /// Returns whether the listener gets datagrams, and not connections.
    pub(crate) const fn is_udp(&self) -> bool {
        matches!(self.service, Service::Udp(_))
    }
}
