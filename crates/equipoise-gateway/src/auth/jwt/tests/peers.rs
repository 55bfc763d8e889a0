use super::*;
use crate::auth::jwt::VerifyingKey;

#[tokio::test]
async fn tokens_of_pyjwt_are_accepted_with_each_algorithm() {
    let recorded = recorded();
    for (name, token) in recorded["tokens"].as_object().expect("tokens") {
        let algorithm: Algorithm = name.parse().expect("an algorithm");
        let keys = match recorded["secrets"][name].as_str() {
            Some(secret) => VerifyingKey::secret(algorithm, secret).expect("a key").into(),
            None => recorded_set(),
        };
        let jwt = builder(keys).algorithms([algorithm]).build().expect("a scheme");
        assert_eq!(verdict(&jwt, token.as_str().expect("a token")).await, Ok(()), "{name}");
        // With one bit of the signature changed.
        let mut bytes = token.as_str().expect("a token").as_bytes().to_vec();
        let last = bytes.len() - 5;
        bytes[last] = if bytes[last] == b'A' { b'B' } else { b'A' };
        assert_eq!(verdict(&jwt, bytes).await, Err("signature".into()), "{name}");
    }
}

#[tokio::test]
async fn keys_from_pem_and_from_jwks_are_the_same() {
    let recorded = recorded();
    let all: String = recorded["public"].as_object().expect("keys").values().filter_map(Value::as_str).collect();
    let jwt = builder(KeySet::read(&all).expect("keys")).build().expect("a scheme");
    for algorithm in Algorithm::ASYMMETRIC {
        // The keys have no id, so that each one of the right kind is tried.
        assert_eq!(verdict(&jwt, recorded_token(algorithm.as_str())).await, Ok(()), "{algorithm}");
    }
    for (id, pem) in recorded["private"].as_object().expect("keys") {
        assert!(VerifyingKey::pem(pem.as_str().expect("PEM")).is_err(), "{id}");
    }
}

#[tokio::test]
async fn tokens_of_the_crate_jsonwebtoken_are_accepted() {
    for (id, algorithms) in [
        ("rsa", &Algorithm::ASYMMETRIC[..6]),
        ("p256", &[Algorithm::Es256]),
        ("p384", &[Algorithm::Es384]),
        ("ed25519", &[Algorithm::EdDsa]),
    ] {
        for algorithm in algorithms {
            let token = token_of(*algorithm, id, &encoding_key(id));
            assert_eq!(verdict(&jwt(), token).await, Ok(()), "{algorithm}");
        }
    }
}

#[tokio::test]
async fn the_example_of_rfc_7515_is_verified() {
    // RFC 7515, appendix A.1: the key has 64 bytes.
    let jwk = r#"{"keys":[{"kty":"oct","alg":"HS256","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"}]}"#;
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNv\
                 bS9pc19yb290Ijp0cnVlfQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let at = |seconds| {
        let now = move || SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let jwt = Jwt::builder(KeySet::read(jwk).expect("keys")).issuer("joe").any_audience().wall_clock(now);
        jwt.name_claim("iss").build().expect("a scheme")
    };
    assert_eq!(verdict(&at(1_300_819_380), token).await, Ok(()));
    assert_eq!(verdict(&at(1_300_819_439), token).await, Ok(()));
    assert_eq!(verdict(&at(1_300_819_440), token).await, Err("expired".into()));
}
