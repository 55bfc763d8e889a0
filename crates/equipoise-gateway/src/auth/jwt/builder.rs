use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderName, HeaderValue};

use super::{
    algorithm::Algorithm,
    claims::{ClaimPath, is_scope},
    keys::Keys,
    memory::Memory,
    rules::Rules,
    scheme::{Inner, Jwt, WallClock},
    source::TokenSource,
    stats::Counters,
};

/// The maximum of [`JwtBuilder::leeway`].
const MAX_LEEWAY: Duration = Duration::from_secs(600);
/// The range of [`JwtBuilder::max_length`]. The maximum is what servers allow for all fields of a request.
const LENGTHS: std::ops::RangeInclusive<usize> = 256..=64 * 1024;

/// The maximum of [`JwtBuilder::remembered`].
const MAX_REMEMBERED: usize = 1_000_000;

/// Builds a [`Jwt`].
#[must_use]
pub struct JwtBuilder {
    keys: Keys,
    rules: Rules,
    source: TokenSource,
    has_issuer: bool,
    has_audience: bool,
    max_length: usize,
    remembered: usize,
    name: String,
    name_has_issuer: bool,
    attributes: Vec<(String, String)>,
    values: Vec<(String, Option<BTreeSet<String>>)>,
    is_forwarded: bool,
    clock: Arc<WallClock>,
}

/// Why tokens cannot be verified with these settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidJwt {
    /// No issuer is set.
    #[error("tokens of any issuer would be accepted: name the issuer, or say `any_issuer`")]
    NoIssuer,
    /// No audience is set.
    #[error("tokens for other services would be accepted: name the audience, or say `any_audience`")]
    NoAudience,
    /// The list of algorithms is empty.
    #[error("no algorithm is allowed: name at least one")]
    NoAlgorithm,
    /// None of the keys verifies one of the allowed algorithms.
    #[error("no key fits to the allowed algorithms")]
    NoKey,
    /// The list of types of tokens is empty.
    #[error("no type of tokens is allowed: name at least one, or say `any_token_type`")]
    NoTokenType,
    /// A setting is out of range.
    #[error("{setting} is {value}: use {expected}")]
    #[non_exhaustive]
    Setting {
        /// The name of the setting.
        setting: &'static str,
        /// The value that was refused.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A text is no path to a claim.
    #[error("{path:?} is no claim: use a name such as `email`, a path such as `a.b`, or a JSON pointer such as `/a/b`")]
    #[non_exhaustive]
    Path {
        /// The text that was refused.
        path: String,
    },
    /// A text is no scope.
    #[error("{scope:?} is no scope: use printable characters of ASCII except space, `\"` and `\\`")]
    #[non_exhaustive]
    Scope {
        /// The text that was refused.
        scope: String,
    },
    /// A text is no name of a cookie.
    #[error("{name:?} is no name of a cookie: use letters, digits, `_`, `-` and `.`")]
    #[non_exhaustive]
    Cookie {
        /// The text that was refused.
        name: String,
    },
    /// A list of values of a claim is empty, so that no token has one of them.
    #[error("no value is allowed for the claim {path}: name at least one")]
    #[non_exhaustive]
    NoValue {
        /// The path of the claim.
        path: String,
    },
}

impl Jwt {
    /// Starts with the keys of the issuer: [`Keys`], a [`KeySet`](super::KeySet) or a
    /// [`VerifyingKey`](super::VerifyingKey). [`issuer`](JwtBuilder::issuer) and [`audience`](JwtBuilder::audience)
    /// have to be set too.
    pub fn builder(keys: impl Into<Keys>) -> JwtBuilder {
        let all = Algorithm::ASYMMETRIC.into_iter().chain([Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512]);
        JwtBuilder {
            keys: keys.into(),
            rules: Rules {
                algorithms: all.collect(),
                token_types: Some(BTreeSet::from(["jwt".to_owned(), "at+jwt".to_owned()])),
                issuers: Some(BTreeSet::new()),
                audiences: Some(BTreeSet::new()),
                leeway: Duration::from_secs(60),
                max_lifetime: None,
                all_scopes: BTreeSet::new(),
                any_scope: BTreeSet::new(),
                values: Vec::new(),
            },
            source: TokenSource::default(),
            has_issuer: false,
            has_audience: false,
            max_length: 8192,
            remembered: 1024,
            name: "sub".to_owned(),
            name_has_issuer: false,
            attributes: Vec::new(),
            values: Vec::new(),
            is_forwarded: true,
            clock: Arc::new(SystemTime::now),
        }
    }
}

