//! An API gateway in one program: API keys, a limit for each client, a cache and compression, in front of a balanced pool.
//! The program is its own client, and checks what it gets.
//!
//! ```text
//! cargo run --example api_gateway
//! ```

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

use anyhow::ensure;
use axum::{Router, http::HeaderMap, routing::get};
use equipoise::{
    EndpointSpec, HttpClient, Pool, Upstream,
    gateway::{
        auth::{ApiKey, ApiKeys, AuthLayer},
        cache::{CacheLayer, KeyPolicy},
        compression::CompressionLayer,
        filter::{FilterLayer, FilterRules, Rule, UriLayer},
        limit::{Limit, LimitKey, Quota, RateLimitLayer},
        stack::Functions,
    },
    proxy::{ReverseProxy, server::Server},
};
use http::{
    Method,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use reqwest::{Response, StatusCode};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let calls = Arc::new(AtomicU32::new(0));
    let backends = [backend(&calls).await?, backend(&calls).await?];
    let pool = Pool::default();
    pool.try_update(backends.map(|address| EndpointSpec::new(address.to_string())), |spec| {
        Upstream::new(spec.address())
    })?;

    // A gateway would read the hashes of keys from a file.
    let (ada, bob) = (ApiKeys::generate(), ApiKeys::generate());
    let keys: ApiKeys = format!("ada:{}\nbob:{}", ada.hash, bob.hash).parse()?;
    let cache = CacheLayer::builder(64 << 20).key(KeyPolicy::new().per_identity()).build()?;
    let per_user = Limit::new("user", LimitKey::identity(), Quota::per_hour(5).burst(5));

    // They are applied in a safe order, whatever the order here.
    let functions = Functions::new()
        .cache(cache.clone())
        .compress(CompressionLayer::new().min_bytes(100))
        .authenticate(AuthLayer::new(ApiKey::header(keys)))
        .rate_limit(RateLimitLayer::per_client(Quota::per_minute(100).burst(100))?)
        .rate_limit_identities(RateLimitLayer::builder().limit(per_user).build()?)
        .filter(FilterLayer::new(FilterRules::new([Rule::only_methods("read", [Method::GET, Method::HEAD])])?))
        .uri(UriLayer::default());
    let proxy = ReverseProxy::new(functions.layer(HttpClient::new(pool))?);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/orders", listener.local_addr()?);
    let server = Server::new(proxy);
    tokio::spawn(server.clone().serve(listener));

    let client = reqwest::Client::builder().no_proxy().build()?;
    let send = async |method: Method, key: Option<&str>| -> anyhow::Result<Response> {
        let request = client.request(method, &url).header("accept-encoding", "gzip");
        // A client cannot claim an identity.
        let request = request.header("x-auth-user", "root");
        Ok(match key {
            Some(key) => request.header("x-api-key", key).send().await?,
            None => request.send().await?,
        })
    };

    let response = send(Method::GET, None).await?;
    println!("without a key:      {} {}", response.status(), response.text().await?.trim());
    ensure!(calls.load(Relaxed) == 0, "the backend was reached without a key");

    let response = send(Method::DELETE, Some(&ada.key)).await?;
    println!("with DELETE:        {}", response.status());
    ensure!(response.status() == StatusCode::METHOD_NOT_ALLOWED);

    for turn in 1..=5 {
        let response = send(Method::GET, Some(&ada.key)).await?;
        ensure!(response.status() == StatusCode::OK);
        ensure!(response.headers()["content-encoding"] == "gzip", "the response is not compressed");
        println!("request {turn} of ada:   {:?}", response.headers()["cache-status"]);
    }
    ensure!(calls.load(Relaxed) == 1, "the cache has not served ada");

    let response = send(Method::GET, Some(&ada.key)).await?;
    println!("request 6 of ada:   {}, retry after {:?} seconds", response.status(), response.headers()["retry-after"]);
    ensure!(response.status() == StatusCode::TOO_MANY_REQUESTS);

    let response = send(Method::GET, Some(&bob.key)).await?;
    ensure!(response.status() == StatusCode::OK && calls.load(Relaxed) == 2, "bob has got the response for ada");
    println!("request 1 of bob:   {:?}", response.headers()["cache-status"]);
    println!("the cache:          {} hits, {} misses", cache.stats().hits, cache.stats().misses);
    Ok(())
}

/// A backend that believes the field `X-Auth-User`, because only the gateway reaches it. Returns its address.
async fn backend(calls: &Arc<AtomicU32>) -> anyhow::Result<SocketAddr> {
    let calls = Arc::clone(calls);
    let orders = async move |headers: HeaderMap| {
        calls.fetch_add(1, Relaxed);
        let user = headers.get("x-auth-user").and_then(|user| user.to_str().ok()).unwrap_or("nobody");
        let orders: Vec<_> = (1..=20).map(|number| format!("order {number} of {user}")).collect();
        let fields = [(CACHE_CONTROL, "max-age=60"), (CONTENT_TYPE, "application/json")];
        (fields, serde_json::json!(orders).to_string())
    };
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let router = Router::new().route("/orders", get(orders));
    tokio::spawn(async { axum::serve(listener, router).await });
    Ok(address)
}
