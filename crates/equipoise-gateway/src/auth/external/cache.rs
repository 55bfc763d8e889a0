use std::time::Duration;

use http::{HeaderName, HeaderValue, Request};
use quick_cache::{Weighter, sync::Cache};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::error::{InvalidExternal, deciding};
use crate::auth::{AuthFailure, AuthResult};

/// The maximum size of the fields and attributes of a decision that is kept, in bytes.
const MAX_DECISION: usize = 8 * 1024;

/// What a decision needs in bytes besides its fields and attributes.
const OVERHEAD: u64 = 512;

/// The range of [`DecisionCache::max_bytes`].
const MIN_BYTES: u64 = 64 * 1024;
const MAX_BYTES: u64 = 1 << 30;

/// It is different in each request, and decides nothing.
const X_REQUEST_ID: &str = "x-request-id";

/// A digest of what decides, with a secret of the process.
pub(super) type Key = [u8; 32];

/// For how long, and for which requests, decisions of an external service are used again.
///
/// By default, a decision is used again for requests of which the service would get the same method, target and fields,
/// except `X-Request-Id`.
/// If the service looks at credentials only, [`by_fields`](Self::by_fields) makes one decision for all targets.
///
/// Responses that allow requests and those with status 401 and 403 are kept. Responses with `Set-Cookie`, or with
/// `Cache-Control: no-store` or `no-cache`, are not kept, and neither are those with more than 8 KiB of fields.
///
/// ```
/// use std::time::Duration;
/// use equipoise_gateway::auth::DecisionCache;
/// use http::header::AUTHORIZATION;
///
/// let cache = DecisionCache::new(Duration::from_secs(10)).by_fields([AUTHORIZATION])?;
/// # drop(cache);
/// # Ok::<(), equipoise_gateway::auth::InvalidExternal>(())
/// ```
#[derive(Clone, Debug)]
pub struct DecisionCache {
    ttl: Duration,
    max_bytes: u64,
    fields: Option<Vec<HeaderName>>,
}

impl DecisionCache {
    /// Creates a cache that uses a decision for this time. A client whose access has ended is allowed until then. With
    /// 0, nothing is kept.
    #[must_use]
    pub const fn new(ttl: Duration) -> Self {
        Self { ttl, max_bytes: 4 << 20, fields: None }
    }

    /// Sets the maximum size of all decisions together in bytes. A decision counts with its fields and attributes, and
    /// 512 bytes more. Default: 4 MiB, which is enough for thousands of decisions. Range: 64 KiB to 1 GiB; other values
    /// are clamped.
    #[must_use]
    pub const fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Declares that the service decides by these fields of the client's request only: neither by method, host, target
    /// nor address. Fields that the service [does not get](super::External::send_fields) have no effect. For a
    /// request with none of the fields, the service is always asked. Default: decisions depend on everything that the
    /// service gets.
    ///
    /// # Errors
    ///
    /// [`InvalidExternal::Framing`] for a field that the service never gets, and [`InvalidExternal::NoCredential`] for a
    /// list that is empty or has only `Accept`, `Accept-Encoding`, `Accept-Language`, `User-Agent` and `X-Request-Id`.
    pub fn by_fields(mut self, fields: impl IntoIterator<Item = HeaderName>) -> Result<Self, InvalidExternal> {
        self.fields = Some(deciding(fields)?);
        Ok(self)
    }
}

/// Decisions with the time until which they are used.
pub(super) struct Decisions {
    settings: DecisionCache,
    secret: Key,
    cache: Cache<Key, Decision, Size>,
}

#[derive(Clone)]
struct Decision {
    result: AuthResult,
    until: Instant,
    /// The size of its fields and attributes in bytes.
    size: usize,
}

#[derive(Clone)]
struct Size;

impl Weighter<Key, Decision> for Size {
    fn weight(&self, _: &Key, decision: &Decision) -> u64 {
        u64::try_from(decision.size).unwrap_or(u64::MAX).saturating_add(OVERHEAD)
    }
}

impl Decisions {
    pub(super) fn new(settings: DecisionCache) -> Self {
        let max_bytes = settings.max_bytes.clamp(MIN_BYTES, MAX_BYTES);
        // Only an estimate. A decision that is larger than the part of a shard would not be kept.
        let decisions = usize::try_from(max_bytes / (OVERHEAD + MAX_DECISION as u64)).unwrap_or(usize::MAX);
        Self { settings, secret: rand::random(), cache: Cache::with_weighter(decisions, max_bytes, Size) }
    }

    /// Returns the key of a request to the service. `None` if it has none of the fields that decide.
    pub(super) fn key<B>(&self, request: &Request<B>) -> Option<Key> {
        if let Some(names) = &self.settings.fields
            && !names.iter().any(|name| request.headers().contains_key(name))
        {
            return None;
        }
        let mut digest = Sha256::new_with_prefix(self.secret);
        let mut add = |text: &[u8]| {
            digest.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            digest.update(text);
        };
        match &self.settings.fields {
            Some(names) => {
                for name in names {
                    for value in request.headers().get_all(name) {
                        add(name.as_str().as_bytes());
                        add(value.as_bytes());
                    }
                }
            }
            None => {
                add(request.method().as_str().as_bytes());
                add(request.uri().to_string().as_bytes());
                for (name, value) in request.headers().iter().filter(|(name, _)| *name != X_REQUEST_ID) {
                    add(name.as_str().as_bytes());
                    add(value.as_bytes());
                }
            }
        }
        Some(digest.finalize().into())
    }

