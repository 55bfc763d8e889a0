//! Filters, redirects and changes of header fields.

use std::fs;

use super::{config, echo, report, start};
use crate::{
    backend::{Backend, response},
    process::Folder,
};

#[tokio::test]
async fn the_first_rule_that_matches_decides() {
    let (backend, folder) = (echo(), Folder::new());
    let listener = r#"
        pool = "web"
        [[listener.filter.rule]]
        action = "allow"
        path = ["/admin/health"]
        [[listener.filter.rule]]
        name = "admin"
        action = "deny"
        status = 404
        path = ["/admin/**"]
        [[listener.filter.rule]]
        action = "only-methods"
        method = ["GET", "HEAD"]
        [[listener.filter.rule]]
        action = "deny"
        header = { user-agent = { starts-with = "bad" } }
    "#;
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    for (line, headers, status) in [
        ("GET /", "", 200),
        ("GET /admin/health", "", 200),
        ("GET /admin", "", 404),
        ("GET /%61dmin/x", "", 404),
        ("GET /x/../admin", "", 404),
        ("GET /a%2f..%2fadmin", "", 400),
        ("DELETE /", "", 405),
        ("GET /", "user-agent: badbot\r\n", 403),
    ] {
        assert_eq!(client.request(line, headers).await.unwrap().status, status, "{line} {headers}");
    }
    let report = report(&gateway, "127.0.0.1:0 filter").await;
    assert_eq!((&report["allowed"], &report["denied"]), (&2.into(), &6.into()));
    assert_eq!((&report["rules"][1]["name"], &report["rules"][1]["met"]), (&"admin".into(), &3.into()));
}

#[tokio::test]
async fn rules_about_addresses_see_the_client_behind_trusted_proxies_and_read_their_file_again() {
    let (backend, folder) = (echo(), Folder::new());
    let file = folder.path().join("blocked");
    fs::write(&file, "192.0.2.0/24 # a comment\n").unwrap();
    let listener = r#"
        pool = "web"
        trusted_proxies = ["loopback"]
        filter = { rule = [{ action = "deny", address_file = "blocked" }] }
    "#;
    let mut gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    for (blocked, other) in [("192.0.2.7", "198.51.100.7"), ("198.51.100.7", "192.0.2.7")] {
        for (address, status) in [(blocked, 403), (other, 200), (&*format!("::ffff:{blocked}"), 403)] {
            let headers = format!("x-forwarded-for: {address}\r\n");
            assert_eq!(client.request("GET /", &headers).await.unwrap().status, status, "{address}");
        }
        fs::write(&file, "198.51.100.0/24\n").unwrap();
        gateway.reload(&folder, &config(listener, &backend)).await;
    }
    // The last reload has found the same file, so the counters go on.
    assert_eq!(report(&gateway, "127.0.0.1:0 filter").await["rules"][0]["met"], 2);
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused_with_or_without_its_length() {
    let (backend, folder) = (echo(), Folder::new());
    let gateway = start(&folder, "pool = \"web\"\nfilter = { max_body_bytes = 4 }", &backend).await;
    assert_eq!(gateway.connect(0).await.request_with_body("POST /", "", "1234").await.status, 200);
    assert_eq!(gateway.connect(0).await.request_with_body("POST /", "", "12345").await.status, 413);
    let mut client = gateway.connect(0).await;
    let chunks = "3\r\n123\r\n3\r\n456\r\n0\r\n\r\n";
    client.send_with_body("POST /", "transfer-encoding: chunked\r\n", chunks).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 413);
}

#[tokio::test]
async fn paths_are_refused_or_rewritten_before_a_route_is_looked_for() {
    let (backend, folder) = (echo(), Folder::new());
    let route = "[[listener.route]]\npath_prefix = \"/admin\"\npool = \"web\"\nfilter = { default = \"deny\" }\n";
    for (paths, path, expected) in [
        ("refuse", "/static//a", 400),
        ("refuse", "/a;x", 400),
        ("normalize", "/static//a", 200),
        ("normalize", "/static/../admin", 403),
        ("normalize", "//admin", 403),
        ("normalize", "/static/..%2fadmin", 400),
        ("normalize", "/static/%252e%252e/admin", 400),
    ] {
        let listener = format!("pool = \"web\"\npaths = \"{paths}\"\n{route}");
        let gateway = start(&folder, &listener, &backend).await;
        let answer = gateway.connect(0).await.get(path).await;
        assert_eq!(answer.status, expected, "{paths} {path}");
        assert!(expected != 200 || answer.body.starts_with("GET /static/a HTTP"), "{}", answer.body);
    }
}

