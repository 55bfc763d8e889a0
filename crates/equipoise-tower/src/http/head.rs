use equipoise_core::EndpointId;
use http::{Extensions, HeaderMap, Method, Request, Response, StatusCode, Uri, Version, request::Parts};

/// A request without its body, for closures.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RequestHead<'r> {
    /// The method.
    pub method: &'r Method,
    /// The URI, before the request is pointed at an endpoint.
    pub uri: &'r Uri,
    /// The HTTP version.
    pub version: Version,
    /// The headers.
    pub headers: &'r HeaderMap,
    /// The request's extensions: what earlier layers noted, such as the peer's address.
    pub extensions: &'r Extensions,
}

impl<'r> RequestHead<'r> {
    /// The head of `request`.
    pub fn of<B>(request: &'r Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            version: request.version(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }

    /// The head in `parts`.
    pub fn of_parts(parts: &'r Parts) -> Self {
        Self {
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            extensions: &parts.extensions,
        }
    }
}

/// A response without its body, for closures and for [`Classify`](crate::Classify).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ResponseHead<'r> {
    /// The status.
    pub status: StatusCode,
    /// The HTTP version.
    pub version: Version,
    /// The headers.
    pub headers: &'r HeaderMap,
    /// The response's extensions: what the inner services noted.
    pub extensions: &'r Extensions,
}

impl<'r> ResponseHead<'r> {
    /// The head of `response`.
    pub fn of<B>(response: &'r Response<B>) -> Self {
        Self {
            status: response.status(),
            version: response.version(),
            headers: response.headers(),
            extensions: response.extensions(),
        }
    }
}

/// A response extension: the endpoint that served the request.
///
/// ```
/// use equipoise_tower::ServedBy;
///
/// fn log<B>(response: &http::Response<B>) {
///     if let Some(ServedBy(endpoint)) = response.extensions().get() {
///         println!("{} from {endpoint}", response.status());
///     }
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedBy(pub EndpointId);
