//! Errors of a proxy, and the responses that clients get for them.
//!
//! [`ProxyError`] says why a request got no response from an endpoint. [`ErrorResponses`] turns it into a response.

mod form;
mod proxy_status;
mod response;

use http::{StatusCode, Version};

use equipoise_tower::{BoxError, Error as BalanceError, FailureStage};

pub use self::{form::ErrorFormat, proxy_status::ProxyStatus, response::ErrorResponses};
pub(crate) use self::{form::WantedForm, response::without_body};
#[cfg(feature = "forward")]
use crate::forward::ForwardError;
use crate::{
    body::RequestBodyError,
    check::{InvalidResponse, Refusal},
};

/// Why a request got no response from an endpoint.
///
/// [`status`](Self::status) and [`public_message`](Self::public_message) are meant for clients. Log the message
/// (`Display`) and the [`source`](std::error::Error::source), which can contain ids and addresses of endpoints.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyError {
    /// The request must not be forwarded.
    #[error("the request was refused: {0}")]
    Refused(Refusal),
    /// The body of the request failed, or stalled, before the endpoint responded.
    #[error("the body of the request failed")]
    RequestBody(#[source] RequestBodyError),
    /// The response of the endpoint must not be forwarded.
    #[error("the endpoint sent an invalid response")]
    InvalidResponse(#[source] InvalidResponse),
    /// The endpoint sent no response head in time: see [`Timeouts::head`](crate::Timeouts::head).
    #[error("the endpoint did not respond in time")]
    HeadTimeout,
    /// The request took longer than [`Timeouts::total`](crate::Timeouts::total).
    #[error("the request was not completed in time")]
    TotalTimeout,
    /// No route leads to the host of the request.
    #[error("there is no route for the host")]
    NoHost,
    /// There are routes for the host of the request, but none matches the rest of the request.
    #[error("there is no route for the path")]
    NoRoute,
    /// A [`ForwardProxy`](crate::forward::ForwardProxy) did not send the request on, or open the tunnel.
    #[cfg(feature = "forward")]
    #[cfg_attr(docsrs, doc(cfg(feature = "forward")))]
    #[error(transparent)]
    Forward(ForwardError),
    /// The inner service, such as a balancer or a client, returned an error.
    #[error("the request could not be delivered")]
    Service(#[source] BoxError),
}

impl ProxyError {
    /// Returns the status that the client should get:
    ///
    /// | status | error |
    /// | --- | --- |
    /// | [`Refusal::status`] | [`ProxyError::Refused`] |
    /// | 400, 408, 413 | [`ProxyError::RequestBody`]: the body is broken, stalled, or too long |
    /// | 404 | [`ProxyError::NoRoute`] |
    /// | 421 | [`ProxyError::NoHost`] |
    /// | 502 | [`ProxyError::InvalidResponse`] |
    /// | 504 | [`ProxyError::HeadTimeout`], [`ProxyError::TotalTimeout`] |
    /// | 400, 403, 407, 429, 502 to 504 | `ProxyError::Forward`, of a forward proxy (feature `forward`) |
    ///
    /// For [`ProxyError::Service`], this is the status of the balancer's error
    /// ([`Error::status`](equipoise_tower::Error::status)). If the error is not a balancer's, the
    /// [stage](FailureStage::of) of the failure decides in the same way.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Refused(refusal) => refusal.status(),
            Self::RequestBody(error) => error.status(),
            Self::InvalidResponse(_) => StatusCode::BAD_GATEWAY,
            Self::HeadTimeout | Self::TotalTimeout => StatusCode::GATEWAY_TIMEOUT,
            Self::NoHost => StatusCode::MISDIRECTED_REQUEST,
            Self::NoRoute => StatusCode::NOT_FOUND,
            #[cfg(feature = "forward")]
            Self::Forward(error) => error.status(),
            Self::Service(error) => match balance_error(&**error) {
                Some(error) => error.status(),
                None => match FailureStage::of(&**error) {
                    FailureStage::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
                    FailureStage::TimedOut => StatusCode::GATEWAY_TIMEOUT,
                    FailureStage::Caller => StatusCode::BAD_REQUEST,
                    _ => StatusCode::BAD_GATEWAY,
                },
            },
        }
    }

    /// Returns a short text for clients that explains the [`status`](Self::status). It contains nothing of the request
    /// and names no endpoint.
    pub fn public_message(&self) -> String {
        match self {
            Self::Refused(refusal) => refusal.to_string(),
            Self::RequestBody(error) => error.to_string(),
            Self::InvalidResponse(_) => "the backend sent an invalid response".to_owned(),
            Self::HeadTimeout | Self::TotalTimeout => "the backend did not answer in time".to_owned(),
            Self::NoHost => "this server does not serve the host of the request".to_owned(),
            Self::NoRoute => "this server has no such resource".to_owned(),
            #[cfg(feature = "forward")]
            Self::Forward(error) => error.public_message(),
            Self::Service(error) => match (balance_error(&**error), self.status()) {
                (Some(error), _) => error.public_message(),
                (None, StatusCode::SERVICE_UNAVAILABLE) => "no backend can take the request now",
                (None, StatusCode::GATEWAY_TIMEOUT) => "the backend did not answer in time",
                (None, StatusCode::BAD_REQUEST) => "the request could not be forwarded",
                (None, _) => "the backend could not be reached or failed",
            }
            .to_owned(),
        }
    }

    /// Returns the kind of this error as a stable label for metrics and logs, such as `head_timeout`. The label of
    /// [`ProxyError::Refused`] is that of the [`Refusal`].
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.as_str(),
            Self::RequestBody(error) => error.as_str(),
            Self::InvalidResponse(_) => "invalid_response",
            Self::HeadTimeout => "head_timeout",
            Self::TotalTimeout => "total_timeout",
            Self::NoHost => "no_host",
            Self::NoRoute => "no_route",
            #[cfg(feature = "forward")]
            Self::Forward(error) => error.as_str(),
            Self::Service(_) => "service",
        }
    }

    /// Returns the kind of this error as a stable label for clients: the member `code` of problem documents. It is that of
    /// [`as_str`](Self::as_str), except for [`ProxyError::Service`]:
    ///
    /// | status | code |
    /// | --- | --- |
    /// | 503 | `backend_unavailable` |
    /// | 504 | `backend_timeout` |
    /// | 502 | `backend_failed` |
    /// | any other | `request_failed` |
    pub fn code(&self) -> &'static str {
        match self {
            Self::Service(_) => match self.status() {
                StatusCode::SERVICE_UNAVAILABLE => "backend_unavailable",
                StatusCode::GATEWAY_TIMEOUT => "backend_timeout",
                StatusCode::BAD_GATEWAY => "backend_failed",
                _ => "request_failed",
            },
            _ => self.as_str(),
        }
    }

    /// Converts the error of an inner service. A `ProxyError`, such as that of a router, becomes this error again, also if
    /// the layers between have put it into an error of their own.
    pub(crate) fn of_service(error: BoxError) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(error) => return *error,
            Err(error) => error,
        };
        // The error in the other one may be shared, so it is not moved out of it.
        let found = match causes(&*error).find_map(|cause| cause.downcast_ref()) {
            Some(Self::Refused(refusal)) => Some(Self::Refused(*refusal)),
            Some(Self::InvalidResponse(invalid)) => Some(Self::InvalidResponse(*invalid)),
            Some(Self::HeadTimeout) => Some(Self::HeadTimeout),
            Some(Self::TotalTimeout) => Some(Self::TotalTimeout),
            Some(Self::NoHost) => Some(Self::NoHost),
            Some(Self::NoRoute) => Some(Self::NoRoute),
            _ => None,
        };
        found.unwrap_or(Self::Service(error))
    }

    /// Returns whether the connection of the client is closed after the response, because its request may go on.
    pub(crate) fn closes(&self, version: Version) -> bool {
        matches!(self, Self::Refused(_) | Self::RequestBody(_)) && version < Version::HTTP_2
    }

    /// Returns whether a later attempt may succeed.
    fn is_temporary(&self) -> bool {
        match self {
            Self::Service(error) => match balance_error(&**error) {
                Some(BalanceError::Pick(error)) => error.is_temporary(),
                _ => self.status() == StatusCode::SERVICE_UNAVAILABLE,
            },
            #[cfg(feature = "forward")]
            Self::Forward(error) => error.is_temporary(),
            _ => false,
        }
    }
}

impl From<Refusal> for ProxyError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

#[cfg(feature = "forward")]
impl From<ForwardError> for ProxyError {
    fn from(error: ForwardError) -> Self {
        Self::Forward(error)
    }
}

/// Returns the outermost error of a balancer among the causes.
fn balance_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e BalanceError> {
    causes(error).find_map(|error| error.downcast_ref())
}

/// The error, its cause, the cause of its cause, and so on.
fn causes<'e>(
    error: &'e (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'e (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source()).take(32)
}
