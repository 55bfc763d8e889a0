//! Directives, conditions and ranges of requests (RFC 9111, 4.3 and 5.2.1; RFC 9110, 13 and 14).

use crate::script::{Stage, request};

/// A stage with a fresh response to `/`, 5 seconds old.
async fn filled(fields: &[(&str, &str)]) -> Stage {
    let stage = Stage::new();
    let mut all = vec![("cache-control", "max-age=60")];
    all.extend(fields);
    stage.backend.answers(200, &all, "0123456789");
    stage.get("/", &[]).await;
    stage.pass(5);
    stage
}

#[tokio::test]
async fn a_request_may_ask_for_more_than_freshness() {
    for (control, reaches) in [
        ("no-cache", true),
        ("max-age=0", true),
        ("max-age=4", true),
        ("max-age=5", false),
        ("max-age=6", false),
        ("min-fresh=54", false),
        ("min-fresh=56", true),
        ("max-age=\"x", true),
        ("x=\"no-cache\"", false),
        ("no-store", false),
        ("max-stale", false),
    ] {
        let stage = filled(&[]).await;
        assert_eq!(stage.reaches_backend(&[("cache-control", control)]).await, reaches, "{control}");
    }
    assert!(filled(&[]).await.reaches_backend(&[("pragma", "no-cache")]).await);
    assert!(!filled(&[]).await.reaches_backend(&[("pragma", "no-cache"), ("cache-control", "x")]).await);
}

#[tokio::test]
async fn requests_cannot_bypass_a_cache_that_does_not_obey() {
    let stage = Stage::with(|cache| cache.obey_requests(false));
    stage.backend.answers(200, &[("cache-control", "max-age=60")], "x");
    stage.get("/", &[]).await;
    for control in ["no-cache", "max-age=0", "min-fresh=100", "no-store"] {
        assert!(!stage.reaches_backend(&[("cache-control", control)]).await, "{control}");
    }
}

#[tokio::test]
async fn only_if_cached_gets_504_without_a_response() {
    let stage = Stage::new();
    let got = stage.get("/", &[("cache-control", "only-if-cached"), ("accept", "application/json")]).await;
    assert_eq!((got.status, stage.backend.count()), (504, 0));
    assert!(got.body.contains("only_if_cached"), "{}", got.body);
    assert!(filled(&[]).await.get("/", &[("cache-control", "only-if-cached")]).await.is_hit());
}

#[tokio::test]
async fn the_response_to_a_request_with_no_store_is_not_stored() {
    let stage = Stage::new();
    stage.backend.answers(200, &[("cache-control", "max-age=60")], "first");
    stage.get("/", &[("cache-control", "no-store")]).await;
    assert!(stage.reaches_backend(&[]).await);
}

#[tokio::test]
async fn conditions_are_answered_from_the_store() {
    let stage = filled(&[("etag", "\"a\""), ("x-a", "1")]).await;
    let got = stage.get("/", &[("if-none-match", "\"x\", W/\"a\"")]).await;
    assert_eq!((got.status, got.body.as_str(), got.field("etag"), got.field("x-a")), (304, "", "\"a\"", "1"));
    assert_eq!((got.field("content-length"), got.field("age")), ("", "5"));
    assert_eq!(stage.get("/", &[("if-none-match", "\"b\""), ("if-modified-since", &stage.date(0))]).await.status, 200);

    let modified = stage.date(-1000);
    let stage = filled(&[("last-modified", &modified)]).await;
    assert_eq!(stage.get("/", &[("if-modified-since", &modified)]).await.status, 304);
    assert_eq!(stage.get("/", &[("if-modified-since", &stage.date(-2000))]).await.status, 200);
    assert_eq!(stage.backend.count(), 1);
}

#[tokio::test]
async fn a_condition_of_the_client_does_not_keep_the_cache_from_filling() {
    let stage = Stage::new();
    stage.backend.answers(200, &[("cache-control", "max-age=60"), ("etag", "\"a\"")], "body");
    let got = stage.get("/", &[("if-none-match", "\"a\"")]).await;
    assert_eq!((got.status, got.body.as_str(), stage.backend.last("if-none-match")), (304, "", None));
    let hit = stage.get("/", &[]).await;
    assert_eq!((hit.status, hit.body.as_str()), (200, "body"));
}

