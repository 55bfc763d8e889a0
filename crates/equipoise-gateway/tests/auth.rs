//! Authentication between real sockets: a server, a reverse proxy, the layer, and a service that decides.

#![cfg(feature = "auth-basic")]

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use equipoise_core::{EndpointSpec, Pool};
use equipoise_gateway::{
    Identity,
    auth::{ApiKey, ApiKeys, AuthLayer, Basic, External, IdentityFields, Users},
};
use equipoise_http::{HttpClient, Upstream};
use equipoise_proxy::{RequestBody, ReverseProxy, server::Server};
use http::{HeaderName, Request, Response};
use hyper::body::Incoming;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, service_fn};

/// `htpasswd -nbB ann 'correct horse'` (apache2-utils 2.4).
const USERS: &str = "ann:$2y$05$1v1eIqZM2SGi7L870PqLzufo9UXjukfs1zNo1brVp9vb9SmDGoLoi:groups=ops";
/// With what `printf %s 'ann:correct horse' | base64` prints.
const ANN: &str = "Authorization: Basic YW5uOmNvcnJlY3QgaG9yc2U=\r\n";

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

/// Starts a gateway whose backend responds with the head of the request that it gets.
async fn gateway(layer: AuthLayer) -> SocketAddr {
    let backend = service_fn(async |request: Request<RequestBody<Incoming>>| {
        let fields =
            request.headers().iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("?")));
        let identity = request.extensions().get::<Identity>().map_or("none", Identity::name);
        let text =
            format!("{} {}\n{}identity {identity}\n", request.method(), request.uri(), fields.collect::<String>());
        Ok::<_, Infallible>(Response::new(http_body_util::Full::<bytes::Bytes>::from(text)))
    });
    let (listener, address) = listener().await;
    tokio::spawn(Server::new(ReverseProxy::new(layer.layer(backend))).serve(listener));
    address
}

