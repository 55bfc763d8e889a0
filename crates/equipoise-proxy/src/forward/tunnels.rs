use std::{future::poll_fn, io, pin::pin, sync::Arc, task::Poll};

use equipoise_core::Lease;
use http::Request;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::{
    accounts::Accounts,
    attempt::Attempt,
    connect::{Connected, Connector},
    end::{EndHook, ForwardEnd, ForwardTunnel},
    error::ForwardError,
    limits::LimitReached,
    stats::Counters,
    stream::{MeteredStream, Traffic},
};
use crate::{
    error::ProxyError,
    timing::sleep_until,
    tunnel::{TunnelEnd, Tunnels},
};

/// The tunnels that clients have opened with `CONNECT`.
#[derive(Debug)]
pub(super) struct OpenTunnels {
    pub(super) tunnels: Tunnels,
    pub(super) accounts: Accounts,
    pub(super) counters: Arc<Counters>,
    pub(super) connector: Arc<Connector>,
    pub(super) on_end: Option<EndHook>,
}

impl OpenTunnels {
    /// Connects to the destination, and opens a tunnel for when the client has got the response.
    pub(super) async fn open<B>(&self, request: Request<B>, attempt: &Attempt) -> Result<(), ProxyError> {
        let tunnel = self.accounts.tunnel(&attempt.client).map_err(ForwardError::Limit)?;
        let connected = self.connector.connect(attempt).await;
        let Connected { stream, remote: address, lease } = connected.inspect_err(|error| {
            if matches!(error.status().as_u16(), 502..=504) {
                self.counters.failed_tunnels.add(1);
            }
        })?;
        let began = Instant::now();
        let max_time = self.accounts.limits().max_tunnel_time.and_then(|time| began.checked_add(time));
        let client = hyper::upgrade::on(request);
        let traffic = Arc::new(Traffic::new(tunnel.meter().clone()));
        let destination = MeteredStream::new(stream, Arc::clone(&traffic));
        let switched = async move { Ok::<_, hyper::Error>((TokioIo::new(client.await?), destination)) };
        let upstream = lease.as_ref().map(|lease| lease.endpoint().id().clone());
        let ended = Arc::clone(&traffic);
        let ending = async move {
            let mut closing = lease.as_ref().map(Lease::closing);
            let mut time = max_time.and_then(sleep_until);
            poll_fn(|cx| {
                // The task that has noted it polls this next.
                if ended.reached().is_some() {
                    return Poll::Ready(TunnelEnd::Limit);
                }
                if closing.as_mut().is_some_and(|closing| pin!(closing).poll(cx).is_ready()) {
                    return Poll::Ready(TunnelEnd::EndpointClosing);
                }
                match &mut time {
                    Some(time) => time.as_mut().poll(cx).map(|()| TunnelEnd::Limit),
                    None => Poll::Pending,
                }
            })
            .await
        };
        let (counters, on_end, attempt) = (Arc::clone(&self.counters), self.on_end.clone(), attempt.clone());
        let on_end = move |end: Result<(), TunnelEnd>| {
            drop(tunnel);
            let end = match (traffic.reached(), end) {
                (_, Ok(())) => ForwardEnd::Complete,
                (Some(limit), Err(_)) => ForwardEnd::Limit(limit),
                (None, Err(TunnelEnd::Limit)) => ForwardEnd::Limit(LimitReached::TunnelTime),
                (None, Err(end)) => ForwardEnd::Early(end),
            };
            let tunnel = ForwardTunnel {
                client: attempt.peer,
                info: attempt.info.clone(),
                user: attempt.user.clone(),
                destination: attempt.destination.clone(),
                address,
                upstream,
                sent: traffic.sent(),
                received: traffic.received(),
                duration: began.elapsed(),
                end,
            };
            let ForwardTunnel { destination, sent, received, end, .. } = &tunnel;
            counters.tunnel_bytes.add(sent.saturating_add(*received));
            if matches!(end, ForwardEnd::Limit(_)) {
                counters.limited_tunnels.add(1);
            }
            tracing::debug!(%destination, sent, received, end = end.as_str(), "a tunnel has ended");
            if let Some(hook) = on_end {
                hook.call(&tunnel);
            }
        };
        if self.tunnels.spawn_with(switched, ending, on_end) {
            self.counters.tunnels.add(1);
            Ok(())
        } else {
            let source = io::Error::other("there is no tokio runtime");
            Err(ProxyError::of_service(source.into()))
        }
    }
}
