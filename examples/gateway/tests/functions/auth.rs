//! Authentication.

use std::fs;

use super::{config, echo, report, start};
use crate::{
    backend::Backend,
    client::header,
    pki::{Authority, Issued, connect},
    process::{Folder, Gateway},
    tls::get,
};

/// The SHA-256 of `secret` and of `other`, by `printf %s secret | sha256sum`.
const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
const OTHER: &str = "d9298a10d1b0735837dc4bd85dac641b0f3cef27a47e5d53a54f2f3f5b2fcffa";

const API_KEY: &str = r#"
    pool = "web"
    auth = { api_key = { keys_file = "keys" }, identity_headers = { x-user = "name", x-team = "attribute:team" } }
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    fs::write(folder.path().join("keys"), format!("ada:{SECRET}:team=b\n")).unwrap();
    folder
}

#[tokio::test]
async fn only_requests_with_an_api_key_reach_the_backend_with_the_identity() {
    let (backend, folder) = (echo(), folder());
    let mut gateway = start(&folder, API_KEY, &backend).await;
    let mut client = gateway.connect(0).await;
    let denied = client.request("GET /", "accept: application/json\r\n").await.unwrap();
    assert_eq!((denied.status, backend.served()), (401, 0));
    assert!(denied.body.contains("\"missing_credentials\""), "{}", denied.body);
    let denied = client.request("GET /", "x-api-key: wrong\r\n").await.unwrap();
    assert_eq!((denied.status, backend.served()), (401, 0));
    let passed = client.request("GET /", "x-api-key: secret\r\n").await.unwrap();
    assert_eq!(passed.status, 200);
    assert!(passed.body.contains("\r\nx-user: ada\r\n") && passed.body.contains("\r\nx-team: b\r\n"));
    assert!(!passed.body.contains("secret"), "the backend does not get the key");
    let report = report(&gateway, "127.0.0.1:0 auth").await;
    assert_eq!([&report["allowed"], &report["missing"], &report["invalid"]], [1, 1, 1]);
    let line = gateway.logs("denial=\"invalid_credentials\"").await;
    assert!(line.contains("status=401"), "{line}");
    gateway.logs("identity=\"ada\"").await;
}

#[tokio::test]
async fn a_client_cannot_set_the_fields_of_identities_on_any_route() {
    let (backend, folder) = (echo(), folder());
    let routes = "[[listener.route]]\npath_prefix = \"/open\"\npool = \"web\"\nauth = \"none\"\n";
    let gateway = start(&folder, &format!("{API_KEY}\n{routes}"), &backend).await;
    let mut client = gateway.connect(0).await;
    let forged = "x-api-key: secret\r\nx-user: root\r\nX-User: root\r\nx_user: root\r\nconnection: x-user\r\n";
    let passed = client.request("GET /", forged).await.unwrap().body;
    assert_eq!((passed.matches("x-user: ada\r\n").count(), passed.matches("root").count()), (1, 0), "{passed}");
    let passed = client.request("GET /open", "x-user: root\r\nx_user: root\r\nx-forwarded-for: 192.0.2.1\r\n").await;
    let passed = passed.unwrap();
    assert_eq!((passed.status, passed.body.contains("root")), (200, false), "{}", passed.body);
    assert!(passed.body.contains("x-forwarded-for: 127.0.0.1\r\n"), "{}", passed.body);
}

#[tokio::test]
async fn a_client_cannot_set_the_fields_of_another_listener_or_of_a_service() {
    let (backend, folder) = (echo(), folder());
    let more = r#"
        [[listener]]
        bind = "127.0.0.2:0"
        pool = "web"
        auth = "none"
        [[listener]]
        bind = "127.0.0.3:0"
        pool = "web"
        auth = { external = { pool = "web", uri = "/check", forward_headers = ["x-role", "authorization"] } }
    "#;
    let gateway = start(&folder, &format!("{API_KEY}\n{more}"), &backend).await;
    let fields = "x-user: root\r\nX_Role: root\r\nx-auth-user: root\r\nauthorization: kept\r\n";
    let passed = gateway.connect(1).await.request("GET /", fields).await.unwrap();
    assert_eq!((passed.status, passed.body.contains("root")), (200, false), "{}", passed.body);
    assert!(passed.body.contains("authorization: kept\r\n"), "{}", passed.body);
}

