//! The status page, the metrics and the events of the gateway.

use std::{fs, net::SocketAddr};

use serde_json::Value;

use crate::{
    backend::Backend,
    client::Client,
    process::{Folder, Gateway},
};

/// `printf %s open-sesame | sha256sum`
const SHA256: &str = "d7ecdf25eaf3deba0f2628771dbdd22d4138ab6cf38f91ed02a2ca0dec7c8ab7";

/// `ann:open-sesame` in base64.
const ANN: &str = "authorization: Basic YW5uOm9wZW4tc2VzYW1l\r\n";

/// `ann:open-barley` in base64.
const WRONG: &str = "authorization: Basic YW5uOm9wZW4tYmFybGV5\r\n";

fn config(backends: &[Backend; 2], weight: u32, admin: &str) -> String {
    let [a, b] = backends.each_ref().map(Backend::address);
    format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        pool = "web"
        [pool.web]
        strategy = "round-robin"
        endpoints = [{{ id = "a", address = "{a}", weight = {weight} }}, {{ id = "b", address = "{b}" }}]
        [admin]
        bind = "127.0.0.1:0"
        {admin}
        "#,
    )
}

async fn start(admin: &str) -> (Folder, Gateway, [Backend; 2]) {
    let (backends, folder) = (["a", "b"].map(Backend::start), Folder::new());
    fs::write(folder.path().join("operators"), format!("ann:{SHA256}\n")).unwrap();
    let gateway = Gateway::start(&folder, &config(&backends, 1, admin)).await;
    (folder, gateway, backends)
}

/// Waits until the state of the page has a property. Looks at it whenever the page sends that something has changed.
pub(crate) async fn until(gateway: &Gateway, has: impl Fn(&Value) -> bool) -> Value {
    let (mut updates, mut admin) = (gateway.connect(1).await, gateway.connect(1).await);
    updates.send("GET /updates", "").await.unwrap();
    updates.head().await;
    loop {
        let state = serde_json::from_str(&admin.get("/status.json").await.body).unwrap();
        if has(&state) {
            return state;
        }
        updates.chunk().await.unwrap().expect("the stream has no end");
    }
}

/// Waits until the page shows an endpoint with an availability.
async fn shows(gateway: &Gateway, availability: &str) -> Value {
    until(gateway, |state| state["pools"][0]["endpoints"][0]["availability"] == availability).await
}

/// Returns the events of a kind.
fn of_kind<'s>(state: &'s Value, kind: &str) -> Vec<&'s Value> {
    state["events"].as_array().unwrap().iter().filter(|event| event["kind"] == kind).collect()
}

/// Returns the value of a series. It is 0 if the series is not there.
fn value(metrics: &str, series: &str) -> f64 {
    let found = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.split(' ').next());
    found.map_or(0.0, |value| value.parse().unwrap())
}

/// Returns how many attempts of endpoints were successful, by the metrics.
async fn successes(gateway: &Gateway) -> [usize; 2] {
    let metrics = gateway.connect(1).await.get("/metrics").await.body;
    ["a", "b"].map(|id| {
        let series = format!("equipoise_endpoint_attempts_total{{pool=\"web\",endpoint=\"{id}\",outcome=\"success\"}}");
        value(&metrics, &series) as usize
    })
}