#[tokio::test]
async fn a_condition_that_the_cache_has_removed_counts_also_for_a_response_that_is_not_stored() {
    for control in ["no-store", "private"] {
        let stage = Stage::new();
        stage.backend.answers(200, &[("cache-control", control), ("etag", "\"a\""), ("content-type", "x")], "body");
        let got = stage.get("/", &[("if-none-match", "\"a\"")]).await;
        assert_eq!((got.status, got.body.as_str(), stage.backend.last("if-none-match")), (304, "", None), "{control}");
        assert_eq!((got.field("etag"), got.field("content-type")), ("\"a\"", ""));
        let status = format!("equipoise; fwd=uri-miss; fwd-status=200; detail={}", control.replace('-', "_"));
        assert_eq!(got.field("cache-status"), status);
    }
}

#[tokio::test]
async fn a_304_that_was_not_asked_for_is_an_error() {
    let stage = Stage::new();
    // The cache removes the condition of the second one.
    for (method, fields) in [("GET", &[][..]), ("GET", &[("if-none-match", "\"a\"")]), ("HEAD", &[])] {
        stage.backend.answers(304, &[], "");
        assert!(stage.send(request(method, "/", fields)).await.is_err(), "{method} {fields:?}");
    }
    // The condition of this one is forwarded.
    stage.backend.answers(304, &[], "");
    let fields = [("cache-control", "no-store"), ("if-none-match", "\"a\"")];
    assert_eq!(stage.get("/", &fields).await.status, 304);
}

#[tokio::test]
async fn ranges_are_parts_of_complete_responses() {
    let stage = filled(&[("etag", "\"a\"")]).await;
    for (fields, status, range, body) in [
        (&[("range", "bytes=0-1")][..], 206, "bytes 0-1/10", "01"),
        (&[("range", "bytes=7-")], 206, "bytes 7-9/10", "789"),
        (&[("range", "bytes=-2")], 206, "bytes 8-9/10", "89"),
        (&[("range", "bytes=10-")], 416, "bytes */10", ""),
        (&[("range", "bytes=0-1,1-5")], 200, "", "0123456789"),
        (&[("range", "bytes=0-1"), ("if-range", "\"a\"")], 206, "bytes 0-1/10", "01"),
        (&[("range", "bytes=0-1"), ("if-range", "W/\"a\"")], 200, "", "0123456789"),
        (&[("range", "bytes=0-1"), ("if-none-match", "\"a\"")], 304, "", ""),
    ] {
        let got = stage.get("/", fields).await;
        assert_eq!((got.status, got.field("content-range"), got.body.as_str()), (status, range, body), "{fields:?}");
    }
    let head = stage.ask("HEAD", "/", &[("range", "bytes=0-1")]).await;
    assert_eq!((head.status, head.field("content-length"), head.body.as_str()), (200, "10", ""));
    assert_eq!(stage.backend.count(), 1);
}

#[tokio::test]
async fn several_ranges_are_parts_of_one_message() {
    let stage = filled(&[("content-type", "text/x")]).await;
    let got = stage.get("/", &[("range", "bytes=7-, 0-1")]).await;
    let boundary = got.field("content-type").strip_prefix("multipart/byteranges; boundary=").expect("the parts");
    let part = |range: &str, bytes: &str| {
        format!("\r\n--{boundary}\r\ncontent-type: text/x\r\ncontent-range: bytes {range}/10\r\n\r\n{bytes}")
    };
    let body = part("7-9", "789") + &part("0-1", "01") + &format!("\r\n--{boundary}--\r\n");
    assert_eq!((got.status, got.field("content-range"), got.body.as_str()), (206, "", body.as_str()));
    assert_eq!(got.field("content-length"), got.body.len().to_string());
    let again = stage.get("/", &[("range", "bytes=7-, 0-1")]).await;
    assert_ne!(again.field("content-type"), got.field("content-type"), "a boundary must not be known in advance");
}

