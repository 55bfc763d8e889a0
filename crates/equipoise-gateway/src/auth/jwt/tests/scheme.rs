use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use tower::{ServiceExt, service_fn};
use tower_layer::Layer;

use super::*;
use crate::{
    Mechanism,
    auth::{AuthLayer, IdentityFields, Realm, jwt::Refusal},
};

#[tokio::test]
async fn claims_become_attributes() {
    let jwt = builder(recorded_set())
        .claim("email", "mail")
        .claim("realm_access.roles", "roles")
        .claim("/aud/1", "second")
        .claim("exp", "until")
        .claim("realm_access", "object")
        .claim("nothing", "nothing")
        .build()
        .expect("a scheme");
    let identity =
        decide(&jwt, "authorization", format!("Bearer {}", recorded_token("ES256"))).await.expect("accepted");
    assert_eq!((identity.name(), identity.mechanism()), ("ann", Mechanism::Jwt));
    let attributes: Vec<_> = identity.attributes().collect();
    let expected = [
        ("mail", "jörg@a.test"),
        ("roles", "ops,a%2Cb"),
        ("scope", "read write"),
        ("second", "other"),
        ("until", "1800003600"),
    ];
    assert_eq!(attributes, expected);
}

#[tokio::test]
async fn the_name_is_the_subject_or_another_claim() {
    let named = |path: &str| builder(recorded_set()).name_claim(path).build().expect("a scheme");
    let name = async |jwt: &Jwt, changes| {
        let decision = decide(jwt, "authorization", format!("Bearer {}", token_with(changes))).await;
        decision.map(|identity| identity.name().to_owned()).map_err(|failure| format!("{failure:?}"))
    };
    assert_eq!(name(&jwt(), json!({})).await, Ok("ann".into()));
    assert_eq!(name(&named("client.id"), json!({ "client": { "id": 7 } })).await, Ok("7".into()));
    for missing in [json!({ "sub": "" }), json!({ "sub": null }), json!({ "sub": ["ann"] }), json!({ "sub": true })] {
        assert!(name(&jwt(), missing.clone()).await.is_err_and(|failure| failure.contains("no_name")), "{missing}");
    }
}

#[tokio::test]
async fn tokens_with_other_claims_are_other_identities_if_the_backend_gets_them() {
    let identity = async |jwt: &Jwt, changes| {
        let decision = decide(jwt, "authorization", format!("Bearer {}", token_with(changes))).await;
        decision.expect("accepted")
    };
    let first = identity(&jwt(), json!({ "org": "a" })).await;
    let renewed = json!({ "org": "a", "exp": NOW + 7200, "iat": NOW, "nbf": NOW, "jti": "7" });
    assert_eq!(identity(&jwt(), renewed).await, first);
    for claims in [json!({ "org": "b" }), json!({}), json!({ "org": ["a"] }), json!({ "org": "a", "act": "x" })] {
        assert_ne!(identity(&jwt(), claims.clone()).await, first, "{claims}");
    }
    let removed = builder(recorded_set()).remove_token().build().expect("a scheme");
    assert_eq!(identity(&removed, json!({ "org": "a" })).await, identity(&removed, json!({ "org": "b" })).await);
}

#[tokio::test]
async fn names_of_several_issuers_do_not_collide() {
    let name = async |jwt: Jwt, changes| {
        let decision = decide(&jwt, "authorization", format!("Bearer {}", token_with(changes))).await;
        decision.map(|identity| identity.name().to_owned()).ok()
    };
    let two = || builder(recorded_set()).issuer("https://b.test").build().expect("a scheme");
    assert_eq!(name(two(), json!({})).await.as_deref(), Some("https://issuer.test#ann"));
    assert_eq!(name(two(), json!({ "iss": "https://b.test" })).await.as_deref(), Some("https://b.test#ann"));
    let any = || builder(recorded_set()).any_issuer().build().expect("a scheme");
    assert_eq!(name(any(), json!({ "iss": "c" })).await.as_deref(), Some("c#ann"));
    assert_eq!(name(any(), json!({ "iss": ["c"] })).await, None);
    let one = builder(recorded_set()).name_with_issuer().build().expect("a scheme");
    assert_eq!(name(one, json!({})).await.as_deref(), Some("https://issuer.test#ann"));
}

