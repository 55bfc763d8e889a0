use std::{
    collections::BTreeSet,
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::HeaderName;

use super::{
    algorithm::Algorithm,
    claims::ClaimPath,
    error::InvalidJwt,
    keys::Keys,
    memory::Memory,
    rules::Rules,
    scheme::{Inner, Jwt, WallClock},
    source::TokenSource,
    stats::Counters,
};
use crate::InvalidSetting;

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
    max_length: usize,
    remembered: usize,
    name: String,
    name_has_issuer: bool,
    attributes: Vec<(String, String)>,
    values: Vec<(String, Option<BTreeSet<String>>)>,
    is_forwarded: bool,
    clock: Arc<WallClock>,
}

impl Jwt {
    /// Starts with the keys of the issuer: [`Keys`], a [`KeySet`](super::KeySet) or a
    /// [`VerifyingKey`](super::VerifyingKey). A text is not among them: [`Keys::url`] fetches a JWK set, [`Keys::file`]
    /// reads a file, and [`KeySet::read`](super::KeySet::read) reads a text with keys. [`issuer`](JwtBuilder::issuer) and
    /// [`audience`](JwtBuilder::audience) have to be set too.
    pub fn builder(keys: impl Into<Keys>) -> JwtBuilder {
        JwtBuilder {
            keys: keys.into(),
            rules: Rules::new(),
            source: TokenSource::default(),
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
        self
    }

    /// Accepts tokens of any issuer and without `iss`, as long as their signature is of one of the keys. The name of
    /// identities begins with the issuer then. Default: only the named [issuers](Self::issuer).
    pub fn any_issuer(mut self) -> Self {
        self.rules.issuers = None;
        self
    }

    /// Adds an audience: a value of which `aud` has to have at least one, compared as a whole and with regard to case.
    /// No default: set an audience, or [`any_audience`](Self::any_audience).
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.rules.audiences.get_or_insert_default().insert(audience.into());
        self
    }

    /// Accepts tokens for any audience and without `aud`. Then each service that gets a token of the same issuer can
    /// use it here. Default: only tokens for the named [audiences](Self::audience).
    pub fn any_audience(mut self) -> Self {
        self.rules.audiences = None;
        self
    }

    /// Sets the allowed values of `typ` in the header, in any case, with or without `application/`. A token without
    /// `typ` counts as `JWT`. Default: `JWT` and `at+jwt` (RFC 9068), so that other tokens of an issuer, such as
    /// `logout+jwt`, are no access tokens. If the issuer marks its access tokens, allow only `at+jwt`: ID tokens, which
    /// most issuers give the type `JWT` or none, are then refused.
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
    /// spaces, or an array. [`build`](Self::build) refuses an empty list. Default: none.
    pub fn scopes<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.rules.all_scopes.get_or_insert_default().extend(scopes.into_iter().map(Into::into));
        self
    }

    /// Requires at least one of these scopes, besides those of [`scopes`](Self::scopes). [`build`](Self::build) refuses
    /// an empty list. Default: none.
    pub fn any_scope<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.rules.any_scope.get_or_insert_default().extend(scopes.into_iter().map(Into::into));
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

    /// Also reads the token from a cookie, if `Authorization` has no bearer token. If it has one, the cookie is removed
    /// from the request, because the backend could read it. A request with several cookies of this name is refused.
    /// Default: no cookie.
    ///
    /// Browsers send cookies with requests that other sites cause. So protect such routes against cross-site requests.
    pub fn cookie(mut self, name: impl Into<Box<str>>) -> Self {
        self.source.cookie = Some(name.into());
        self
    }

    /// Reads the token from a field, whose whole value it is, instead of `Authorization`. Default: `Authorization` with
    /// the scheme `Bearer`, in any case. [`build`](Self::build) refuses a field with another meaning, such as `Host`.
    /// For a cookie, use [`cookie`](Self::cookie).
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
        let attributes = attributes.collect::<Result<_, InvalidJwt>>()?;
        let name = path(&self.name)?;
        let has_many_issuers = self.rules.issuers.as_ref().is_none_or(|issuers| issuers.len() > 1);
        Ok(Jwt::of(Inner {
            attributes,
            name,
            name_has_issuer: self.name_has_issuer || has_many_issuers,
            scope_challenge: self.rules.scope_challenge(),
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
        self.rules.check()?;
        self.source.check()?;
        if !self.rules.algorithms.iter().any(|algorithm| self.keys.may_verify(*algorithm)) {
            let all = Algorithm::ASYMMETRIC.into_iter().chain(Algorithm::SYMMETRIC);
            let fits = names(all.filter(|algorithm| self.keys.may_verify(*algorithm)));
            return Err(InvalidJwt::NoKey { allowed: names(self.rules.algorithms.iter().copied()), fits });
        }
        let wrong = |setting, value: usize, expected| Err(InvalidSetting::new(setting, value, expected).into());
        if !LENGTHS.contains(&self.max_length) {
            return wrong("max_length", self.max_length, "from 256 to 65536 bytes");
        }
        if self.remembered > MAX_REMEMBERED {
            return wrong("remembered", self.remembered, "at most 1000000");
        }
        Ok(())
    }
}

fn names(algorithms: impl Iterator<Item = Algorithm>) -> String {
    algorithms.map(Algorithm::as_str).collect::<Vec<_>>().join(", ")
}

impl fmt::Debug for JwtBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtBuilder").field("rules", &self.rules).field("keys", &self.keys).finish_non_exhaustive()
    }
}