#[tokio::test]
async fn all_schemes_need_one_of_the_places_of_a_key() {
    let (backend, folder) = (echo(), folder());
    // By `htpasswd -nbBC 4 ada password`.
    let users = "ada:$2y$04$xAUL8JVEGzLGfGWH0C.oAeNpOfJR7/6ZG2DDP9Co1/bZMq2NeMHMy\n";
    fs::write(folder.path().join("users"), users).unwrap();
    let listener = r#"
        pool = "web"
        [listener.auth]
        all = true
        api_key = { keys_file = "keys", header = "x-key", query = "key" }
        basic = { users_file = "users" }
    "#;
    let mut gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    let basic = "authorization: Basic YWRhOnBhc3N3b3Jk\r\n";
    let with_key = format!("{basic}x-key: secret\r\n");
    let cases = [("/", &*with_key, 200), ("/?key=secret", basic, 200), ("/", basic, 401), ("/?key=secret", "", 401)];
    for (path, fields, status) in cases {
        assert_eq!(client.request(&format!("GET {path}"), fields).await.unwrap().status, status, "{path} {fields}");
    }
    let line = gateway.logs("uri=/?key=***").await;
    assert!(!line.contains("secret"), "{line}");
}

#[tokio::test]
async fn a_request_that_no_route_matches_is_authenticated_too() {
    let (backend, folder) = (echo(), folder());
    let routes = "[[listener.route]]\nhost = \"app.test\"\npath_prefix = \"/a\"\npool = \"web\"\n";
    let listener = format!("{}\n{routes}", API_KEY.replace("pool = \"web\"", ""));
    let mut gateway = start(&folder, &listener, &backend).await;
    let mut client = gateway.connect(0).await;
    for (path, host, without, with) in
        [("/a", "app.test", 401, 200), ("/b", "app.test", 401, 404), ("/a", "other.test", 401, 421)]
    {
        let fields = format!("host: {host}\r\n");
        assert_eq!(client.request(&format!("GET {path}"), &fields).await.unwrap().status, without);
        let fields = format!("{fields}x-api-key: secret\r\n");
        assert_eq!(client.request(&format!("GET {path}"), &fields).await.unwrap().status, with);
    }
    assert!(!gateway.logs("status=404").await.contains("pool="));
    let explained = gateway.connect(1).await.get("/explain?path=/b&host=app.test").await.body;
    assert_eq!(explained, "127.0.0.1:0: no route matches\n");
}

#[tokio::test]
async fn a_reload_reads_the_keys_again_and_keeps_the_counters() {
    let (backend, folder) = (echo(), folder());
    let mut gateway = start(&folder, API_KEY, &backend).await;
    let mut client = gateway.connect(0).await;
    let status = async |client: &mut crate::client::Client, key: &str| {
        client.request("GET /", &format!("x-api-key: {key}\r\n")).await.unwrap().status
    };
    assert_eq!(status(&mut client, "secret").await, 200);
    fs::write(folder.path().join("keys"), format!("bob:{OTHER}\n")).unwrap();
    gateway.reload(&folder, &config(API_KEY, &backend)).await;
    assert_eq!([status(&mut client, "secret").await, status(&mut client, "other").await], [401, 200]);
    assert_eq!(report(&gateway, "127.0.0.1:0 auth").await["allowed"], 2);

    fs::write(folder.path().join("keys"), "bob\n").unwrap();
    gateway.signal("-HUP").await;
    let line = gateway.logs("the old configuration stays").await;
    assert!(line.contains("keys: line 1: the hash must have 64 hexadecimal digits"), "{line}");
    assert_eq!(status(&mut client, "other").await, 200);
}

