use bytes::Bytes;
use http::HeaderMap;

use super::traits::{BodyFilter, BodyOutput, BodyRejected};

/// A filter that shows a body to a closure, and passes it on as it is.
///
/// ```
/// use equipoise_gateway::filter::{BodyEvent, BodyFilter, FilteredResponse, ObserveBody, ResponseBodyFilterLayer};
///
/// let layer = ResponseBodyFilterLayer::new(|response: &FilteredResponse<'_>| {
///     let mut bytes = 0;
///     let status = response.status;
///     let observe = ObserveBody::new(move |event| match event {
///         BodyEvent::Data(data) => bytes += data.len(),
///         BodyEvent::End => println!("{status}: {bytes} bytes"),
///         _ => {}
///     });
///     Some(Box::new(observe) as Box<dyn BodyFilter>)
/// });
/// # drop(layer);
/// ```
pub struct ObserveBody<F: FnMut(BodyEvent<'_>) + Send> {
    observe: F,
    is_over: bool,
}

/// What an [`ObserveBody`] shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyEvent<'e> {
    /// The next bytes.
    Data(&'e Bytes),
    /// The body is complete. A response to `HEAD` has an empty one.
    End,
    /// The trailers, after the end.
    Trailers(&'e HeaderMap),
    /// The body has failed or was given up before it was complete.
    Incomplete,
}

impl<F: FnMut(BodyEvent<'_>) + Send> ObserveBody<F> {
    /// Creates a filter with a closure. A panic of the closure is the panic of the task that reads the body.
    #[must_use]
    pub fn new(observe: F) -> Self {
        Self { observe, is_over: false }
    }
}

impl<F: FnMut(BodyEvent<'_>) + Send> BodyFilter for ObserveBody<F> {
    fn chunk(&mut self, data: Bytes, output: &mut BodyOutput<'_>) -> Result<(), BodyRejected> {
        (self.observe)(BodyEvent::Data(&data));
        output.push(data);
        Ok(())
    }

    fn end(&mut self, _: &mut BodyOutput<'_>) -> Result<(), BodyRejected> {
        self.is_over = true;
        (self.observe)(BodyEvent::End);
        Ok(())
    }

    fn head_only(&mut self) {
        self.is_over = true;
        (self.observe)(BodyEvent::End);
    }

    fn trailers(&mut self, trailers: &mut HeaderMap) {
        (self.observe)(BodyEvent::Trailers(trailers));
    }

    fn changes_body(&self) -> bool {
        false
    }

    fn reads_encoded(&self) -> bool {
        true
    }
}

impl<F: FnMut(BodyEvent<'_>) + Send> Drop for ObserveBody<F> {
    fn drop(&mut self) {
        // A second panic in a drop would end the process.
        if !self.is_over && !std::thread::panicking() {
            (self.observe)(BodyEvent::Incomplete);
        }
    }
}

impl<F: FnMut(BodyEvent<'_>) + Send> std::fmt::Debug for ObserveBody<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObserveBody").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}
