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
use super::Tls;
use super::{
    Answer, InvalidProbe, Probe, ProbeError, Target,
    connect::excerpt,
    open::{Security, Tasks, authority, failed},
};

/// The health protocol of gRPC: `grpc.health.v1.Health/Check`, on a connection of its own.
///
/// ```
/// use equipoise_health::probe::Grpc;
///
/// let server = Grpc::new();
/// let one_service = Grpc::new().service("shop.v1.Basket").authority("shop.example.com")?;
/// # Ok::<(), equipoise_health::probe::InvalidProbe>(())
/// ```
///
/// It passes when the answer is `SERVING`. Any other fails it, also that the endpoint does not know the service or the
/// protocol. HTTP/2 is spoken in the clear (prior knowledge), or over TLS where the endpoint's address is an `https` URL or
/// `tls` was called.
#[derive(Clone, Debug, Default)]
pub struct Grpc {
    service: String,
    authority: Option<Authority>,
    security: Security,
}

impl Grpc {
    /// Asks for the server as a whole.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for one service, by its full name. The empty name is the server as a whole.
    #[must_use]
    pub fn service(mut self, name: impl Into<String>) -> Self {
        self.service = name.into();
        self
    }

    /// What to say in `:authority`. By default the host and port that is connected to.
    ///
    /// # Errors
    ///
    /// When it is no host with or without a port.
    pub fn authority(mut self, name: &str) -> Result<Self, InvalidProbe> {
        self.authority = Some(authority("authority", name)?);
        Ok(self)
    }

    /// Speaks TLS, whatever the address says, with this. An `https` address has [`Tls::new`] by default.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: Tls) -> Self {
        self.security.tls = Some(tls);
        self
    }

    async fn look(&self, target: &Target) -> Result<Answer, ProbeError> {
        /// An answer has a handful of bytes.
        const LIMIT: usize = 4096;
        let url = self.security.url(target, self.authority.as_ref(), "/")?;
        let (io, _) = self.security.open(target, &[b"h2"]).await?;
        let tasks = Tasks::default();
        let connected = http2::handshake(tasks.spawner(), TokioIo::new(io)).await;
        let (sender, connection) = connected.map_err(|error| failed(&error))?;
        tasks.run(connection);
        let mut client = HealthClient::with_origin(Http2(sender), url).max_decoding_message_size(LIMIT);
        let answer = client.check(HealthCheckRequest { service: self.service.clone() }).await;
        match answer.map_err(|status| refused(&status))?.get_ref().status() {
            ServingStatus::Serving => Ok(Answer::Passed),
            status => Err(ProbeError::Unexpected(status.as_str_name().to_owned())),
        }
    }
}

impl Probe for Grpc {
    fn probe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Answer, ProbeError>> {
        Box::pin(self.look(target))
    }
}

/// A status with a cause was not sent by the endpoint: it is what became of the connection.
fn refused(status: &Status) -> ProbeError {
    match std::error::Error::source(status) {
        Some(cause) => ProbeError::Broken(ProbeError::chain(cause)),
        None => ProbeError::Unexpected(format!("{:?} {}", status.code(), excerpt(status.message().as_bytes()))),
    }
}

/// The connection, as tonic's client wants it.
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
