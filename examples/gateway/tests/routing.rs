//! Which pool and which endpoint gets a request.

use crate::{
    backend::{Backend, response},
    client::header,
    process::{Folder, Gateway},
};

#[tokio::test]
async fn the_most_specific_route_gets_the_request() {
    let [web, api, beta] = ["web", "api", "beta"].map(Backend::start);
    let config = format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        served_by_header = true
        [[listener.route]]
        host = "api.test"
        path_prefix = "/v1"
        pool = "api"
        [[listener.route]]
        header = {{ x-beta = "1" }}
        cookie = {{ user = "ada" }}
        pool = "beta"
        [[listener.route]]
        path_prefix = "/orders"
        method = "POST"
        pool = "beta"
        [pool.web]
        endpoints = [{{ id = "w", address = "{}" }}]
        [pool.api]
        endpoints = [{{ address = "{}" }}]
        [pool.beta]
        endpoints = [{{ address = "{}" }}]
        "#,
        web.address(),
        api.address(),
        beta.address(),
    );
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &config).await;
    let mut client = gateway.connect(0).await;
    let cases = [
        ("GET /", "", "web"),
        ("GET /v1", "", "web"),
        ("GET /v1/users", "host: api.test\r\n", "api"),
        ("GET /v10", "host: api.test\r\n", "web"),
        ("GET /", "x-beta: 1\r\n", "web"),
        ("GET /", "x-beta: 1\r\ncookie: user=ada\r\n", "beta"),
        ("GET /orders", "", "web"),
        ("POST /orders", "content-length: 0\r\n", "beta"),
    ];
    for (line, headers, pool) in cases {
        assert_eq!(client.request(line, headers).await.unwrap().body, pool, "{line} {headers}");
    }
    assert_eq!(client.get("/").await.header("x-served-by"), Some("w"));
}

#[tokio::test]
async fn routes_with_the_same_conditions_share_requests_by_weight() {
    let [web, canary] = ["web", "canary"].map(Backend::start);
    let config = format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        route = [{{ pool = "web", weight = 0 }}, {{ pool = "canary", weight = 1 }}]
        [pool.web]
        endpoints = [{{ address = "{}" }}]
        [pool.canary]
        endpoints = [{{ address = "{}" }}]
        "#,
        web.address(),
        canary.address(),
    );
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &config).await;
    let mut client = gateway.connect(0).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.body, "canary");
    }
}

#[tokio::test]
async fn a_session_stays_at_the_endpoint_that_its_cookie_names() {
    let [a, b] = ["a", "b"].map(Backend::start);
    let config = format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        [pool.web]
        strategy = "round-robin"
        affinity = {{ kind = "cookie", mode = "insert", name = "SRV", httponly = true }}
        endpoints = [{{ id = "a", address = "{}" }}, {{ id = "b", address = "{}" }}]
        "#,
        a.address(),
        b.address(),
    );
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &config).await;
    let mut client = gateway.connect(0).await;
    let first = client.get("/").await;
    assert_eq!(first.header("set-cookie"), Some(format!("SRV={}; path=/; HttpOnly", first.body).as_str()));
    for _ in 0..4 {
        let answer = client.request("GET /", &format!("cookie: SRV={}\r\n", first.body)).await.unwrap();
        assert_eq!(answer.body, first.body);
    }
}

#[tokio::test]
async fn clients_behind_trusted_proxies_have_keys_of_their_own() {
    tells_clients_behind_trusted_proxies_apart("strategy = \"maglev\"\nhash_on = \"source\"").await;
}

#[tokio::test]
async fn clients_behind_trusted_proxies_have_sessions_of_their_own() {
    tells_clients_behind_trusted_proxies_apart("strategy = \"round-robin\"\naffinity = \"source(by=table)\"").await;
}

