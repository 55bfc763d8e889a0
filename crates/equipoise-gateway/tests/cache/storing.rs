//! Which responses are stored, and for how long they are fresh (RFC 9111, 3 and 4.2).

use equipoise_gateway::cache::{KeyPolicy, SetCookie};

use crate::script::Stage;

/// Whether a response with these fields is used for the next request.
async fn is_reused(status: u16, fields: &[(&str, &str)]) -> bool {
    let stage = Stage::new();
    reused_in(&stage, status, fields, &[]).await
}

async fn reused_in(stage: &Stage, status: u16, fields: &[(&str, &str)], request: &[(&str, &str)]) -> bool {
    stage.backend.answers(status, fields, "first");
    assert_eq!(stage.get("/", request).await.body, "first");
    !stage.reaches_backend(request).await
}

#[tokio::test]
async fn explicit_freshness_allows_reuse() {
    let stage = Stage::new();
    for fields in [
        &[("cache-control", "max-age=60")][..],
        &[("cache-control", "s-maxage=60")],
        &[("cache-control", "max-age=0, s-maxage=60")],
        &[("cache-control", "x=\"no-store\", max-age=60")],
        &[("cache-control", "max-age=60"), ("expires", "0")],
        &[("cache-control", "max-age=60"), ("age", "59")],
        &[("cache-control", "max-age=60"), ("age", "-1")],
        &[("cache-control", "max-age=60"), ("age", "0, 7200")],
        &[("cache-control", "max-age=60"), ("pragma", "no-cache")],
        &[("expires", &stage.date(60))],
        &[("expires", &stage.date(60).to_ascii_uppercase()), ("date", "yesterday")],
        &[("cdn-cache-control", "max-age=60"), ("cache-control", "no-store")],
        &[("cdn-cache-control", "max-age=60, &"), ("cache-control", "max-age=60")],
        &[("cache-control", "no-store, must-understand, max-age=60")],
    ] {
        assert!(is_reused(200, fields).await, "{fields:?}");
    }
}

#[tokio::test]
async fn other_responses_reach_the_backend_again() {
    let stage = Stage::new();
    for fields in [
        &[][..],
        &[("cache-control", "no-store, max-age=60")],
        &[("cache-control", "private, max-age=60")],
        &[("cache-control", "no-cache, max-age=60")],
        &[("cache-control", "max-age=-1")],
        &[("cache-control", "max-age='60'")],
        &[("cache-control", "x=\", max-age=60\", max-age=0")],
        &[("cache-control", "s-maxage=0, max-age=60")],
        &[("cache-control", "max-age=60"), ("age", "7200, 0")],
        &[("cache-control", "max-age=60"), ("age", "99999999999999999999")],
        &[("cache-control", "max-age=60"), ("vary", "*")],
        &[("cache-control", "max-age=60"), ("set-cookie", "a=b")],
        &[("expires", "0")],
        &[("expires", &stage.date(60)), ("date", &stage.date(70))],
        &[("last-modified", &stage.date(-100_000))],
        &[("cdn-cache-control", "max-age=0"), ("cache-control", "max-age=60")],
        &[("cdn-cache-control", "private, max-age=60"), ("cache-control", "max-age=60")],
        &[("cdn-cache-control", "max-age=\"60\""), ("cache-control", "no-store")],
        &[("cdn-cache-control", "max-age=\"60\""), ("cache-control", "max-age=60")],
        &[("cdn-cache-control", "no-store, max-age=\"60\""), ("cache-control", "max-age=60")],
        &[("pragma", "no-cache"), ("expires", &stage.date(60))],
    ] {
        assert!(!is_reused(200, fields).await, "{fields:?}");
    }
}

#[tokio::test]
async fn a_response_is_reused_until_its_lifetime_ends() {
    let stage = Stage::new();
    stage.backend.answers(200, &[("cache-control", "max-age=10"), ("age", "3")], "first");
    assert_eq!(stage.get("/", &[]).await.field("age"), "3");
    stage.pass(5);
    let hit = stage.get("/", &[]).await;
    assert_eq!((hit.body.as_str(), hit.field("age")), ("first", "8"));
    assert_eq!(hit.field("cache-status"), "equipoise; hit; ttl=2");
    stage.pass(2);
    assert!(stage.reaches_backend(&[]).await);
}

#[tokio::test]
async fn any_final_status_that_is_not_about_one_request_is_stored_with_explicit_freshness() {
    for status in [200, 203, 204, 299, 301, 302, 307, 404, 410, 499, 500, 503, 599] {
        assert!(is_reused(status, &[("cache-control", "max-age=60")]).await, "{status}");
    }
    for status in [408, 412, 413, 414, 416, 417, 425, 428, 429, 431, 511] {
        assert!(!is_reused(status, &[("cache-control", "public, max-age=60")]).await, "{status}");
    }
    assert!(!is_reused(206, &[("cache-control", "max-age=60"), ("content-range", "bytes 0-4/9")]).await);
    assert!(!is_reused(599, &[("cache-control", "no-store, must-understand, max-age=60")]).await);
}