impl JwtBuilder {
    /// Allows only these algorithms. Default: those that the keys verify. A key from a JWK set without `alg` verifies
    /// each algorithm of its kind, so it is better to name what the issuer uses.
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.rules.algorithms = algorithms.into_iter().collect();
        self
    }

    /// Adds an issuer: the value that `iss` has to have, compared as a whole and with regard to case. With several
    /// issuers, `iss` has to be one of them, and the name of identities begins with it: see
    /// [`name_with_issuer`](Self::name_with_issuer). No default: set an issuer, or [`any_issuer`](Self::any_issuer).
    ///
    /// All issuers share the keys. If they should not, use one [`Jwt`] for each, with
    /// [`name_with_issuer`](Self::name_with_issuer), in an [`AnyOf`](crate::auth::AnyOf).
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.rules.issuers.get_or_insert_default().insert(issuer.into());
        self.has_issuer = true;
        self
    }

    /// Accepts tokens of any issuer and without `iss`, as long as their signature is of one of the keys. The name of
    /// identities begins with the issuer then. Default: only the named [issuers](Self::issuer).
    pub fn any_issuer(mut self) -> Self {
        self.rules.issuers = None;
        self.has_issuer = true;
        self
    }

    /// Adds an audience: a value of which `aud` has to have at least one, compared as a whole and with regard to case.
    /// No default: set an audience, or [`any_audience`](Self::any_audience).
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.rules.audiences.get_or_insert_default().insert(audience.into());
        self.has_audience = true;
        self
    }

    /// Accepts tokens for any audience and without `aud`. Then each service that gets a token of the same issuer can
    /// use it here. Default: only tokens for the named [audiences](Self::audience).
    pub fn any_audience(mut self) -> Self {
        self.rules.audiences = None;
        self.has_audience = true;
        self
    }

    /// Sets the allowed values of `typ` in the header, in any case, with or without `application/`. A token without
    /// `typ` is always accepted. Default: `JWT` and `at+jwt` (RFC 9068), so that other tokens of an issuer, such as
    /// `logout+jwt`, are no access tokens.
    pub fn token_types<T: AsRef<str>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        let plain = |name: T| {
            let name = name.as_ref().to_ascii_lowercase();
            name.strip_prefix("application/").map_or(name.clone(), str::to_owned)
        };
        self.rules.token_types = Some(types.into_iter().map(plain).collect());
        self
    }

    /// Accepts any `typ` in the header. Default: those of [`token_types`](Self::token_types).
    pub fn any_token_type(mut self) -> Self {
        self.rules.token_types = None;
        self
    }

    /// Sets by how much the clocks of the issuer and of this gateway may differ: at most 10 minutes. Default: 60 s.
    /// Tokens are accepted for this time after `exp`, and before `nbf` and `iat`.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.rules.leeway = leeway;
        self
    }

    /// Sets the maximum time from `iat` to `exp`, from 1 s to 10 years. Then tokens need `iat`. Default: without limit.
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.rules.max_lifetime = Some(lifetime);
        self
    }

    /// Sets the maximum length of a token in bytes: 256 to 65 536. Default: 8192.
    pub fn max_length(mut self, bytes: usize) -> Self {
        self.max_length = bytes;
        self
    }

    /// Sets how many tokens are remembered as verified, so that their signatures are not verified again: at most 1 000
    /// 000. 0 remembers none. Default: 1024. Each takes about 64 bytes. Only a hash of the token is kept, and all of
    /// its claims are checked for each request. New keys mean that each token is verified again.
    pub fn remembered(mut self, tokens: usize) -> Self {
        self.remembered = tokens;
        self
    }

    /// Requires all of these scopes. A token without one of them gets status 403, with the scopes in
    /// `WWW-Authenticate`. They are read from `scope`, or from `scp` if there is no `scope`: a text separated by
    /// spaces, or an array. Default: none.
    pub fn scopes<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.rules.all_scopes.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Requires at least one of these scopes, besides those of [`scopes`](Self::scopes). Default: none.
    pub fn any_scope<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.rules.any_scope.extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Requires a claim that is not null. A token without it gets status 403. `path` is a name, names separated by
    /// dots, or a JSON pointer, as in [`claim`](Self::claim). Default: none.
    pub fn require(mut self, path: impl Into<String>) -> Self {
        self.values.push((path.into(), None));
        self
    }

    /// Requires that a claim is one of these values, or an array with one of them. Numbers and booleans are compared as
    /// JSON writes them, such as `true`. A token without it gets status 403. Default: none.
    pub fn require_value<T: Into<String>>(
        mut self,
        path: impl Into<String>,
        values: impl IntoIterator<Item = T>,
    ) -> Self {
        self.values.push((path.into(), Some(values.into_iter().map(Into::into).collect())));
        self
    }

    /// Makes a claim an attribute of the [identity](crate::Identity), from which
    /// [`IdentityFields`](crate::auth::IdentityFields) can make a field for the backend. Default: no claims.
    ///
    /// `path` is the name of a claim, such as `email` or `https://a.test/roles`. If a token has no claim of this name,
    /// it is a path whose names are separated by dots, such as `realm_access.roles`. A text that begins with `/` is a
    /// JSON pointer (RFC 6901) instead. Numbers and booleans become text, and arrays a list as
    /// [`join_list`](crate::auth::join_list) writes it. A claim that is missing, null or an object gives no attribute.
    pub fn claim(mut self, path: impl Into<String>, attribute: impl Into<String>) -> Self {
        self.attributes.push((path.into(), attribute.into()));
        self
    }

    /// Sets the claim with the name of the identity, as a path like that of [`claim`](Self::claim). Default: `sub`. A
    /// token without it, or in which it is empty or no text and no number, is refused with status 401.
    ///
    /// The claim should be one that the issuer never gives to another client, and that clients cannot choose.
    pub fn name_claim(mut self, path: impl Into<String>) -> Self {
        self.name = path.into();
        self
    }

    /// Begins the name of identities with the issuer, as in `https://issuer.test#ann`, because only both together
    /// identify a client (OpenID Connect Core, section 2). Default: only with several issuers or any issuer.
    pub fn name_with_issuer(mut self) -> Self {
        self.name_has_issuer = true;
        self
    }

    /// Also reads the token from a cookie, if `Authorization` has no bearer token. A request with several cookies of
    /// this name is refused. Default: no cookie.
    ///
    /// Browsers send cookies with requests that other sites cause. So protect such routes against cross-site requests.
    pub fn cookie(mut self, name: impl Into<Box<str>>) -> Self {
        self.source.cookie = Some(name.into());
        self
    }

    /// Reads the token from a field, whose whole value it is, instead of `Authorization`. Default: `Authorization` with
    /// the scheme `Bearer`, in any case.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.source.field = Some(name);
        self
    }

    /// Removes the token from requests before the backend gets them. Default: the backend gets it.
    pub fn remove_token(mut self) -> Self {
        self.is_forwarded = false;
        self
    }

    /// Sets the clock that is compared with times in tokens. Default: [`SystemTime::now`].
    pub fn wall_clock(mut self, now: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Arc::new(now);
        self
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// [`InvalidJwt`] for settings that would accept too much, or nothing at all.
    pub fn build(mut self) -> Result<Jwt, InvalidJwt> {
        self.check()?;
        let path = |path: &String| ClaimPath::new(path).ok_or_else(|| InvalidJwt::Path { path: path.clone() });
        for (name, values) in &self.values {
            if values.as_ref().is_some_and(BTreeSet::is_empty) {
                return Err(InvalidJwt::NoValue { path: name.clone() });
            }
            self.rules.values.push((path(name)?, values.clone()));
        }
        let attributes = self.attributes.iter().map(|(claim, attribute)| Ok((path(claim)?, attribute.clone())));
        let attributes = attributes.collect::<Result<_, _>>()?;
        let name = path(&self.name)?;
        let has_many_issuers = self.rules.issuers.as_ref().is_none_or(|issuers| issuers.len() > 1);
        Ok(Jwt::of(Inner {
            attributes,
            name,
            name_has_issuer: self.name_has_issuer || has_many_issuers,
            scope_challenge: scope_challenge(&self.rules),
            keys: self.keys,
            rules: self.rules,
            source: self.source,
            max_length: self.max_length,
            is_forwarded: self.is_forwarded,
            clock: self.clock,
            counters: Counters::new(),
            memory: Memory::new(self.remembered),
        }))
    }

    fn check(&self) -> Result<(), InvalidJwt> {
        let is_empty = |texts: &Option<BTreeSet<String>>| texts.as_ref().is_some_and(|texts| texts.contains(""));
        if !self.has_issuer || is_empty(&self.rules.issuers) {
            return Err(InvalidJwt::NoIssuer);
        }
        if !self.has_audience || is_empty(&self.rules.audiences) {
            return Err(InvalidJwt::NoAudience);
        }
        if self.rules.algorithms.is_empty() {
            return Err(InvalidJwt::NoAlgorithm);
        }
        let fits = |algorithm: &Algorithm| self.keys.may_verify(*algorithm);
        if !self.rules.algorithms.iter().any(fits) {
            return Err(InvalidJwt::NoKey);
        }
        if self.rules.token_types.as_ref().is_some_and(BTreeSet::is_empty) {
            return Err(InvalidJwt::NoTokenType);
        }
        let wrong = |setting, value: String, expected| Err(InvalidJwt::Setting { setting, value, expected });
        if self.rules.leeway > MAX_LEEWAY {
            return wrong("leeway", format!("{:?}", self.rules.leeway), "at most 10 minutes");
        }
        let lifetimes = Duration::from_secs(1)..=Duration::from_secs(10 * 365 * 86_400);
        if let Some(lifetime) = self.rules.max_lifetime
            && !lifetimes.contains(&lifetime)
        {
            return wrong("max_lifetime", format!("{lifetime:?}"), "from 1 s to 10 years");
        }
        if !LENGTHS.contains(&self.max_length) {
            return wrong("max_length", self.max_length.to_string(), "from 256 to 65536 bytes");
        }
        if self.remembered > MAX_REMEMBERED {
            return wrong("remembered", self.remembered.to_string(), "at most 1000000");
        }
        if let Some(scope) = self.rules.all_scopes.iter().chain(&self.rules.any_scope).find(|scope| !is_scope(scope)) {
            return Err(InvalidJwt::Scope { scope: scope.clone() });
        }
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        };
        match &self.source.cookie {
            Some(name) if !is_name(name) => Err(InvalidJwt::Cookie { name: name.to_string() }),
            _ => Ok(()),
        }
    }
}

fn scope_challenge(rules: &Rules) -> HeaderValue {
    let scopes = if rules.all_scopes.is_empty() { &rules.any_scope } else { &rules.all_scopes };
    let scopes = scopes.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
    HeaderValue::try_from(format!(r#"Bearer error="insufficient_scope", scope="{scopes}""#))
        .unwrap_or(HeaderValue::from_static(r#"Bearer error="insufficient_scope""#))
}

impl fmt::Debug for JwtBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBuilder").field("rules", &self.rules).field("keys", &self.keys).finish_non_exhaustive()
    }
}