/// Sends a command of the status page.
async fn command(admin: &mut Client, state: &str, headers: &str) -> u16 {
    let body = format!(r#"{{"pool":"web","endpoint":"a","state":"{state}"}}"#);
    let headers = format!("{headers}content-type: application/json\r\ncontent-length: {}\r\n", body.len());
    admin.send_with_body("POST /endpoints", &headers, &body).await.unwrap();
    admin.answer().await.unwrap().status
}

/// Returns the availability of the first endpoint, from the state of the gateway itself.
async fn availability(gateway: &Gateway) -> String {
    let endpoints = gateway.connect(1).await.get("/endpoints").await.body;
    let endpoints: Value = serde_json::from_str(&endpoints).unwrap();
    endpoints[0]["status"]["availability"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_admin_address_is_a_status_page() {
    let (_folder, gateway, backends) = start("hosts = [\"gateway.test\"]").await;
    let mut admin = gateway.connect(1).await;
    let page = admin.request("GET /", "accept: text/html,*/*;q=0.8\r\n").await.unwrap();
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    assert!(page.header("content-security-policy").unwrap().contains("default-src 'none'"));
    let state = admin.request("GET /", "accept: application/json\r\n").await.unwrap();
    let state: Value = serde_json::from_str(&state.body).unwrap();
    assert_eq!(state["build"]["program"], "gateway");
    let web = &state["pools"][0];
    assert_eq!((&web["name"], &web["endpoints"][1]["id"]), (&"web".into(), &"b".into()));
    assert_eq!(web["endpoints"][0]["address"], backends[0].address());
    assert_eq!((&state["listeners"][0]["mode"], &state["writable"]), (&"http".into(), &false.into()));
    assert_eq!(state["listeners"][0]["name"], gateway.addresses[0]);
    for (host, status) in [("gateway.test:9900", 200), ("GATEWAY.test", 200), ("evil.test", 421), ("test", 421)] {
        for path in ["/", "/status.json", "/metrics", "/endpoints"] {
            let answer = admin.request(&format!("GET {path}"), &format!("host: {host}\r\n")).await.unwrap();
            assert_eq!(answer.status, status, "{host} {path}");
        }
    }
}

#[tokio::test]
async fn metrics_count_what_the_backends_have_served_also_after_a_reload() {
    let (folder, mut gateway, backends) = start("").await;
    let mut client = gateway.connect(0).await;
    for weight in [1, 3] {
        for _ in 0..20 {
            assert_eq!(client.get("/").await.status, 200);
        }
        assert_eq!(successes(&gateway).await, backends.each_ref().map(Backend::served));
        gateway.reload(&folder, &config(&backends, weight + 2, "")).await;
        assert_eq!(successes(&gateway).await, backends.each_ref().map(Backend::served));
    }
    let metrics = gateway.connect(1).await.get("/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain"), "{:?}", metrics.header("content-type"));
    let listener = &gateway.addresses[0];
    assert_eq!(value(&metrics.body, &format!("equipoise_listener_requests_total{{listener=\"{listener}\"}}")), 40.0);
}

#[tokio::test]
async fn what_happens_is_sent_to_the_page_as_it_happens() {
    let (_folder, gateway, _backends) = start("changes = true").await;
    let mut updates = gateway.connect(1).await;
    updates.send("GET /updates", "").await.unwrap();
    let head = updates.head().await;
    assert!(head.contains("text/event-stream"), "{head}");
    let mut sent = String::new();
    for (command, expected) in [("maintenance", "maintenance"), ("ready", "up")] {
        gateway.connect(1).await.post(&format!("/endpoints/a/{command}")).await;
        loop {
            let Some((message, rest)) = sent.split_once("\n\n") else {
                sent += std::str::from_utf8(&updates.chunk().await.unwrap().unwrap()).unwrap();
                continue;
            };
            let (is_update, told) = (message.contains("event: update"), told_of_a(message));
            sent = rest.to_owned();
            if told.as_deref() == Some(expected) {
                // The whole state is sent once.
                assert!(is_update || command == "maintenance");
                break;
            }
        }
    }
    shows(&gateway, "up").await;
}

/// Returns the availability of the endpoint `a` if a message of `/updates` contains it.
fn told_of_a(message: &str) -> Option<String> {
    let data = message.lines().find_map(|line| line.strip_prefix("data: "))?;
    let data: Value = serde_json::from_str(data).ok()?;
    let mut rows = data["pools"].as_array()?.iter().filter_map(|pool| pool["endpoints"].as_array()).flatten();
    Some(rows.find(|row| row["id"] == "a")?["availability"].as_str()?.to_owned())
}

#[tokio::test]
async fn reloads_and_commands_are_events() {
    let (folder, mut gateway, backends) = start("changes = true").await;
    gateway.connect(1).await.post("/endpoints/a/drain").await;
    gateway.reload(&folder, &config(&backends, 2, "changes = true")).await;
    folder.write("listener = 5");
    gateway.signal("-HUP").await;
    let line = gateway.logs("configuration not reloaded").await;
    assert!(line.contains("ERROR") && line.contains("the old configuration stays: gateway.toml:1:"), "{line}");
    let state = until(&gateway, |state| of_kind(state, "reloaded").len() == 2).await;
    let [command] = of_kind(&state, "command")[..] else { panic!("{state}") };
    let fields = ["pool", "endpoint", "state", "by"].map(|name| command[name].as_str().unwrap());
    assert_eq!(fields, ["web", "a", "drain", "127.0.0.1"]);
    let [ok, failed] = of_kind(&state, "reloaded")[..] else { panic!("{state}") };
    assert_eq!((&ok["result"], &failed["result"]), (&"ok".into(), &"failed".into()));
    assert!(failed["detail"].as_str().unwrap().contains("gateway.toml:1:"), "{failed}");
    assert_eq!(of_kind(&state, "health")[0]["to"], "draining");
    assert_eq!(of_kind(&state, "weight_changed")[0]["to"], 2);
    // The log has each of them once.
    gateway.signal("-TERM").await;
    let lines = gateway.rest().await;
    for text in ["administrative state set", "weight changed", "health changed"] {
        assert_eq!(lines.iter().filter(|line| line.contains(text)).count(), 1, "{text}: {lines:#?}");
    }
}

#[tokio::test]
async fn with_a_list_of_operators_only_they_set_states() {
    let (folder, mut gateway, backends) = start("users_file = \"operators\"").await;
    let mut admin = gateway.connect(1).await;
    for credentials in ["", WRONG, "authorization: Basic ?\r\n", "authorization: Bearer YW5uOm9wZW4tc2VzYW1l\r\n"] {
        let headers = format!("content-length: 0\r\n{credentials}");
        let refused = admin.request("POST /endpoints/a/drain", &headers).await.unwrap();
        assert_eq!(refused.status, 401, "{credentials}");
        assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"gateway\", charset=\"UTF-8\""));
    }
    let accepted = admin.request("POST /endpoints/a/drain", &format!("content-length: 0\r\n{ANN}")).await.unwrap();
    assert_eq!((accepted.status, accepted.body.as_str()), (200, "web: a is draining\n"));

    // The page: credentials and its token, and never from another site.
    let state = shows(&gateway, "draining").await;
    let token = format!("x-csrf-token: {}\r\n", state["csrf_token"].as_str().unwrap());
    assert_eq!(state["writable"], true);
    let own = format!("host: {0}\r\norigin: http://{0}\r\nsec-fetch-site: same-origin\r\n", gateway.addresses[1]);
    let foreign = "origin: http://evil.test\r\n";
    for (headers, expected) in [
        (token.clone(), 401),
        (format!("{token}{WRONG}"), 401),
        (ANN.to_owned(), 403),
        (format!("{ANN}x-csrf-token: 00\r\n"), 403),
        (format!("{ANN}{token}{foreign}"), 403),
        (format!("{ANN}{token}sec-fetch-site: cross-site\r\n"), 403),
    ] {
        assert_eq!(command(&mut gateway.connect(1).await, "ready", &headers).await, expected, "{headers}");
        assert_eq!(availability(&gateway).await, "draining");
    }
    assert_eq!(command(&mut gateway.connect(1).await, "ready", &format!("{own}{ANN}{token}")).await, 200);
    assert_eq!(availability(&gateway).await, "up");
    let state = until(&gateway, |state| of_kind(state, "command").len() == 2).await;
    let commands = of_kind(&state, "command");
    assert!(commands.iter().all(|command| command["by"] == "ann"), "{commands:?}");

    // A reload takes the permission away.
    gateway.reload(&folder, &config(&backends, 1, "changes = false")).await;
    assert_eq!(command(&mut gateway.connect(1).await, "drain", &format!("{ANN}{token}")).await, 403);
    assert_eq!(shows(&gateway, "up").await["writable"], false);
}

