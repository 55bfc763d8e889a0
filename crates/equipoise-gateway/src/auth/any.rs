use std::{fmt, future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use equipoise_core::__private::guarded;
use equipoise_tower::RequestHead;
use http::{HeaderName, HeaderValue, request::Parts};

use super::{
    AuthFailure, AuthFuture, AuthResult, Authenticate, Authenticated, Realm,
    stats::{SchemeCounters, SchemeStats},
};
use crate::Mechanism;

/// Several schemes, of which one has to accept a request.
///
/// They are asked in order, and the first that accepts the request gives the identity. What an
/// [`External`](super::External) passes because its service is not available counts last, and only if no scheme has
/// found credentials that are not valid. If no scheme accepts the request, the client gets the failure of the highest rank: a response that a scheme wants to send, then that the decision is not possible at
/// present, then invalid credentials, then missing ones.
///
/// [`AuthLayer::or`](super::AuthLayer::or) does this for the schemes of a layer. This type is for parts of an
/// [`AllOf`](super::AllOf).
#[derive(Clone)]
pub struct AnyOf(Schemes);

impl AnyOf {
    /// Creates the combination with its first scheme.
    #[must_use]
    pub fn new(scheme: impl Authenticate) -> Self {
        Self(Schemes::new(scheme))
    }

    /// Adds a scheme, which is asked after the others.
    #[must_use]
    pub fn or(mut self, scheme: impl Authenticate) -> Self {
        self.0.push(scheme);
        self
    }
}

impl Authenticate for AnyOf {
    fn authenticate(&self, head: RequestHead<'_>) -> AuthFuture {
        match self.0.decide(head) {
            Decided::Now(decision) => AuthFuture::ready(decision.map_err(|refused| refused.failure)),
            Decided::Later(future) => AuthFuture::new(async { future.await.map_err(|refused| refused.failure) }),
        }
    }

    fn challenge(&self, realm: &Realm) -> Option<HeaderValue> {
        joined(self.0.members.iter().filter_map(|member| member.scheme.challenge(realm)))
    }

    fn remove_credentials(&self, parts: &mut Parts) {
        self.0.members.iter().for_each(|member| member.scheme.remove_credentials(parts));
    }

    fn written_fields(&self) -> Vec<HeaderName> {
        self.0.written_fields()
    }

    /// That of the first scheme. Identities have that of the scheme which accepted the request.
    fn mechanism(&self) -> Mechanism {
        self.0.members.first().map_or(Mechanism::Custom, |member| member.scheme.mechanism())
    }
}

impl fmt::Debug for AnyOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnyOf").field(&self.0).finish()
    }
}

/// Joins challenges as one value of `WWW-Authenticate`, which is a list.
pub(super) fn joined(challenges: impl Iterator<Item = HeaderValue>) -> Option<HeaderValue> {
    let challenges: Vec<HeaderValue> = challenges.collect();
    let bytes: Vec<&[u8]> = challenges.iter().map(HeaderValue::as_bytes).collect();
    if bytes.is_empty() { None } else { HeaderValue::from_bytes(&bytes.join(&b", "[..])).ok() }
}

/// Schemes in the order in which they are asked, with what each has decided.
#[derive(Clone, Default)]
pub(super) struct Schemes {
    members: Arc<Vec<Member>>,
}

#[derive(Clone)]
struct Member {
    scheme: Arc<dyn Authenticate>,
    counters: Arc<SchemeCounters>,
}

/// Why none of the schemes accepts a request.
pub(super) struct Refused {
    pub(super) failure: AuthFailure,
    /// The challenges of schemes for this request, with the places of the schemes.
    pub(super) challenges: Vec<(usize, HeaderValue)>,
}

pub(super) type Decision = Result<Authenticated, Refused>;

/// A decision that is known, or will be.
pub(super) enum Decided {
    Now(Decision),
    Later(Pin<Box<dyn Future<Output = Decision> + Send>>),
}

impl Schemes {
    pub(super) fn new(scheme: impl Authenticate) -> Self {
        let mut schemes = Self::default();
        schemes.push(scheme);
        schemes
    }

