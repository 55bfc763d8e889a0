//! JSON Web Tokens.

use std::{fs, sync::Arc, time::SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use parking_lot::Mutex;
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData, SigningKey};
use serde_json::{Value, json};

use super::{config, echo, report, start};
use crate::{
    backend::{Backend, response},
    client::soon,
    monitoring::until,
    process::{Folder, Gateway},
};

/// What issues tokens, with one key.
pub(crate) struct Issuer(KeyPair);

impl Issuer {
    pub(crate) fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ED25519).unwrap())
    }

    /// The public key in PEM.
    pub(crate) fn pem(&self) -> String {
        self.0.public_key_pem()
    }

    /// A set of keys with the public key.
    fn jwks(&self, id: &str) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.0.der_bytes());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": id, "x": x }] }).to_string()
    }

    /// A token of `https://issuer.test` for `api` that is valid for an hour, with more claims.
    pub(crate) fn token(&self, subject: &str, more: &Value) -> String {
        self.token_with(&json!({ "alg": "EdDSA" }), subject, more)
    }

    fn token_with(&self, header: &Value, subject: &str, more: &Value) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({ "iss": "https://issuer.test", "aud": "api", "sub": subject, "exp": now + 3600 });
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let signed = [header, &claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
        let signature = URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes()).unwrap());
        format!("{signed}.{signature}")
    }
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

const JWT: &str = r#"
    pool = "web"
    [listener.auth]
    identity_headers = { x-user = "name", x-email = "attribute:email" }
    [listener.auth.jwt]
    keys_file = "key.pem"
    issuer = ["https://issuer.test"]
    audience = ["api"]
    scope = ["read"]
    attributes = { email = "email" }
"#;

#[tokio::test]
async fn a_token_of_the_issuer_reaches_the_backend_with_its_claims() {
    let (backend, folder, issuer) = (echo(), Folder::new(), Issuer::new());
    fs::write(folder.path().join("key.pem"), issuer.pem()).unwrap();
    let gateway = start(&folder, JWT, &backend).await;
    let mut client = gateway.connect(0).await;
    let read = json!({ "scope": "read write", "email": "ada@a.test" });
    let passed = client.request("GET /", &(bearer(&issuer.token("ada", &read)) + "x-email: forged\r\n")).await.unwrap();
    for field in ["\r\nx-user: ada\r\n", "\r\nx-email: ada@a.test\r\n"] {
        assert!(passed.body.contains(field), "{}", passed.body);
    }
    assert!(!passed.body.contains("forged"), "{}", passed.body);
    let unsigned = issuer.token_with(&json!({ "alg": "none" }), "ada", &read);
    let confused = issuer.token_with(&json!({ "alg": "HS256" }), "ada", &read);
    for (token, status, error) in [
        (issuer.token("ada", &json!({ "scope": "write" })), 403, "insufficient_scope"),
        (issuer.token("ada", &json!({ "scope": "read", "aud": "other" })), 401, "invalid_token"),
        (issuer.token("ada", &json!({ "scope": "read", "exp": 1 })), 401, "invalid_token"),
        (Issuer::new().token("ada", &read), 401, "invalid_token"),
        (unsigned.rsplit_once('.').unwrap().0.to_owned() + ".", 401, "invalid_token"),
        (confused, 401, "invalid_token"),
    ] {
        let denied = client.request("GET /", &bearer(&token)).await.unwrap();
        let challenge = denied.header("www-authenticate").unwrap_or_default();
        assert!(denied.status == status && challenge.contains(error), "{} {challenge}", denied.status);
    }
    assert_eq!(backend.served(), 1);
}

