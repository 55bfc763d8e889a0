//! Forged tokens: without a signature, signed with a public key as a secret, and signed with keys of the attacker.

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use equipoise::gateway::{
    auth::{
        AuthLayer,
        jwt::{Algorithm, Jwt, KeySet, VerifyingKey},
    },
    stack::Functions,
};
use equipoise_tests::{Backend, Seen};
use http::Request;
use jsonwebtoken::{EncodingKey, Header};
use rcgen::KeyPair;
use serde_json::{Value, json};

use crate::setup::{Gateway, Reply, answer};

/// A gateway that knows one public key of ECDSA, and the key pair.
struct Rig {
    gateway: Gateway,
    backend: Backend,
    pair: KeyPair,
}

async fn rig() -> Rig {
    let pair = KeyPair::generate().expect("a key pair");
    let key = VerifyingKey::pem(&pair.public_key_pem()).expect("a public key").id("1");
    let jwt = Jwt::builder(KeySet::new([key]).expect("keys")).issuer("https://issuer.test").audience("api");
    let backend =
        Backend::answering(|seen: &Seen| answer(200, &[], seen.header("x-auth-user").unwrap_or("nobody").to_owned()))
            .expect("a free port");
    let functions = Functions::new().authenticate(AuthLayer::new(jwt.build().expect("a scheme")));
    Rig { gateway: Gateway::start(functions, backend.address()).await, backend, pair }
}

impl Rig {
    async fn send(&self, token: &str) -> Reply {
        self.gateway.send(Request::get("/").header("authorization", format!("Bearer {token}"))).await
    }

    async fn is_refused(&self, token: &str) {
        let reply = self.send(token).await;
        assert_eq!(reply.status, 401, "{token}");
        assert!(reply.header("www-authenticate").starts_with("Bearer "), "{token}: {reply:?}");
        assert_eq!(self.backend.served(), 0, "{token}");
    }
}

fn claims() -> Value {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
    json!({ "iss": "https://issuer.test", "aud": "api", "sub": "ada", "exp": now + 3600 })
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn signed(header: Value, claims: &Value, key: &EncodingKey) -> String {
    let header: Header = serde_json::from_value(header).expect("a header");
    jsonwebtoken::encode(&header, claims, key).expect("a token")
}

fn signing(pair: &KeyPair) -> EncodingKey {
    EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).expect("a key")
}

#[tokio::test]
async fn a_token_of_the_issuer_is_accepted() {
    let rig = rig().await;
    let token = signed(json!({ "alg": "ES256", "kid": "1" }), &claims(), &signing(&rig.pair));
    let reply = rig.send(&token).await;
    assert_eq!((reply.status, reply.text()), (200, "ada"));
}

#[tokio::test]
async fn a_token_without_a_signature_is_refused() {
    let rig = rig().await;
    for algorithm in ["none", "None", "NONE", "nOnE", "", "ES256", "HS256"] {
        for signature in ["", "AA", &"A".repeat(86)] {
            let header = encoded(&json!({ "alg": algorithm, "kid": "1", "typ": "JWT" }));
            rig.is_refused(&format!("{header}.{}.{signature}", encoded(&claims()))).await;
        }
    }
    let header = encoded(&json!({ "alg": "none" }));
    rig.is_refused(&format!("{header}.{}", encoded(&claims()))).await;
    rig.is_refused(&format!("{}.{}.", encoded(&json!({ "kid": "1" })), encoded(&claims()))).await;
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let rig = rig().await;
    let pem = rig.pair.public_key_pem();
    let forms = [
        pem.clone().into_bytes(),
        pem.trim_end().into(),
        pem.replace('\n', "\r\n").into(),
        rig.pair.public_key_raw().to_vec(),
        pem.lines().filter(|line| !line.starts_with('-')).collect::<String>().into_bytes(),
    ];
    for secret in forms {
        for algorithm in ["HS256", "HS384", "HS512"] {
            for header in [json!({ "alg": algorithm, "kid": "1" }), json!({ "alg": algorithm })] {
                rig.is_refused(&signed(header, &claims(), &EncodingKey::from_secret(&secret).expect("a key"))).await;
            }
        }
    }
}

#[tokio::test]
async fn a_key_of_the_attacker_is_no_key_of_the_issuer() {
    let rig = rig().await;
    let other = KeyPair::generate().expect("a key pair");
    let point = other.public_key_raw();
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "kid": "1", "use": "sig",
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]), "y": URL_SAFE_NO_PAD.encode(&point[33..65]),
    });
    // The attacker would serve its keys here.
    let keys = Backend::answering({
        let keys = json!({ "keys": [jwk] }).to_string();
        move |_: &Seen| answer(200, &[("content-type", "application/json")], keys.clone())
    })
    .expect("a free port");
    let url = format!("http://{}/keys", keys.address());
    for header in [
        json!({ "alg": "ES256", "kid": "1" }),
        json!({ "alg": "ES256" }),
        json!({ "alg": "ES256", "kid": "../../../dev/null" }),
        json!({ "alg": "ES256", "kid": "1' UNION SELECT 'x" }),
        json!({ "alg": "ES256", "kid": "1", "jwk": jwk }),
        json!({ "alg": "ES256", "kid": "1", "jku": url }),
        json!({ "alg": "ES256", "kid": "1", "x5u": url }),
    ] {
        rig.is_refused(&signed(header, &claims(), &signing(&other))).await;
    }
    assert_eq!(keys.served(), 0, "no URL of a token is fetched");
}

#[tokio::test]
async fn a_changed_claim_breaks_the_signature() {
    let rig = rig().await;
    let token = signed(json!({ "alg": "ES256", "kid": "1" }), &claims(), &signing(&rig.pair));
    let parts: Vec<_> = token.split('.').collect();
    let mut changed = claims();
    changed["sub"] = "root".into();
    rig.is_refused(&format!("{}.{}.{}", parts[0], encoded(&changed), parts[2])).await;
}

#[tokio::test]
async fn claims_for_others_and_of_other_times_are_refused() {
    let rig = rig().await;
    let wrong = [
        ("iss", json!("https://evil.test")),
        ("iss", json!(["https://issuer.test"])),
        ("aud", json!("other")),
        ("aud", Value::Null),
        ("exp", json!(1)),
        ("exp", json!("9999999999")),
        ("exp", Value::Null),
        ("nbf", json!(9_999_999_999_u64)),
    ];
    for (name, value) in wrong {
        let mut claims = claims();
        claims[name] = value;
        rig.is_refused(&signed(json!({ "alg": "ES256", "kid": "1" }), &claims, &signing(&rig.pair))).await;
    }
}

#[test]
fn a_public_key_cannot_be_configured_for_hmac() {
    let pair = KeyPair::generate().expect("a key pair");
    assert!(VerifyingKey::pem(&pair.public_key_pem()).expect("a key").algorithm(Algorithm::Hs256).is_err());
}