#[tokio::test]
async fn several_ranges_of_an_encoded_response_get_the_whole() {
    let stage = filled(&[("content-encoding", "gzip")]).await;
    let got = stage.get("/", &[("range", "bytes=0-1,4-5")]).await;
    assert_eq!((got.status, got.field("content-encoding"), got.body.as_str()), (200, "gzip", "0123456789"));
    assert_eq!(stage.get("/", &[("range", "bytes=0-1")]).await.status, 206);
}

#[tokio::test]
async fn a_range_behind_the_end_is_not_answered_by_other_caches() {
    let stage = filled(&[("etag", "\"a\""), ("cdn-cache-control", "max-age=60"), ("x-a", "1")]).await;
    let got = stage.get("/", &[("range", "bytes=10-")]).await;
    assert_eq!((got.status, got.field("cache-control"), got.field("x-a")), (416, "no-store", "1"));
    for name in ["etag", "cdn-cache-control", "expires", "age"] {
        assert_eq!(got.field(name), "", "{name}");
    }
}

#[tokio::test]
async fn an_error_about_the_range_of_one_client_is_not_stored_for_others() {
    for (status, range) in [(416, "bytes=10-"), (400, "bytes=x"), (404, "bytes=0-")] {
        let stage = Stage::new();
        stage.backend.answers(status, &[("cache-control", "max-age=60")], "error");
        assert_eq!(stage.get("/", &[("range", range)]).await.status, status);
        assert!(stage.reaches_backend(&[]).await, "{status} {range}");
    }
}

#[tokio::test]
async fn a_range_that_is_not_stored_is_forwarded() {
    let stage = Stage::new();
    let fields = [("cache-control", "max-age=60"), ("content-range", "bytes 0-1/10")];
    stage.backend.answers(206, &fields, "01").answers(206, &fields, "01");
    for _ in 0..2 {
        let got = stage.get("/", &[("range", "bytes=0-1")]).await;
        assert_eq!(
            (got.status, got.body.as_str(), stage.backend.last("range").as_deref()),
            (206, "01", Some("bytes=0-1"))
        );
    }
    assert_eq!(stage.backend.count(), 2);
}

#[tokio::test]
async fn requests_with_a_body_or_a_strong_condition_are_not_answered_from_the_store() {
    let stage = filled(&[("etag", "\"a\"")]).await;
    for field in [("content-length", "3"), ("transfer-encoding", "chunked"), ("if-match", "\"a\""), ("upgrade", "x")] {
        assert!(stage.reaches_backend(&[field]).await, "{field:?}");
    }
    assert!(!stage.reaches_backend(&[("content-length", "0")]).await);
}

#[tokio::test]
async fn the_host_the_scheme_and_the_exact_path_are_told_apart() {
    let stage = filled(&[]).await;
    for path in ["//", "/%2f", "/?", "/?a"] {
        stage.backend.answers(200, &[], "other");
        assert_eq!(stage.get(path, &[]).await.body, "other", "{path}");
    }
    assert!(stage.reaches_backend(&[("x-forwarded-proto", "https")]).await);
    assert!(!stage.reaches_backend(&[("x-forwarded-host", "evil.example"), ("x-http-method-override", "POST")]).await);
}

#[tokio::test]
async fn the_response_to_head_updates_or_removes_the_stored_one() {
    for (fields, survives) in [
        (&[("etag", "\"a\""), ("cache-control", "max-age=60"), ("x-a", "2")][..], true),
        (&[("etag", "\"b\""), ("cache-control", "max-age=60")], false),
        (&[("content-length", "9"), ("cache-control", "max-age=60")], false),
        // Without a validator, it says nothing: the stored response stays as it is, stale.
        (&[("cache-control", "max-age=60"), ("x-a", "2")], false),
    ] {
        let stage = filled(&[("etag", "\"a\""), ("x-a", "1")]).await;
        stage.pass(60);
        stage.backend.answers(200, fields, "");
        stage.ask("HEAD", "/", &[]).await;
        stage.backend.answers(200, &[], "new");
        let got = stage.get("/", &[]).await;
        assert_eq!((got.is_hit(), got.field("x-a") == "2"), (survives, survives), "{fields:?}");
    }
}
