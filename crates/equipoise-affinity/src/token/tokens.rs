use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::{Arc, Weak},
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use equipoise_core::EndpointId;
use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use sha2::Sha256;

use super::{
    format::{Body, InvalidToken, Tag, TokenSession, Unverified, system_time, token_time},
    key::KeyRing,
};

/// How far in the future the times of a token may be, in seconds, before the token is renewed: the clocks of balancers
/// differ slightly.
const SKEW: u32 = 300;
/// A token is renewed when the idle timeout divided by this number has passed since its issue. A shorter time would
/// make more responses set a cookie.
const RENEWALS: u32 = 10;

/// Issues and reads the tokens of one cookie, for one pool. A token is a signed cookie value that names an endpoint.
///
/// [`issue`](Self::issue) and [`read`](Self::read) take no lock, and compute one HMAC of 26 bytes.
/// [`rotate`](Self::rotate), which replaces the keys, and [`members`](Self::members), which replaces the endpoints, can
/// be called at any time. Each request uses the keys and endpoints from either before or after such a call.
///
/// [`EndpointNaming::from_tokens`](crate::EndpointNaming::from_tokens) shares the keys of one `Tokens` with any number
/// of pools. Each pool then has its own endpoints, and [`rotate`](Self::rotate) replaces the keys of all these pools.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use equipoise_affinity::token::{TokenKey, KeyRing, InvalidToken, Tokens};
/// use equipoise_core::EndpointId;
///
/// let tokens = Tokens::new(KeyRing::new(TokenKey::generate(1)), "srv");
/// let (a, b) = (EndpointId::from("10.0.0.1:80"), EndpointId::from("10.0.0.2:80"));
/// tokens.members([a.clone(), b.clone()]);
///
/// let now = SystemTime::now();
/// let text = tokens.issue(&a, None, now).expect("the ring signs");
/// assert_eq!(text.len(), 56);
///
/// let idle = Some(Duration::from_secs(1800));
/// let token = tokens.read(text.as_bytes(), now, idle, None)?;
/// assert_eq!((token.endpoint(), token.is_due()), (&a, false));
///
/// // The endpoint leaves the pool. Its session moves to another endpoint, and keeps its random number and age.
/// tokens.members([b.clone()]);
/// let Err(InvalidToken::UnknownEndpoint { session }) = tokens.read(text.as_bytes(), now, idle, None) else { panic!() };
/// let moved = tokens.issue(&b, Some(session), now).expect("the ring signs");
/// assert_eq!(tokens.read(moved.as_bytes(), now, idle, None)?.session(), token.session());
/// # Ok::<(), InvalidToken>(())
/// ```
pub struct Tokens {
    shared: Arc<Shared>,
    state: Arc<ArcSwap<State>>,
}

/// What the `Tokens` of all pools share.
struct Shared {
    context: Box<[u8]>,
    // Locked while a state is replaced. Otherwise, one of two changes at the same time could be lost.
    states: Mutex<Vec<Weak<ArcSwap<State>>>>,
}

struct State {
    keys: Vec<Accepted>,
    members: Arc<[EndpointId]>,
}

struct Accepted {
    kid: u8,
    signs: bool,
    not_after: Option<SystemTime>,
    mac: Hmac<Sha256>,
    endpoint: Hmac<Sha256>,
    tags: Tags,
}

impl Accepted {
    fn is_valid(&self, now: SystemTime) -> bool {
        self.not_after.is_none_or(|end| now <= end)
    }

    /// Returns the same key with the tags of these endpoints.
    fn with(&self, members: &[EndpointId]) -> Self {
        let tags = self.tags.with(members, |id| tag(&self.endpoint, id.as_str()));
        let (mac, endpoint) = (self.mac.clone(), self.endpoint.clone());
        Self { kid: self.kid, signs: self.signs, not_after: self.not_after, mac, endpoint, tags }
    }
}

impl State {
    fn new(keys: &[Accepted], members: Arc<[EndpointId]>) -> Self {
        Self { keys: keys.iter().map(|key| key.with(&members)).collect(), members }
    }

    fn signer(&self, now: SystemTime) -> Option<&Accepted> {
        self.keys.iter().find(|key| key.signs && key.is_valid(now))
    }
}

impl Tokens {
    /// Creates a `Tokens`, which issues and reads the tokens of a cookie with the keys of `ring`. It knows no endpoints
    /// yet: [`members`](Self::members) sets the endpoints that tokens may name.
    ///
    /// `context` is the name of the cookie. If several clusters have the same keys, `context` must also contain the
    /// name of the cluster. Tokens that were issued with another context are not accepted.
    pub fn new(ring: KeyRing, context: impl AsRef<[u8]>) -> Self {
        let context: Box<[u8]> = context.as_ref().into();
        let keys = accepted(&ring, &context);
        let state = Arc::new(ArcSwap::from_pointee(State { keys, members: Arc::default() }));
        let states = Mutex::new(vec![Arc::downgrade(&state)]);
        Self { shared: Arc::new(Shared { context, states }), state }
    }

