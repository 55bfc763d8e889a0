use std::fmt;

use super::{Probe, ProbeError, ProbeFuture, ProbeOutcome, Target};

/// A probe that calls an async closure. [`probe_fn`] creates it.
#[derive(Clone)]
pub struct ProbeFn<F>(F);

/// Creates a probe that calls an async closure with the [`Target`] to examine.
///
/// The closure's future returns one of these results:
///
/// - `Ok` with a [`ProbeOutcome`]
/// - `Ok` with an [`AgentReply`](crate::agent::AgentReply), which means [`ProbeOutcome::Agent`]
/// - `Ok(())`, which means [`ProbeOutcome::Passed`]
/// - `Err` with a [`ProbeError`], a string or an I/O error, which means that the probe failed
///
/// ```
/// use equipoise_health::probe::{Probe, ProbeError, ProbeOutcome, Target, probe_fn};
///
/// let probe = probe_fn(|target: Target| async move {
///     if target.address.ends_with('7') { Ok(()) } else { Err("the port does not end with 7") }
/// });
///
/// # futures::executor::block_on(async {
/// assert_eq!(probe.probe(&Target::new("a", "10.0.0.1:7")).await, Ok(ProbeOutcome::Passed));
/// let failed = probe.probe(&Target::new("a", "10.0.0.1:8")).await;
/// assert_eq!(failed, Err(ProbeError::Failed("the port does not end with 7".into())));
/// # });
/// ```
///
/// The future of the closure must not block its thread. The future may be dropped at any time.
pub fn probe_fn<F, Fut, T, E>(probe: F) -> ProbeFn<F>
where
    F: Fn(Target) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<ProbeOutcome>,
    E: Into<ProbeError>,
{
    ProbeFn(probe)
}

impl<F, Fut, T, E> Probe for ProbeFn<F>
where
    F: Fn(Target) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<ProbeOutcome>,
    E: Into<ProbeError>,
{
    fn probe<'a>(&'a self, target: &'a Target) -> ProbeFuture<'a> {
        // The closure runs inside the future, so that a panic in it is a panic of the probe.
        Box::pin(async { (self.0)(target.clone()).await.map(Into::into).map_err(Into::into) })
    }
}

impl<F> fmt::Debug for ProbeFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeFn")
    }
}
