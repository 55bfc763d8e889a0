//! An application with axum as the endpoint of a proxy. It serves HTTP/1.1 and HTTP/2.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::{any, get, post},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{net::TcpListener, sync::Semaphore};

/// The length of the response to `/large`: frames of 64 KiB.
pub(crate) const LARGE: usize = 128 * FRAME.len();
static FRAME: [u8; 64 * 1024] = [b'.'; 64 * 1024];

/// Starts the application. Returns its address.
pub(crate) async fn start() -> String {
    serve(routes()).await
}

/// Serves a router on a free port. Returns its address.
pub(crate) async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async { axum::serve(listener, router).await });
    address
}

fn routes() -> Router {
    Router::new()
        .route("/hello", get(async || "hello"))
        .route("/name/{name}", get(async |Path(name): Path<String>| name))
        .route("/echo", any(echo))
        .route("/count", post(count))
        .route("/large", get(large))
        .route("/endless", get(endless))
        .route("/trailers", get(trailers))
        .route("/held", get(held))
        .route("/release", post(async |State(may_end): State<Arc<Semaphore>>| may_end.add_permits(1)))
        .route("/redirect", get(async || Redirect::to("/name/end")))
        .route("/moved", post(async || Redirect::temporary("/echo")))
        .route("/absolute", get(absolute))
        .route("/login", get(async || [(header::SET_COOKIE, "user=ada; Path=/; HttpOnly")]))
        .route("/user", get(user))
        .with_state(Arc::new(Semaphore::new(0)))
}

/// Answers with the method and the body of the request.
async fn echo(request: Request) -> Result<impl IntoResponse, StatusCode> {
    let method = HeaderValue::from_str(request.method().as_str()).expect("a token");
    let framing = if request.headers().contains_key(header::CONTENT_LENGTH) { "length" } else { "none" };
    let body = request.into_body().collect().await.map_err(|_| StatusCode::BAD_REQUEST)?.to_bytes();
    Ok(([("x-method", method), ("x-framing", HeaderValue::from_static(framing))], body))
}

/// Reads a body of any length. Answers with its length.
async fn count(body: Body) -> String {
    let mut body = body.into_data_stream();
    let mut length = 0;
    while let Some(data) = body.next().await {
        length += data.map_or(0, |data| data.len());
    }
    length.to_string()
}

async fn large() -> Body {
    let frames = stream::repeat(Bytes::from_static(&FRAME)).take(LARGE / FRAME.len());
    Body::from_stream(frames.map(Ok::<_, std::convert::Infallible>))
}

async fn endless() -> Body {
    Body::from_stream(stream::repeat(Bytes::from_static(&FRAME)).map(Ok::<_, std::convert::Infallible>))
}

async fn trailers() -> Response {
    let trailers = HeaderMap::from_iter([(header::HeaderName::from_static("x-sum"), HeaderValue::from_static("5"))]);
    let frames = [Frame::data(Bytes::from_static(b"hello")), Frame::trailers(trailers)];
    let body = Body::new(StreamBody::new(stream::iter(frames.map(Ok::<_, std::convert::Infallible>))));
    ([("trailer", "x-sum")], body).into_response()
}

/// Answers with "first". The rest, "second", follows after a request to `/release`.
async fn held(State(may_end): State<Arc<Semaphore>>) -> Body {
    let parts = stream::iter(["first", "second"]).then(move |part| {
        let may_end = Arc::clone(&may_end);
        async move {
            if part == "second" {
                may_end.acquire().await.expect("not closed").forget();
            }
            Ok::<_, std::convert::Infallible>(part)
        }
    });
    Body::from_stream(parts)
}

/// A redirect to the host that the client asked for.
async fn absolute(headers: HeaderMap) -> Redirect {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    Redirect::permanent(&format!("http://{host}/name/absolute"))
}

async fn user(headers: HeaderMap) -> Result<String, StatusCode> {
    let cookies = headers.get(header::COOKIE).and_then(|cookies| cookies.to_str().ok());
    cookies.map(str::to_owned).ok_or(StatusCode::UNAUTHORIZED)
}
