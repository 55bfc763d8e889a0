//! What the admin interface tells of endpoints and listeners.

use std::{collections::BTreeMap, time::SystemTime};

use equipoise::{
    http::{CloseReason, ConnectionStatus},
    proxy::{
        forward::ForwardStats,
        proxy_protocol::ProxyProtocolStats,
        server::ServerStats,
        sni::SniStats,
        tcp::TcpStats,
        tls::{CertificateStatus, HandshakeFailure, TlsAcceptor},
        udp::{UdpDropped, UdpStats},
    },
};
use http::Response;
use serde_json::{Value, json};

use super::{
    answer::{AdminBody, json_response},
    state::State,
};
use crate::{serving::AnyServer, sni::SniServer};

/// The endpoints of all pools.
pub(super) fn endpoints(state: &State) -> Response<AdminBody> {
    let mut all = Vec::new();
    for (name, backend) in &state.pools {
        for status in backend.pool.endpoints() {
            let connections = backend.pool.target(&status.id).map(|upstream| connections(&upstream.status()));
            let health = backend.health.status(&status.id);
            all.push(json!({ "pool": name, "health": health, "status": status, "connections": connections }));
        }
    }
    json_response(&json!(all))
}

/// The connections to an endpoint.
fn connections(status: &ConnectionStatus) -> Value {
    let closed: BTreeMap<_, _> =
        CloseReason::ALL.iter().map(|reason| (reason.as_str(), status.closed(*reason))).collect();
    json!({
        "open": status.open,
        "idle": status.idle,
        "waiting": status.waiting,
        "opened": status.opened,
        "failed": status.failed,
        "requests": status.requests,
        "closed": closed,
    })
}

/// The connections, requests, sessions and tunnels of clients.
pub(super) fn listeners(state: &State) -> Response<AdminBody> {
    let all = state.listeners.iter().map(|listener| {
        let mut report = match &listener.serving.server {
            AnyServer::Http(server, front) => {
                let stats = server.stats();
                let total = front.requests() + stats.overloaded;
                json!({
                    "mode": "http",
                    "requests": { "total": total, "refused": stats.overloaded },
                    "connections": of_server(&stats),
                })
            }
            AnyServer::Tcp(proxy) => json!({ "mode": "tcp", "connections": of_tcp(&proxy.stats()) }),
            AnyServer::Udp(proxy) => of_udp(&proxy.stats()),
            AnyServer::Forward(server, proxy) => of_forward(&server.stats(), &proxy.stats()),
            AnyServer::Sni(server) => of_sni(server),
            AnyServer::Admin(_) => json!({}),
        };
        report["bind"] = json!(listener.bind);
        if let Some(headers) = &listener.serving.acceptors.headers {
            report["proxy_protocol"] = of_headers(&headers.stats());
        }
        if let Some(tls) = &listener.serving.acceptors.tls {
            report["tls"] = of_tls(tls);
        }
        report
    });
    json_response(&all.collect())
}

/// The functions of listeners and routes, by their places in the configuration.
pub(super) fn functions(state: &State) -> Response<AdminBody> {
    let all: BTreeMap<_, _> = state.functions.iter().map(|(place, function)| (place, function.report())).collect();
    json_response(&json!(all))
}

fn of_server(stats: &ServerStats) -> Value {
    json!({
        "open": stats.open,
        "accepted": stats.accepted,
        "accept_errors": stats.accept_errors,
        "failed_handshakes": stats.failed_handshakes,
        "displaced": stats.displaced,
        "head_timeouts": stats.head_timeouts,
        "body_timeouts": stats.body_timeouts,
        "idle_timeouts": stats.idle_timeouts,
        "write_timeouts": stats.write_timeouts,
        "malformed": stats.malformed,
        "floods": stats.floods,
        "aborted": stats.aborted,
    })
}

