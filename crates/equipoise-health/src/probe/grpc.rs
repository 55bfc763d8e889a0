use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response, uri::Authority};
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use tonic::{Status, body::Body};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tower_service::Service;

#[cfg(feature = "tls")]
use super::TlsProbe;
use super::{
    InvalidProbe, Probe, ProbeError, ProbeFuture, ProbeOutcome, Target,
    connect::excerpt,
    open::{Security, Tasks, authority, failed},
};

/// A probe that calls the method `Check` of gRPC's health service (`grpc.health.v1.Health`). Each probe opens a new
/// connection.
///
/// ```
/// use equipoise_health::probe::GrpcProbe;
///
/// let server = GrpcProbe::new();
/// let one_service = GrpcProbe::new().service("shop.v1.Basket").authority("shop.example.com")?;
/// # Ok::<(), equipoise_health::probe::InvalidProbe>(())
/// ```
///
/// The probe passes if the answer is `SERVING`. The probe fails if the answer is another status, or if the endpoint
/// does not know the service or the health protocol.
///
/// If the endpoint's address is an `https` URL or `tls` was called, the probe uses HTTP/2 over TLS. Otherwise it uses
/// HTTP/2 without TLS and without an upgrade from HTTP/1.1 (prior knowledge).
#[derive(Clone, Debug, Default)]
pub struct GrpcProbe {
    service: String,
    authority: Option<Authority>,
    security: Security,
}

impl GrpcProbe {
    /// Creates a probe that asks for the health of the whole server.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the service that the probe asks about, by its full name, such as `shop.v1.Basket`. Default: the empty name,
    /// which means the whole server.
    #[must_use]
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = name.into();
        self
    }

    /// Sets the value of the `:authority` pseudo-header: a host with or without a port. Default: the host and port
    /// that the probe connects to.
    ///
    /// # Errors
    ///
    /// Returns an error if `name` is not a host with or without a port.
    pub fn authority(mut self, name: &str) -> Result<Self, InvalidProbe> {
        self.authority = Some(authority("authority", name)?);
        Ok(self)
    }

    /// Sets the TLS settings of the probe. The probe then uses TLS for every address. Without this call, the probe uses
    /// TLS only if the address is an `https` URL, with the settings of [`TlsProbe::new`].
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: TlsProbe) -> Self {
        self.security.tls = Some(tls);
        self
    }

    async fn check(&self, target: &Target) -> Result<ProbeOutcome, ProbeError> {
        /// The maximum size of the answer in bytes. A valid answer has only a few bytes.
        const MAX_ANSWER: usize = 4096;
        let url = self.security.url(target, self.authority.as_ref(), "/")?;
        let (io, _) = self.security.open(target, &[b"h2"]).await?;
        let tasks = Tasks::default();
        let connected = http2::handshake(tasks.spawner(), TokioIo::new(io)).await;
        let (sender, connection) = connected.map_err(|error| failed(&error))?;
        tasks.run(connection);
        let mut client = HealthClient::with_origin(Http2(sender), url).max_decoding_message_size(MAX_ANSWER);
        let answer = client.check(HealthCheckRequest { service: self.service.clone() }).await;
        match answer.map_err(|status| refused(&status))?.get_ref().status() {
            ServingStatus::Serving => Ok(ProbeOutcome::Passed),
            status => Err(ProbeError::Unexpected(status.as_str_name().to_owned())),
        }
    }
}

impl Probe for GrpcProbe {
    fn probe<'a>(&'a self, target: &'a Target) -> ProbeFuture<'a> {
        Box::pin(self.check(target))
    }
}

/// Converts an error status. A status with a source comes from the connection, and a status without a source comes
/// from the endpoint.
fn refused(status: &Status) -> ProbeError {
    match std::error::Error::source(status) {
        Some(cause) => ProbeError::Failed(ProbeError::chain(cause)),
        None => ProbeError::Unexpected(format!("{:?} {}", status.code(), excerpt(status.message().as_bytes()))),
    }
}

/// An HTTP/2 connection as the service that tonic's client needs.
struct Http2(SendRequest<Body>);

impl Service<Request<Body>> for Http2 {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
