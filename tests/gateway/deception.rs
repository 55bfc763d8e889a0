//! Web cache deception: an attacker leads a user to a URL that looks like a file, and reads the stored page of the user.

use equipoise::gateway::{cache::CacheBuilder, filter::UriLayer, stack::Functions};
use equipoise_tests::{Backend, Seen};
use http::Request;

use crate::setup::{Gateway, answer, cache};

/// A backend that ignores the end of the path, reads sessions from a cookie, and allows caches by mistake.
fn backend(content_type: &'static str) -> Backend {
    Backend::answering(move |seen: &Seen| {
        let user = seen.header("cookie").unwrap_or("nobody").to_owned();
        answer(200, &[("cache-control", "max-age=60"), ("content-type", content_type)], format!("page of {user}"))
    })
    .expect("a free port")
}

/// Returns whether an attacker gets the page of a user that was led to the path.
async fn leaks(path: &str, content_type: &'static str, settings: impl FnOnce(CacheBuilder) -> CacheBuilder) -> bool {
    let backend = backend(content_type);
    let gateway = Gateway::start(Functions::new().cache(cache(settings)), backend.address()).await;
    let user = gateway.send(Request::get(path).header("cookie", "session=ada")).await;
    assert_eq!(user.text(), "page of session=ada", "{path}");
    gateway.get(path).await.text().contains("ada")
}

const FILES: [&str; 16] = [
    "/account/x.css",
    "/account/x.CSS",
    "/account/x.js",
    "/account/x.png?v=1",
    "/account/.css",
    "/account;x.css",
    "/account%3bx.css",
    "/account%2fx.css",
    "/account%0ax.css",
    "/account%3fx.css",
    "/account%23x.css",
    "/account/x.min.js",
    "/account/x%2ecss",
    "/account/x.css;y",
    "/account/x.css%3fy=z",
    "/account/x.css/",
];

#[tokio::test]
async fn a_page_under_the_name_of_a_file_is_not_stored() {
    for path in FILES {
        assert!(!leaks(path, "text/html; charset=utf-8", |cache| cache).await, "{path}");
    }
    for content_type in ["application/json", "application/xhtml+xml", "TEXT/HTML"] {
        assert!(!leaks("/account/x.css", content_type, |cache| cache).await, "{content_type}");
    }
    // The guard is what prevents it.
    assert!(leaks("/account/x.css", "text/html", |cache| cache.refuse_deception(false)).await);
}

#[tokio::test]
async fn other_types_of_json_under_the_name_of_a_file_are_not_stored() {
    for content_type in ["application/hal+json", "application/vnd.api+json", "application/ld+json"] {
        assert!(!leaks("/account/x.css", content_type, |cache| cache).await, "{content_type}");
    }
}

#[tokio::test]
async fn a_file_is_stored_under_its_own_name() {
    assert!(leaks("/files/x.css", "text/css", |cache| cache).await);
    assert!(leaks("/files/x.html", "text/html", |cache| cache).await);
}

#[tokio::test]
async fn encoded_dots_and_separators_do_not_reach_the_cache_behind_strict_paths() {
    let backend = backend("text/html");
    let functions = Functions::new().uri(UriLayer::default()).cache(cache(|cache| cache));
    let gateway = Gateway::start(functions, backend.address()).await;
    for path in ["/account/x%2ecss", "/account%2fx%2ecss", "/account%3bx.css", "/account;x.css", "/account%00.css"] {
        gateway.send(Request::get(path).header("cookie", "session=ada")).await;
        let attacker = gateway.get(path).await;
        assert!(!attacker.text().contains("ada"), "{path}: {}", attacker.text());
    }
}
