use std::{future::poll_fn, io, pin::pin, sync::Arc, task::Poll};

use equipoise_core::Lease;
use http::Request;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::{
    accounts::Accounts,
    attempt::Attempt,
    authentication::AuthenticatedUser,
    connect::{Connected, Connector},
    error::ForwardError,
    limits::LimitReached,
    stats::Counters,
    stream::MeteredStream,
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
}

impl OpenTunnels {
    /// Connects to the destination, and opens a tunnel for when the client has got the response.
    pub(super) async fn open<B>(&self, request: Request<B>, attempt: &Attempt) -> Result<(), ProxyError> {
        let tunnel = self.accounts.tunnel(&attempt.client).map_err(ForwardError::Limit)?;
        let connected = self.connector.connect(attempt).await;
        let Connected { stream, remote, lease } = connected.inspect_err(|error| {
            if matches!(error.status().as_u16(), 502..=504) {
                self.counters.failed_tunnels.add(1);
            }
        })?;
        let began = Instant::now();
        let max_time = self.accounts.limits().max_tunnel_time.and_then(|time| began.checked_add(time));
        let (client, meter) = (hyper::upgrade::on(request), tunnel.meter().clone());
        let destination = MeteredStream::new(stream, meter.clone());
        let switched = async move { Ok::<_, hyper::Error>((TokioIo::new(client.await?), destination)) };
        let ending = async move {
            let mut closing = lease.as_ref().map(Lease::closing);
            let mut time = max_time.and_then(sleep_until);
            poll_fn(|cx| {
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
        let (counters, attempt) = (Arc::clone(&self.counters), attempt.clone());
        let on_end = move |end: Result<(), TunnelEnd>| {
            let limit = end.as_ref().err().and_then(limit);
            let end = match (&end, limit) {
                (_, Some(limit)) => limit.as_str(),
                (Err(end), None) => end.as_str(),
                (Ok(()), None) => "ended",
            };
            let (bytes, seconds) = (meter.bytes(), began.elapsed().as_secs_f64());
            drop(tunnel);
            counters.tunnel_bytes.add(bytes);
            if limit.is_some() {
                counters.limited_tunnels.add(1);
            }
            let user = attempt.user.as_ref().map(|AuthenticatedUser(name)| &**name);
            let (destination, remote) = (&attempt.destination, remote.map(tracing::field::display));
            tracing::info!(user, %destination, remote, bytes, seconds, end, "a tunnel has ended");
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

/// Returns the limit because of which a tunnel has ended.
fn limit(end: &TunnelEnd) -> Option<LimitReached> {
    match end {
        TunnelEnd::Broken(error) => error.get_ref()?.downcast_ref().copied(),
        TunnelEnd::Limit => Some(LimitReached::TunnelTime),
        _ => None,
    }
}
