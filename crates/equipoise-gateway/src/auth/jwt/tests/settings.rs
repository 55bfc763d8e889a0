use super::*;
use crate::auth::jwt::{InvalidJwt, VerifyingKey};

fn wrong(builder: JwtBuilder) -> Option<InvalidJwt> {
    builder.build().err()
}

fn named(name: &'static str) -> impl Fn(Option<InvalidJwt>) -> bool {
    move |error| matches!(error, Some(InvalidJwt::Setting(error)) if error.setting == name)
}

#[test]
fn an_issuer_and_an_audience_are_named_or_waived() {
    let start = || Jwt::builder(recorded_set());
    assert_eq!(wrong(start().audience("a")), Some(InvalidJwt::NoIssuer));
    assert_eq!(wrong(start().issuer("a")), Some(InvalidJwt::NoAudience));
    assert_eq!(wrong(start().issuer("").audience("a")), Some(InvalidJwt::NoIssuer));
    assert_eq!(wrong(start().issuer("a").audience("")), Some(InvalidJwt::NoAudience));
    assert_eq!(wrong(start().any_issuer().any_audience()), None);
    assert_eq!(wrong(start().issuer("a").audience("b")), None);
}

#[test]
fn algorithms_fit_to_the_keys() {
    assert_eq!(wrong(builder(recorded_set()).algorithms([])), Some(InvalidJwt::NoAlgorithm));
    let no_key = |error| matches!(error, Some(InvalidJwt::NoKey { .. }));
    assert!(no_key(wrong(builder(recorded_set()).algorithms([Algorithm::Hs256]))));
    let secret = || VerifyingKey::secret(Algorithm::Hs256, [7; 32]).expect("a key");
    assert!(no_key(wrong(builder(secret()).algorithms([Algorithm::Rs256]))));
    let refused = wrong(builder(secret()).algorithms([Algorithm::Hs512, Algorithm::Es256])).expect("no key");
    let message = "no key fits to the allowed algorithms (HS512, ES256): the keys are for HS256";
    assert_eq!(refused.to_string(), message);
    assert_eq!(wrong(builder(secret())), None);
}

#[test]
fn settings_have_a_range() {
    let start = || builder(recorded_set());
    assert!(named("leeway")(wrong(start().leeway(Duration::from_secs(601)))));
    assert_eq!(wrong(start().leeway(Duration::from_secs(600))), None);
    assert!(named("max_lifetime")(wrong(start().max_lifetime(Duration::ZERO))));
    assert!(named("max_lifetime")(wrong(start().max_lifetime(Duration::MAX))));
    assert!(named("max_length")(wrong(start().max_length(255))));
    assert!(named("max_length")(wrong(start().max_length(65_537))));
    assert!(named("remembered")(wrong(start().remembered(1_000_001))));
    let path = |path: &str| Some(InvalidJwt::Path { path: path.into() });
    assert_eq!(wrong(start().claim("", "a")), path(""));
    assert_eq!(wrong(start().require("/a~")), path("/a~"));
    assert_eq!(wrong(start().name_claim("/~2")), path("/~2"));
    assert_eq!(wrong(start().require_value("a", [""; 0])), Some(InvalidJwt::NoValue { path: "a".into() }));
    assert_eq!(wrong(start().token_types([""; 0])), Some(InvalidJwt::NoTokenType));
    assert_eq!(wrong(start().scopes([""; 0])), Some(InvalidJwt::NoScope));
    assert_eq!(wrong(start().any_scope([""; 0])), Some(InvalidJwt::NoScope));
    for scope in ["", "a b", "a\"", "ü"] {
        assert_eq!(wrong(start().scopes([scope])), Some(InvalidJwt::Scope { scope: scope.into() }));
        assert_eq!(wrong(start().any_scope([scope])), Some(InvalidJwt::Scope { scope: scope.into() }));
    }
    for name in ["", "a b", "a;b", "a=b", "ü"] {
        assert_eq!(wrong(start().cookie(name)), Some(InvalidJwt::Cookie { name: name.into() }));
    }
    assert!(matches!(wrong(start().header(http::header::COOKIE)), Some(InvalidJwt::Field(_))));
    assert_eq!(wrong(start().header(http::header::AUTHORIZATION)), None);
}

#[tokio::test]
async fn types_of_tokens_can_be_set() {
    let token = |typ: &str| signed(&json!({ "alg": "EdDSA", "typ": typ }).to_string(), &claims().to_string());
    let own = builder(recorded_set()).token_types(["application/Own+JWT"]).build().expect("a scheme");
    assert_eq!(verdict(&own, token("own+jwt")).await, Ok(()));
    assert_eq!(verdict(&own, token("JWT")).await, Err("token_type".into()));
    let any = builder(recorded_set()).any_token_type().build().expect("a scheme");
    assert_eq!(verdict(&any, token("logout+jwt")).await, Ok(()));
}