#[tokio::test]
async fn a_user_of_basic_authentication_reaches_the_backend_without_the_password() {
    let (backend, folder) = (echo(), Folder::new());
    // By `htpasswd -nbBC 4 ada password`.
    let users = "ada:$2y$04$xAUL8JVEGzLGfGWH0C.oAeNpOfJR7/6ZG2DDP9Co1/bZMq2NeMHMy\n";
    fs::write(folder.path().join("users"), users).unwrap();
    let listener = "pool = \"web\"\n[listener.auth]\nrealm = \"shop\"\nbasic = { users_file = \"users\" }";
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    let denied = client.get("/").await;
    let challenge = denied.header("www-authenticate").unwrap();
    assert!(denied.status == 401 && challenge.starts_with("Basic realm=\"shop\""), "{challenge}");
    // `ada:password` and `ada:passwort`.
    for (credentials, status) in [("YWRhOnBhc3N3b3Jk", 200), ("YWRhOnBhc3N3b3J0", 401), ("YWRhOnBhc3N3b3Jk", 200)] {
        let answer = client.request("GET /", &format!("authorization: Basic {credentials}\r\n")).await.unwrap();
        assert_eq!(answer.status, status);
        assert!(status != 200 || answer.body.contains("x-auth-user: ada\r\n") && !answer.body.contains("Basic"));
    }
    let report = report(&gateway, "127.0.0.1:0 auth").await;
    assert_eq!([&report["basic"]["verifications"], &report["basic"]["cache_hits"]], [2, 1]);

    let basic = "{ users_file = \"users\", forward = true, cache_time = \"1h\", max_cached = 9, max_verifications = 1, max_waiting = 9 }";
    let listener = format!("pool = \"web\"\nauth = {{ basic = {basic} }}");
    let gateway = start(&folder, &listener, &backend).await;
    let basic = "authorization: Basic YWRhOnBhc3N3b3Jk\r\n";
    let passed = gateway.connect(0).await.request("GET /", basic).await.unwrap();
    assert!(passed.status == 200 && passed.body.contains(basic), "{}", passed.body);
}

#[tokio::test]
async fn a_key_can_be_a_bearer_token_that_the_backend_gets() {
    let (backend, folder) = (echo(), folder());
    let listener = "pool = \"web\"\nauth = { api_key = { keys_file = \"keys\", bearer = true, forward = true } }";
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    let bearer = "authorization: Bearer secret\r\n";
    let passed = client.request("GET /", bearer).await.unwrap();
    assert!(passed.status == 200 && passed.body.contains(bearer), "{}", passed.body);
    assert_eq!(client.request("GET /", "x-api-key: secret\r\n").await.unwrap().status, 401);
}

#[tokio::test]
async fn an_optional_authentication_passes_requests_without_credentials_only() {
    let (backend, folder) = (echo(), folder());
    let listener = "pool = \"web\"\nauth = { api_key = { keys_file = \"keys\" }, optional = true }";
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    for (fields, status, user) in [
        ("x-auth-user: root\r\n", 200, None),
        ("x-api-key: secret\r\n", 200, Some("ada")),
        ("x-api-key: wrong\r\n", 401, None),
    ] {
        let answer = client.request("GET /", fields).await.unwrap();
        assert_eq!((answer.status, header(&answer.body, "x-auth-user")), (status, user), "{fields}");
    }
}