#[tokio::test]
async fn without_operators_changes_are_refused_unless_the_configuration_permits_them() {
    let (folder, mut gateway, backends) = start("").await;
    let off = "commands are off: under [admin] in the configuration, users_file permits them to operators with a password, \
               and changes = true without users_file to every program that can connect";
    for admin in ["", "changes = false"] {
        gateway.reload(&folder, &config(&backends, 1, admin)).await;
        for headers in ["", ANN, "x-csrf-token: 00\r\n"] {
            let headers = format!("content-length: 0\r\n{headers}");
            for path in ["/endpoints/a/drain", "/endpoints"] {
                let refused = gateway.connect(1).await.request(&format!("POST {path}"), &headers).await.unwrap();
                assert_eq!((refused.status, refused.body.trim_end()), (403, off), "{admin} {path} {headers}");
            }
        }
        assert_eq!(availability(&gateway).await, "up");
        assert_eq!(shows(&gateway, "up").await["writable"], false);
    }

    // Programs may set states if the configuration says so. The page may not: its operator is not known.
    gateway.reload(&folder, &config(&backends, 1, "changes = true")).await;
    assert_eq!(gateway.connect(1).await.post("/endpoints/a/drain").await.status, 200);
    assert_eq!(shows(&gateway, "draining").await["writable"], false);
    let refused = gateway.connect(1).await.post("/endpoints").await;
    let expected = "the status page sets states only with users_file under [admin] in the configuration";
    assert_eq!((refused.status, refused.body.trim_end()), (403, expected));
    for headers in ["", ANN, "x-csrf-token: 00\r\n"] {
        assert_eq!(command(&mut gateway.connect(1).await, "ready", headers).await, 403, "{headers}");
    }
    assert_eq!(availability(&gateway).await, "draining");

    // A reload takes the permission away.
    gateway.reload(&folder, &config(&backends, 1, "")).await;
    assert_eq!(gateway.connect(1).await.post("/endpoints/a/ready").await.status, 403);
    assert_eq!(availability(&gateway).await, "draining");
}