#[tokio::test]
async fn a_reload_exchanges_the_keys_of_a_file_and_keeps_them_if_the_file_is_wrong() {
    let (backend, folder, old, new) = (echo(), Folder::new(), Issuer::new(), Issuer::new());
    let file = folder.path().join("key.pem");
    fs::write(&file, old.pem()).unwrap();
    let mut gateway = start(&folder, JWT, &backend).await;
    let mut client = gateway.connect(0).await;
    let read = json!({ "scope": "read" });
    let tokens = [old.token("ada", &read), new.token("ada", &read)];
    let mut statuses = async || {
        let mut statuses = Vec::new();
        for token in &tokens {
            statuses.push(client.request("GET /", &bearer(token)).await.unwrap().status);
        }
        statuses
    };
    assert_eq!(statuses().await, [200, 401]);
    fs::write(&file, new.pem()).unwrap();
    gateway.reload(&folder, &config(JWT, &backend)).await;
    assert_eq!(statuses().await, [401, 200]);
    fs::write(&file, "no key").unwrap();
    gateway.signal("-HUP").await;
    let line = gateway.logs("the old configuration stays").await;
    assert!(line.contains("key.pem: use a JWK set"), "{line}");
    assert_eq!(statuses().await, [401, 200]);
}

#[tokio::test]
async fn keys_are_read_from_a_pool_again_for_a_token_with_a_new_key_and_stay_if_that_fails() {
    let (backend, folder, old, new) = (echo(), Folder::new(), Issuer::new(), Issuer::new());
    let set = Arc::new(Mutex::new(old.jwks("1")));
    let served = Arc::clone(&set);
    let mut server = Backend::responding(move |_, _| {
        let set = served.lock().clone();
        async move { response("content-type: application/json\r\n", &set) }
    });
    let pool = format!("[pool.issuer]\nendpoints = [{{ address = \"{}\" }}]\n", server.address());
    let jwks = "jwks = { pool = \"issuer\", uri = \"http://issuer.test/jwks\", cool_down = \"1s\" }";
    let listener = JWT.replace("keys_file = \"key.pem\"", jwks).replace("scope = [\"read\"]", "");
    let mut gateway = Gateway::start(&folder, &(pool.clone() + &config(&listener, &backend))).await;
    let mut client = gateway.connect(0).await;
    let token =
        |issuer: &Issuer, id: &str| bearer(&issuer.token_with(&json!({ "alg": "EdDSA", "kid": id }), "a", &json!({})));
    assert_eq!(client.request("GET /", &token(&old, "1")).await.unwrap().status, 200);
    *set.lock() = new.jwks("2");
    // Within the time after an attempt, a new key is not looked for.
    soon(async { while client.request("GET /", &token(&new, "2")).await.unwrap().status != 200 {} }).await;
    assert_eq!(client.request("GET /", &token(&old, "1")).await.unwrap().status, 401);
    // Neither a reload nor a failure loses the keys.
    server.stop().await;
    gateway.reload(&folder, &(pool.clone() + &config(&listener, &backend))).await;
    assert_eq!(client.request("GET /", &token(&new, "2")).await.unwrap().status, 200);
    let changed = listener.replace("audience = [\"api\"]", "audience = [\"api\"]\nleeway = \"1s\"");
    gateway.reload(&folder, &(pool + &config(&changed, &backend))).await;
    assert_eq!(client.request("GET /", &token(&new, "2")).await.unwrap().status, 200);
    let failures = async || {
        let report = report(&gateway, "127.0.0.1:0 auth").await;
        report["jwt"][0]["keys"]["failures"].as_u64().unwrap()
    };
    soon(async {
        while failures().await == 0 {
            assert_eq!(client.request("GET /", &token(&old, "3")).await.unwrap().status, 401);
        }
    })
    .await;
    assert_eq!(client.request("GET /", &token(&new, "2")).await.unwrap().status, 200);
    let line = gateway.logs("the keys of tokens cannot be read").await;
    assert!(line.contains("http://issuer.test/jwks"), "{line}");
    // The status page tells it.
    let state = until(&gateway, |state| state["functions"][0]["problems"] != json!([])).await;
    let auth = &state["functions"][0];
    assert_eq!(auth["name"], "127.0.0.1:0 auth");
    let problem = auth["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("keys of https://issuer.test: the request failed: "), "{problem}");
    let usable = json!({
        "name": "jwt_keys",
        "kind": "gauge",
        "labels": { "source": "https://issuer.test", "state": "usable" },
        "value": 1,
    });
    assert!(auth["readings"].as_array().unwrap().contains(&usable), "{auth}");
}

#[tokio::test]
async fn the_same_name_of_two_issuers_is_two_identities() {
    let (backend, folder, one, other) = (echo(), Folder::new(), Issuer::new(), Issuer::new());
    fs::write(folder.path().join("one.pem"), one.pem()).unwrap();
    fs::write(folder.path().join("other.pem"), other.pem()).unwrap();
    let listener = r#"
        pool = "web"
        [[listener.auth.jwt]]
        keys_file = "one.pem"
        issuer = ["https://issuer.test"]
        audience = ["api"]
        [[listener.auth.jwt]]
        keys_file = "other.pem"
        issuer = ["https://other.test"]
        audience = ["api"]
    "#;
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    let tokens = [
        (one.token("ada", &json!({})), "https://issuer.test#ada"),
        (other.token("ada", &json!({ "iss": "https://other.test" })), "https://other.test#ada"),
    ];
    for (token, name) in tokens {
        let passed = client.request("GET /", &bearer(&token)).await.unwrap();
        assert!(passed.status == 200 && passed.body.contains(&format!("x-auth-user: {name}\r\n")), "{}", passed.body);
    }
}

#[tokio::test]
async fn a_token_is_found_in_a_cookie_or_in_a_field_and_can_be_removed() {
    let (backend, folder, issuer) = (echo(), Folder::new(), Issuer::new());
    fs::write(folder.path().join("key.pem"), issuer.pem()).unwrap();
    let table = "keys_file = \"key.pem\", issuer = [\"https://issuer.test\"], audience = [\"api\"]";
    let listener = format!(
        r#"
        [[listener.route]]
        path_prefix = "/cookie"
        pool = "web"
        csrf = true
        auth = {{ jwt = {{ {table}, cookie = "session", forward = false }} }}
        [[listener.route]]
        path_prefix = "/field"
        pool = "web"
        auth = {{ jwt = {{ {table}, header = "x-token" }} }}
        "#
    );
    let gateway = start(&folder, &listener, &backend).await;
    let mut client = gateway.connect(0).await;
    let token = issuer.token("ada", &json!({}));
    let cookie = format!("cookie: a=1; session={token}\r\n");
    let field = format!("x-token: {token}\r\n");
    for (line, fields, status) in [
        ("GET /cookie", cookie.clone(), 200),
        ("GET /cookie", bearer(&token), 200),
        ("GET /cookie", field.clone(), 401),
        ("GET /cookie", format!("{cookie}cookie: session=other\r\n"), 401),
        ("POST /cookie", format!("{cookie}sec-fetch-site: cross-site\r\ncontent-length: 0\r\n"), 403),
        ("GET /field", field, 200),
        ("GET /field", bearer(&token), 401),
    ] {
        let answer = client.request(line, &fields).await.unwrap();
        assert_eq!(answer.status, status, "{line} {fields}");
        if status == 200 {
            let is_forwarded = answer.body.contains(&token);
            assert!(answer.body.contains("\r\nx-auth-user: ada\r\n"), "{}", answer.body);
            assert_eq!(is_forwarded, line == "GET /field", "{}", answer.body);
        }
    }
    let passed = client.request("GET /cookie", &cookie).await.unwrap();
    assert!(passed.body.contains("\r\ncookie: a=1\r\n"), "{}", passed.body);
}

#[tokio::test]
async fn types_of_tokens_are_those_of_the_table() {
    let (backend, folder, issuer) = (echo(), Folder::new(), Issuer::new());
    fs::write(folder.path().join("key.pem"), issuer.pem()).unwrap();
    let table = "keys_file = \"key.pem\", issuer = [\"https://issuer.test\"], audience = [\"api\"]";
    let route = |(at, types): (usize, &str)| {
        let auth = format!("auth = {{ jwt = {{ {table}{types} }} }}");
        format!("[[listener.route]]\npath_prefix = \"/{at}\"\npool = \"web\"\n{auth}\n")
    };
    let types = ["", ", token_type = [\"at+jwt\"]", ", any_token_type = true"];
    let routes: String = types.into_iter().enumerate().map(route).collect();
    let gateway = start(&folder, &routes, &backend).await;
    let mut client = gateway.connect(0).await;
    for (typ, statuses) in [
        (None, [200, 401, 200]),
        (Some("JWT"), [200, 401, 200]),
        (Some("at+jwt"), [200, 200, 200]),
        (Some("logout+jwt"), [401, 401, 200]),
    ] {
        let token = match typ {
            Some(typ) => issuer.token_with(&json!({ "alg": "EdDSA", "typ": typ }), "ada", &json!({})),
            None => issuer.token("ada", &json!({})),
        };
        for (at, status) in statuses.into_iter().enumerate() {
            let answer = client.request(&format!("GET /{at}"), &bearer(&token)).await.unwrap();
            assert_eq!(answer.status, status, "{typ:?} {}", types[at]);
        }
    }
}

#[tokio::test]
async fn claims_are_required_and_make_the_name() {
    let (backend, folder, issuer) = (echo(), Folder::new(), Issuer::new());
    fs::write(folder.path().join("key.pem"), issuer.pem()).unwrap();
    let listener = r#"
        pool = "web"
        [listener.auth.jwt]
        keys_file = "key.pem"
        algorithm = ["EdDSA"]
        issuer = ["https://issuer.test"]
        any_audience = true
        any_scope = ["read", "write"]
        require = { tenant = ["a", "b"] }
        require_present = ["email"]
        name_claim = "client.id"
        name_with_issuer = true
        leeway = "10m"
        max_lifetime = "1h"
        max_bytes = 1000
        max_cached = 0
    "#;
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let good = json!({
        "aud": "other", "scope": "write", "tenant": "b", "email": "", "client": { "id": 7 },
        "iat": now - 3000, "exp": now - 300,
    });
    let passed = client.request("GET /", &bearer(&issuer.token("ada", &good))).await.unwrap();
    assert!(passed.body.contains("\r\nx-auth-user: https://issuer.test#7\r\n"), "{} {}", passed.status, passed.body);
    for (claim, value, status) in [
        ("scope", json!("list"), 403),
        ("tenant", json!("c"), 403),
        ("email", json!(null), 403),
        ("client", json!({}), 401),
        ("exp", json!(now - 660), 401),
        ("exp", json!(now + 660), 401),
        ("iat", json!(null), 401),
        ("long", json!("a".repeat(1000)), 401),
    ] {
        let mut claims = good.clone();
        claims[claim] = value.clone();
        let denied = client.request("GET /", &bearer(&issuer.token("ada", &claims))).await.unwrap();
        assert_eq!(denied.status, status, "{claim} {value}");
    }
    // Nothing is remembered with `max_cached = 0`.
    assert_eq!(client.request("GET /", &bearer(&issuer.token("ada", &good))).await.unwrap().status, 200);
    assert_eq!(report(&gateway, "127.0.0.1:0 auth").await["jwt"][0]["remembered"], 0);
    assert_eq!(backend.served(), 2);
}

#[tokio::test]
async fn a_secret_verifies_tokens_of_its_algorithm() {
    let (backend, folder) = (echo(), Folder::new());
    fs::write(folder.path().join("secret"), "0123456789abcdef0123456789abcdef\n").unwrap();
    let listener = r#"
        pool = "web"
        [listener.auth.jwt]
        secret_file = "secret"
        algorithm = ["HS256"]
        any_issuer = true
        audience = ["api"]
    "#;
    let gateway = start(&folder, listener, &backend).await;
    let mut client = gateway.connect(0).await;
    // The HMAC was computed with `hmac` and `hashlib` of Python.
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0IiwiYXVkIjoiYXBpIiwic3ViIjoiYWRhIiwiZXhwIjo0MTAyNDQ0ODAwfQ.\
                 twlyhD-dnjFyM7zO96bijDLmyPxhrSr_ea6X1RHIZZA";
    let passed = client.request("GET /", &bearer(token)).await.unwrap();
    assert!(passed.body.contains("\r\nx-auth-user: https://issuer.test#ada\r\n"), "{} {}", passed.status, passed.body);
    let forged = token.replace("twly", "twlz");
    assert_eq!(client.request("GET /", &bearer(&forged)).await.unwrap().status, 401);
    // The second time, the signature is not verified again.
    assert_eq!(client.request("GET /", &bearer(token)).await.unwrap().status, 200);
    let report = &report(&gateway, "127.0.0.1:0 auth").await["jwt"][0];
    assert_eq!([&report["accepted"], &report["remembered"]], [2, 1]);
}
