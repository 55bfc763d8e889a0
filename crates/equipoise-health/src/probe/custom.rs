use std::fmt;

use futures::future::BoxFuture;

use super::{Answer, Probe, ProbeError, Target};

/// A closure as a probe; see [`probe_fn`].
#[derive(Clone)]
pub struct ProbeFn<F>(F);

/// Any async closure as a probe: it gets the target and returns what it learnt, or why the probe failed. `Ok(())` is
/// [`Answer::Passed`]; strings and I/O errors are reasons.
///
/// ```
/// use equipoise_health::probe::{Answer, Probe, ProbeError, Target, probe_fn};
///
/// let lucky = probe_fn(|target: Target| async move {
///     if target.address.ends_with('7') { Ok(()) } else { Err("not a lucky port") }
/// });
///
/// let mut target = Target { id: "a".into(), address: "10.0.0.1:7".into(), port: None };
/// # futures::executor::block_on(async {
/// assert_eq!(lucky.probe(&target).await, Ok(Answer::Passed));
/// target.address = "10.0.0.1:8".into();
/// assert_eq!(lucky.probe(&target).await, Err(ProbeError::Broken("not a lucky port".into())));
/// # });
/// ```
///
/// It must not block its thread, and its future may be dropped at any time.
pub fn probe_fn<F, Fut, T, E>(look: F) -> ProbeFn<F>
where
    F: Fn(Target) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<Answer>,
    E: Into<ProbeError>,
{
    ProbeFn(look)
}

impl<F, Fut, T, E> Probe for ProbeFn<F>
where
    F: Fn(Target) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, E>> + Send + 'static,
    T: Into<Answer>,
    E: Into<ProbeError>,
{
    fn probe<'a>(&'a self, target: &'a Target) -> BoxFuture<'a, Result<Answer, ProbeError>> {
        // The closure runs when the future does, so that a panic in it is the look's and not the caller's.
        Box::pin(async { (self.0)(target.clone()).await.map(Into::into).map_err(Into::into) })
    }
}

impl<F> fmt::Debug for ProbeFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProbeFn")
    }
}
