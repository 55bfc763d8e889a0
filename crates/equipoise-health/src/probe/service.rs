use std::{error::Error, fmt, future::poll_fn};

use parking_lot::Mutex;
use tower_service::Service;

use super::{Probe, ProbeError, ProbeFuture, ProbeOutcome, Target};

/// A probe that calls a tower service. [`probe_service`] creates it.
pub struct ProbeService<S>(Mutex<S>);

/// Creates a probe that calls a `tower::Service`. The request is the [`Target`] to examine.
///
/// The response must be a [`ProbeOutcome`] or `()`, which means [`ProbeOutcome::Passed`]. An error means that the
/// probe failed. A [`ProbeError`] is used as it is; any other error becomes [`ProbeError::Failed`].
///
/// Each probe calls a clone of the service. If the service has state that must be common to all probes, such as a
/// rate limit, its clones must share that state. The clones of tower's own middleware do so.
///
/// ```
/// use equipoise_health::probe::{Probe, ProbeOutcome, Target, probe_service};
/// use tower::service_fn;
///
/// let probe = probe_service(service_fn(|target: Target| async move {
///     if target.port == Some(7) { Ok(()) } else { Err("the port is not 7") }
/// }));
///
/// let target = Target::new("a", "10.0.0.1:80").with_port(7);
/// # futures::executor::block_on(async {
/// assert_eq!(probe.probe(&target).await, Ok(ProbeOutcome::Passed));
/// # });
/// ```
pub fn probe_service<S>(service: S) -> ProbeService<S>
where
    S: Service<Target> + Clone + Send + 'static,
    S::Response: Into<ProbeOutcome>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Send,
{
    ProbeService(Mutex::new(service))
}

impl<S> Probe for ProbeService<S>
where
    S: Service<Target> + Clone + Send + 'static,
    S::Response: Into<ProbeOutcome>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Send,
{
    fn probe<'a>(&'a self, target: &'a Target) -> ProbeFuture<'a> {
        Box::pin(async {
            let mut service = self.0.lock().clone();
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(failed)?;
            let response = service.call(target.clone());
            response.await.map(Into::into).map_err(failed)
        })
    }
}

fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> ProbeError {
    match error.into().downcast::<ProbeError>() {
        Ok(error) => *error,
        Err(error) => ProbeError::Failed(ProbeError::chain(&*error)),
    }
}

impl<S> fmt::Debug for ProbeService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeService")
    }
}
