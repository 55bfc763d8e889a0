//! Running servers of all modes.

use std::time::Duration;

use equipoise::proxy::{
    listen::Listener,
    proxy_protocol::{ProxyAcceptor, ProxyProtocol},
    server::{Server, ServerLimits},
    tcp::TcpProxy,
    tls::{Tls, TlsAcceptor},
    udp::{UdpListener, UdpProxy},
};
use tokio::net::TcpListener;

use crate::{
    forward::Forward,
    front::Front,
    plan::{AdminService, Service, Stream},
    sni::SniServer,
    udp::Datagrams,
};

/// The maximum number of connections of the admin interface. Each browser with the status page has one or two, and the page
/// has at most 64 streams of updates.
const ADMIN_CONNECTIONS: usize = 192;

/// A running server. Clones are the same server.
#[derive(Clone)]
pub(crate) struct Serving {
    pub(crate) server: AnyServer,
    pub(crate) acceptors: Acceptors,
}

/// What reads the start of each connection, before it is served.
#[derive(Clone, Default)]
pub(crate) struct Acceptors {
    /// What reads the header of the PROXY protocol.
    pub(crate) headers: Option<ProxyAcceptor>,
    pub(crate) tls: Option<TlsAcceptor>,
}

#[derive(Clone)]
pub(crate) enum AnyServer {
    Http(Server<Front>, Front),
    Tcp(TcpProxy),
    Udp(UdpProxy),
    Forward(Server<Forward>, Forward),
    Sni(SniServer),
    Admin(Server<AdminService>),
}

/// What serves the connections of a listener of any type.
trait Serve {
    fn serve_on<L: Listener + 'static>(self, listener: L);
}

impl Serve for TcpProxy {
    fn serve_on<L: Listener + 'static>(self, listener: L) {
        tokio::spawn(self.serve(listener));
    }
}

impl<S, B> Serve for Server<S>
where
    S: tower::Service<http::Request<hyper::body::Incoming>, Response = http::Response<B>> + Clone + Send + 'static,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send,
    B: hyper::body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    fn serve_on<L: Listener + 'static>(self, listener: L) {
        tokio::spawn(self.serve(listener));
    }
}

/// Serves connections after their header of the PROXY protocol and their TLS handshake.
fn serve(server: impl Serve, listener: TcpListener, acceptors: Acceptors) {
    match (acceptors.headers, acceptors.tls) {
        (None, None) => server.serve_on(listener),
        (None, Some(tls)) => server.serve_on(Tls::with_acceptor(listener, tls)),
        (Some(headers), None) => server.serve_on(ProxyProtocol::with_acceptor(listener, headers)),
        (Some(headers), Some(tls)) => {
            server.serve_on(Tls::with_acceptor(ProxyProtocol::with_acceptor(listener, headers), tls));
        }
    }
}

impl Serving {
    pub(crate) fn of_datagrams(listener: UdpListener, datagrams: Datagrams) -> Self {
        let proxy = datagrams.start();
        let serving = proxy.serve(listener);
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "a socket for datagrams cannot be used");
            }
        });
        Self { server: AnyServer::Udp(proxy), acceptors: Acceptors::default() }
    }

    pub(crate) fn of_connections(listener: TcpListener, acceptors: Acceptors, stream: Stream) -> Self {
        let server = match stream {
            Stream::Http(site) => {
                let limits = site.limits.clone();
                let front = Front::new(site);
                let server = Server::with_limits(front.clone(), limits);
                serve(server.clone(), listener, acceptors.clone());
                AnyServer::Http(server, front)
            }
            Stream::Tcp(relay) => {
                let proxy = relay.start();
                serve(proxy.clone(), listener, acceptors.clone());
                AnyServer::Tcp(proxy)
            }
            Stream::Forward(plan) => {
                let limits = plan.limits.clone();
                let forward = plan.start();
                let server = Server::with_limits(forward.clone(), limits);
                serve(server.clone(), listener, acceptors.clone());
                AnyServer::Forward(server, forward)
            }
            Stream::Sni(plan) => AnyServer::Sni(SniServer::start(plan, listener, acceptors.headers.clone())),
            Stream::Admin(admin) => {
                let server = Server::with_limits(admin, ServerLimits::new().max_connections(ADMIN_CONNECTIONS));
                serve(server.clone(), listener, acceptors.clone());
                AnyServer::Admin(server)
            }
        };
        Self { server, acceptors }
    }

    /// Returns whether this server can do what is planned, without another socket.
    pub(crate) fn can_become(&self, service: &Service) -> bool {
        match service {
            Service::Udp(_) => matches!(self.server, AnyServer::Udp(_)),
            Service::Stream(layers, stream) => {
                let is_same = match (&self.server, stream) {
                    (AnyServer::Sni(server), Stream::Sni(plan)) => server.can_become(plan),
                    (AnyServer::Http(..), Stream::Http(_))
                    | (AnyServer::Tcp(_), Stream::Tcp(_))
                    | (AnyServer::Forward(..), Stream::Forward(_))
                    | (AnyServer::Admin(_), Stream::Admin(_)) => true,
                    _ => false,
                };
                is_same
                    && self.acceptors.headers.is_some() == layers.proxies.is_some()
                    && self.acceptors.tls.is_some() == layers.tls.is_some()
            }
        }
    }

    /// Does what is planned from now on. What has begun is finished as it began.
    pub(crate) fn replace(&self, service: Service) {
        let stream = match (service, &self.server) {
            (Service::Udp(datagrams), AnyServer::Udp(proxy)) => return datagrams.replace(proxy),
            (Service::Udp(_), _) => return,
            (Service::Stream(layers, stream), _) => {
                if let Some((new, running)) = layers.proxies.zip(self.acceptors.headers.as_ref()) {
                    running.set_trusted(new);
                }
                if let Some((new, running)) = layers.tls.zip(self.acceptors.tls.as_ref()) {
                    new.replace(running);
                }
                stream
            }
        };
        match (stream, &self.server) {
            (Stream::Http(site), AnyServer::Http(server, front)) => {
                server.set_limits(site.limits.clone());
                front.replace(site);
            }
            (Stream::Tcp(relay), AnyServer::Tcp(proxy)) => relay.replace(proxy),
            (Stream::Forward(plan), AnyServer::Forward(server, forward)) => {
                server.set_limits(plan.limits.clone());
                forward.replace(*plan);
            }
            (Stream::Sni(plan), AnyServer::Sni(server)) => server.replace(plan),
            // The settings of an admin interface are not a part of its server.
            _ => {}
        }
    }

    /// Accepts nothing more, and finishes what has begun within a time. Returns the number of connections or sessions that
    /// were aborted.
    pub(crate) async fn shutdown(&self, timeout: Duration) -> usize {
        match &self.server {
            AnyServer::Http(server, _) => server.shutdown(timeout).await,
            AnyServer::Tcp(proxy) => proxy.shutdown(timeout).await,
            AnyServer::Udp(proxy) => proxy.shutdown(timeout).await,
            AnyServer::Forward(server, _) => server.shutdown(timeout).await,
            AnyServer::Sni(server) => server.shutdown(timeout).await,
            AnyServer::Admin(server) => server.shutdown(timeout).await,
        }
    }
}
