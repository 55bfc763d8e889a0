//! Response and request splitting: parts of a request become lines of their own in a response or in the request to the
//! backend. Open redirects too.

use equipoise::gateway::{
    filter::{FieldEdits, FieldsLayer, RedirectLayer, RedirectRule, UriLayer, UriPolicy},
    stack::Functions,
};
use equipoise_tests::{Backend, Seen};
use http::Request;

use crate::setup::{Gateway, answer};

fn backend() -> Backend {
    Backend::answering(|seen: &Seen| {
        let lines = seen.headers.iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("?")));
        answer(200, &[], lines.collect::<String>())
    })
    .expect("a free port")
}

fn redirects() -> RedirectLayer {
    let rules = [
        RedirectRule::prefix("/old", "/new"),
        RedirectRule::prefix("/moved", "https://new.test"),
        RedirectRule::prefix("/root", "/"),
        RedirectRule::remove_trailing_slash().except("/old/**").except("/moved/**").except("/root/**"),
    ];
    RedirectLayer::new(rules).expect("rules")
}

/// Line ends and what some programs take for them, in a path or a query.
const LINE_ENDS: [&str; 7] = ["%0d%0a", "%0a", "%0d", "%E5%98%8A%E5%98%8D", "%c4%8d%c4%8a", "%250d%250a", "%00"];

#[tokio::test]
async fn a_redirect_does_not_split_its_response() {
    let backend = backend();
    let lenient =
        [Functions::new().redirect(redirects()), Functions::new().uri(UriLayer::default()).redirect(redirects())];
    for (number, functions) in lenient.into_iter().enumerate() {
        let gateway = Gateway::start(functions, backend.address()).await;
        for end in LINE_ENDS {
            for target in [
                format!("/old/x{end}set-cookie:%20a=b"),
                format!("/moved/x{end}{end}<script>"),
                format!("/x{end}set-cookie:%20a=b/"),
                format!("/old/x?y={end}set-cookie:%20a=b"),
            ] {
                let request = format!("GET {target} HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n");
                let reply = gateway.exchange(request).await.to_ascii_lowercase();
                assert!(!reply.contains("\nset-cookie:") && !reply.contains("\n<script>"), "{target}: {reply}");
                let expected = if number == 0 { reply.starts_with("http/1.1 308") } else { true };
                assert!(expected || reply.starts_with("http/1.1 400"), "{target}: {reply}");
            }
        }
    }
}

#[tokio::test]
async fn a_redirect_does_not_lead_to_a_host_that_the_client_has_chosen() {
    let backend = backend();
    for policy in [None, Some(UriPolicy::new()), Some(UriPolicy::normalizing())] {
        let functions = match &policy {
            Some(policy) => Functions::new().uri(UriLayer::new(policy.clone())),
            None => Functions::new(),
        };
        let gateway = Gateway::start(functions.redirect(redirects()), backend.address()).await;
        for target in [
            "/root//evil.test/x",
            "/root/%2fevil.test/x",
            "/root/\\evil.test/x",
            "/root/%5cevil.test/x",
            "/root///evil.test",
            "/root/.//evil.test/x",
            "/root/..//evil.test/x",
            "/root/%09//evil.test",
            "/moved.evil.test/",
            "/moved@evil.test/",
            "//evil.test/",
            "//evil.test//",
            "/\\evil.test/",
            "/%5cevil.test/",
            "///evil.test/",
        ] {
            let request = format!("GET {target} HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n");
            let reply = gateway.exchange(request).await;
            let location = reply.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or("none");
            // Without a policy for paths, the redirect itself has to be safe. This one is not below `/root`.
            assert!(policy.is_some() || target == "/root/..//evil.test/x" || location != "none", "{target}: {reply}");
            // Browsers read `\` as `/`, and two of them start a host.
            let browser = location.replace('\\', "/");
            let is_own = browser == "none" || browser.starts_with('/') && !browser.starts_with("//");
            assert!(is_own || browser.starts_with("https://new.test/"), "{policy:?} {target}: {location}");
        }
    }
}

#[tokio::test]
async fn parts_of_a_request_in_fields_do_not_split_messages() {
    let backend = backend();
    let edits = || {
        let edits = FieldEdits::new().set("x-path", "{path}").and_then(|edits| edits.set("x-query", "q {query}"));
        let edits = edits.and_then(|edits| edits.set("x-copy", "{field:x-any}"));
        edits.and_then(|edits| edits.set("x-name", "{host}")).expect("edits")
    };
    let functions = Functions::new()
        .client_fields(FieldsLayer::new().response(edits()))
        .backend_fields(FieldsLayer::new().request(edits()));
    let gateway = Gateway::start(functions, backend.address()).await;
    // The checks of requests refuse `%00`.
    for end in LINE_ENDS.into_iter().filter(|end| *end != "%00") {
        let target = format!("/x{end}x-evil:%20a?b={end}x-evil:%20a");
        let request = Request::get(&*target).header("x-any", format!("{end}x-evil: a"));
        let reply = gateway.send(request).await;
        assert_eq!(reply.status, 200, "{target}");
        assert!(!reply.headers.contains_key("x-evil"), "{:?}", reply.headers);
        assert!(!reply.text().contains("\nx-evil"), "{}", reply.text());
        assert!(reply.text().contains("\nx-path: /x"), "the field is there: {}", reply.text());
    }
}

#[tokio::test]
async fn raw_line_ends_in_fields_are_refused() {
    let backend = backend();
    let copy = FieldEdits::new().set("x-copy", "{field:x-any}").expect("an edit");
    let functions = Functions::new().backend_fields(FieldsLayer::new().request(copy));
    let gateway = Gateway::start(functions, backend.address()).await;
    for value in ["a\rx-evil: b", "a\0b", "a\r\n x-evil: b", "a\r\r\nx-evil: b"] {
        let request = format!("GET / HTTP/1.1\r\nhost: app.test\r\nx-any: {value}\r\nconnection: close\r\n\r\n");
        let reply = gateway.exchange(request).await;
        assert!(reply.starts_with("HTTP/1.1 400"), "{value:?}: {reply}");
    }
    assert_eq!(backend.served(), 0);
}

#[tokio::test]
async fn a_second_request_in_a_body_is_no_request() {
    let backend = backend();
    let gateway = Gateway::start(Functions::new().uri(UriLayer::default()), backend.address()).await;
    let hidden = "GET /hidden HTTP/1.1\r\nhost: app.test\r\n\r\n";
    let length = hidden.len();
    for fields in [
        format!("content-length: {length}\r\ntransfer-encoding: chunked"),
        format!("content-length: {length}\r\ncontent-length: 0"),
        "transfer-encoding: chunked, identity".to_owned(),
        "transfer-encoding: xchunked".to_owned(),
        format!("content-length: +{length}"),
        "content-length: 0\r\ncontent-length : 5".to_owned(),
    ] {
        let reply = gateway.exchange(format!("POST / HTTP/1.1\r\nhost: app.test\r\n{fields}\r\n\r\n{hidden}")).await;
        assert!(reply.starts_with("HTTP/1.1 400") || reply.starts_with("HTTP/1.1 501"), "{fields}: {reply}");
    }
    assert_eq!(backend.served(), 0);
    let one = gateway
        .exchange(format!(
            "POST / HTTP/1.1\r\nhost: app.test\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{hidden}"
        ))
        .await;
    assert!(one.starts_with("HTTP/1.1 200"), "{one}");
    assert!(backend.seen().iter().all(|seen| seen.uri == "/"));
}
