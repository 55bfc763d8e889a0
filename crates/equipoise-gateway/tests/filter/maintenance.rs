use std::time::Duration;

use equipoise_affinity::source::PeerAddr;
use equipoise_gateway::filter::{Maintenance, MaintenanceLayer, MaintenancePage};
use http::{HeaderName, Version};

use super::{request, send};

fn active() -> (Maintenance, MaintenanceLayer) {
    let maintenance = Maintenance::new();
    maintenance.switch(true);
    (maintenance.clone(), MaintenanceLayer::new(maintenance))
}

#[tokio::test]
async fn the_switch_decides_while_the_layer_runs() {
    let (maintenance, layer) = active();
    let answer = send(&layer, request("GET", "/x")).await;
    assert_eq!((answer.status, answer.code), (503, Some("maintenance")));
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert!(answer.body.contains("\"detail\":\"this service is in maintenance\""), "{}", answer.body);
    maintenance.switch(false);
    assert_eq!(send(&layer, request("GET", "/x")).await.status, 200);
    let stats = layer.stats();
    assert_eq!((stats.active, stats.answered, stats.changes), (false, 1, 2));
}

#[tokio::test]
async fn each_client_gets_a_form_that_it_reads() {
    let (maintenance, layer) = active();
    let page = MaintenancePage::new().message("back at 10:00").retry_after(Duration::from_millis(1500));
    maintenance.set_page(page.html("<h1>back at 10:00</h1>").expect("a page"));
    for (accept, kind, body) in [
        ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "text/html; charset=utf-8", "<h1>"),
        ("application/json", "application/problem+json", "\"code\":\"maintenance\""),
        ("*/*", "application/problem+json", "\"detail\":\"back at 10:00\""),
        ("text/plain", "text/plain; charset=utf-8", "back at 10:00\n"),
        ("text/html;q=0", "application/problem+json", "\"detail\":\"back at 10:00\""),
    ] {
        let mut request = request("GET", "/");
        request.headers_mut().insert("accept", accept.parse().expect("a value"));
        let answer = send(&layer, request).await;
        assert_eq!(
            (answer.status, &answer.headers["content-type"]),
            (503, &kind.parse().expect("a value")),
            "{accept}"
        );
        assert!(answer.body.contains(body), "{accept}: {}", answer.body);
        assert_eq!(
            (&answer.headers["retry-after"], &answer.headers["vary"]),
            (&"2".parse().expect("a value"), &"accept".parse().expect("a value"))
        );
    }
    let mut head = request("HEAD", "/");
    head.headers_mut().insert("accept", "text/html".parse().expect("a value"));
    let answer = send(&layer, head).await;
    assert_eq!((answer.body.as_str(), &answer.headers["content-length"]), ("", &"22".parse().expect("a value")));
    // A proxy around the layer changes the version of a call.
    for version in [Version::HTTP_2, Version::HTTP_11] {
        let mut call = request("POST", "/");
        *call.version_mut() = version;
        call.headers_mut().insert("content-type", "application/grpc".parse().expect("a value"));
        call.headers_mut().insert("accept", "text/html".parse().expect("a value"));
        let answer = send(&layer, call).await;
        assert_eq!((answer.status, &answer.headers["grpc-status"]), (200, &"14".parse().expect("a value")));
    }
}

#[tokio::test]
async fn exempt_requests_are_passed_on() {
    let (_, layer) = active();
    let secret = HeaderName::from_static("x-preview");
    let layer = layer
        .exempt_addresses("198.51.100.0/24".parse().expect("ranges"))
        .exempt_path("/health")
        .expect("a pattern")
        .exempt_secret(secret.clone(), "s3cret");
    assert_eq!(send(&layer, request("GET", "/")).await.status, 503);
    assert_eq!(send(&layer, request("GET", "/health")).await.status, 200);
    for path in [
        "/health;/../admin",
        "/health;x",
        "/x%2f..%2fhealth",
        "/health/x",
        "/;/health",
        "/x/../health",
        "//health",
        "/healt%2568",
        "/healt%68",
        "/HEALTH",
    ] {
        assert_eq!(send(&layer, request("GET", path)).await.status, 503, "{path}");
    }
    for (value, status) in [("s3cret", 200), ("s3creT", 503), ("s3cret1", 503), ("", 503)] {
        let mut request = request("GET", "/");
        request.headers_mut().insert(secret.clone(), value.parse().expect("a value"));
        assert_eq!(send(&layer, request).await.status, status, "{value}");
    }
    let mut operator = request("GET", "/");
    operator.extensions_mut().insert(PeerAddr("198.51.100.9:1".parse().expect("an address")));
    assert_eq!(send(&layer, operator).await.status, 200);
    assert_eq!(layer.stats().exempt, 3);
}

#[tokio::test]
async fn a_site_can_be_read_only() {
    let (_, layer) = active();
    let layer = layer.read_only(true);
    assert_eq!(send(&layer, request("GET", "/")).await.status, 200);
    assert_eq!(send(&layer, request("DELETE", "/")).await.status, 503);
}
