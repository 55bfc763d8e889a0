use bytes::Bytes;
use equipoise_affinity::source::PeerAddr;
use equipoise_gateway::filter::{
    FieldEdits, FieldsLayer, FilterLayer, FilterRules, Maintenance, MaintenanceLayer, RedirectLayer, RedirectRule,
    RejectText, ReplaceText, RequestBodyFilterLayer, ResponseBodyFilterLayer, Rule, UriLayer,
};
use equipoise_proxy::{ReverseProxy, headers::ConnectionInfo};
use equipoise_tower::BoxError;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use super::{Chunks, Reply, reply};

/// An endpoint that answers with the request, and fails if the body of the request fails, as an HTTP client does.
fn endpoint<B>() -> impl Service<Request<B>, Response = Response<Full<Bytes>>, Error = BoxError, Future: Send> + Clone
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    service_fn(|request: Request<B>| async move {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(Into::into)?.to_bytes();
        let is_internal = parts.headers.contains_key("x-internal");
        let text = format!("{} internal={is_internal} {}", parts.uri, String::from_utf8_lossy(&body));
        Ok::<_, BoxError>(Response::new(Full::from(text)))
    })
}

fn is_service<S, B>(service: S) -> S
where
    S: Service<Request<B>, Future: Send> + Clone + Send + Sync,
{
    service
}

/// Sends a request through all filters, in the order in which a gateway has them, inside of a proxy.
async fn send(target: &str, body: &'static [&'static str]) -> Reply {
    let rules = [Rule::deny("admin").path("/admin/**"), Rule::limit("small", 10).path("/small")];
    let layers = ServiceBuilder::new()
        .layer(UriLayer::default())
        .layer(FilterLayer::new(FilterRules::new(rules).expect("rules")))
        .layer(MaintenanceLayer::new(Maintenance::new()))
        .layer(RedirectLayer::new([RedirectRule::exact("/old", "/new")]).expect("rules"))
        .layer(ResponseBodyFilterLayer::new(ReplaceText::new([("secret", "***")]).expect("texts")))
        .layer(FieldsLayer::new().request(FieldEdits::new().remove("x-internal").expect("edits")))
        .layer(RequestBodyFilterLayer::new(RejectText::new(["${jndi:"]).expect("texts")));
    let proxy = ReverseProxy::new(layers.service(endpoint()));
    let mut request = Request::post(target)
        .header("host", "app.test")
        .header("accept", "text/plain")
        .header("x-internal", "1")
        .header("transfer-encoding", "chunked")
        .body(Chunks::new(body))
        .expect("a request");
    request.extensions_mut().insert(PeerAddr("192.0.2.7:1".parse().expect("an address")));
    request.extensions_mut().insert(ConnectionInfo::new());
    let response = is_service::<_, Chunks>(proxy).oneshot(request).await.expect("a response");
    reply(response).await
}

#[tokio::test]
async fn filters_work_inside_of_a_proxy() {
    for (target, body, status, text) in [
        ("/x?y", &["a sec", "ret"][..], 200, "/x?y internal=false a ***"),
        ("/%61dmin", &["a"], 403, "this request is not allowed\n"),
        ("/x/../admin", &["a"], 400, "servers read this path differently\n"),
        ("/small", &["0123456789"], 200, "/small internal=false 0123456789"),
        ("/small", &["01234", "56789", "0"], 413, "the body of the request is too large\n"),
        ("/x", &["${jn", "di:x}"], 403, "the body of the request is not allowed\n"),
        ("/old", &["a"], 308, ""),
    ] {
        let answer = send(target, body).await;
        assert_eq!((answer.status, answer.body.as_str()), (status, text), "{target}");
    }
}
