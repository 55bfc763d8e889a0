use std::{
    fmt,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use equipoise_tower::RequestHead;
use http::{HeaderValue, StatusCode, header::WWW_AUTHENTICATE, request::Parts};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{
    claims::{ClaimPath, scopes, text_of},
    keys::{KeySet, Keys},
    memory::Memory,
    refusal::Refusal,
    rules::Rules,
    source::{Found, TokenSource},
    stats::{Counters, JwtStats},
    token::Token,
};
use crate::{
    Denial, Identity, Mechanism,
    auth::{AuthFailure, AuthFuture, AuthResult, Authenticate, Authenticated, Realm},
};

/// The wall clock that a [`Jwt`] compares times with.
pub(super) type WallClock = dyn Fn() -> SystemTime + Send + Sync;

/// Authentication by JSON Web Tokens. The [module](super) says what is verified.
///
/// It is cheap to clone, and clones share the keys and the statistics. [`Jwt::builder`] creates it.
///
/// The name of the identity is the claim `sub`. Its attributes are `scope`, if the token has scopes, and the claims
/// that [`JwtBuilder::claim`](super::JwtBuilder::claim) names.
///
/// A decision does not wait, unless the keys have not been read yet, or a token could have a new key and the keys are
/// read again for it: its `kid` is not known, or it was not verified and has no `kid` or the keys have none.
#[derive(Clone)]
pub struct Jwt(Arc<Inner>);

pub(super) struct Inner {
    pub(super) keys: Keys,
    pub(super) rules: Rules,
    pub(super) source: TokenSource,
    pub(super) max_length: usize,
    pub(super) name: ClaimPath,
    /// Whether the name of the identity begins with the issuer.
    pub(super) name_has_issuer: bool,
    pub(super) attributes: Vec<(ClaimPath, String)>,
    pub(super) is_forwarded: bool,
    pub(super) clock: Arc<WallClock>,
    pub(super) counters: Counters,
    pub(super) memory: Memory,
    /// The challenge for a token without the scopes.
    pub(super) scope_challenge: HeaderValue,
}

/// What a token is, as far as the keys at present tell.
enum Verdict {
    Accepted(Authenticated),
    Refused(Refusal),
    /// Refused, unless its key is a new one: all that can be checked without the key is right.
    NewKey(Refusal),
}

impl From<Result<Authenticated, Refusal>> for Verdict {
    fn from(result: Result<Authenticated, Refusal>) -> Self {
        result.map_or_else(Self::Refused, Self::Accepted)
    }
}

impl Jwt {
    pub(super) fn of(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Returns what was decided so far, and the state of the keys.
    pub fn stats(&self) -> JwtStats {
        self.0.counters.stats(self.0.keys.stats())
    }

    /// Returns the keys.
    pub fn keys(&self) -> &Keys {
        &self.0.keys
    }
}

impl Authenticate for Jwt {
    fn authenticate(&self, head: RequestHead<'_>) -> AuthFuture {
        let inner = &self.0;
        let Found { token, in_authorization } = match inner.source.token(head.headers) {
            Ok(Some(found)) => found,
            Ok(None) => {
                inner.counters.missing.fetch_add(1, Relaxed);
                return AuthFuture::ready(Err(AuthFailure::Missing));
            }
            Err(failure) => {
                inner.counters.refuse(Refusal::Malformed);
                return AuthFuture::ready(Err(failure));
            }
        };
        if token.len() > inner.max_length {
            return AuthFuture::ready(inner.refuse(Refusal::TooLong));
        }
        match inner.keys.current() {
            Some(set) => match inner.verdict(token, &set) {
                Verdict::NewKey(_) if inner.keys.may_refresh() => {}
                verdict => return AuthFuture::ready(inner.decide(verdict, in_authorization)),
            },
            None if inner.keys.is_settled() => return AuthFuture::ready(inner.unavailable()),
            None => {}
        }
        let (inner, token) = (Arc::clone(inner), token.to_vec());
        AuthFuture::new(async move {
            if inner.keys.current().is_none() {
                inner.keys.ready().await;
            } else if !inner.keys.refresh().await {
                return inner.unavailable();
            }
            match inner.keys.current() {
                Some(set) => inner.decide(inner.verdict(&token, &set), in_authorization),
                None => inner.unavailable(),
            }
        })
    }

    fn challenge(&self, realm: &Realm) -> Option<HeaderValue> {
        Some(realm.challenge("Bearer"))
    }

    fn remove_credentials(&self, parts: &mut Parts) {
        match self.0.is_forwarded {
            true => self.0.source.remove_unread(&mut parts.headers),
            false => self.0.source.remove(&mut parts.headers),
        }
    }

    fn mechanism(&self) -> Mechanism {
        Mechanism::Jwt
    }
}

impl Inner {
    fn verdict(&self, bytes: &[u8], set: &Arc<KeySet>) -> Verdict {
        let now = (self.clock)();
        let read = Token::parse(bytes).and_then(|token| self.rules.check_header(&token).map(|()| token));
        let token = match read {
            Ok(token) => token,
            Err(refusal) => return Verdict::Refused(refusal),
        };
        let mut keys = set.candidates(token.algorithm, token.key_id.as_deref()).peekable();
        // A token of another issuer, or an old one, is no reason to ask this issuer for new keys.
        let maybe_new = |refusal| match token.claims().and_then(|claims| self.rules.check_use(&claims, now)) {
            Ok(()) => Verdict::NewKey(refusal),
            Err(_) => Verdict::Refused(refusal),
        };
        // Without an id, a new key has taken the place of the one that is known.
        let Some(has_id) = keys.peek().map(|key| token.key_id.is_some() && key.get_id().is_some()) else {
            return maybe_new(Refusal::UnknownKey);
        };
        let place = self.memory.place(bytes);
        if place.as_ref().is_some_and(|place| place.is_verified(set)) {
            self.counters.remembered.fetch_add(1, Relaxed);
        } else if keys.any(|key| key.is_signature(token.algorithm, token.message, &token.signature)) {
            if let Some(place) = place {
                place.remember(set);
            }
        } else if has_id {
            return Verdict::Refused(Refusal::Signature);
        } else {
            return maybe_new(Refusal::Signature);
        }
        token.claims().and_then(|claims| self.identity(&claims, now)).into()
    }

    /// Returns the identity of a token whose signature is verified.
    fn identity(&self, claims: &Map<String, Value>, now: SystemTime) -> Result<Authenticated, Refusal> {
        self.rules.check_use(claims, now)?;
        let name = match self.name.of(claims) {
            Some(Value::String(name)) if !name.is_empty() => name.clone(),
            Some(Value::Number(name)) => name.to_string(),
            _ => return Err(Refusal::NoName),
        };
        self.rules.check_rights(claims)?;
        let name = match claims.get("iss") {
            Some(Value::String(issuer)) if self.name_has_issuer => format!("{issuer}#{name}"),
            None if self.name_has_issuer => format!("#{name}"),
            Some(_) if self.name_has_issuer => return Err(Refusal::ClaimType),
            _ => name,
        };
        let mut identity = Identity::new(name, Mechanism::Jwt);
        let scopes = scopes(claims);
        if !scopes.is_empty() {
            identity = identity.attribute("scope", scopes.join(" "));
        }
        for (path, attribute) in &self.attributes {
            if let Some(text) = path.of(claims).and_then(text_of) {
                identity = identity.attribute(attribute, text);
            }
        }
        if self.is_forwarded {
            identity = identity.distinguish(&digest(claims));
        }
        Ok(Authenticated::new(identity))
    }

    fn decide(&self, verdict: Verdict, in_authorization: bool) -> AuthResult {
        match verdict {
            Verdict::Accepted(accepted) => {
                self.counters.accepted.fetch_add(1, Relaxed);
                Ok(accepted.covering_authorization(in_authorization))
            }
            Verdict::Refused(refusal) | Verdict::NewKey(refusal) => self.refuse(refusal),
        }
    }

    fn refuse(&self, refusal: Refusal) -> AuthResult {
        self.counters.refuse(refusal);
        Err(match refusal {
            Refusal::Scope | Refusal::Claim => {
                let message = "the token does not permit this request";
                let denial = Denial::new(StatusCode::FORBIDDEN, refusal.as_str(), message);
                let challenge = match refusal {
                    Refusal::Scope => self.scope_challenge.clone(),
                    _ => HeaderValue::from_static(r#"Bearer error="insufficient_scope""#),
                };
                AuthFailure::denied(denial.field(WWW_AUTHENTICATE, challenge))
            }
            refusal => refusal.failure(),
        })
    }

    fn unavailable(&self) -> AuthResult {
        self.counters.unavailable.fetch_add(1, Relaxed);
        let retry_after = self.keys.until_next_attempt().max(Duration::from_secs(1));
        Err(AuthFailure::unavailable_for(retry_after, "the keys of tokens are not available"))
    }
}

/// Returns a digest of the claims by which the backend may answer differently: all but those that each token has anew.
fn digest(claims: &Map<String, Value>) -> [u8; 32] {
    let mut digest = Sha256::new();
    let is_lasting = |(name, _): &(&String, &Value)| !matches!(name.as_str(), "exp" | "iat" | "jti" | "nbf");
    for (name, value) in claims.iter().filter(is_lasting) {
        for text in [name.as_str(), &value.to_string()] {
            digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            digest.update(text);
        }
    }
    digest.finalize().into()
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jwt").field("rules", &self.0.rules).field("keys", &self.0.keys).finish_non_exhaustive()
    }
}
