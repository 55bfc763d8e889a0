use proptest::prelude::*;

use super::*;
use crate::auth::jwt::{InvalidKey, VerifyingKey};

fn unsigned(header: Value, signature: &str) -> String {
    let claims = URL_SAFE_NO_PAD.encode(claims().to_string());
    format!("{}.{claims}.{signature}", URL_SAFE_NO_PAD.encode(header.to_string()))
}

#[tokio::test]
async fn unsecured_tokens_are_refused() {
    let jwt = jwt();
    for name in ["none", "None", "NONE", "nOnE", "", "none\u{0}", " none"] {
        for signature in ["", "AA", &"A".repeat(86)] {
            let token = unsigned(json!({ "alg": name, "kid": "ed25519" }), signature);
            assert_eq!(verdict(&jwt, token).await, Err("algorithm".into()), "{name:?}");
        }
    }
    // An algorithm with an empty signature.
    for algorithm in Algorithm::ASYMMETRIC {
        for id in ["rsa", "p256", "p384", "ed25519"] {
            let token = unsigned(json!({ "alg": algorithm.as_str(), "kid": id }), "");
            assert!(verdict(&jwt, token).await.is_err(), "{algorithm} {id}");
        }
    }
}

#[tokio::test]
async fn a_public_key_is_no_secret() {
    let (jwt, recorded) = (jwt(), recorded());
    for (id, pem) in recorded["public"].as_object().expect("keys") {
        let pem = pem.as_str().expect("PEM");
        // The forms in which attackers use a public key as the secret of HMAC.
        let forms = [pem.as_bytes().to_vec(), pem.trim_end().into(), pem.replace('\n', "\r\n").into()];
        for secret in forms {
            for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
                let refused = VerifyingKey::secret(algorithm, &secret).map(drop);
                assert!(matches!(refused, Err(InvalidKey::KeyAsSecret { form: "PEM", .. })), "{refused:?}");
                let key = EncodingKey::from_secret(&secret).expect("a key");
                for id in [id, "", "other"] {
                    assert_eq!(verdict(&jwt, token_of(algorithm, id, &key)).await, Err("unknown_key".into()));
                }
            }
        }
    }
}

#[tokio::test]
async fn an_algorithm_of_another_kind_of_key_is_refused() {
    let jwt = jwt();
    let names = ["RS256", "PS256", "ES256", "ES384", "EdDSA", "HS256"];
    let own = |id: &str, name: &str| match id {
        "rsa" => matches!(name, "RS256" | "PS256"),
        "p256" => name == "ES256",
        "p384" => name == "ES384",
        _ => name == "EdDSA",
    };
    for id in ["rsa", "p256", "p384", "ed25519"] {
        for name in names {
            let token = unsigned(json!({ "alg": name, "kid": id }), &"A".repeat(86));
            let expected = if own(id, name) { "signature" } else { "unknown_key" };
            assert_eq!(verdict(&jwt, token).await, Err(expected.into()), "{id} {name}");
        }
    }
    // The signature of RS256 is none of RS384, RS512 and PS256.
    let (_, rest) = recorded_token("RS256").split_once('.').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a dot");
    for name in ["RS384", "RS512", "PS256"] {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": name, "kid": "rsa" }).to_string());
        assert_eq!(verdict(&jwt, format!("{header}.{rest}")).await, Err("signature".into()));
    }
}

#[tokio::test]
async fn only_allowed_algorithms_are_verified() {
    let jwt = builder(recorded_set()).algorithms([Algorithm::Es256]).build().expect("a scheme");
    assert_eq!(verdict(&jwt, recorded_token("ES256")).await, Ok(()));
    for name in ["RS256", "ES384", "EdDSA", "HS256"] {
        assert_eq!(verdict(&jwt, recorded_token(name)).await, Err("algorithm".into()), "{name}");
    }
}

#[tokio::test]
async fn psychic_signatures_are_refused() {
    // CVE-2022-21449: r and s of 0 were a signature of each message.
    let jwt = jwt();
    for (name, id, length) in [("ES256", "p256", 64), ("ES384", "p384", 96), ("EdDSA", "ed25519", 64)] {
        for bytes in [vec![0; length], vec![0xff; length], vec![0; length * 2], Vec::new(), vec![0; 1], {
            // r of 0 and s of 1.
            let mut bytes = vec![0; length];
            bytes[length - 1] = 1;
            bytes
        }] {
            let token = unsigned(json!({ "alg": name, "kid": id }), &URL_SAFE_NO_PAD.encode(&bytes));
            assert_eq!(verdict(&jwt, token).await, Err("signature".into()), "{name} {bytes:?}");
        }
    }
    // The order of P-256, which is 0 modulo itself, as r and s.
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551".repeat(2);
    let bytes: Vec<u8> =
        (0..order.len()).step_by(2).map(|at| u8::from_str_radix(&order[at..at + 2], 16).expect("hex")).collect();
    let token = unsigned(json!({ "alg": "ES256", "kid": "p256" }), &URL_SAFE_NO_PAD.encode(bytes));
    assert_eq!(verdict(&jwt, token).await, Err("signature".into()));
}

