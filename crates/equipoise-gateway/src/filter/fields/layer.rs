use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use equipoise_affinity::source::ClientAddress;
use equipoise_proxy::route::MatchedRoute;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{edit::FieldEdits, template::Known};

/// A layer that changes the header fields of requests and responses: see [`FieldEdits`].
///
/// ```
/// use equipoise_gateway::filter::{FieldEdits, FieldsLayer, SecurityFields};
///
/// let layer = FieldsLayer::new()
///     .request(FieldEdits::new().set("x-user", "{identity}")?)
///     .response(FieldEdits::new().remove("server")?.and(SecurityFields::new().edits()?));
/// # drop(layer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct FieldsLayer {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug, Default)]
struct Settings {
    request: FieldEdits,
    response: FieldEdits,
    client: ClientAddress,
}

impl FieldsLayer {
    /// Creates a layer that changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the changes of requests. Default: none.
    #[must_use]
    pub fn request(mut self, edits: FieldEdits) -> Self {
        Arc::make_mut(&mut self.settings).request = edits;
        self
    }

    /// Sets the changes of responses. Their placeholders are those of the request, before its fields were changed.
    /// Default: none.
    #[must_use]
    pub fn response(mut self, edits: FieldEdits) -> Self {
        Arc::make_mut(&mut self.settings).response = edits;
        self
    }

    /// Sets how the address for `{client_address}` is determined. Default: the address of the connection's peer.
    #[must_use]
    pub fn client_address(mut self, client: ClientAddress) -> Self {
        Arc::make_mut(&mut self.settings).client = client;
        self
    }
}

/// The service of a [`FieldsLayer`].
#[derive(Clone, Debug)]
pub struct Fields<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Layer<S> for FieldsLayer {
    type Service = Fields<S>;

    fn layer(&self, inner: S) -> Fields<S> {
        Fields { inner, settings: Arc::clone(&self.settings) }
    }
}

impl<S, B, R> Service<Request<B>> for Fields<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = FieldsFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let settings = &self.settings;
        let response = (!settings.response.is_empty())
            .then(|| (Arc::clone(settings), Known::of(&request, settings.response.placeholders(), &settings.client)));
        if !settings.request.is_empty() {
            let known = Known::of(&request, settings.request.placeholders(), &settings.client);
            settings.request.apply(request.headers_mut(), &known);
            if let Some(host) = settings.request.host_rule() {
                // It fails only for a request that names no host, if the rule keeps the host. Then nothing is to be
                // kept.
                let _ = host.apply(&mut request);
            }
        }
        FieldsFuture { inner: self.inner.call(request), response }
    }
}

pin_project! {
    /// The response future of [`Fields`].
    pub struct FieldsFuture<F> {
        #[pin]
        inner: F,
        response: Option<(Arc<Settings>, Known)>,
    }
}

impl<F, R, E> Future for FieldsFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<R>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        if let Some((settings, mut known)) = this.response.take() {
            known.set_route(response.extensions().get().map(|MatchedRoute(name)| Arc::clone(name)));
            settings.response.apply(response.headers_mut(), &known);
        }
        Poll::Ready(Ok(response))
    }
}

