//! The lines of the log about connections and sessions, at their ends.

use std::net::SocketAddr;

use equipoise::proxy::{
    forward::{AuthenticatedUser, ForwardTunnel},
    tcp::{TcpConnection, TcpEnd},
    udp::UdpSession,
};
use tracing::field::display;

use crate::source::causes;

/// Returns what logs the connections of a listener to a pool. A connection without an endpoint has a line of its own, with
/// or without the access log.
pub(crate) fn connection(
    listener: SocketAddr,
    pool: &str,
    logs: bool,
) -> impl Fn(&TcpConnection) + Send + Sync + 'static {
    let pool = pool.to_owned();
    move |connection| {
        let TcpConnection { client, info, endpoint, sent, received, duration, end, .. } = connection;
        let (client, endpoint) = (client.map(display), endpoint.as_ref().map(display));
        if matches!(end, TcpEnd::Pick(_) | TcpEnd::Connect(_) | TcpEnd::Address(_) | TcpEnd::Unused) {
            tracing::warn!(%listener, client, %pool, endpoint, error = causes(end), "a connection has failed");
        }
        if logs {
            tracing::info!(
                target: "access",
                %listener,
                client,
                name = info.server_name().map(display),
                %pool,
                endpoint,
                sent,
                received,
                end = %end.as_str(),
                micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
            );
        }
    }
}

/// Returns what logs the sessions of a listener with a pool.
pub(crate) fn session(listener: SocketAddr, pool: &str, logs: bool) -> impl Fn(&UdpSession) + Send + Sync + 'static {
    let pool = pool.to_owned();
    move |session| {
        if !logs {
            return;
        }
        let UdpSession { client, endpoint, sent, received, sent_bytes, received_bytes, duration, end, .. } = session;
        tracing::info!(
            target: "access",
            %listener,
            %client,
            %pool,
            endpoint = endpoint.as_ref().map(display),
            sent,
            received,
            sent_bytes,
            received_bytes,
            end = %end.as_str(),
            micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        );
    }
}

/// Returns what logs the tunnels of a listener.
pub(crate) fn tunnel(listener: SocketAddr, logs: bool) -> impl Fn(&ForwardTunnel) + Send + Sync + 'static {
    move |tunnel| {
        if !logs {
            return;
        }
        let ForwardTunnel { client, user, destination, address, upstream, sent, received, duration, end, .. } = tunnel;
        tracing::info!(
            target: "access",
            %listener,
            client = client.map(display),
            user = user.as_ref().map(|AuthenticatedUser(name)| display(name)),
            %destination,
            address = address.map(display),
            endpoint = upstream.as_ref().map(display),
            sent,
            received,
            end = %end.as_str(),
            micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX),
        );
    }
}
