//! A service that answers as a script says, a clock, and short forms for requests and responses.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use equipoise_gateway::cache::{Cache, CacheBody, CacheBuilder, CacheError, CacheLayer};
use http::{Request, Response};
use http_body_util::{
    BodyExt, Collected, Empty, Full,
    channel::{Channel, Sender},
    combinators::UnsyncBoxBody,
};
use parking_lot::Mutex;
use tower::{Layer, Service, ServiceExt};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type ScriptBody = UnsyncBoxBody<Bytes, BoxError>;
pub(crate) type Answer = Result<Response<ScriptBody>, BoxError>;
pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Script = Boxed<Answer>;

/// The fields of a response that is fresh for a minute.
pub(crate) const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

/// Answers requests in the order of the script, and keeps their heads. Without a next line it panics.
#[derive(Clone, Default)]
pub(crate) struct Backend {
    script: Arc<Mutex<VecDeque<Script>>>,
    seen: Arc<Mutex<Vec<Request<()>>>>,
}

impl Backend {
    pub(crate) fn then(&self, answer: impl Future<Output = Answer> + Send + 'static) -> &Self {
        self.script.lock().push_back(Box::pin(answer));
        self
    }

    /// The next answer has these fields, and this status and body.
    pub(crate) fn answers(&self, status: u16, fields: &[(&str, &str)], body: &str) -> &Self {
        let response = response(status, fields, full(body));
        self.then(async { Ok(response) })
    }

    pub(crate) fn fails(&self) -> &Self {
        self.then(async { Err("connection refused".into()) })
    }

    /// The number of requests that it got.
    pub(crate) fn count(&self) -> usize {
        self.seen.lock().len()
    }

    /// The URI of the last request.
    pub(crate) fn last_uri(&self) -> Option<String> {
        Some(self.seen.lock().last()?.uri().to_string())
    }

    /// The value of a field in the last request.
    pub(crate) fn last(&self, name: &str) -> Option<String> {
        let seen = self.seen.lock();
        Some(seen.last()?.headers().get(name)?.to_str().expect("text").to_owned())
    }
}

impl Service<Request<Empty<Bytes>>> for Backend {
    type Response = Response<ScriptBody>;
    type Error = BoxError;
    type Future = Script;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Script {
        self.seen.lock().push(request.map(drop));
        let next = self.script.lock().pop_front();
        next.unwrap_or_else(|| Box::pin(async { Err("the script has ended".into()) }))
    }
}

/// A cache around a [`Backend`], with a clock of its own.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) backend: Backend,
    pub(crate) cache: Cache<Backend>,
    clock: Arc<AtomicU64>,
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn field(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("text"))
    }

    /// Whether the cache says that it was a hit.
    pub(crate) fn is_hit(&self) -> bool {
        self.field("cache-status").starts_with("equipoise; hit")
    }
}

impl Stage {
    pub(crate) fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub(crate) fn with(settings: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        Self::of(settings(CacheLayer::builder(64 * 1024 * 1024)))
    }

    pub(crate) fn of(builder: CacheBuilder) -> Self {
        // 2026-01-01, and a part of a second so that nothing depends on whole ones.
        let clock = Arc::new(AtomicU64::new(1_767_225_600_500));
        let reader = Arc::clone(&clock);
        let now = move || SystemTime::UNIX_EPOCH + Duration::from_millis(reader.load(Ordering::Relaxed));
        let layer = builder.clock(now).build().expect("valid settings");
        let backend = Backend::default();
        Self { cache: layer.layer(backend.clone()), backend, clock }
    }

    /// Lets this many seconds pass.
    pub(crate) fn pass(&self, seconds: u64) {
        self.clock.fetch_add(seconds * 1000, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.clock.load(Ordering::Relaxed))
    }

    /// A date of HTTP, some seconds from now.
    pub(crate) fn date(&self, seconds: i64) -> String {
        let offset = Duration::from_secs(seconds.unsigned_abs());
        httpdate::fmt_http_date(if seconds < 0 { self.now() - offset } else { self.now() + offset })
    }

    // Boxed: rustc does not see that the future of a service with boxed errors is `Send` inside of an `async` block.
    pub(crate) fn send(
        &self,
        request: Request<Empty<Bytes>>,
    ) -> Boxed<Result<Response<CacheBody<ScriptBody>>, CacheError>> {
        Box::pin(self.cache.clone().oneshot(request))
    }

    /// Sends a request and reads the whole response.
    pub(crate) async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> Got {
        let response = self.send(request(method, path, fields)).await.expect("a response");
        read(response).await.expect("a complete body")
    }

    pub(crate) async fn get(&self, path: &str, fields: &[(&str, &str)]) -> Got {
        self.ask("GET", path, fields).await
    }

    /// Sends a request for `/` and says whether the backend got one.
    pub(crate) async fn reaches_backend(&self, fields: &[(&str, &str)]) -> bool {
        let before = self.backend.count();
        self.backend.answers(200, &[("cache-control", "no-store")], "from the backend");
        self.get("/", fields).await;
        // An answer that was not needed would be given to a later request.
        let reached = self.backend.count() > before;
        if !reached {
            self.backend.script.lock().pop_back();
        }
        reached
    }
}

pub(crate) async fn read(response: Response<CacheBody<ScriptBody>>) -> Result<Got, BoxError> {
    let (parts, body) = response.into_parts();
    let bytes = collect(body).await?.to_bytes();
    let body = String::from_utf8(bytes.to_vec())?;
    Ok(Got { status: parts.status.as_u16(), headers: parts.headers, body })
}

fn collect(body: CacheBody<ScriptBody>) -> Boxed<Result<Collected<Bytes>, BoxError>> {
    Box::pin(body.collect())
}

pub(crate) fn request(method: &str, path: &str, fields: &[(&str, &str)]) -> Request<Empty<Bytes>> {
    let mut request = Request::builder().method(method).uri(path).header("host", "example.com");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(Empty::new()).expect("a request")
}

pub(crate) fn response(status: u16, fields: &[(&str, &str)], body: ScriptBody) -> Response<ScriptBody> {
    let mut response = Response::builder().status(status);
    for (name, value) in fields {
        response = response.header(*name, *value);
    }
    response.body(body).expect("a response")
}

pub(crate) fn full(body: &str) -> ScriptBody {
    Full::new(Bytes::from(body.to_owned())).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body that the test writes, and its writing end.
pub(crate) fn channel() -> (Sender<Bytes, BoxError>, ScriptBody) {
    let (sender, body) = Channel::<Bytes, BoxError>::new(64);
    (sender, body.boxed_unsync())
}

/// Lets all tasks do what they can do without the test.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
