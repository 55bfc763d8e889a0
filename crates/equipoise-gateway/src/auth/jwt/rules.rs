use std::{
    collections::BTreeSet,
    ops::RangeInclusive,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::HeaderValue;
use serde_json::{Map, Value};

use super::{
    Algorithm, Refusal,
    claims::{ClaimPath, has_value, is_scope, scopes, seconds},
    error::InvalidJwt,
    token::Token,
};
use crate::InvalidSetting;

/// The maximum difference of clocks.
const MAX_LEEWAY: Duration = Duration::from_secs(600);
/// The range of the maximum time from `iat` to `exp`.
const LIFETIMES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(10 * 365 * 86_400);

/// What a token has to be so that it is accepted, apart from its signature.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) algorithms: BTreeSet<Algorithm>,
    /// In lower case, without `application/`. `None`: any.
    pub(super) token_types: Option<BTreeSet<String>>,
    /// `None`: any. Empty: not set yet.
    pub(super) issuers: Option<BTreeSet<String>>,
    /// `None`: any. Empty: not set yet.
    pub(super) audiences: Option<BTreeSet<String>>,
    pub(super) leeway: Duration,
    pub(super) max_lifetime: Option<Duration>,
    /// All of these scopes. `None`: none.
    pub(super) all_scopes: Option<BTreeSet<String>>,
    /// One of these scopes. `None`: none.
    pub(super) any_scope: Option<BTreeSet<String>>,
    /// Each path has to have the value. `None`: any but null.
    pub(super) values: Vec<(ClaimPath, Option<BTreeSet<String>>)>,
}

impl Rules {
    /// Begins with all algorithms, and without an issuer and an audience.
    pub(super) fn new() -> Self {
        let all = Algorithm::ASYMMETRIC.into_iter().chain([Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512]);
        Self {
            algorithms: all.collect(),
            token_types: Some(BTreeSet::from(["jwt".to_owned(), "at+jwt".to_owned()])),
            issuers: Some(BTreeSet::new()),
            audiences: Some(BTreeSet::new()),
            leeway: Duration::from_secs(60),
            max_lifetime: None,
            all_scopes: None,
            any_scope: None,
            values: Vec::new(),
        }
    }