#[tokio::test]
async fn keys_in_the_header_are_ignored() {
    let jwt = jwt();
    // A good signature of a key that the token brings along.
    let own = EncodingKey::from_ed_pem(
        b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n",
    );
    let own = own.expect("the key of RFC 8037, appendix A.1");
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    for header in [
        json!({ "alg": "EdDSA", "jwk": jwk }),
        json!({ "alg": "EdDSA", "kid": "ed25519", "jwk": jwk }),
        json!({ "alg": "EdDSA", "kid": "ed25519", "jku": "https://evil.test/jwks" }),
        json!({ "alg": "EdDSA", "kid": "ed25519", "x5u": "https://evil.test/cert", "x5c": ["MIIB"] }),
    ] {
        let message = unsigned(header, "");
        let message = message.trim_end_matches('.');
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &own, jsonwebtoken::Algorithm::EdDSA);
        let token = format!("{message}.{}", signature.expect("a signature"));
        assert_eq!(verdict(&jwt, token).await, Err("signature".into()));
    }
    // They do not harm a good token either.
    let header = json!({ "alg": "EdDSA", "kid": "ed25519", "jku": "https://evil.test", "jwk": jwk }).to_string();
    assert_eq!(verdict(&jwt, signed(&header, &claims().to_string())).await, Ok(()));
}

#[tokio::test]
async fn ids_of_keys_are_only_compared() {
    let jwt = jwt();
    for id in ["../../dev/null", "ed25519' OR '1'='1", "ED25519", "ed25519\u{0}", "", "rsa", "p256"] {
        let header = json!({ "alg": "EdDSA", "kid": id }).to_string();
        assert_eq!(verdict(&jwt, signed(&header, &claims().to_string())).await, Err("unknown_key".into()), "{id}");
    }
    // Without an id, the key of the right kind is found.
    assert_eq!(verdict(&jwt, signed(r#"{"alg":"EdDSA"}"#, &claims().to_string())).await, Ok(()));
    assert_eq!(verdict(&jwt, signed(r#"{"alg":"Ed25519","kid":"ed25519"}"#, &claims().to_string())).await, Ok(()));
}

#[tokio::test]
async fn signed_tokens_of_another_form_are_refused() {
    let jwt = jwt();
    let good = claims().to_string();
    let with = |member: &str| good.replacen('{', &format!("{{{member},"), 1);
    let kid = r#""alg":"EdDSA","kid":"ed25519""#;
    let deep = format!(r#""x":{}1{}"#, "[".repeat(200), "]".repeat(200));
    for (header, payload, expected) in [
        (format!("{{{kid}}}"), with(r#""sub":"eve""#), "malformed_token"),
        (format!("{{{kid}}}"), with(r#""x":{"a":1,"a":2}"#), "malformed_token"),
        (format!("{{{kid}}}"), with(&deep), "malformed_token"),
        (format!("{{{kid}}}"), "[]".into(), "malformed_token"),
        (format!("{{{kid}}}"), String::new(), "malformed_token"),
        (format!("{{{kid},\"alg\":\"EdDSA\"}}"), good.clone(), "malformed_token"),
        (format!("{{{kid},\"crit\":[\"exp\"]}}"), good.clone(), "critical_header"),
        (format!("{{{kid},\"b64\":false}}"), good.clone(), "critical_header"),
        (format!("{{{kid},\"typ\":\"logout+jwt\"}}"), good.clone(), "token_type"),
        (format!("{{{kid}}}"), with(&format!(r#""x":"{}""#, "a".repeat(8000))), "token_too_long"),
    ] {
        assert_eq!(verdict(&jwt, signed(&header, &payload)).await, Err(expected.into()), "{header} {payload}");
    }
    let latin =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(format!("{{{kid}}}")), URL_SAFE_NO_PAD.encode(b"{\"sub\":\"\xff\"}"));
    let signature =
        jsonwebtoken::crypto::sign(latin.as_bytes(), &encoding_key("ed25519"), jsonwebtoken::Algorithm::EdDSA);
    assert_eq!(
        verdict(&jwt, format!("{latin}.{}", signature.expect("a signature"))).await,
        Err("malformed_token".into())
    );
    let good = signed(&format!("{{{kid}}}"), &good);
    assert_eq!(verdict(&jwt, &good).await, Ok(()));
    for token in [format!("{good}="), format!("{good}=="), good.replacen('.', "=.", 1), good.replace('.', ". ")] {
        assert_eq!(verdict(&jwt, token).await, Err("malformed_token".into()));
    }
}

#[tokio::test]
async fn a_key_that_was_replaced_is_not_used() {
    let other = VerifyingKey::pem(
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n-----END PUBLIC KEY-----\n",
    );
    let jwt = builder(other.expect("a key").id("ed25519")).build().expect("a scheme");
    assert_eq!(verdict(&jwt, recorded_token("EdDSA")).await, Err("signature".into()));
}

proptest! {
    #[test]
    fn no_token_makes_it_panic(token in "\\PC{0,80}|[A-Za-z0-9_.-]{0,200}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let jwt = jwt();
        let found = runtime.block_on(verdict(&jwt, token.trim()));
        prop_assert!(found.is_err());
    }

    #[test]
    fn no_signed_claims_make_it_panic(name in "sub|iss|aud|exp|nbf|iat|scope|scp", value in "null|true|-1|1e308|1e999|\"\"|\"a b\"|\\[\\]|\\[\"api\",1\\]|\\{\\}|[0-9]{1,40}") {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let jwt = builder(recorded_set()).scopes(["a"]).build().expect("a scheme");
        let members = claims().as_object().expect("an object").iter().filter(|(other, _)| **other != name)
            .map(|(name, value)| format!("\"{name}\":{value}")).collect::<Vec<_>>().join(",");
        let token = signed(r#"{"alg":"EdDSA"}"#, &format!("{{\"{name}\":{value},{members}}}"));
        let _ = runtime.block_on(verdict(&jwt, token));
    }
}