#[tokio::test]
async fn heuristic_freshness_is_a_bounded_part_of_the_age() {
    let stage = Stage::with(|cache| cache.heuristic(0.1, std::time::Duration::from_secs(50)));
    let fields = [("last-modified", stage.date(-100))];
    let fields = [(fields[0].0, fields[0].1.as_str())];
    stage.backend.answers(200, &fields, "first");
    stage.get("/", &[]).await;
    stage.pass(9);
    assert!(!stage.reaches_backend(&[]).await);
    stage.pass(2);
    assert!(stage.reaches_backend(&[]).await);
    let old = stage.date(-100_000);
    for (status, control, seconds, reused) in [
        (404, "x", 49, true),
        (404, "x", 51, false),
        (201, "x", 0, false),
        (500, "x", 0, false),
        (599, "public", 49, true),
        (599, "public", 51, false),
    ] {
        let stage = Stage::with(|cache| cache.heuristic(0.1, std::time::Duration::from_secs(50)));
        stage.backend.answers(status, &[("last-modified", &old), ("cache-control", control)], "first");
        stage.get("/", &[]).await;
        stage.pass(seconds);
        assert_eq!(!stage.reaches_backend(&[]).await, reused, "{status} after {seconds}");
    }
}

#[tokio::test]
async fn responses_to_authenticated_requests_are_stored_with_permission_only() {
    let authorization = [("authorization", "Basic YTpi")];
    for (control, reused) in [
        ("max-age=60", false),
        ("max-age=60, public", true),
        ("s-maxage=60", true),
        ("max-age=60, must-revalidate", true),
    ] {
        let stage = Stage::new();
        assert_eq!(reused_in(&stage, 200, &[("cache-control", control)], &authorization).await, reused, "{control}");
    }
}

#[tokio::test]
async fn each_identity_has_its_own_responses_if_asked() {
    use equipoise_gateway::{Identity, Mechanism};
    let stage = Stage::with(|cache| cache.key(KeyPolicy::new().per_identity()));
    let ask = async |name: &str| {
        let mut request = crate::script::request("GET", "/", &[]);
        request.extensions_mut().insert(Identity::new(name, Mechanism::Jwt));
        crate::script::read(stage.send(request).await.expect("a response")).await.expect("a body").body
    };
    stage.backend.answers(200, &[("cache-control", "max-age=60")], "for a");
    stage.backend.answers(200, &[("cache-control", "max-age=60")], "for b");
    assert_eq!((ask("a").await.as_str(), ask("b").await.as_str()), ("for a", "for b"));
    assert_eq!((ask("a").await.as_str(), ask("b").await.as_str()), ("for a", "for b"));
}

#[tokio::test]
async fn cookies_are_refused_stripped_or_stored() {
    for (set_cookie, hit, cookie) in
        [(SetCookie::Refuse, false, ""), (SetCookie::Strip, true, ""), (SetCookie::Store, true, "a=b")]
    {
        let stage = Stage::with(|cache| cache.set_cookie(set_cookie));
        stage.backend.answers(200, &[("cache-control", "max-age=60"), ("set-cookie", "a=b")], "first");
        assert_eq!(stage.get("/", &[]).await.field("set-cookie"), "a=b");
        stage.backend.answers(200, &[], "second");
        let second = stage.get("/", &[]).await;
        assert_eq!((second.is_hit(), second.field("set-cookie")), (hit, cookie), "{set_cookie:?}");
    }
}

#[tokio::test]
async fn a_type_that_contradicts_the_extension_is_not_stored() {
    for (status, path, content_type, stored) in [
        (200, "/account/x.css", "text/html; charset=utf-8", false),
        (200, "/account/x.JS", "application/json", false),
        (200, "/account/x.css", "text/css", true),
        (200, "/account/page.html", "text/html", true),
        (200, "/account.v2/page", "text/html", true),
        (404, "/missing.css", "text/html", true),
    ] {
        let stage = Stage::new();
        stage.backend.answers(status, &[("cache-control", "max-age=60"), ("content-type", content_type)], "first");
        stage.backend.answers(200, &[], "second");
        stage.get(path, &[]).await;
        assert_eq!(stage.get(path, &[]).await.is_hit(), stored, "{path} {content_type}");
    }
}

#[tokio::test]
async fn a_response_that_a_proxy_refuses_is_not_stored() {
    for coding in ["gzip, chunked", "identity", "chunked, chunked"] {
        assert!(!is_reused(200, &[("cache-control", "max-age=60"), ("transfer-encoding", coding)]).await, "{coding}");
    }
    assert!(!is_reused(200, &[("cache-control", "max-age=60"), ("content-length", "5, 6")]).await);
}

#[tokio::test]
async fn the_length_of_a_chunked_response_is_that_of_its_body() {
    let stage = Stage::new();
    let fields = [("cache-control", "max-age=60"), ("transfer-encoding", "chunked"), ("content-length", "3")];
    stage.backend.answers(200, &fields, "first");
    assert_eq!(stage.get("/", &[]).await.body, "first");
    let hit = stage.get("/", &[]).await;
    assert_eq!((hit.is_hit(), hit.body.as_str(), hit.field("content-length")), (true, "first", "5"));
}