#[tokio::test]
async fn failures_have_the_challenges_of_rfc_6750() {
    let jwt =
        builder(recorded_set()).scopes(["read", "admin"]).require_value("tenant", ["a"]).build().expect("a scheme");
    let challenge = async |token: String| {
        let failure = decide(&jwt, "authorization", format!("Bearer {token}")).await.expect_err("refused");
        challenge_of(failure).expect("a challenge")
    };
    let expired = challenge(token_with(json!({ "exp": NOW - 60 }))).await;
    assert_eq!(expired, r#"Bearer error="invalid_token", error_description="the token has expired""#);
    assert_eq!(challenge("x".into()).await, r#"Bearer error="invalid_token""#);
    let scope = challenge(token_with(json!({ "scope": "read" }))).await;
    assert_eq!(scope, r#"Bearer error="insufficient_scope", scope="admin read""#);
    let claim = challenge(token_with(json!({ "scope": "read admin", "tenant": "b" }))).await;
    assert_eq!(claim, r#"Bearer error="insufficient_scope""#);
    let realm = Realm::new("inner").expect("a realm");
    assert_eq!(jwt.challenge(&realm), Some(HeaderValue::from_static(r#"Bearer realm="inner""#)));
    assert_eq!(verdict(&jwt, token_with(json!({ "scope": "read admin", "tenant": ["b", "a"] }))).await, Ok(()));
}

#[tokio::test]
async fn a_token_that_is_not_valid_gets_no_hint_about_scopes() {
    let jwt = builder(recorded_set()).scopes(["admin"]).build().expect("a scheme");
    let token = token_with(json!({}));
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    assert_eq!(verdict(&jwt, token).await, Err("insufficient_scope".into()));
    assert_eq!(verdict(&jwt, forged).await, Err("signature".into()));
}

#[tokio::test]
async fn tokens_are_found_in_all_places_that_are_set() {
    let token = token_with(json!({}));
    let cookie = builder(recorded_set()).cookie("session").build().expect("a scheme");
    assert!(decide(&cookie, "cookie", format!("a=b; session={token}")).await.is_ok());
    assert!(decide(&cookie, "authorization", format!("bearer {token}")).await.is_ok());
    assert!(matches!(decide(&cookie, "cookie", "a=b").await, Err(AuthFailure::Missing)));
    let field = builder(recorded_set()).header(HeaderName::from_static("x-token")).build().expect("a scheme");
    assert!(decide(&field, "x-token", &token).await.is_ok());
    assert!(matches!(decide(&field, "authorization", format!("Bearer {token}")).await, Err(AuthFailure::Missing)));
    // RFC 6750, section 2.3 discourages tokens in URIs, where logs get them.
    let request = Request::get(format!("/?access_token={token}")).body(()).expect("a request");
    assert!(matches!(jwt().authenticate(RequestHead::of(&request)).await, Err(AuthFailure::Missing)));
}

#[test]
fn backends_get_the_token_unless_it_is_removed() {
    let parts = || Request::get("/").header(AUTHORIZATION, "Bearer a").body(()).expect("a request").into_parts().0;
    let mut kept = parts();
    jwt().remove_credentials(&mut kept);
    assert!(kept.headers.contains_key(AUTHORIZATION));
    let mut removed = parts();
    builder(recorded_set()).remove_token().build().expect("a scheme").remove_credentials(&mut removed);
    assert!(!removed.headers.contains_key(AUTHORIZATION));
}

#[tokio::test]
async fn decisions_are_counted_by_reason() {
    let jwt = jwt();
    assert_eq!(verdict(&jwt, recorded_token("EdDSA")).await, Ok(()));
    for _ in 0..2 {
        assert_eq!(verdict(&jwt, token_with(json!({ "aud": "other" }))).await, Err("audience".into()));
    }
    assert_eq!(verdict(&jwt, token_with(json!({ "iss": "other" }))).await, Err("issuer".into()));
    assert!(matches!(decide(&jwt, "x", "y").await, Err(AuthFailure::Missing)));
    let stats = jwt.stats();
    assert_eq!((stats.accepted, stats.missing, stats.unavailable, stats.keys.keys), (1, 1, 0, 4));
    assert_eq!(stats.refused.into_iter().collect::<Vec<_>>(), [(Refusal::Issuer, 1), (Refusal::Audience, 2)]);
}

#[tokio::test]
async fn a_remembered_token_is_checked_like_any_other() {
    let now = Arc::new(AtomicU64::new(NOW));
    let clock = Arc::clone(&now);
    let clock = move || SystemTime::UNIX_EPOCH + Duration::from_secs(clock.load(Relaxed));
    let jwt = builder(recorded_set()).wall_clock(clock).build().expect("a scheme");
    let token = recorded_token("ES256");
    for remembered in 0..3 {
        assert_eq!(verdict(&jwt, &token).await, Ok(()));
        assert_eq!(jwt.stats().remembered, remembered);
    }
    // The same claims with another signature, and the same token after its time.
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    for _ in 0..2 {
        assert_eq!(verdict(&jwt, &forged).await, Err("signature".into()));
    }
    now.store(NOW + 3660, Relaxed);
    assert_eq!(verdict(&jwt, &token).await, Err("expired".into()));
    let none = builder(recorded_set()).remembered(0).build().expect("a scheme");
    for _ in 0..2 {
        assert_eq!(verdict(&none, &token).await, Ok(()));
    }
    assert_eq!(none.stats().remembered, 0);
}

#[tokio::test]
async fn decisions_with_known_keys_need_no_waiting() {
    let request = Request::get("/").header(AUTHORIZATION, format!("Bearer {}", recorded_token("RS256")));
    let request = request.body(()).expect("a request");
    assert!(jwt().authenticate(RequestHead::of(&request)).into_ready().is_ok_and(|decision| decision.is_ok()));
}

#[test]
fn debug_output_has_no_secrets() {
    let recorded = recorded();
    let secret = recorded["secrets"]["HS256"].as_str().expect("a secret");
    let key = crate::auth::jwt::VerifyingKey::secret(Algorithm::Hs256, secret).expect("a key");
    let jwt = builder(key).build().expect("a scheme");
    let shown = format!("{jwt:?} {:?}", jwt.keys().current());
    assert!(!shown.contains(secret) && !shown.contains("97, 97"), "{shown}");
}

#[tokio::test]
async fn the_layer_sets_fields_that_clients_cannot_set() {
    let jwt = builder(recorded_set()).claim("realm_access.roles", "roles").build().expect("a scheme");
    let fields = IdentityFields::default().attribute("roles", HeaderName::from_static("x-roles")).expect("fields");
    let seen = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&seen);
    let backend = service_fn(move |request: Request<()>| {
        count.fetch_add(1, Relaxed);
        let value = |name| request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        let found: [Vec<&str>; 3] = ["x-auth-user", "x-roles", "x_roles"].map(value);
        let body = format!("{found:?}");
        async move { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(body))) }
    });
    let service = AuthLayer::new(jwt).identity_fields(fields).layer(backend);
    let send = async |token: &str| {
        let request = Request::get("/").header("authorization", format!("Bearer {token}"));
        let spoofed = request.header("X-Auth-User", "root").header("x-roles", "admin").header("x_roles", "admin");
        service.clone().oneshot(spoofed.body(()).expect("a request")).await.expect("a response")
    };
    let accepted = send(&recorded_token("RS256")).await;
    let body = accepted.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(body, r#"[["ann"], ["ops,a%252Cb"], []]"#);
    let refused = send(&token_with(json!({ "exp": NOW - 60 }))).await;
    let challenge = r#"Bearer error="invalid_token", error_description="the token has expired""#;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["www-authenticate"]),
        (401, &challenge.parse().expect("a value"))
    );
    let body = refused.into_body().collect().await.expect("a body").to_bytes();
    let document: Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(
        (&document["code"], &document["detail"]),
        (&json!("invalid_credentials"), &json!("the token has expired"))
    );
    assert_eq!(seen.load(Relaxed), 1);
}

#[tokio::test]
async fn other_credentials_in_authorization_tell_the_senders_apart() {
    let distinction = async |jwt: JwtBuilder, fields: &[(&str, &str)]| {
        let backend = service_fn(async |request: Request<()>| {
            let identity = request.extensions().get::<Identity>().expect("an identity");
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(identity.distinction().to_vec())))
        });
        let mut request = Request::get("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let service = AuthLayer::new(jwt.build().expect("a scheme")).layer(backend);
        let response = service.oneshot(request.body(()).expect("a request")).await.expect("a response");
        assert_eq!(response.status(), 200);
        response.into_body().collect().await.expect("a body").to_bytes()
    };
    let field = HeaderName::from_static("x-app-token");
    let (old, new) = (token_with(json!({ "iat": NOW })), token_with(json!({ "iat": NOW + 1 })));
    let cookie = format!("jwt={old}");
    for other in ["Basic YW5uOjE=", "Key 1", "Bearer of-the-backend"] {
        let mut seen = Vec::new();
        for user in ["", "1", "2"] {
            let authorization = format!("{other}{user}");
            let in_field = [("x-app-token", old.as_str()), ("authorization", &authorization)];
            seen.push(distinction(builder(recorded_set()).header(field.clone()), &in_field).await);
            if !other.starts_with("Bearer") {
                let in_cookie = [("cookie", cookie.as_str()), ("authorization", &authorization)];
                seen.push(distinction(builder(recorded_set()).cookie("jwt"), &in_cookie).await);
            }
        }
        let places = seen.len() / 3;
        for place in 0..places {
            let of_place: Vec<_> = seen.iter().skip(place).step_by(places).collect();
            assert!(of_place[0] != of_place[1] && of_place[1] != of_place[2], "{other}");
        }
    }
    // A new token with the same claims is the same sender.
    let bearer = async |token: &str| {
        distinction(builder(recorded_set()), &[("authorization", &format!("Bearer {token}"))]).await
    };
    assert_eq!(bearer(&old).await, bearer(&new).await);
    assert_ne!(bearer(&old).await, bearer(&token_with(json!({ "tenant": "x" }))).await);
}