    pub(super) fn get(&self, key: &Key, now: Instant) -> Option<AuthResult> {
        let decision = self.cache.get(key)?;
        if now < decision.until {
            return Some(decision.result);
        }
        self.cache.remove(key);
        None
    }

    /// Keeps a decision, if it is one of the service and not too large.
    pub(super) fn put(&self, key: Key, result: &AuthResult, now: Instant) {
        let field = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
        let size: usize = match result {
            Ok(allowed) => {
                let identity = allowed.identity();
                let attributes: usize = identity.attributes().map(|(name, value)| name.len() + value.len()).sum();
                let fields: usize = allowed.fields().chain(allowed.response_fields()).map(field).sum();
                identity.name().len() + attributes + fields
            }
            Err(AuthFailure::Denied(denial)) if !denial.status().is_redirection() => {
                denial.fields().iter().map(field).sum()
            }
            Err(_) => return,
        };
        if let Some(until) = now.checked_add(self.settings.ttl)
            && size <= MAX_DECISION
            && until > now
        {
            self.cache.insert(key, Decision { result: result.clone(), until, size });
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE, HOST, USER_AGENT};

    use super::*;

    fn key(decisions: &Decisions, uri: &str, fields: &[(HeaderName, &str)]) -> Option<Key> {
        let request = fields.iter().fold(Request::get(uri), |request, (name, value)| request.header(name, *value));
        decisions.key(&request.body(()).expect("a request"))
    }

    #[test]
    fn decisions_depend_on_everything_that_the_service_gets() {
        let decisions = Decisions::new(DecisionCache::new(Duration::from_secs(1)));
        let first = key(&decisions, "/a", &[(AUTHORIZATION, "x")]);
        assert_eq!(first, key(&decisions, "/a", &[(AUTHORIZATION, "x")]));
        assert_ne!(first, key(&decisions, "/b", &[(AUTHORIZATION, "x")]));
        assert_ne!(first, key(&decisions, "/a", &[(AUTHORIZATION, "y")]));
        assert_ne!(first, key(&decisions, "/a", &[(AUTHORIZATION, "x"), (COOKIE, "")]));
        assert_ne!(
            key(&decisions, "/", &[(COOKIE, "a"), (COOKIE, "b")]),
            key(&decisions, "/", &[(COOKIE, "ab"), (COOKIE, "")])
        );
        let other = Decisions::new(DecisionCache::new(Duration::from_secs(1)));
        assert_ne!(first, key(&other, "/a", &[(AUTHORIZATION, "x")]), "each process has its own secret");
    }

    #[test]
    fn the_decisions_have_at_most_the_maximum_size() {
        use crate::{Identity, Mechanism, auth::Authenticated};

        let decisions = Decisions::new(DecisionCache::new(Duration::from_secs(1)).max_bytes(256 * 1024));
        let now = Instant::now();
        let sized = |size: usize| Ok(Authenticated::new(Identity::new("a".repeat(size), Mechanism::External)));
        let is_kept = |key: Key| decisions.get(&key, now).is_some();
        for size in [0, MAX_DECISION] {
            for number in 0..2_000_u16 {
                let mut key = Key::default();
                key[..2].copy_from_slice(&number.to_le_bytes());
                decisions.put(key, &sized(size), now);
                assert!(is_kept(key), "{size} {number}");
            }
            assert!(decisions.cache.weight() <= 256 * 1024, "{}", decisions.cache.weight());
            assert!(decisions.cache.len() >= 16, "{}", decisions.cache.len());
        }
        decisions.put([7; 32], &sized(MAX_DECISION + 1), now);
        assert!(!is_kept([7; 32]));
    }

    #[test]
    fn decisions_can_depend_on_some_fields_only() {
        let cache = DecisionCache::new(Duration::from_secs(1)).by_fields([AUTHORIZATION]).expect("fields");
        let decisions = Decisions::new(cache);
        let first = key(&decisions, "/a", &[(AUTHORIZATION, "x"), (COOKIE, "a")]);
        assert_eq!(first, key(&decisions, "/b", &[(AUTHORIZATION, "x"), (COOKIE, "b")]));
        assert_ne!(first, key(&decisions, "/a", &[(AUTHORIZATION, "y")]));
        assert_eq!(key(&decisions, "/a", &[]), None);
        assert_eq!(key(&decisions, "/a", &[(COOKIE, "a")]), None);
    }

    #[test]
    fn fields_that_cannot_decide_are_refused() {
        let refused = |fields: &[HeaderName]| {
            DecisionCache::new(Duration::from_secs(1)).by_fields(fields.iter().cloned()).map(drop)
        };
        assert_eq!(refused(&[AUTHORIZATION, COOKIE]), Ok(()));
        assert_eq!(refused(&[AUTHORIZATION, HOST]), Err(InvalidExternal::Framing { field: HOST }));
        // Everybody could get the decision about one client.
        for fields in [&[][..], &[ACCEPT_LANGUAGE], &[HeaderName::from_static(X_REQUEST_ID), USER_AGENT]] {
            assert_eq!(refused(fields), Err(InvalidExternal::NoCredential), "{fields:?}");
        }
        assert_eq!(refused(&[ACCEPT_LANGUAGE, HeaderName::from_static("x-forwarded-for")]), Ok(()));
    }

    #[test]
    fn the_id_of_a_request_decides_nothing() {
        let decisions = Decisions::new(DecisionCache::new(Duration::from_secs(1)));
        let id = HeaderName::from_static(X_REQUEST_ID);
        assert_eq!(key(&decisions, "/", &[(id.clone(), "1")]), key(&decisions, "/", &[(id, "2")]));
    }
}
