use http::{HeaderMap, Method, Request};
use http_body_util::Full;
use tower::ServiceExt;

use crate::common::{Setup, get, is_whole, request, text};

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

#[tokio::test]
async fn the_page_and_its_files_are_served() {
    let setup = Setup::new();
    for (path, content_type, caching) in [
        ("/", "text/html; charset=utf-8", "no-cache"),
        ("/assets/page.css", "text/css; charset=utf-8", "no-cache"),
        ("/assets/page.js", "text/javascript; charset=utf-8", "no-cache"),
        ("/assets/icon.svg", "image/svg+xml", "no-cache"),
        ("/status.json", "application/json", "no-store"),
        ("/explain?pool=web", "application/json", "no-store"),
    ] {
        let response = setup.get(path).await;
        assert_eq!(response.status(), 200, "{path}");
        let headers = response.headers();
        assert_eq!((header(headers, "content-type"), header(headers, "cache-control")), (content_type, caching));
        assert!(is_whole(response.body()) && !text(response).await.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn the_page_loads_only_files_that_are_served() {
    let setup = Setup::new();
    let mut to_read = vec!["/".to_owned()];
    let mut read = Vec::new();
    while let Some(path) = to_read.pop() {
        if read.contains(&path) {
            continue;
        }
        let response = setup.get(&path).await;
        assert_eq!(response.status(), 200, "{path}");
        let file = text(response).await;
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        // Attributes of HTML, and imports of modules.
        for start in ["src=\"", "href=\"", "from \"", "import \""] {
            for found in file.split(start).skip(1).filter_map(|rest| rest.split('"').next()) {
                let relative = found.strip_prefix("./").unwrap_or(found);
                assert!(!relative.contains(':') && !relative.starts_with(['/', '.']), "{path}: {found}");
                if !relative.starts_with('#') {
                    to_read.push(format!("{folder}/{relative}"));
                }
            }
        }
        read.push(path);
    }
    assert!(read.len() >= 4, "{read:?}");
}

#[tokio::test]
async fn every_response_has_the_headers_that_protect_the_page() {
    let setup = Setup::new();
    let requests = [
        get("/"),
        get("/updates"),
        get("/status.json"),
        get("/assets/page.js"),
        get("/nothing"),
        get("/explain?x=1"),
        request("/endpoints").method(Method::POST).body(Full::default()).unwrap(),
        Request::get("/").header("host", "evil.test").body(Full::default()).unwrap(),
    ];
    for request in requests {
        let uri = request.uri().clone();
        let response = setup.send(request).await;
        let headers = response.headers();
        let policy = header(headers, "content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"), "{uri}: {policy}");
        assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{uri}: {policy}");
        assert_eq!(header(headers, "x-content-type-options"), "nosniff", "{uri}");
        assert_eq!(header(headers, "referrer-policy"), "no-referrer", "{uri}");
        assert_eq!(header(headers, "cross-origin-resource-policy"), "same-origin", "{uri}");
        assert!(!headers.contains_key("access-control-allow-origin"), "{uri}");
    }
}

#[tokio::test]
async fn json_is_sent_to_clients_that_prefer_it() {
    let setup = Setup::new();
    for (accept, content_type) in [
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("*/*", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
    ] {
        let response = setup.send(request("/").header("accept", accept).body(Full::default()).unwrap()).await;
        assert_eq!(header(response.headers(), "content-type"), content_type, "{accept}");
        assert_eq!(header(response.headers(), "vary"), "accept");
    }
    let response = setup.send(request("/").header("accept", "image/png").body(Full::default()).unwrap()).await;
    assert_eq!(response.status(), 406);
    assert_eq!(text(response).await, "the page is text/html or application/json\n");
}

#[tokio::test]
async fn a_file_that_the_client_has_is_not_sent_again() {
    let setup = Setup::new();
    let first = setup.get("/assets/page.js").await;
    let etag = header(first.headers(), "etag").to_owned();
    assert!(etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    for (known, status) in [
        (etag.clone(), 304),
        (format!("\"x\", W/{etag}"), 304),
        ("*".to_owned(), 304),
        ("\"x\"".to_owned(), 200),
        (String::new(), 200),
    ] {
        let request = request("/assets/page.js").header("if-none-match", &known).body(Full::default()).unwrap();
        let response = setup.send(request).await;
        assert_eq!(response.status(), status, "{known}");
        assert_eq!(header(response.headers(), "etag"), etag);
        assert_eq!(text(response).await.is_empty(), status == 304);
    }
    assert_ne!(header(setup.get("/assets/page.css").await.headers(), "etag"), etag);
}

#[tokio::test]
async fn head_has_the_headers_of_get_and_no_body() {
    let setup = Setup::new();
    for path in ["/", "/assets/page.css", "/nothing"] {
        let get = setup.get(path).await;
        let head = setup.send(request(path).method(Method::HEAD).body(Full::default()).unwrap()).await;
        assert_eq!(head.status(), get.status(), "{path}");
        assert_eq!(header(head.headers(), "content-type"), header(get.headers(), "content-type"));
        let length = header(head.headers(), "content-length").to_owned();
        assert_eq!((text(head).await.as_str(), length), ("", text(get).await.len().to_string()), "{path}");
    }
    // It takes no place of a stream.
    let setup = setup.with(|page| page.max_streams(0));
    let head = setup.send(request("/updates").method(Method::HEAD).body(Full::default()).unwrap()).await;
    assert_eq!((head.status().as_u16(), header(head.headers(), "content-type")), (200, "text/event-stream"));
    assert!(!is_whole(head.body()) && !head.headers().contains_key("content-length"));
    assert_eq!(text(head).await, "");
    assert_eq!(setup.get("/updates").await.status(), 503);
}

#[tokio::test]
async fn wrong_methods_and_paths_are_refused_with_what_would_be_right() {
    let setup = Setup::new();
    for (method, path, allow) in [
        (Method::POST, "/", "GET, HEAD"),
        (Method::PUT, "/status.json", "GET, HEAD"),
        (Method::OPTIONS, "/endpoints", "POST"),
        (Method::GET, "/endpoints", "POST"),
        (Method::DELETE, "/endpoints", "POST"),
    ] {
        let response = setup.send(request(path).method(method).body(Full::default()).unwrap()).await;
        assert_eq!((response.status().as_u16(), header(response.headers(), "allow")), (405, allow), "{path}");
        assert_eq!(text(response).await, format!("use {allow}\n"));
    }
    for path in ["/nothing", "/assets/", "/assets/../service.rs", "/assets/%2e%2e/x", "//", "/status.json/", "/a/b"] {
        let response = setup.get(path).await;
        assert_eq!(response.status(), 404, "{path}");
        assert!(text(response).await.starts_with("the status page is at /, its data at /status.json"), "{path}");
    }
}

#[tokio::test]
async fn a_page_below_a_path_is_found_there() {
    let setup = Setup::new();
    let setup = setup.with(|page| page.at("/admin/status"));
    assert_eq!(setup.get("/admin/status/").await.status(), 200);
    assert_eq!(setup.get("/admin/status/assets/page.js").await.status(), 200);
    assert_eq!(setup.get("/").await.status(), 404);
    let response = setup.get("/admin/status?pool=web").await;
    assert_eq!((response.status().as_u16(), header(response.headers(), "location")), (307, "./status/?pool=web"));
}

#[tokio::test]
async fn names_of_other_sites_are_refused() {
    let setup = Setup::new();
    let rebound = || Request::get("/status.json").header("host", "evil.test:9000").body(Full::default()).unwrap();
    let response = setup.send(rebound()).await;
    assert_eq!(response.status(), 421);
    assert!(text(response).await.contains("StatusPage::allow_host"));
    for page in [setup.page.clone().allow_host("EVIL.test"), setup.page.clone().allow_any_host()] {
        assert_eq!(page.oneshot(rebound()).await.unwrap().status(), 200);
    }
}

#[cfg(feature = "axum")]
#[tokio::test]
async fn axum_serves_the_page_as_a_router_and_as_a_nested_service() {
    use axum::{Router, body::Body, routing::get};

    let setup = Setup::new();
    let status = async |app: &Router, path: &str| {
        let request = request(path).body(Body::empty()).unwrap();
        let response = app.clone().oneshot(request).await.unwrap();
        (response.status().as_u16(), header(response.headers(), "location").to_owned())
    };
    let own = || Router::new().without_v07_checks().route("/other", get(|| async { "other" }));
    let merged = own().merge(setup.page.clone().at("/{a}/:b").router());
    let nested = own().nest_service("/%7Ba%7D/:b", setup.page.clone());
    for (app, mount) in [(&merged, "/{a}/:b"), (&nested, "/%7Ba%7D/:b")] {
        for path in ["/", "/status.json", "/assets/page.js", "/assets/icon.svg"] {
            assert_eq!(status(app, &format!("{mount}{path}")).await, (200, String::new()), "{mount}{path}");
        }
        assert_eq!(status(app, mount).await, (307, "./:b/".to_owned()));
        assert_eq!(status(app, &format!("{mount}/nothing")).await.0, 404);
        assert_eq!(status(app, "/other").await.0, 200);
    }
    let at_root = own().merge(setup.page.clone().router());
    assert_eq!((status(&at_root, "/").await.0, status(&at_root, "/other").await.0), (200, 200));
}