    pub(super) fn push(&mut self, scheme: impl Authenticate) {
        let member = Member { scheme: Arc::new(scheme), counters: Arc::default() };
        Arc::make_mut(&mut self.members).push(member);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Asks the schemes in order, until one accepts the request.
    pub(super) fn decide(&self, head: RequestHead<'_>) -> Decided {
        let mut search = Search::default();
        let mut members = self.members.iter().enumerate();
        for (at, member) in &mut members {
            let result = match member.ask(head).into_ready() {
                Ok(result) => result,
                Err(future) => {
                    // The head is gone when this future ends, so that the schemes after it are asked now.
                    let later = members.map(|(at, member)| (at, member.ask(head)));
                    let futures: Vec<_> = std::iter::once((at, future)).chain(later).collect();
                    return Decided::Later(Box::pin(Self::decide_later(self.members.clone(), futures, search)));
                }
            };
            member.counters.count(&result);
            if let Some(authenticated) = search.add(at, result) {
                return Decided::Now(Ok(authenticated));
            }
        }
        Decided::Now(search.end())
    }

    async fn decide_later(
        members: Arc<Vec<Member>>,
        futures: Vec<(usize, AuthFuture)>,
        mut search: Search,
    ) -> Decision {
        for (at, future) in futures {
            let result = ended(future).await;
            if let Some(member) = members.get(at) {
                member.counters.count(&result);
            }
            if let Some(authenticated) = search.add(at, result) {
                return Ok(authenticated);
            }
        }
        search.end()
    }

    /// Returns the challenges of the schemes that have one, with the places of the schemes.
    pub(super) fn challenges(&self, realm: &Realm) -> Vec<(usize, HeaderValue)> {
        let challenge = |(at, member): (usize, &Member)| Some((at, member.scheme.challenge(realm)?));
        self.members.iter().enumerate().filter_map(challenge).collect()
    }

    /// Returns false if a scheme has panicked, so that credentials may be left.
    #[must_use]
    pub(super) fn remove_credentials(&self, parts: &mut Parts) -> bool {
        self.members.iter().all(|member| guarded(|| member.scheme.remove_credentials(parts)).is_some())
    }

    pub(super) fn written_fields(&self) -> Vec<HeaderName> {
        self.members.iter().flat_map(|member| member.scheme.written_fields()).collect()
    }

    pub(super) fn stats(&self) -> Vec<SchemeStats> {
        self.members.iter().map(|member| member.counters.stats(member.scheme.mechanism())).collect()
    }
}

impl fmt::Debug for Schemes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.members.iter().map(|member| member.scheme.mechanism())).finish()
    }
}

impl Member {
    fn ask(&self, head: RequestHead<'_>) -> AuthFuture {
        ask(&*self.scheme, head)
    }
}

/// What the schemes that were asked have decided, if none of them has accepted the request.
struct Search {
    refused: Refused,
    /// The first acceptance without a verification.
    last_resort: Option<Authenticated>,
    /// A scheme has found credentials that are not valid, or do not allow the request.
    is_denied: bool,
}

impl Default for Search {
    fn default() -> Self {
        let refused = Refused { failure: AuthFailure::Missing, challenges: Vec::new() };
        Self { refused, last_resort: None, is_denied: false }
    }
}

impl Search {
    /// Adds the decision of the scheme at a place. `Some` ends the search.
    fn add(&mut self, at: usize, result: AuthResult) -> Option<Authenticated> {
        let failure = match result {
            Ok(authenticated) if authenticated.is_last_resort() => {
                self.last_resort.get_or_insert(authenticated);
                return None;
            }
            Ok(authenticated) => return Some(authenticated),
            Err(failure) => failure,
        };
        self.is_denied |= matches!(failure, AuthFailure::Invalid { .. } | AuthFailure::Denied(_));
        if let AuthFailure::Invalid { challenge: Some(challenge), .. } = &failure {
            self.refused.challenges.push((at, challenge.clone()));
        }
        if failure.rank() > self.refused.failure.rank() {
            self.refused.failure = failure;
        }
        None
    }

    fn end(self) -> Decision {
        self.last_resort.filter(|_| !self.is_denied).ok_or(self.refused)
    }
}

/// Asks a scheme. If it panics, the decision is not possible.
pub(super) fn ask(scheme: &dyn Authenticate, head: RequestHead<'_>) -> AuthFuture {
    guarded(|| scheme.authenticate(head)).unwrap_or_else(|| AuthFuture::ready(panicked()))
}

/// Waits for a decision. If the future panics, the decision is not possible.
pub(super) async fn ended(mut future: AuthFuture) -> AuthResult {
    poll_fn(|cx| guarded(|| Pin::new(&mut future).poll(cx)).unwrap_or_else(|| Poll::Ready(panicked()))).await
}

fn panicked() -> AuthResult {
    Err(AuthFailure::unavailable("the scheme has panicked"))
}
