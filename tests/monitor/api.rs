use std::convert::Infallible;

use bytes::Bytes;
use equipoise::{
    gateway::{
        auth::{ApiKey, ApiKeys, AuthLayer},
        cache::CacheLayer,
        compression::{CompressionLayer, DecompressionLayer},
        limit::{Limit, LimitKey, Quota, RateLimitLayer},
        stack::{AnyBody, Functions, FunctionsService},
    },
    monitor::{Monitor, WatchedFunction},
};
use flate2::{Compression, write::GzEncoder};
use http::{Request, Response, request::Builder};
use http_body_util::{BodyExt, Full};
use tower::{ServiceExt, service_fn};

/// The functions of an API around a small service, for the tests of what people see of them. The monitor watches them as
/// `api limit`, `api auth`, `api compression`, `api cache` and `api decompression`.
pub(crate) struct Api {
    service: FunctionsService<Full<Bytes>, Full<Bytes>>,
    key: String,
}

impl Api {
    pub(crate) fn new(monitor: &Monitor) -> Self {
        let limit = Limit::new("all", LimitKey::global(), Quota::per_hour(8).burst(8));
        let limit = RateLimitLayer::builder().limit(limit).build().expect("a limit");
        let key = ApiKeys::generate();
        let keys: ApiKeys = format!("ada:{}", key.hash).parse().expect("keys");
        let (auth, compression) = (AuthLayer::new(ApiKey::header(keys)), CompressionLayer::new());
        let (cache, decompression) = (CacheLayer::new(1 << 20).expect("a cache"), DecompressionLayer::new());
        let functions = Functions::new()
            .rate_limit(limit.clone())
            .authenticate(auth.clone())
            .compress(compression.clone())
            .cache(cache.clone())
            .share_cache_between_identities()
            .decompress(decompression.clone());
        for watched in [
            WatchedFunction::new("api limit", move |into| into.rate_limits(&limit.stats())),
            WatchedFunction::new("api auth", move |into| into.auth(&auth.stats())),
            WatchedFunction::new("api compression", move |into| into.compression(&compression.stats())),
            WatchedFunction::new("api cache", move |into| {
                let stats = cache.stats();
                into.cache(&stats);
                into.cache_store(&stats.store);
            }),
            WatchedFunction::new("api decompression", move |into| into.decompression(&decompression.stats())),
        ] {
            monitor.add_function(watched);
        }
        Self { service: functions.layer(service_fn(answer)).expect("functions that fit together"), key: key.key }
    }

    async fn send(&self, request: Builder, body: impl Into<Bytes>) -> u16 {
        let request = request.header("host", "api.test").header("accept-encoding", "gzip");
        let request = request.body(Full::new(body.into())).expect("a request");
        let Ok(response) = self.service.clone().oneshot(request).await;
        let status = response.status().as_u16();
        response.into_body().collect().await.expect("a complete body");
        status
    }

    /// Sends eight requests and two more than the limit admits. Four of them are for one page, of which one is a miss. Of
    /// the others, one gets a response that is not stored, one has no key, and two have a body: one is compressed, the
    /// other has an encoding that is not known.
    pub(crate) async fn use_it(&self) {
        let with_key = |request: Builder| request.header("x-api-key", &self.key);
        for path in ["/page", "/page", "/page", "/page", "/private"] {
            assert_eq!(self.send(with_key(Request::get(path)), "").await, 200);
        }
        assert_eq!(self.send(Request::get("/page"), "").await, 401);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        std::io::Write::write_all(&mut gzip, &[b'.'; 100]).expect("memory");
        let gzip = gzip.finish().expect("memory");
        for (encoding, status) in [("gzip", 200), ("x-other", 415)] {
            let request = with_key(Request::post("/orders")).header("content-encoding", encoding);
            assert_eq!(self.send(request, gzip.clone()).await, status);
        }
        for _ in 0..2 {
            assert_eq!(self.send(with_key(Request::get("/page")), "").await, 429);
        }
    }
}

async fn answer(request: Request<AnyBody<Full<Bytes>>>) -> Result<Response<Full<Bytes>>, Infallible> {
    // A response to a client with a key is stored only if it may be shared.
    let control = if request.uri().path() == "/page" { "public, max-age=60" } else { "private" };
    // What is not read is not decompressed.
    let _ = request.into_body().collect().await;
    let response = Response::builder().header("content-type", "text/html").header("cache-control", control);
    Ok(response.body(Full::new(Bytes::from_static(&[b'.'; 5_000]))).expect("a response"))
}