#[tokio::test]
async fn redirects_keep_the_rest_of_the_path_and_do_not_leave_the_site() {
    let (backend, folder) = (echo(), Folder::new());
    let listener = r#"
        pool = "web"
        redirect = [
            { path = "/old", to = "/new", status = 301 },
            { path_prefix = "/blog", to = "https://blog.test/" },
            { https = true, except = ["/health"], host = ["secure.test"] },
        ]
    "#;
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    for (path, host, status, location) in [
        ("/old?a=b", "a.test", 301, Some("/new?a=b")),
        ("/blog/x/y", "a.test", 308, Some("https://blog.test/x/y")),
        ("/blog//evil.test", "a.test", 308, Some("https://blog.test/evil.test")),
        ("/a", "secure.test", 308, Some("https://secure.test/a")),
        ("/health", "secure.test", 200, None),
        ("/a", "a.test", 200, None),
    ] {
        let answer = client.request(&format!("GET {path}"), &format!("host: {host}\r\n")).await.unwrap();
        assert_eq!((answer.status, answer.header("location")), (status, location), "{path} {host}");
    }
}

#[tokio::test]
async fn a_slash_at_the_end_of_paths_is_added_or_removed() {
    let (backend, folder) = (echo(), Folder::new());
    for (kind, path, status, location) in [
        ("add", "/docs?a=b", 308, Some("/docs/?a=b")),
        ("add", "/docs/", 200, None),
        ("add", "/docs/x.css", 200, None),
        ("add", "/api/x", 200, None),
        ("remove", "/docs/", 308, Some("/docs")),
        ("remove", "/docs", 200, None),
        ("remove", "/", 200, None),
        ("remove", "/api/x/", 200, None),
    ] {
        let listener =
            format!("pool = \"web\"\nredirect = [{{ trailing_slash = \"{kind}\", except = [\"/api/**\"] }}]");
        let gateway = start(&folder, &listener, &backend).await;
        let answer = gateway.connect(0).await.get(path).await;
        assert_eq!((answer.status, answer.header("location")), (status, location), "{kind} {path}");
    }
}

#[tokio::test]
async fn header_fields_of_requests_and_of_all_responses_are_changed() {
    let backend = Backend::responding(|head, _| async move { response("server: backend\r\nx-a: 1\r\n", &head) });
    let folder = Folder::new();
    let listener = r#"
        pool = "web"
        security_headers = { frame_options = "SAMEORIGIN", referrer_policy = false }
        [listener.request_headers]
        remove_prefix = ["x-internal-"]
        host = "backend.test"
        set = { x-client = "{client_address} {host}" }
        [listener.response_headers]
        remove = ["server"]
        rename = { x-a = "x-b" }
        append = { x-b = "2" }
        [[listener.route]]
        path_prefix = "/denied"
        pool = "web"
        filter = { default = "deny" }
    "#;
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    let answer = client.request("GET /", "x-internal-a: 1\r\nx-client: forged\r\n").await.unwrap();
    assert!(answer.body.contains("x-client: 127.0.0.1 localhost\r\n"), "{}", answer.body);
    assert!(answer.body.contains("host: backend.test\r\n"), "{}", answer.body);
    assert!(!answer.body.contains("x-internal") && !answer.body.contains("forged"), "{}", answer.body);
    assert_eq!((answer.header("server"), answer.header("x-a"), answer.header("x-b")), (None, None, Some("1")));
    for path in ["/", "/denied"] {
        let answer = client.get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("SAMEORIGIN"));
        assert_eq!(answer.header("referrer-policy"), None);
    }
}