impl<F> fmt::Debug for FieldsFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldsFuture").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use equipoise_affinity::source::PeerAddr;
    use equipoise_proxy::headers::{ConnectionInfo, HostRule};
    use http::HeaderMap;
    use tower::{ServiceExt, service_fn};

    use super::*;
    use crate::{Identity, Mechanism, filter::SecurityFields};

    /// Returns the fields that the endpoint gets, and those that the client gets.
    fn exchanged(layer: FieldsLayer, request: Request<()>) -> (HeaderMap, HeaderMap) {
        let endpoint = service_fn(|request: Request<()>| async move {
            let mut response = Response::new(request.headers().clone());
            response.headers_mut().insert("server", "secret/1".parse().expect("a value"));
            response.extensions_mut().insert(MatchedRoute("r/1".into()));
            Ok::<_, Infallible>(response)
        });
        let mut future = Box::pin(layer.layer(endpoint).oneshot(request));
        let Poll::Ready(Ok(response)) = future.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop())) else {
            panic!("ready at once")
        };
        let (parts, seen) = response.into_parts();
        (seen, parts.headers)
    }

    fn request() -> Request<()> {
        let mut request = Request::get("/a%20b?c=d")
            .header("host", "app.test:8080")
            .header("x-internal-a", "1")
            .header("x-internal-b", "1")
            .header("x-user", "root")
            .header("x-old", "1")
            .header("x-old", "2")
            .header("x-new", "forged")
            .body(())
            .expect("a request");
        request.extensions_mut().insert(PeerAddr("[::ffff:192.0.2.7]:1".parse().expect("an address")));
        request
    }

    #[test]
    fn fields_of_requests_are_changed_in_order() {
        let edits = FieldEdits::new()
            .remove_prefix("X-Internal-")
            .and_then(|edits| edits.set("x-client", "{client_address} {host} {scheme} {method} {path} {query} {{}}"))
            .and_then(|edits| edits.set_if_absent("x-client", "no"))
            .and_then(|edits| edits.append("x-client", "more"))
            .and_then(|edits| edits.rename("x-old", "x-new"))
            .and_then(|edits| edits.rename("x-none", "x-user"))
            .and_then(|edits| edits.set("x-copy", "{field:x-internal-a}"))
            .expect("edits")
            .host(HostRule::set("b.internal").expect("a host"));
        let (seen, _) = exchanged(FieldsLayer::new().request(edits), request());
        let lines = |name: &str| seen.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>();
        assert_eq!(lines("x-client"), ["192.0.2.7 app.test http GET /a%20b c=d {}", "more"]);
        assert_eq!((lines("x-new"), lines("x-old")), (vec!["1", "2"], vec![]));
        assert!(!seen.contains_key("x-internal-a") && !seen.contains_key("x-internal-b"));
        assert!(!seen.contains_key("x-user"), "the client's value of a new name is removed");
        assert_eq!((lines("x-copy"), lines("host")), (vec!["1"], vec!["b.internal"]));
    }

    #[test]
    fn a_client_cannot_set_the_field_of_an_identity() {
        let edits = FieldEdits::new().set("x-user", "{identity}").expect("edits");
        let layer = FieldsLayer::new().request(edits);
        assert!(!exchanged(layer.clone(), request()).0.contains_key("x-user"));
        let mut known = request();
        known.extensions_mut().insert(Identity::new("a\r\nx-admin: 1%0a\u{e9}", Mechanism::Basic));
        let (seen, _) = exchanged(layer, known);
        assert_eq!(seen["x-user"], "a%0D%0Ax-admin: 1%250a%C3%A9");
        assert!(!seen.contains_key("x-admin"));
    }

    #[test]
    fn fields_of_responses_know_the_request_and_the_route() {
        let edits = FieldEdits::new().remove("server").and_then(|edits| edits.set("x-route", "{route} of {host}"));
        let (_, fields) = exchanged(FieldsLayer::new().response(edits.expect("edits")), request());
        assert!(!fields.contains_key("server"));
        assert_eq!(fields["x-route"], "r/1 of app.test");
    }

    #[test]
    fn transport_security_is_asked_for_over_tls_only() {
        let edits = SecurityFields::new().hsts(Duration::from_secs(60), true).content_security_policy("{a}").edits();
        let layer = FieldsLayer::new().response(edits.expect("edits"));
        let (_, plain) = exchanged(layer.clone(), request());
        assert!(!plain.contains_key("strict-transport-security"));
        assert_eq!(
            (&plain["x-frame-options"], &plain["content-security-policy"]),
            (&"DENY".parse().expect("a value"), &"{a}".parse().expect("a value"))
        );
        let mut over_tls = request();
        over_tls.extensions_mut().insert(ConnectionInfo::new().tls(true));
        let (_, fields) = exchanged(layer, over_tls);
        assert_eq!(fields["strict-transport-security"], "max-age=60; includeSubDomains");
        assert!(SecurityFields::new().frame_options(Some("ALLOW")).edits().is_err());
    }

    #[test]
    fn what_would_break_messages_is_refused() {
        for (name, value) in [
            ("host", "a"),
            ("Content-Length", "0"),
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
            ("a b", ""),
            ("x-a", "a\r\nb: c"),
            ("x-a", "\u{e9}"),
            ("x-a", "{nothing}"),
            ("x-a", "{open"),
            ("x-a", "}"),
            ("x-a", "{field:a b}"),
        ] {
            assert!(FieldEdits::new().set(name, value).is_err(), "{name}: {value}");
        }
        assert!(FieldEdits::new().remove("te").is_err() && FieldEdits::new().rename("x-a", "host").is_err());
        assert!(FieldEdits::new().remove_prefix("").is_err());
        let (seen, _) =
            exchanged(FieldsLayer::new().request(FieldEdits::new().remove_prefix("h").expect("edits")), request());
        assert!(seen.contains_key("host"));
    }
}
