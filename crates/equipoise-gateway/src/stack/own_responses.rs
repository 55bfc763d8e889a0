use std::{
    convert::Infallible,
    future::ready,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use equipoise_proxy::error::ErrorResponses;
use http::{Request, Response, header::ACCESS_CONTROL_REQUEST_METHOD};
use http_body_util::Empty;
use tower::service_fn;
use tower_service::Service;

use super::{AnyBody, Functions, FunctionsService, erase::Erased};

impl Functions {
    /// Returns what completes the responses that a [`ReverseProxy`](equipoise_proxy::ReverseProxy) around the functions
    /// makes itself, for [`own_responses`](equipoise_proxy::ReverseProxyLayer::own_responses) of its layer: with the request
    /// id, the changes of [`client_fields`](Self::client_fields), and the fields of CORS (steps 1 and 2). Then pages can read
    /// why their requests were refused.
    ///
    /// If each route has functions of its own, give the proxy those of the whole listener. They complete the responses to
    /// requests that were refused before a route was looked for. Later responses, such as those after a timeout, are
    /// completed by the functions that the request has passed.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use equipoise_gateway::{filter::{FieldsLayer, SecurityFields}, stack::Functions};
    /// use equipoise_proxy::ReverseProxyLayer;
    /// use http::{Request, Response};
    /// use http_body_util::{Empty, Full};
    /// use tower::{Layer, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let backend = service_fn(async |_: Request<_>| {
    ///     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from("hello")))
    /// });
    /// let functions = Functions::new().client_fields(FieldsLayer::new().response(SecurityFields::new().edits()?));
    /// let proxy = ReverseProxyLayer::new().own_responses(functions.own_responses()).layer(functions.layer(backend)?);
    ///
    /// // The proxy refuses it, because it has no `Host`.
    /// let response = proxy.oneshot(Request::get("/").body(Empty::<Bytes>::new())?).await?;
    /// assert_eq!(response.status(), 400);
    /// assert_eq!(response.headers()["x-content-type-options"], "nosniff");
    /// # Ok(())
    /// # }
    /// ```
    pub fn own_responses(
        &self,
    ) -> impl Fn(Request<()>, Response<Bytes>) -> Response<Bytes> + Clone + Send + Sync + 'static + use<> {
        let functions = self.clone();
        move |mut request, response| {
            // A preflight would be answered as if the request had not been refused.
            request.headers_mut().remove(ACCESS_CONTROL_REQUEST_METHOD);
            let (head, body) = response.into_parts();
            let head = Response::from_parts(head, Empty::<Bytes>::new());
            let answer = head.clone();
            let refused =
                service_fn(move |_: Request<AnyBody<Empty<Bytes>>>| ready(Ok::<_, Infallible>(answer.clone())));
            let refused = Erased::backend(refused).answer_errors(ErrorResponses::new());
            let mut service = FunctionsService::new(functions.toward_client(refused));
            let mut completed = service.call(request.map(|()| Empty::new()));
            // These functions wait for nothing.
            match std::pin::Pin::new(&mut completed).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(completed)) => completed.map(|_| body),
                _ => head.map(|_| body),
            }
        }
    }
}