fn of_tcp(stats: &TcpStats) -> Value {
    json!({
        "open": stats.open,
        "accepted": stats.accepted,
        "accept_errors": stats.accept_errors,
        "failed_handshakes": stats.failed_handshakes,
        "source_limit": stats.source_limit,
        "without_endpoint": stats.without_endpoint,
        "connect_failures": stats.connect_failures,
        "unused": stats.unused,
        "failovers": stats.failovers,
        "broken_by_endpoint": stats.broken_by_endpoint,
        "broken_by_client": stats.broken_by_client,
        "idle_timeouts": stats.idle_timeouts,
        "endpoint_closings": stats.endpoint_closings,
        "aborted": stats.aborted,
    })
}

fn of_sni(server: &SniServer) -> Value {
    let SniStats { hellos, other, malformed, timeouts, closed, unrouted, .. } = server.stats();
    let pools: BTreeMap<_, _> = server.pools().into_iter().map(|(name, stats)| (name, of_tcp(&stats))).collect();
    json!({
        "mode": "sni",
        "connections": {
            "open": server.open(),
            "hellos": hellos,
            "without_tls": other,
            "malformed": malformed,
            "timeouts": timeouts,
            "closed": closed,
            "unrouted": unrouted,
        },
        "pools": pools,
    })
}

fn of_udp(stats: &UdpStats) -> Value {
    let UdpDropped { full, source_full, no_endpoint, resolving, shutting_down, own_address, no_port, .. } =
        stats.dropped;
    json!({
        "mode": "udp",
        "sessions": {
            "open": stats.open,
            "opened": stats.opened,
            "idle_timeouts": stats.idle_timeouts,
            "reply_timeouts": stats.reply_timeouts,
            "unreachable": stats.unreachable,
            "failovers": stats.failovers,
            "closed": stats.closed,
            "displaced": stats.displaced,
            "aborted": stats.aborted,
        },
        "datagrams": {
            "to_endpoints": stats.to_endpoints,
            "bytes_to_endpoints": stats.bytes_to_endpoints,
            "to_clients": stats.to_clients,
            "bytes_to_clients": stats.bytes_to_clients,
            "receive_errors": stats.receive_errors,
            "dropped": {
                "full": full,
                "source_full": source_full,
                "no_endpoint": no_endpoint,
                "resolving": resolving,
                "shutting_down": shutting_down,
                "own_address": own_address,
                "no_port": no_port,
                "to_endpoint": stats.dropped.to_endpoint,
                "to_client": stats.dropped.to_client,
            },
        },
    })
}

fn of_forward(server: &ServerStats, stats: &ForwardStats) -> Value {
    json!({
        "mode": "forward",
        "connections": of_server(server),
        "tunnels": {
            "open": stats.open_tunnels,
            "opened": stats.tunnels,
            "bytes": stats.tunnel_bytes,
            "limited": stats.limited_tunnels,
            "failed": stats.failed_tunnels,
        },
        "requests": {
            "http": stats.requests,
            "denied": stats.denied,
            "unauthenticated": stats.unauthenticated,
            "limited": stats.limited,
        },
    })
}

/// The headers of the PROXY protocol.
fn of_headers(stats: &ProxyProtocolStats) -> Value {
    json!({
        "accepted": stats.accepted,
        "malformed": stats.malformed,
        "timeouts": stats.timeouts,
        "untrusted": stats.untrusted,
        "closed": stats.closed,
    })
}

fn of_tls(acceptor: &TlsAcceptor) -> Value {
    let stats = acceptor.stats();
    let failed: BTreeMap<_, _> =
        HandshakeFailure::ALL.iter().map(|reason| (reason.as_str(), stats.failed(*reason))).collect();
    json!({
        "handshakes": {
            "in_progress": stats.in_progress,
            "tls12": stats.tls12,
            "tls13": stats.tls13,
            "resumed": stats.resumed,
            "failed": failed,
        },
        "certificates": acceptor.certificates().iter().map(of_certificate).collect::<Value>(),
    })
}

fn of_certificate(certificate: &CertificateStatus) -> Value {
    let since_1970 = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    json!({
        "file": certificate.source,
        "names": certificate.names,
        "is_default": certificate.is_default,
        "subject": certificate.subject,
        "serial_number": certificate.serial_number,
        "not_before": since_1970(certificate.not_before),
        "not_after": since_1970(certificate.not_after),
        "remaining_seconds": certificate.remaining().as_secs(),
    })
}
