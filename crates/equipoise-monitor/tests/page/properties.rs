//! Any request: the response protects the page, and nothing is changed without permission.

use equipoise_core::Availability;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt, Full};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::common::Setup;

type Fields = Vec<(&'static str, String)>;

fn methods() -> impl Strategy<Value = &'static str> {
    select(vec!["GET", "HEAD", "POST", "POST", "PUT", "OPTIONS", "X"])
}

fn targets() -> impl Strategy<Value = String> {
    let path =
        select(vec!["", "status.json", "updates", "explain", "endpoints", "assets/page.js", "assets/../x", "//x"]);
    let name = select(vec!["pool", "method", "path", "host", "header", "cookie", "client", "key", "other"]);
    let value = prop_oneof!["web", "plain", "\\PC{0,12}", "(%[0-9A-F]{2}|[ -~]){0,12}"];
    (path, vec((name, value), 0..4)).prop_map(|(path, query)| {
        let query: String = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        format!("/{path}?{query}")
    })
}

fn fields() -> impl Strategy<Value = Fields> {
    let names =
        vec!["host", "accept", "origin", "sec-fetch-site", "if-none-match", "content-type", "x-csrf-token", "x-user"];
    let value = prop_oneof![
        select(vec![
            "127.0.0.1",
            "http://127.0.0.1",
            "evil.test",
            "null",
            "same-origin",
            "cross-site",
            "application/json",
            "application/x-www-form-urlencoded",
            "text/html;q=0.1, */*",
            "*",
            "ada",
            "guest",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,20}",
    ];
    vec((select(names), value), 0..6)
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(br#"{"pool": "web", "endpoint": "a", "state": "drain"}"#.to_vec()),
        Just(b"pool=web&endpoint=a&state=maintenance".to_vec()),
        vec(any::<u8>(), 0..64),
        Just(vec![b'['; 5_000]),
    ]
}

async fn check(method: &str, target: &str, fields: &Fields, has_token: bool, body: Vec<u8>) {
    let setup = Setup::new().writable();
    let token = setup.json("/status.json").await["csrf_token"].as_str().expect("a token").to_owned();
    let mut request = Request::new(Full::from(body));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).expect("a method");
    *request.uri_mut() = target.parse::<Uri>().expect("a target");
    for (name, value) in fields {
        let value = HeaderValue::from_str(value).expect("printable");
        request.headers_mut().append(HeaderName::from_static(name), value);
    }
    if has_token {
        request.headers_mut().insert("x-csrf-token", token.parse().expect("a token"));
    }
    let headers = request.headers();
    let may_change = request.method() == Method::POST
        && headers.get("x-csrf-token").is_some_and(|sent| *sent == *token)
        && headers.get("x-user").is_some_and(|user| user != "guest")
        && headers.get_all("sec-fetch-site").iter().all(|site| site == "same-origin")
        && headers.get_all("origin").iter().all(|origin| origin == "http://127.0.0.1");
    let (head, mut body) = setup.send(request).await.into_parts();
    for name in ["content-security-policy", "x-content-type-options", "referrer-policy", "cross-origin-resource-policy"]
    {
        assert!(head.headers.contains_key(name), "{name}");
    }
    let first = body.frame().await.map(|frame| frame.expect("no error").into_data().expect("data"));
    match (head.headers["content-type"].as_bytes(), first) {
        (b"text/event-stream", Some(message)) => {
            let message = std::str::from_utf8(&message).expect("UTF-8");
            assert!(message.ends_with("\n\n") && message.matches("\n\n").count() == 1 && !message.contains('\r'));
        }
        (b"application/json", Some(json)) => {
            serde_json::from_slice::<serde_json::Value>(&json).expect("JSON");
            assert!(!json.contains(&b'<'));
        }
        _ => {}
    }
    let is_changed = setup.web.availability("a") != Some(Availability::Up);
    assert!(!is_changed || (may_change && head.status == 200), "changed without permission: {}", head.status);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_request_is_answered_or_refused(
        method in methods(),
        target in targets(),
        fields in fields(),
        has_token in any::<bool>(),
        body in bodies(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(check(method, &target, &fields, has_token, body));
    }
}