    /// Refuses rules that accept too much, or nothing at all.
    pub(super) fn check(&self) -> Result<(), InvalidJwt> {
        let is_unnamed = |texts: &Option<BTreeSet<String>>| {
            texts.as_ref().is_some_and(|texts| texts.is_empty() || texts.contains(""))
        };
        if is_unnamed(&self.issuers) {
            return Err(InvalidJwt::NoIssuer);
        }
        if is_unnamed(&self.audiences) {
            return Err(InvalidJwt::NoAudience);
        }
        if self.algorithms.is_empty() {
            return Err(InvalidJwt::NoAlgorithm);
        }
        if self.token_types.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(InvalidJwt::NoTokenType);
        }
        let wrong = |setting, value: Duration, expected| {
            Err(InvalidSetting::new(setting, format_args!("{value:?}"), expected).into())
        };
        if self.leeway > MAX_LEEWAY {
            return wrong("leeway", self.leeway, "at most 10 minutes");
        }
        if let Some(lifetime) = self.max_lifetime
            && !LIFETIMES.contains(&lifetime)
        {
            return wrong("max_lifetime", lifetime, "from 1 s to 10 years");
        }
        for scopes in [&self.all_scopes, &self.any_scope].into_iter().flatten() {
            if scopes.is_empty() {
                return Err(InvalidJwt::NoScope);
            }
            if let Some(scope) = scopes.iter().find(|scope| !is_scope(scope)) {
                return Err(InvalidJwt::Scope { scope: scope.clone() });
            }
        }
        Ok(())
    }

    /// Returns the challenge for a token without the scopes (RFC 6750, section 3.1).
    pub(super) fn scope_challenge(&self) -> HeaderValue {
        let scopes = self.all_scopes.as_ref().or(self.any_scope.as_ref()).into_iter().flatten();
        let scopes = scopes.map(String::as_str).collect::<Vec<_>>().join(" ");
        HeaderValue::try_from(format!(r#"Bearer error="insufficient_scope", scope="{scopes}""#))
            .unwrap_or(HeaderValue::from_static(r#"Bearer error="insufficient_scope""#))
    }

    /// Checks the header.
    pub(super) fn check_header(&self, token: &Token<'_>) -> Result<(), Refusal> {
        if !self.algorithms.contains(&token.algorithm) {
            return Err(Refusal::Algorithm);
        }
        if let Some(allowed) = &self.token_types {
            // RFC 7515, section 4.1.9. A token without a type is a plain JWT, as most of them are.
            let sent = token.token_type.as_deref().unwrap_or("jwt").to_ascii_lowercase();
            if !allowed.contains(sent.strip_prefix("application/").unwrap_or(&sent)) {
                return Err(Refusal::TokenType);
            }
        }
        Ok(())
    }

    /// Checks for which server the token is and when it is valid.
    ///
    /// It is valid while `nbf - leeway <= now < exp + leeway` (RFC 7519, sections 4.1.4 and 4.1.5).
    pub(super) fn check_use(&self, claims: &Map<String, Value>, now: SystemTime) -> Result<(), Refusal> {
        if let Some(issuers) = &self.issuers {
            match claims.get("iss") {
                Some(Value::String(issuer)) if issuers.contains(issuer) => {}
                _ => return Err(Refusal::Issuer),
            }
        }
        if let Some(audiences) = &self.audiences {
            let is_ours = |value: &Value| value.as_str().is_some_and(|audience| audiences.contains(audience));
            let found = match claims.get("aud") {
                Some(Value::Array(values)) => values.iter().any(is_ours),
                Some(value) => is_ours(value),
                None => false,
            };
            if !found {
                return Err(Refusal::Audience);
            }
        }
        let (now, leeway) = (since_1970(now), self.leeway.as_secs_f64());
        let expiry = seconds(claims, "exp")?.ok_or(Refusal::NoExpiry)?;
        if now >= expiry + leeway {
            return Err(Refusal::Expired);
        }
        if seconds(claims, "nbf")?.is_some_and(|from| now < from - leeway) {
            return Err(Refusal::NotYetValid);
        }
        let issued = seconds(claims, "iat")?;
        if issued.is_some_and(|issued| now < issued - leeway) {
            return Err(Refusal::IssuedInFuture);
        }
        if let Some(max) = self.max_lifetime
            && issued.is_none_or(|issued| expiry - issued > max.as_secs_f64())
        {
            return Err(Refusal::Lifetime);
        }
        Ok(())
    }

    /// Checks what the token permits.
    pub(super) fn check_rights(&self, claims: &Map<String, Value>) -> Result<(), Refusal> {
        if self.all_scopes.is_some() || self.any_scope.is_some() {
            let sent: BTreeSet<&str> = scopes(claims).into_iter().collect();
            let has = |scope: &String| sent.contains(scope.as_str());
            let has_all = self.all_scopes.iter().flatten().all(has);
            if !has_all || !self.any_scope.as_ref().is_none_or(|scopes| scopes.iter().any(has)) {
                return Err(Refusal::Scope);
            }
        }
        let is_met = |(path, values): &(ClaimPath, Option<BTreeSet<String>>)| match (path.of(claims), values) {
            (None | Some(Value::Null), _) => false,
            (Some(_), None) => true,
            (Some(found), Some(values)) => values.iter().any(|value| has_value(found, value)),
        };
        if self.values.iter().all(is_met) { Ok(()) } else { Err(Refusal::Claim) }
    }
}

fn since_1970(time: SystemTime) -> f64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_secs_f64(),
        Err(before) => -before.duration().as_secs_f64(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn set<const N: usize>(values: [&str; N]) -> BTreeSet<String> {
        values.into_iter().map(str::to_owned).collect()
    }

    fn rules() -> Rules {
        Rules { issuers: Some(set(["https://issuer.test"])), audiences: Some(set(["api"])), ..Rules::new() }
    }

    fn check(rules: &Rules, changes: Value) -> Result<(), Refusal> {
        let mut claims = json!({ "iss": "https://issuer.test", "aud": "api", "exp": NOW + 100 });
        let claims = claims.as_object_mut().expect("an object");
        for (name, value) in changes.as_object().expect("an object") {
            match value {
                Value::Null => drop(claims.remove(name)),
                value => drop(claims.insert(name.clone(), value.clone())),
            }
        }
        rules.check_use(claims, UNIX_EPOCH + Duration::from_secs(NOW))?;
        rules.check_rights(claims)
    }

    #[test]
    fn the_borders_of_times_are_those_of_the_leeway() {
        let at = |claim: &str, offset: f64| check(&rules(), json!({ claim: NOW as f64 + offset }));
        assert_eq!(at("exp", -60.0), Err(Refusal::Expired));
        assert_eq!(at("exp", -59.5), Ok(()));
        assert_eq!(at("exp", -59.0), Ok(()));
        assert_eq!(at("nbf", 60.0), Ok(()));
        assert_eq!(at("nbf", 60.5), Err(Refusal::NotYetValid));
        assert_eq!(at("iat", 60.0), Ok(()));
        assert_eq!(at("iat", 61.0), Err(Refusal::IssuedInFuture));
        let exact = Rules { leeway: Duration::ZERO, ..rules() };
        let at = |claim: &str, offset: f64| check(&exact, json!({ claim: NOW as f64 + offset }));
        assert_eq!(at("exp", 0.0), Err(Refusal::Expired));
        assert_eq!(at("exp", 1.0), Ok(()));
        assert_eq!(at("nbf", 0.0), Ok(()));
        assert_eq!(at("nbf", 1.0), Err(Refusal::NotYetValid));
    }

    #[test]
    fn a_token_without_an_expiry_or_with_odd_times_is_refused() {
        assert_eq!(check(&rules(), json!({ "exp": null })), Err(Refusal::NoExpiry));
        assert_eq!(check(&rules(), json!({ "exp": "9999999999" })), Err(Refusal::ClaimType));
        assert_eq!(check(&rules(), json!({ "nbf": [] })), Err(Refusal::ClaimType));
        assert_eq!(check(&rules(), json!({ "iat": "x" })), Err(Refusal::ClaimType));
        assert_eq!(check(&rules(), json!({ "exp": -1 })), Err(Refusal::Expired));
        assert_eq!(check(&rules(), json!({ "exp": u64::MAX })), Ok(()));
        assert_eq!(check(&rules(), json!({ "nbf": -1e300 })), Ok(()));
    }

    #[test]
    fn issuers_are_compared_as_a_whole() {
        for issuer in [
            json!("https://issuer.test/"),
            json!("https://issuer.tes"),
            json!("https://issuer.test.evil.test"),
            json!("HTTPS://issuer.test"),
            json!(["https://issuer.test"]),
            json!(""),
            json!(null),
        ] {
            assert_eq!(check(&rules(), json!({ "iss": issuer })), Err(Refusal::Issuer), "{issuer}");
        }
    }

    #[test]
    fn one_of_several_audiences_is_enough() {
        for audience in [json!(["api"]), json!(["other", "api"]), json!("api")] {
            assert_eq!(check(&rules(), json!({ "aud": audience })), Ok(()), "{audience}");
        }
        for audience in
            [json!(["other"]), json!([]), json!([["api"]]), json!("api2"), json!("a"), json!({}), json!(null)]
        {
            assert_eq!(check(&rules(), json!({ "aud": audience })), Err(Refusal::Audience), "{audience}");
        }
        let any = Rules { audiences: None, issuers: None, ..rules() };
        assert_eq!(check(&any, json!({ "aud": null, "iss": null })), Ok(()));
    }

    #[test]
    fn lifetimes_need_the_time_of_issue() {
        let rules = Rules { max_lifetime: Some(Duration::from_secs(3600)), ..rules() };
        assert_eq!(check(&rules, json!({ "iat": NOW - 3500 })), Ok(()));
        assert_eq!(check(&rules, json!({ "iat": NOW - 3501 })), Err(Refusal::Lifetime));
        assert_eq!(check(&rules, json!({})), Err(Refusal::Lifetime));
    }

    #[test]
    fn scopes_and_values_are_required() {
        let scoped = Rules { all_scopes: Some(set(["read", "list"])), any_scope: Some(set(["a", "b"])), ..rules() };
        assert_eq!(check(&scoped, json!({ "scope": "list b read" })), Ok(()));
        for scope in ["read list", "read a", "read,list a", "READ list a", "readlist a", ""] {
            assert_eq!(check(&scoped, json!({ "scope": scope })), Err(Refusal::Scope), "{scope}");
        }
        assert_eq!(check(&scoped, json!({})), Err(Refusal::Scope));
        let path = |path| ClaimPath::new(path).expect("a path");
        let values = vec![(path("verified"), Some(set(["true"]))), (path("a.roles"), Some(set(["ops", "dev"])))];
        let valued = Rules { values, ..rules() };
        assert_eq!(check(&valued, json!({ "verified": true, "a": { "roles": ["x", "dev"] } })), Ok(()));
        assert_eq!(check(&valued, json!({ "verified": false, "a": { "roles": ["dev"] } })), Err(Refusal::Claim));
        assert_eq!(check(&valued, json!({ "verified": true, "a": { "roles": ["devops"] } })), Err(Refusal::Claim));
        assert_eq!(check(&valued, json!({ "verified": true })), Err(Refusal::Claim));
        let present = Rules { values: vec![(path("email"), None)], ..rules() };
        assert_eq!(check(&present, json!({ "email": "" })), Ok(()));
        assert_eq!(check(&present, json!({})), Err(Refusal::Claim));
    }

    #[test]
    fn types_are_compared_without_case_and_prefix() {
        let typed_by = |rules: Rules, typ: Option<&str>| {
            let header = match typ {
                Some(typ) => json!({ "alg": "ES256", "typ": typ }),
                None => json!({ "alg": "ES256" }),
            };
            use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
            let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header.to_string()));
            Token::parse(token.as_bytes()).and_then(|token| rules.check_header(&token))
        };
        let typed = |typ| typed_by(rules(), typ);
        for typ in [None, Some("JWT"), Some("jwt"), Some("at+JWT"), Some("application/at+jwt")] {
            assert_eq!(typed(typ), Ok(()), "{typ:?}");
        }
        for typ in ["", "logout+jwt", "dpop+jwt", "secevent+jwt", "text/jwt", "application/application/jwt"] {
            assert_eq!(typed(Some(typ)), Err(Refusal::TokenType), "{typ:?}");
        }
        // RFC 9068, section 4: other tokens of the issuer, also those without a type, are no access tokens.
        let access_only = || Rules { token_types: Some(set(["at+jwt"])), ..rules() };
        assert_eq!(typed_by(access_only(), Some("at+jwt")), Ok(()));
        for typ in [None, Some("JWT"), Some("")] {
            assert_eq!(typed_by(access_only(), typ), Err(Refusal::TokenType), "{typ:?}");
        }
        assert_eq!(typed_by(Rules { token_types: None, ..rules() }, Some("logout+jwt")), Ok(()));
    }
}