    /// Creates tokens for another pool. They use the same keys, also after a change of the keys, and have no members
    /// yet.
    pub(crate) fn for_pool(&self) -> Self {
        let mut states = self.shared.states.lock();
        let state = Arc::new(ArcSwap::from_pointee(State::new(&self.state.load().keys, Arc::default())));
        states.retain(|state| state.strong_count() > 0);
        states.push(Arc::downgrade(&state));
        Self { shared: Arc::clone(&self.shared), state }
    }

    /// Replaces the keys by the keys of `ring`, for all pools that share the keys of this `Tokens` (see
    /// [`EndpointNaming::from_tokens`](crate::EndpointNaming::from_tokens)). Computes one HMAC for each key and each
    /// endpoint of these pools.
    pub fn rotate(&self, ring: KeyRing) {
        let keys = accepted(&ring, &self.shared.context);
        for state in self.shared.states.lock().iter().filter_map(Weak::upgrade) {
            let members = state.load().members.clone();
            state.store(Arc::new(State::new(&keys, members)));
        }
    }

    /// Replaces the members: the ids of the endpoints that tokens may name. Pass the ids of all endpoints of the pool,
    /// including endpoints that are draining. An [`Affinity`](crate::Affinity) sets the members for its own pool, so
    /// call this method only to use tokens without an `Affinity`.
    ///
    /// Takes O(n) time for n members. Computes one HMAC for each key and each new member.
    pub fn members(&self, ids: impl IntoIterator<Item = impl Into<EndpointId>>) {
        let members: Arc<[EndpointId]> = ids.into_iter().map(Into::into).collect();
        let _one_at_a_time = self.shared.states.lock();
        let state = State::new(&self.state.load().keys, members);
        self.state.store(Arc::new(state));
    }

    /// Returns a new token that binds a session to the endpoint with the id `endpoint`. If `session` is `None`, a new
    /// session begins at `now`.
    ///
    /// Returns `None` if there is no key to sign with: the key ring is empty, or its signing key has expired at `now`.
    pub fn issue(&self, endpoint: impl AsRef<str>, session: Option<TokenSession>, now: SystemTime) -> Option<String> {
        let endpoint = endpoint.as_ref();
        let state = self.state.load();
        let key = state.signer(now)?;
        let session = session.unwrap_or_else(|| TokenSession::start(now));
        let tag = key.tags.tag(endpoint).unwrap_or_else(|| tag(&key.endpoint, endpoint));
        Some(Body { kid: key.kid, session, issued_at: token_time(now), tag }.sign(key.mac.clone()))
    }

    /// Reads the token in a cookie's value. `now` is the current time.
    ///
    /// The token is stale if it was issued more than `idle_timeout` ago, or if its session began more than `lifetime`
    /// ago. `None` means no limit. Ages are compared in whole seconds. HAProxy calls these limits `maxidle` and
    /// `maxlife`.
    ///
    /// The clocks of balancers may differ, so a time in the token may be in the future. A time in the future is treated
    /// as `now`. If a time in the token is more than five minutes in the future, the response should set a new token
    /// ([`Token::is_due`]). If the session began in the future, its beginning is then replaced by `now`.
    ///
    /// # Errors
    ///
    /// [`InvalidToken`] says why the token is invalid. The request is then not bound to an endpoint, so it may be sent
    /// to any endpoint.
    pub fn read(
        &self,
        value: &[u8],
        now: SystemTime,
        idle_timeout: Option<Duration>,
        lifetime: Option<Duration>,
    ) -> Result<Token, InvalidToken> {
        let unverified = Unverified::read(value)?;
        let kid = unverified.kid;
        let state = self.state.load();
        let key = state.keys.iter().find(|key| key.kid == kid).ok_or(InvalidToken::UnknownKey { kid })?;
        let Body { mut session, issued_at, tag, .. } = unverified.verify(key.mac.clone())?;
        if !key.is_valid(now) {
            return Err(InvalidToken::KeyExpired { kid });
        }

        let clock = token_time(now);
        let ahead = issued_at.max(session.began) > clock.saturating_add(SKEW);
        if ahead {
            // Without this, a session that was created while a clock was far ahead would never end.
            session.began = session.began.min(clock);
        }
        let since = |then: u32| Duration::from_secs(clock.saturating_sub(then).into());
        let is_over = |then: u32, limit: Option<Duration>| limit.is_some_and(|limit| since(then) > limit);
        if is_over(issued_at, idle_timeout) || is_over(session.began, lifetime) {
            return Err(InvalidToken::Stale);
        }

        let endpoint = key.tags.id(&tag).cloned().ok_or(InvalidToken::UnknownEndpoint { session })?;
        let needs_renewal = !key.signs
            || ahead
            || idle_timeout.is_some_and(|idle| !since(issued_at).is_zero() && since(issued_at) >= idle / RENEWALS);
        Ok(Token { endpoint, session, issued_at, ahead, due: needs_renewal && state.signer(now).is_some() })
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.load();
        f.debug_struct("Tokens")
            .field("context", &String::from_utf8_lossy(&self.shared.context))
            .field("kids", &state.keys.iter().map(|key| key.kid).collect::<Vec<_>>())
            .field("members", &state.members.len())
            .finish_non_exhaustive()
    }
}

