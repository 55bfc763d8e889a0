use std::{error::Error, fmt, future::poll_fn};

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tower_service::Service;

use super::{Answer, Probe, ProbeError, Target};

/// A service as a probe; see [`probe_service`].
pub struct ProbeService<S>(Mutex<S>);

/// Any `tower::Service` of [`Target`]s as a probe; a clone of it is used for each look, so what limits or counts must be
/// shared by its clones, as tower's own middleware does. An error is a failed probe, a [`ProbeError`] stays as it is.
///
/// ```
/// use equipoise_health::probe::{Answer, Probe, Target, probe_service};
/// use tower::service_fn;
///
/// let probe = probe_service(service_fn(|target: Target| async move {
///     if target.port == Some(7) { Ok(()) } else { Err("not a lucky port") }
/// }));
///
/// let target = Target { id: "a".into(), address: "10.0.0.1:80".into(), port: Some(7) };
/// # futures::executor::block_on(async {
/// assert_eq!(probe.probe(&target).await, Ok(Answer::Passed));
/// # });
/// ```
pub fn probe_service<S>(service: S) -> ProbeService<S>
where
    S: Service<Target> + Clone + Send + 'static,
    S::Response: Into<Answer>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Send,
{
    ProbeService(Mutex::new(service))
}

impl<S> Probe for ProbeService<S>
where
    S: Service<Target> + Clone + Send + 'static,
    S::Response: Into<Answer>,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    S::Future: Send,
{
    fn probe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Answer, ProbeError>> {
        Box::pin(async {
            let mut service = self.0.lock().clone();
            poll_fn(|cx| service.poll_ready(cx)).await.map_err(failed)?;
            let look = service.call(target.clone());
            look.await.map(Into::into).map_err(failed)
        })
    }
}

fn failed(error: impl Into<Box<dyn Error + Send + Sync>>) -> ProbeError {
    match error.into().downcast::<ProbeError>() {
        Ok(error) => *error,
        Err(error) => ProbeError::Broken(ProbeError::chain(&*error)),
    }
}

impl<S> fmt::Debug for ProbeService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeService")
    }
}