#[tokio::test]
async fn the_form_of_the_page_explains_a_pick_with_the_routes_of_listeners() {
    let (_folder, gateway, _backends) = start("changes = true").await;
    let mut admin = gateway.connect(1).await;
    admin.post("/endpoints/a/drain").await;
    let answer = admin.request("GET /explain?pool=web&path=/x", "accept: application/json\r\n").await.unwrap();
    let explained: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((&explained["pool"], &explained["picked"]), (&"web".into(), &"b".into()));
    let step = format!("listener {} sends the request to pool web", gateway.addresses[0]);
    assert!(explained["steps"].as_array().unwrap().contains(&step.into()), "{explained}");
    // Without this media type, the gateway explains as text, for people with curl.
    assert!(admin.get("/explain?path=/x").await.body.starts_with("127.0.0.1:0: pool web\n"));
}

#[tokio::test]
async fn listeners_of_all_modes_are_in_the_metrics() {
    let (backend, folder) = (Backend::start("a"), Folder::new());
    let config = format!(
        r#"
        [[listener]]
        bind = "127.0.0.1:0"
        mode = "tcp"
        pool = "any"
        [[listener]]
        bind = "127.0.0.2:0"
        mode = "udp"
        pool = "any"
        [[listener]]
        bind = "127.0.0.3:0"
        mode = "sni"
        not_tls_pool = "any"
        [[listener]]
        bind = "127.0.0.4:0"
        mode = "forward"
        rule = [{{ action = "deny" }}]
        [pool.any]
        endpoints = [{{ address = "{}" }}]
        [admin]
        bind = "127.0.0.5:0"
        "#,
        backend.address()
    );
    let gateway = Gateway::start(&folder, &config).await;
    let [tcp, udp, sni, forward, _] = &gateway.addresses[..] else { panic!("{:?}", gateway.addresses) };
    for address in [tcp, sni] {
        assert_eq!(Client::connect(address).await.get("/").await.body, "a");
    }
    let metrics = gateway.connect(4).await.get("/metrics").await.body;
    let accepted = |listener: &str| {
        value(&metrics, &format!("equipoise_listener_connections_accepted_total{{listener=\"{listener}\"}}"))
    };
    assert_eq!((accepted(tcp), accepted(sni), accepted(&format!("{sni}/any"))), (1.0, 1.0, 1.0));
    for listener in [format!("{udp}/udp"), forward.clone()] {
        assert!(metrics.contains(&format!("listener=\"{listener}\"")), "{listener}");
    }
    assert!(udp.parse::<SocketAddr>().is_ok());
}

#[tokio::test]
async fn functions_are_in_the_metrics_by_their_places_as_long_as_they_are_configured() {
    let (backends, folder) = (["a", "b"].map(Backend::start), Folder::new());
    let limit = |limit| config(&backends, 1, "").replacen("pool = \"web\"", &format!("pool = \"web\"\n{limit}"), 1);
    let rate = limit("limit = { rate = [{ name = \"all\", quota = \"2/h\", by = \"all\" }] }");
    let mut gateway = Gateway::start(&folder, &rate).await;
    let mut client = gateway.connect(0).await;
    for status in [200, 200, 429] {
        assert_eq!(client.get("/").await.status, status);
    }
    let series = |outcome: &str| {
        let labels = format!("function=\"127.0.0.1:0 limit\",limit=\"all\",outcome=\"{outcome}\"");
        format!("equipoise_rate_limit_requests_total{{{labels}}}")
    };
    let metrics = gateway.connect(1).await.get("/metrics").await.body;
    assert_eq!(["admitted", "denied"].map(|outcome| value(&metrics, &series(outcome))), [2.0, 1.0], "{metrics}");
    gateway.reload(&folder, &limit("")).await;
    let metrics = gateway.connect(1).await.get("/metrics").await.body;
    assert!(!metrics.contains("equipoise_rate_limit_requests_total{"), "{metrics}");
}