#[tokio::test]
async fn fields_of_the_connection_are_not_stored() {
    let stage = Stage::new();
    let fields = [
        ("cache-control", "max-age=60, private=\"x-private\", no-cache=\"x-once\""),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("keep-alive", "1"),
        ("x-private", "1"),
        ("x-once", "1"),
        ("x-kept", "1"),
    ];
    stage.backend.answers(200, &fields, "first");
    assert_eq!(stage.get("/", &[]).await.field("x-private"), "1");
    let hit = stage.get("/", &[]).await;
    for name in ["connection", "x-hop", "keep-alive", "x-private", "x-once"] {
        assert_eq!(hit.field(name), "", "{name}");
    }
    assert_eq!((hit.field("x-kept"), hit.field("content-length")), ("1", "5"));
    assert_ne!(hit.field("date"), "");
}

#[tokio::test]
async fn variants_are_selected_by_the_fields_that_vary_names() {
    let stage = Stage::new();
    let fields = [("cache-control", "max-age=60"), ("vary", "Accept-Language, X-A")];
    stage.backend.answers(200, &fields, "en").answers(200, &fields, "de").answers(200, &fields, "en 1");
    for _ in 0..2 {
        assert_eq!(stage.get("/", &[("accept-language", "en, fr;q=0.5")]).await.body, "en");
        assert_eq!(stage.get("/", &[("accept-language", "de")]).await.body, "de");
        assert_eq!(stage.get("/", &[("accept-language", "FR;q=0.5,en")]).await.body, "en");
        assert_eq!(stage.get("/", &[("accept-language", "en, fr;q=0.5"), ("x-a", "1")]).await.body, "en 1");
    }
    assert_eq!(stage.backend.count(), 3);
}

#[tokio::test]
async fn the_order_of_preferences_of_equal_weight_selects_a_variant_except_for_codings() {
    for (name, one, other, same) in [
        ("accept", "application/json, text/html", "text/html, application/json", false),
        ("accept-language", "en, de", "de, en", false),
        ("accept-language", "en;q=0.5, de", "de, en;q=0.5", true),
        ("accept-encoding", "br, gzip", "gzip, br", true),
    ] {
        let stage = Stage::new();
        stage.backend.answers(200, &[("cache-control", "max-age=60"), ("vary", name)], "first");
        stage.get("/", &[(name, one)]).await;
        assert_eq!(!stage.reaches_backend(&[(name, other)]).await, same, "{name}: {one}");
    }
}

#[tokio::test]
async fn purges_remove_by_url_prefix_tag_and_all() {
    let stage = Stage::with(|cache| cache.strip_tags(true));
    let handle = stage.cache.handle();
    let fields = [("cache-control", "max-age=60"), ("cache-tag", "a,b"), ("surrogate-key", "c d")];
    let fill = async || {
        stage.backend.answers(200, &fields, "x");
        let got = stage.get("/a/b?c", &[]).await;
        assert_eq!((got.is_hit(), got.field("cache-tag")), (false, ""));
        assert!(stage.get("/a/b?c", &[]).await.is_hit());
    };
    fill().await;
    assert_eq!(handle.purge_url("http://Example.com:80/a/b?c").await.ok(), Some(1));
    fill().await;
    assert_eq!(handle.purge_prefix("http://example.com/a/").await.ok(), Some(1));
    for tag in ["a", "b", "c", "d"] {
        fill().await;
        assert_eq!(handle.purge_tag(tag).await.ok(), Some(1));
    }
    fill().await;
    assert_eq!(handle.purge_all().await.ok(), Some(1));
    assert!(handle.purge_url("/a").await.is_err() && handle.purge_tag("a b").await.is_err());
}

#[tokio::test]
async fn a_response_is_as_old_as_its_date_says() {
    let stage = Stage::new();
    let date = stage.date(-50);
    stage.backend.answers(200, &[("cache-control", "max-age=60"), ("date", &date), ("age", "20")], "first");
    stage.get("/", &[]).await;
    assert_eq!(stage.get("/", &[]).await.field("age"), "50");
    stage.pass(10);
    assert!(stage.reaches_backend(&[]).await);
}

#[tokio::test]
async fn the_status_says_why_a_response_is_not_stored() {
    for (fields, request, detail) in [
        (&[("cache-control", "max-age=60")][..], &[("authorization", "x")][..], "authorization"),
        (&[("cache-control", "private")], &[], "private"),
        (&[("cache-control", "max-age=60"), ("set-cookie", "a=b")], &[], "set_cookie"),
    ] {
        let stage = Stage::new();
        stage.backend.answers(200, fields, "body");
        let status = format!("equipoise; fwd=uri-miss; detail={detail}");
        assert_eq!(stage.get("/", request).await.field("cache-status"), status);
    }
}
