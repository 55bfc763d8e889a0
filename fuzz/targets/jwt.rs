//! Tokens and sets of keys: no bytes make them panic, and no token is accepted without a signature of the key.

#![no_main]

use std::{
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use equipoise_gateway::auth::{
    Authenticate,
    jwt::{Jwt, KeySet},
};
use equipoise_tower::RequestHead;
use http::{HeaderValue, Request};
use libfuzzer_sys::fuzz_target;

/// The public keys of RFC 7515, appendix A.3, and RFC 8037, appendix A.2. Inputs could have a signature of theirs only from
/// these documents, whose claims do not have the issuer.
const KEYS: &str = r#"{"keys":[
    {"kty":"EC","crv":"P-256","kid":"p256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
    {"kty":"OKP","crv":"Ed25519","kid":"ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
]}"#;

fn scheme() -> &'static Jwt {
    static SCHEME: OnceLock<Jwt> = OnceLock::new();
    SCHEME.get_or_init(|| {
        let keys = KeySet::read(KEYS).expect("keys");
        let now = || SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let jwt = Jwt::builder(keys).issuer("https://issuer.test").audience("api").cookie("jwt").wall_clock(now);
        jwt.scopes(["read"]).claim("/a/b", "a").claim("b.c", "b").build().expect("a scheme")
    })
}

fn is_accepted(name: &'static str, value: &[u8]) -> bool {
    let Ok(value) = HeaderValue::from_bytes(value) else { return false };
    let mut request = Request::new(());
    request.headers_mut().insert(name, value);
    let decision = scheme().authenticate(RequestHead::of(&request)).into_ready();
    decision.expect("fixed keys need no waiting").is_ok()
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = KeySet::read(text);
    }
    assert!(!is_accepted("authorization", &[b"Bearer ", bytes].concat()));
    assert!(!is_accepted("cookie", bytes));
    // The bytes as the header and the claims of a token, which otherwise would have to be base64.
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let mut part =
        || base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, parts.next().unwrap_or_default());
    let token = format!("Bearer {}.{}.{}", part(), part(), part());
    assert!(!is_accepted("authorization", token.as_bytes()));
});