/// Sends a request, whose first line and fields are given, and returns the response.
async fn send(address: SocketAddr, head: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    let request = format!("{head}Host: app.test\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await.expect("a response");
    String::from_utf8(response).expect("UTF-8").to_lowercase()
}

#[tokio::test]
async fn backends_get_the_identity_and_not_the_password() {
    let users: Users = USERS.parse().expect("users");
    let fields = IdentityFields::default().attribute("groups", HeaderName::from_static("x-auth-groups"));
    let layer = AuthLayer::new(Basic::new(users)).identity_fields(fields.expect("fields"));
    let address = gateway(layer.clone()).await;

    let response = send(address, &format!("GET /a HTTP/1.1\r\n{ANN}X-Auth-User: eve\r\nX-Auth-Groups: root\r\n")).await;
    assert!(response.starts_with("http/1.1 200 "), "{response}");
    assert!(response.contains("\nx-auth-user: ann\n") && response.contains("\nx-auth-groups: ops\n"), "{response}");
    assert!(response.contains("\nidentity ann\n"), "{response}");
    for secret in ["eve", "root", "authorization", "yw5u"] {
        assert!(!response.contains(secret), "{secret} {response}");
    }

    let response = send(address, "GET /a HTTP/1.1\r\nAccept: application/json\r\n").await;
    assert!(response.starts_with("http/1.1 401 "), "{response}");
    assert!(response.contains("\r\nwww-authenticate: basic realm=\"gateway\", charset=\"utf-8\"\r\n"), "{response}");
    assert!(response.contains("\"code\":\"missing_credentials\""), "{response}");
    assert_eq!((layer.stats().allowed, layer.stats().missing), (1, 1));
}

#[tokio::test]
async fn clients_cannot_remove_or_claim_an_identity_by_connection() {
    let generated = ApiKeys::generate();
    let keys: ApiKeys = format!("reports:{}", generated.hash).parse().expect("keys");
    let address = gateway(AuthLayer::new(ApiKey::header(keys)).optional()).await;
    let key = format!("X-API-Key: {}\r\n", generated.key);
    let response = send(address, &format!("GET / HTTP/1.1\r\n{key}Connection: X-Auth-User, X-API-Key-2\r\n")).await;
    assert!(response.contains("\nx-auth-user: reports\n"), "{response}");
    // The field that is named as one of the connection is no credential.
    let response =
        send(address, &format!("GET / HTTP/1.1\r\n{key}Connection: X-API-Key\r\nX-Auth-User: eve\r\n")).await;
    assert!(response.contains("\nidentity none\n") && !response.contains("eve"), "{response}");
}

#[tokio::test]
async fn responses_to_head_have_no_body() {
    let address = gateway(AuthLayer::new(ApiKey::header(ApiKeys::default()))).await;
    let response = send(address, "HEAD / HTTP/1.1\r\n").await;
    assert!(response.starts_with("http/1.1 401 ") && response.ends_with("\r\n\r\n"), "{response}");
}

/// Starts a service that allows requests with the cookie of a session.
async fn authority() -> SocketAddr {
    let service = service_fn(async |request: Request<Incoming>| {
        let is_asked = request.uri().path() == "/auth" && request.headers()["x-original-uri"] == "/private?a=b";
        let cookie = request.headers().get("cookie").and_then(|cookie| cookie.to_str().ok());
        let response = match cookie {
            _ if !is_asked => Response::builder().status(400),
            Some("session=1") => Response::builder().header("x-auth-user", "ann").header("x-token", "t"),
            Some(_) => Response::builder().status(403).header("x-inner", "secret"),
            None => Response::builder().status(302).header("location", "/login"),
        };
        response.body("the service's own text".to_owned())
    });
    let (listener, address) = listener().await;
    tokio::spawn(Server::new(service).serve(listener));
    address
}

#[tokio::test]
async fn an_external_service_decides() {
    let authority = authority().await;
    let pool = Pool::default();
    let endpoints = [EndpointSpec::new(authority.to_string())];
    pool.try_update(endpoints, |spec| Upstream::new(spec.address())).expect("a pool");
    let external = External::new(HttpClient::new(pool), "/auth")
        .expect("a URI")
        .timeout(Duration::from_secs(30))
        .forward_fields([HeaderName::from_static("x-token")])
        .expect("fields");
    let address = gateway(AuthLayer::new(external.clone())).await;
    let ask = async |fields: &str| send(address, &format!("GET /private?a=b HTTP/1.1\r\n{fields}")).await;

    let response = ask("Cookie: session=1\r\nX-Token: forged\r\nX-Original-URI: /public\r\n").await;
    assert!(response.starts_with("http/1.1 200 ") && response.contains("\nidentity ann\n"), "{response}");
    assert!(response.contains("\nx-token: t\n") && !response.contains("forged"), "{response}");

    let response = ask("Cookie: session=2\r\n").await;
    assert!(response.starts_with("http/1.1 403 ") && !response.contains("secret"), "{response}");
    assert!(!response.contains("own text"), "{response}");

    let response = ask("").await;
    assert!(response.starts_with("http/1.1 302 ") && response.contains("\r\nlocation: /login\r\n"), "{response}");
    assert_eq!((external.stats().requests, external.stats().failures), (3, 0));

    // A service that has no endpoints is not available.
    let away = External::new(HttpClient::new(Pool::default()), "/auth").expect("a URI");
    let address = gateway(AuthLayer::new(away.clone()).optional()).await;
    let response = send(address, "GET / HTTP/1.1\r\nAccept: application/json\r\n").await;
    assert!(response.starts_with("http/1.1 503 ") && response.contains("\"code\":\"auth_unavailable\""), "{response}");
    assert!(response.contains("\r\nretry-after: 1\r\n"), "{response}");
    assert_eq!((away.stats().requests, away.stats().failures), (1, 1));
}
