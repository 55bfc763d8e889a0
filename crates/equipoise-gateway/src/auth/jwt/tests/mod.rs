//! Tests of the scheme as a whole, with tokens that other libraries have signed and with tokens of attackers.

mod attacks;
mod peers;
mod refresh;
mod scheme;
mod settings;

use std::time::{Duration, SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use equipoise_tower::RequestHead;
use http::{Request, header::WWW_AUTHENTICATE};
use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{Algorithm, Jwt, JwtBuilder, KeySet, Keys};
use crate::{
    Identity,
    auth::{AuthFailure, Authenticate},
};

/// What `pyjwt.py` has written.
const RECORDED: &str = include_str!("pyjwt.json");
/// When the recorded tokens were issued. They are valid for one hour.
const NOW: u64 = 1_800_000_000;

fn recorded() -> Value {
    serde_json::from_str(RECORDED).expect("JSON")
}

fn recorded_set() -> KeySet {
    KeySet::read(&recorded()["jwks"].to_string()).expect("keys")
}

fn recorded_token(algorithm: &str) -> String {
    recorded()["tokens"][algorithm].as_str().expect("a token").to_owned()
}

fn encoding_key(id: &str) -> EncodingKey {
    let recorded = recorded();
    let pem = recorded["private"][id].as_str().expect("a key").as_bytes();
    let key = match id {
        "rsa" => EncodingKey::from_rsa_pem(pem),
        "ed25519" => EncodingKey::from_ed_pem(pem),
        _ => EncodingKey::from_ec_pem(pem),
    };
    key.expect("a key")
}

fn builder(keys: impl Into<Keys>) -> JwtBuilder {
    let now = || SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    Jwt::builder(keys).issuer("https://issuer.test").audience("api").wall_clock(now)
}

/// A scheme for the recorded keys.
fn jwt() -> Jwt {
    builder(recorded_set()).build().expect("a scheme")
}

fn claims() -> Value {
    json!({ "iss": "https://issuer.test", "aud": "api", "sub": "ann", "exp": NOW + 3600 })
}

/// A token with a good signature of the recorded Ed25519 key, whatever its header and its claims are.
fn signed(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &encoding_key("ed25519"), Algorithm::EdDsa.of_crate());
    format!("{message}.{}", signature.expect("a signature"))
}

/// A good token of the recorded Ed25519 key, with changes of claims.
fn token_with(changes: Value) -> String {
    let mut claims = claims();
    for (name, value) in changes.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    signed(r#"{"alg":"EdDSA","kid":"ed25519"}"#, &claims.to_string())
}

fn token_of(algorithm: Algorithm, id: &str, key: &EncodingKey) -> String {
    let mut header = Header::new(algorithm.of_crate());
    header.kid = Some(id.to_owned());
    encode(&header, &claims(), key).expect("a token")
}

async fn decide(jwt: &Jwt, field: &str, value: impl AsRef<[u8]>) -> Result<Identity, AuthFailure> {
    let request = Request::get("/").header(field, value.as_ref()).body(()).expect("a request");
    jwt.authenticate(RequestHead::of(&request)).await.map(|accepted| accepted.identity().clone())
}

/// `Ok` or the label of the reason.
async fn verdict(jwt: &Jwt, token: impl AsRef<[u8]>) -> Result<(), String> {
    match decide(jwt, "authorization", [b"Bearer ", token.as_ref()].concat()).await {
        Ok(_) => Ok(()),
        Err(AuthFailure::Invalid { reason, .. }) => Err(reason.to_owned()),
        Err(AuthFailure::Denied(denial)) => Err(denial.code().to_owned()),
        Err(AuthFailure::Missing) => Err("missing".to_owned()),
        Err(AuthFailure::Unavailable { .. }) => Err("unavailable".to_owned()),
    }
}

/// The value of `WWW-Authenticate` of a failure.
fn challenge_of(failure: AuthFailure) -> Option<String> {
    let value = match failure {
        AuthFailure::Invalid { challenge, .. } => challenge?,
        AuthFailure::Denied(denial) => {
            let errors = equipoise_proxy::error::ErrorResponses::new();
            let response: http::Response<crate::ReplyBody<()>> = denial.respond(&Request::new(()), &errors);
            assert_eq!(response.status(), 403);
            response.headers().get(WWW_AUTHENTICATE)?.clone()
        }
        _ => return None,
    };
    Some(value.to_str().expect("text").to_owned())
}