/// Checks that a pool keeps each client behind a trusted proxy at one endpoint, and not all at the same one.
async fn tells_clients_behind_trusted_proxies_apart(settings: &str) {
    let backends = [(); 4].map(|()| {
        Backend::answering(|head| async move { header(&head, "x-forwarded-for").unwrap_or_default().to_owned() })
    });
    let endpoints: Vec<_> =
        backends.iter().map(|backend| format!("{{ address = \"{}\" }}", backend.address())).collect();
    let config = format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        trusted_proxies = ["127.0.0.0/8"]
        served_by_header = true
        [pool.web]
        {settings}
        endpoints = [{}]
        "#,
        endpoints.join(", "),
    );
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &config).await;
    let mut client = gateway.connect(0).await;
    let mut used = std::collections::BTreeSet::new();
    for address in 0..50 {
        let header = format!("x-forwarded-for: 192.0.2.{address}\r\n");
        let first = client.request("GET /", &header).await.unwrap();
        assert_eq!(first.body, format!("192.0.2.{address}, 127.0.0.1"));
        let second = client.request("GET /", &header).await.unwrap();
        assert_eq!(first.header("x-served-by"), second.header("x-served-by"));
        used.extend(first.header("x-served-by").map(str::to_owned));
    }
    assert_eq!(used.len(), 4);
}

#[tokio::test]
async fn fields_that_the_proxies_in_front_write_are_passed_on() {
    let backend = Backend::answering(|head| async move {
        let fields = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded"];
        fields.map(|name| header(&head, name).unwrap_or("-").to_owned()).join(" | ")
    });
    let sent = "x-forwarded-for: 192.0.2.7\r\nx-forwarded-proto: https\r\nx-forwarded-host: app.test\r\n\
                x-forwarded-port: 443\r\nforwarded: for=192.0.2.7\r\n";
    for (written, received) in [
        ("", "192.0.2.7, 127.0.0.1 | http | localhost | - | -"),
        (
            "written_by_proxies = [\"x-forwarded-for\", \"x-forwarded-proto\", \"x-forwarded-port\"]",
            "192.0.2.7, 127.0.0.1 | https | localhost | 443 | -",
        ),
        (
            "written_by_proxies = [\"forwarded\", \"x-forwarded-host\"]",
            "127.0.0.1 | http | app.test | - | for=192.0.2.7, for=127.0.0.1;host=localhost;proto=http",
        ),
    ] {
        let config = format!(
            r#"
            [[listener]]
            bind = "127.0.0.1:0"
            pool = "web"
            trusted_proxies = ["loopback"]
            {written}
            [pool.web]
            endpoints = [{{ address = "{}" }}]
            "#,
            backend.address(),
        );
        let folder = Folder::new();
        let mut gateway = Gateway::start(&folder, &config).await;
        let answer = gateway.connect(0).await.request("GET /", sent).await.unwrap();
        assert_eq!(answer.body, received, "{written}");
        // The log has the client behind the proxies.
        assert!(gateway.logs("access").await.contains("client=192.0.2.7"));
    }
}

#[tokio::test]
async fn errors_have_the_configured_format_and_text() {
    let config = r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        errors = { format = "json", text = { 502 = "Sorry, \"web\" is broken." } }
        [pool.web]
        # No program listens on this port.
        endpoints = [{ address = "127.0.0.1:1" }]
    "#;
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, config).await;
    let answer = gateway.connect(0).await.get("/").await;
    assert_eq!((answer.status, answer.header("content-type")), (502, Some("application/problem+json")));
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["detail"], "Sorry, \"web\" is broken.");
}

#[tokio::test]
async fn interim_responses_pass_if_the_listener_says_so() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let backend = Backend::responding(move |_, _| async move { format!("{hints}{}", response("", "done")) });
    let config = format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        interim_responses = true
        [[listener]]
        bind = "127.0.0.2:0"
        pool = "web"
        [pool.web]
        endpoints = [{{ address = "{}" }}]
        "#,
        backend.address(),
    );
    let folder = Folder::new();
    let gateway = Gateway::start(&folder, &config).await;
    let (mut with, mut without) = (gateway.connect(0).await, gateway.connect(1).await);
    with.send("GET /", "").await.unwrap();
    assert_eq!(with.head().await, hints);
    assert_eq!(with.answer().await.unwrap().body, "done");
    let answer = without.get("/").await;
    assert_eq!((answer.status, answer.header("link"), &*answer.body), (200, None, "done"));
}