fn accepted(ring: &KeyRing, context: &[u8]) -> Vec<Accepted> {
    let keys = ring.keys().map(|(key, signs)| Accepted {
        kid: key.kid(),
        signs,
        not_after: key.end(),
        mac: key.derive("equipoise token 1 mac", context),
        endpoint: key.derive("equipoise token 1 endpoint", context),
        tags: Tags::default(),
    });
    keys.collect()
}

/// The tags of the endpoints for one key: from endpoint to tag and from tag to endpoint.
#[derive(Clone, Default)]
struct Tags {
    tags: HashMap<EndpointId, Tag>,
    ids: HashMap<Tag, EndpointId>,
}

impl Tags {
    /// Creates the tags of `ids`. Copies the tags that are already known.
    fn with(&self, ids: &[EndpointId], hash: impl Fn(&EndpointId) -> Tag) -> Self {
        let mut next = Self { tags: HashMap::with_capacity(ids.len()), ids: HashMap::with_capacity(ids.len()) };
        for id in ids {
            let tag = self.tags.get(id).copied().unwrap_or_else(|| hash(id));
            next.tags.insert(id.clone(), tag);
            match next.ids.entry(tag) {
                Entry::Vacant(place) => {
                    place.insert(id.clone());
                }
                // Two ids have the same tag with a probability of 2⁻⁶⁴. The smaller id gets the tag, so that all
                // balancers agree. Sessions of the other endpoint move to that endpoint with their second request.
                Entry::Occupied(mut place) if id < place.get() => {
                    place.insert(id.clone());
                }
                Entry::Occupied(_) => {}
            }
        }
        next
    }

    fn tag(&self, id: &str) -> Option<Tag> {
        self.tags.get(id).copied()
    }

    fn id(&self, tag: &Tag) -> Option<&EndpointId> {
        self.ids.get(tag)
    }
}

fn tag(key: &Hmac<Sha256>, id: &str) -> Tag {
    let whole = key.clone().chain_update(id).finalize().into_bytes();
    let mut tag = Tag::default();
    tag.iter_mut().zip(whole).for_each(|(to, from)| *to = from);
    tag
}

/// The contents of a valid session token: an endpoint, the session that is bound to it, and when the token was issued.
/// [`Tokens::read`] returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    endpoint: EndpointId,
    session: TokenSession,
    issued_at: u32,
    ahead: bool,
    due: bool,
}

impl Token {
    /// Returns the id of the endpoint that the token names: the session is bound to this endpoint.
    pub fn endpoint(&self) -> &EndpointId {
        &self.endpoint
    }

    /// Returns the session of the token: its random number and when it began.
    pub fn session(&self) -> TokenSession {
        self.session
    }

    /// Returns the time when the token was issued. Fractions of a second are dropped.
    pub fn issued_at(&self) -> SystemTime {
        system_time(self.issued_at)
    }

    /// Returns whether a time in the token was more than five minutes in the future when the token was read. The times
    /// are when the token was issued and when its session began. This happens if the clocks of the balancers differ by
    /// more than five minutes.
    pub fn is_from_the_future(&self) -> bool {
        self.ahead
    }

    /// Returns whether the response should set a new token. This is true if a key can sign the new token, and one of
    /// these conditions holds:
    ///
    /// - At least a tenth of the idle timeout (an argument of [`Tokens::read`]) has passed since the token was issued.
    /// - The key that has signed the token is not the key that signs new tokens.
    /// - The token is [from the future](Self::is_from_the_future).
    pub fn is_due(&self) -> bool {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn ids(names: &[&str]) -> Vec<EndpointId> {
        names.iter().map(EndpointId::from).collect()
    }

    #[test]
    fn only_ids_that_are_new_are_hashed() {
        let hashed = Cell::new(0);
        let hash = |id: &EndpointId| {
            hashed.set(hashed.get() + 1);
            [id.as_str().as_bytes()[0]; 8]
        };
        let first = Tags::default().with(&ids(&["a", "b"]), hash);
        let second = first.with(&ids(&["b", "c"]), hash);
        assert_eq!(hashed.get(), 3);
        assert_eq!(second.id(&[b'a'; 8]), None);
        assert_eq!(second.id(&[b'b'; 8]), Some(&"b".into()));
        assert_eq!(second.id(&[b'c'; 8]), Some(&"c".into()));
    }

    #[test]
    fn of_two_ids_with_one_tag_the_smaller_has_it_and_the_other_inherits() {
        for order in [["a", "b"], ["b", "a"]] {
            let both = Tags::default().with(&ids(&order), |_| [7; 8]);
            assert_eq!(both.id(&[7; 8]), Some(&"a".into()));
            assert_eq!(both.tag("b"), Some([7; 8]));
            let one = both.with(&ids(&["b"]), |_| unreachable!("it is known"));
            assert_eq!(one.id(&[7; 8]), Some(&"b".into()));
        }
    }
}
