//! Clients that claim an identity by the fields from which backends learn identities.

use std::fmt::Write as _;

use equipoise::gateway::{
    auth::{ApiKey, ApiKeys, AuthLayer, GeneratedKey, IdentityFields},
    cache::KeyPolicy,
    stack::Functions,
};
use equipoise_tests::{Backend, Seen};
use http::{HeaderName, Request};

use crate::setup::{Gateway, answer, cache};

/// A backend that reads fields as CGI programs do: case and `-`, `_` and `.` are the same.
fn backend() -> Backend {
    Backend::answering(|seen: &Seen| {
        let is_user = |name: &HeaderName| name.as_str().replace(['_', '.'], "-") == "x-auth-user";
        let users: Vec<_> = seen.headers.iter().filter(|(name, _)| is_user(name)).collect();
        let users: Vec<_> = users.iter().map(|(_, value)| value.to_str().unwrap_or("?")).collect();
        answer(200, &[("cache-control", "max-age=60")], users.join(","))
    })
    .expect("a free port")
}

fn schemes() -> (AuthLayer, GeneratedKey) {
    let key = ApiKeys::generate();
    let keys: ApiKeys = format!("ada:{}", key.hash).parse().expect("keys");
    (AuthLayer::new(ApiKey::header(keys)), key)
}

const SPELLINGS: [&str; 8] = [
    "x-auth-user",
    "X-Auth-User",
    "X-AUTH-USER",
    "x_auth_user",
    "X_Auth-User",
    "X-Auth_User",
    "x.auth.user",
    "X-Auth.User",
];

#[tokio::test]
async fn no_spelling_of_a_field_claims_an_identity() {
    let (layer, key) = schemes();
    let anonymous = AuthLayer::anonymous();
    let layers = [(layer.clone(), "ada", Some(&key)), (layer.optional(), "", None), (anonymous, "", None)];
    for (layer, user, key) in layers {
        let backend = backend();
        let gateway = Gateway::start(Functions::new().authenticate(layer), backend.address()).await;
        for name in SPELLINGS {
            let mut request = format!("GET / HTTP/1.1\r\nhost: app.test\r\n{name}: root\r\n{name}:root\r\n");
            if let Some(key) = key {
                write!(request, "x-api-key: {}\r\n", key.key).expect("memory");
            }
            let reply = gateway.exchange(request + "connection: close\r\n\r\n").await;
            assert!(reply.starts_with("HTTP/1.1 200"), "{name}: {reply}");
            assert!(reply.ends_with(&format!("\r\n\r\n{user}")), "{name}: {reply}");
        }
    }
}

#[tokio::test]
async fn a_claimed_identity_is_no_credential() {
    let (layer, _) = schemes();
    let backend = backend();
    let gateway = Gateway::start(Functions::new().authenticate(layer), backend.address()).await;
    for name in SPELLINGS {
        let reply = gateway.send(Request::get("/").header(name, "ada")).await;
        assert_eq!(reply.status, 401, "{name}");
    }
    assert_eq!(backend.served(), 0);
}

#[tokio::test]
async fn connection_options_remove_neither_the_identity_nor_the_credentials_after_the_check() {
    let (layer, key) = schemes();
    let backend = backend();
    let gateway = Gateway::start(Functions::new().authenticate(layer.clone()), backend.address()).await;
    for option in ["x-auth-user", "X-Auth-User", "close, x-auth-user", "x_auth_user"] {
        let request = Request::get("/").header("connection", option).header("x-api-key", &key.key);
        let reply = gateway.send(request.header("x-auth-user", "root")).await;
        assert_eq!((reply.status, reply.text()), (200, "ada"), "{option}");
    }
    // Credentials that are for one connection only are none.
    let request = Request::get("/").header("connection", "x-api-key").header("x-api-key", &key.key);
    assert_eq!(gateway.send(request).await.status, 401);
    assert_eq!(backend.served(), 4);
}

#[tokio::test]
async fn a_trailer_claims_no_identity() {
    let (layer, key) = schemes();
    let backend = backend();
    let gateway = Gateway::start(Functions::new().authenticate(layer), backend.address()).await;
    let request = format!(
        "POST / HTTP/1.1\r\nhost: app.test\r\nx-api-key: {}\r\ntransfer-encoding: chunked\r\ntrailer: x-auth-user\r\n\
         connection: close\r\n\r\n1\r\na\r\n0\r\nx-auth-user: root\r\n\r\n",
        key.key
    );
    let reply = gateway.exchange(request).await;
    assert!(reply.starts_with("HTTP/1.1 200") && reply.ends_with("\r\n\r\nada"), "{reply}");
    assert_eq!(backend.seen()[0].header("trailer"), None);
}

#[tokio::test]
async fn fields_of_attributes_that_the_identity_lacks_are_not_those_of_the_client() {
    let key = ApiKeys::generate();
    let keys: ApiKeys = format!("ada:{}", key.hash).parse().expect("keys");
    let fields = IdentityFields::default()
        .attribute("groups", HeaderName::from_static("x-auth-groups"))
        .expect("a field")
        .remove(HeaderName::from_static("x-admin"));
    let layer = AuthLayer::new(ApiKey::header(keys)).identity_fields(fields);
    let backend = backend();
    let gateway = Gateway::start(Functions::new().authenticate(layer), backend.address()).await;
    let request = Request::get("/").header("x-api-key", &key.key).header("x-auth-groups", "admins");
    let reply = gateway.send(request.header("x_auth_groups", "admins").header("X-Admin", "1")).await;
    assert_eq!(reply.status, 200);
    let seen = &backend.seen()[0];
    let claimed = ["x-auth-groups", "x_auth_groups", "x-admin", "x-api-key"].map(|name| seen.header(name));
    assert_eq!(claimed, [None; 4]);
}

#[tokio::test]
async fn a_claimed_identity_reads_no_response_of_another_from_the_cache() {
    let (layer, key) = schemes();
    let backend = backend();
    let functions = Functions::new()
        .authenticate(layer.optional())
        .cache(cache(|cache| cache.key(KeyPolicy::new().per_identity())));
    let gateway = Gateway::start(functions, backend.address()).await;
    for _ in 0..2 {
        assert_eq!(gateway.send(Request::get("/").header("x-api-key", &key.key)).await.text(), "ada");
    }
    assert_eq!(backend.served(), 1, "it is stored");
    for name in SPELLINGS {
        let reply = gateway.send(Request::get("/").header(name, "ada")).await;
        assert_eq!(reply.text(), "", "{name}");
    }
}
