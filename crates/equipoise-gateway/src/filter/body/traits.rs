use std::{borrow::Cow, collections::VecDeque};

use bytes::Bytes;
use equipoise_tower::RequestHead;
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::Denial;

/// A filter of one body. It gets the bytes as they arrive, in chunks of any size, and passes on what follows.
///
/// A filter should keep a bounded number of bytes only, because a body can be endless. What it passes on for one chunk
/// should be bounded too; the next chunk is not read before the client has taken it.
///
/// ```
/// use bytes::Bytes;
/// use equipoise_gateway::filter::{BodyFilter, BodyOutput, BodyRejected, FilteredResponse, ResponseBodyFilterLayer};
///
/// /// Changes letters to upper case.
/// struct Upper;
///
/// impl BodyFilter for Upper {
///     fn chunk(&mut self, data: Bytes, output: &mut BodyOutput<'_>) -> Result<(), BodyRejected> {
///         output.push(data.to_ascii_uppercase());
///         Ok(())
///     }
/// }
///
/// // Each body gets a filter of its own.
/// let layer = ResponseBodyFilterLayer::new(|_: &FilteredResponse<'_>| Some(Box::new(Upper) as Box<dyn BodyFilter>))
///     .content_types(["text/plain"]);
/// # drop(layer);
/// ```
pub trait BodyFilter: Send {
    /// Takes the next bytes, which are not empty, and passes on bytes with [`BodyOutput::push`].
    ///
    /// # Errors
    ///
    /// An error ends the message: the body fails.
    fn chunk(&mut self, data: Bytes, output: &mut BodyOutput<'_>) -> Result<(), BodyRejected>;

    /// The body is complete. Passes on what the filter has kept. It is called once, before the trailers. It is not
    /// called if the body fails or is given up; then the filter is dropped. Default: nothing.
    ///
    /// # Errors
    ///
    /// An error ends the message: the body fails.
    fn end(&mut self, output: &mut BodyOutput<'_>) -> Result<(), BodyRejected> {
        let _ = output;
        Ok(())
    }

    /// The response is one to `HEAD`, so it has no body, and no other method is called after this one. Default: nothing.
    fn head_only(&mut self) {}

    /// Looks at the trailers, or changes them. Default: nothing.
    fn trailers(&mut self, trailers: &mut HeaderMap) {
        let _ = trailers;
    }

    /// Returns whether the filter may change the bytes. If not, the length and the validators of the message stay
    /// valid, and parts of a response and encoded responses are given to the filter too. Default: true.
    fn changes_body(&self) -> bool {
        true
    }

    /// Returns whether the filter does its task with the encoded body of a request too (`Content-Encoding: gzip`), for
    /// example because it only counts bytes. If not, requests with such bodies are refused. Default: false.
    fn reads_encoded(&self) -> bool {
        false
    }
}

/// What a [`BodyFilter`] passes on.
#[derive(Debug)]
pub struct BodyOutput<'o>(pub(super) &'o mut VecDeque<Bytes>);

impl BodyOutput<'_> {
    /// Passes on bytes. Empty ones are left out.
    pub fn push(&mut self, data: impl Into<Bytes>) {
        let data = data.into();
        if !data.is_empty() {
            self.0.push_back(data);
        }
    }
}

/// Why a [`BodyFilter`] ends a message.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", denial.message())]
pub struct BodyRejected {
    denial: Box<Denial>,
}

impl BodyRejected {
    /// Creates a reason: the response to a request whose body is rejected, unless the inner service has responded
    /// before.
    #[must_use]
    pub fn new(denial: Denial) -> Self {
        Self { denial: Box::new(denial) }
    }

    /// Creates a reason with status 400 and a text for clients. `code` is a stable label.
    #[must_use]
    pub fn bad_request(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Denial::new(StatusCode::BAD_REQUEST, code, message))
    }

    /// Returns the response for the reason.
    pub fn denial(&self) -> &Denial {
        &self.denial
    }
}

/// Creates filters for the bodies of requests. Closures that take a [`RequestHead`] implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not create filters for the bodies of requests",
    note = "each body needs a filter of its own: use a closure `|_: RequestHead<'_>| Some(Box::new(filter) as Box<dyn BodyFilter>)` that creates it"
)]
pub trait FilterRequest: Send + Sync {
    /// Returns the filter for a request, or `None` if its body is passed on as it is.
    fn filter(&self, head: RequestHead<'_>) -> Option<Box<dyn BodyFilter>>;
}

impl<F> FilterRequest for F
where
    F: Fn(RequestHead<'_>) -> Option<Box<dyn BodyFilter>> + Send + Sync,
{
    fn filter(&self, head: RequestHead<'_>) -> Option<Box<dyn BodyFilter>> {
        self(head)
    }
}

/// The head of a response whose body may be filtered, and the request to which it belongs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FilteredResponse<'r> {
    /// The method of the request.
    pub method: &'r Method,
    /// The URI of the request, as the layer passed it on.
    pub uri: &'r Uri,
    /// The status of the response.
    pub status: StatusCode,
    /// The fields of the response.
    pub headers: &'r HeaderMap,
}

/// Creates filters for the bodies of responses. Closures that take a [`FilteredResponse`] implement it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not create filters for the bodies of responses",
    note = "each body needs a filter of its own: use a closure `|_: &FilteredResponse<'_>| Some(Box::new(filter) as Box<dyn BodyFilter>)` that creates it"
)]
pub trait FilterResponse: Send + Sync {
    /// Returns the filter for a response, or `None` if its body is passed on as it is. It is also called for responses to
    /// `HEAD`, whose fields are those of the response to `GET`.
    fn filter(&self, response: &FilteredResponse<'_>) -> Option<Box<dyn BodyFilter>>;
}

impl<F> FilterResponse for F
where
    F: Fn(&FilteredResponse<'_>) -> Option<Box<dyn BodyFilter>> + Send + Sync,
{
    fn filter(&self, response: &FilteredResponse<'_>) -> Option<Box<dyn BodyFilter>> {
        self(response)
    }
}