#[tokio::test]
async fn identities_meet_the_requirements_of_their_route() {
    let (backend, folder) = (echo(), Folder::new());
    let keys = format!("ada:{SECRET}:scope=read write:groups=ops,dev\nbob:{OTHER}:scope=read:groups=dev\n");
    fs::write(folder.path().join("keys"), keys).unwrap();
    let cases = [
        ("name = [\"ada\"]", 200, 403),
        ("scope = [\"write\", \"read\"]", 200, 403),
        ("scope = [\"read\"]", 200, 200),
        ("contains = { groups = [\"ops\", \"admin\"] }", 200, 403),
        ("attribute = { groups = [\"dev\"] }", 403, 200),
        ("mechanism = [\"api_key\", \"jwt\"]", 200, 200),
        ("mechanism = [\"basic\", \"client_certificate\", \"external\"]", 403, 403),
    ];
    let routes = cases.iter().enumerate().map(|(at, (require, ..))| {
        let auth = format!("auth = {{ api_key = {{ keys_file = \"keys\" }}, require = {{ {require} }} }}");
        format!("[[listener.route]]\npath_prefix = \"/{at}\"\npool = \"web\"\n{auth}\n")
    });
    let gateway = start(&folder, &routes.collect::<String>(), &backend).await;
    let mut client = gateway.connect(0).await;
    for (at, (require, ada, bob)) in cases.into_iter().enumerate() {
        for (key, status) in [("secret", ada), ("other", bob)] {
            let answer = client.request(&format!("GET /{at}"), &format!("x-api-key: {key}\r\n")).await.unwrap();
            assert_eq!(answer.status, status, "{require} {key}");
        }
    }
}

/// The server and the clients of a listener with TLS, whose clients can have certificates.
struct Certificates {
    folder: Folder,
    authority: Authority,
    backend: Backend,
}

impl Certificates {
    fn new() -> Self {
        let (backend, folder, authority) = (echo(), Folder::new(), Authority::new());
        authority.write(folder.path(), "a", &["a.test"]);
        fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
        Self { folder, authority, backend }
    }

    /// A configuration in which certificates have to meet rules.
    fn config(&self, rules: &str) -> String {
        let listener = format!(
            r#"
            pool = "web"
            tls = {{ certificate = "a.pem", key = "a.key", client_ca = "ca.pem", client_auth = "optional" }}
            [listener.auth]
            identity_headers = {{ x-user = "name", x-print = "attribute:fingerprint" }}
            client_certificate = {{ {rules} }}
            "#
        );
        config(&listener, &self.backend)
    }

    async fn get(&self, gateway: &Gateway, identity: Option<&Issued>) -> String {
        let client = self.authority.client(&["http/1.1"], identity);
        let mut stream = connect(&gateway.addresses[0], "a.test", &client).await.unwrap();
        get(&mut stream, "a.test", "x-user: root\r\n").await
    }
}

#[tokio::test]
async fn the_certificate_of_a_client_is_its_identity() {
    let test = Certificates::new();
    let config = test.config("name = \"dns\", allow = [\"ada.test\"], check_expiry = true");
    let gateway = Gateway::start(&test.folder, &config).await;
    for (name, status) in [(Some("ada.test"), "200"), (Some("bob.test"), "403"), (None, "403")] {
        let issued = name.map(|name| test.authority.issue(&[name]));
        let answer = test.get(&gateway, issued.as_ref()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        assert!(status == "403" || answer.contains("x-user: ada.test\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn lists_of_certificates_have_fingerprints_only() {
    let (test, start) = (Certificates::new(), "name = \"dns\"");
    let ada = test.authority.issue(&["ada.test"]);
    let mut gateway = Gateway::start(&test.folder, &test.config(start)).await;
    let answer = test.get(&gateway, Some(&ada)).await;
    let print = header(&answer, "x-print").unwrap().to_owned();
    for (rule, status) in [
        (format!("fingerprint = [\"{print}\"]"), "200"),
        (format!("revoked = [\"{}\"]", print.to_uppercase()), "403"),
        (format!("revoked = [\"{}\"]", "0".repeat(64)), "200"),
        ("issuer = [\"CN=other\"]".to_owned(), "403"),
    ] {
        gateway.reload(&test.folder, &test.config(&format!("{start}, {rule}"))).await;
        let answer = test.get(&gateway, Some(&ada)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{rule} {answer}");
    }
    // A list with an error revokes nothing by mistake.
    for list in ["revoked", "fingerprint"] {
        let wrong = format!("{start}, {list} = [\"{print}\", \"{}\"]", &print[1..]);
        test.folder.write(&test.config(&wrong));
        gateway.signal("-HUP").await;
        let line = gateway.logs("the old configuration stays").await;
        assert!(line.contains("is no fingerprint: use the 64 hexadecimal digits"), "{line}");
    }
}
