use std::{
    borrow::Cow,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use equipoise_tower::RequestHead;
use http::{HeaderMap, HeaderName, HeaderValue, request::Parts};

use super::{Realm, join_list};
use crate::{Denial, Identity, Mechanism};

/// What clients learn of invalid credentials.
const NOT_VALID: &str = "the credentials of the request are not valid";

/// What a scheme decides about a request.
pub type AuthResult = Result<Authenticated, AuthFailure>;

/// A scheme of authentication: it finds the credentials of its kind in the head of a request and verifies them.
///
/// Implemented for the schemes of this module, and for closures `|head: RequestHead<'_>| async move { Ok::<Identity,
/// AuthFailure>(…) }`. The closure reads what it needs from the head before its future begins, because the future
/// cannot borrow from the head.
///
/// A panic of an implementation has the effect of [`AuthFailure::Unavailable`]: the request is not passed on.
///
/// ```
/// use equipoise_gateway::{Identity, Mechanism, auth::{AuthFailure, Authenticate}};
/// use equipoise_tower::RequestHead;
///
/// fn sessions() -> impl Authenticate {
///     |head: RequestHead<'_>| {
///         let cookie = head.headers.get("cookie").cloned();
///         async move {
///             let Some(cookie) = cookie else { return Err(AuthFailure::Missing) };
///             // Look up the session here.
///             match cookie.as_bytes() {
///                 b"session=1" => Ok(Identity::new("ann", Mechanism::Custom)),
///                 _ => Err(AuthFailure::invalid("unknown_session")),
///             }
///         }
///     }
/// }
/// # drop(sessions());
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no scheme of authentication",
    note = "use a scheme of `equipoise_gateway::auth`",
    note = "or a closure `|head: RequestHead<'_>| async move {{ Ok::<Identity, AuthFailure>(…) }}`"
)]
pub trait Authenticate: Send + Sync + 'static {
    /// Decides about a request. The returned future does nothing before it is polled: if an earlier scheme accepts the
    /// request, it is dropped.
    ///
    /// The head is that of the client: the fields that only gateways may set are removed after the decision. A scheme must
    /// not believe them.
    fn authenticate(&self, head: RequestHead<'_>) -> AuthFuture;

    /// Returns the value of `WWW-Authenticate` with which the scheme asks for credentials. Default: `None`. Then the
    /// field has the challenges of the other schemes only.
    fn challenge(&self, realm: &Realm) -> Option<HeaderValue> {
        let _ = realm;
        None
    }

    /// Removes the credentials of this scheme from a request that is passed on, if the backend should not see them. It
    /// is also called for requests that another scheme has accepted, and for anonymous ones. Default: removes nothing.
    fn remove_credentials(&self, parts: &mut Parts) {
        let _ = parts;
    }

    /// Returns the fields that [`Authenticated::field`] sets. The layer removes them from all requests of clients, in
    /// all spellings. Default: none.
    fn written_fields(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// Returns the mechanism of the identities. Default: [`Mechanism::Custom`]. It is a label of statistics.
    fn mechanism(&self) -> Mechanism {
        Mechanism::Custom
    }
}

impl<F, Fut, T> Authenticate for F
where
    F: Fn(RequestHead<'_>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<T, AuthFailure>> + Send + 'static,
    T: Into<Authenticated>,
{
    fn authenticate(&self, head: RequestHead<'_>) -> AuthFuture {
        let decided = self(head);
        AuthFuture::new(async move { decided.await.map(Into::into) })
    }
}

impl<A: Authenticate + ?Sized> Authenticate for Arc<A> {
    fn authenticate(&self, head: RequestHead<'_>) -> AuthFuture {
        (**self).authenticate(head)
    }

    fn challenge(&self, realm: &Realm) -> Option<HeaderValue> {
        (**self).challenge(realm)
    }

    fn remove_credentials(&self, parts: &mut Parts) {
        (**self).remove_credentials(parts);
    }

    fn written_fields(&self) -> Vec<HeaderName> {
        (**self).written_fields()
    }

    fn mechanism(&self) -> Mechanism {
        (**self).mechanism()
    }
}

/// A request that a scheme has accepted: the identity of the sender, and fields for the backend and for the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    identity: Identity,
    /// Most requests have none, and should not pay for them.
    fields: Option<Box<Fields>>,
    /// Nothing was verified: it counts only if no other scheme has found credentials.
    is_last_resort: bool,
    /// `Authorization` has nothing but a token, whose claims tell the identity apart.
    covers_authorization: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Fields {
    request: HeaderMap,
    response: HeaderMap,
}

impl Authenticated {
    /// Creates the acceptance of a request from this identity, without fields.
    #[must_use]
    pub const fn new(identity: Identity) -> Self {
        Self { identity, fields: None, is_last_resort: false, covers_authorization: false }
    }

    /// Adds a field to the request that the backend gets. A name can be used several times. The name has to be among
    /// the scheme's [`written_fields`](Authenticate::written_fields). If it is not, the layer leaves the field out,
    /// because clients could set it too.
    #[must_use]
    pub fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.get_or_insert_default().request.append(name, value);
        self
    }

    /// Adds a field to the response that the client gets, such as `Set-Cookie`. A name can be used several times.
    /// Fields of the backend's response with the same name stay.
    #[must_use]
    pub fn response_field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.get_or_insert_default().response.append(name, value);
        self
    }

    /// Returns the identity.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Returns the fields for the backend.
    pub fn fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.fields.iter().flat_map(|fields| &fields.request)
    }

    /// Returns the fields for the client.
    pub fn response_fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.fields.iter().flat_map(|fields| &fields.response)
    }

    /// Makes it count only if no other scheme accepts the request or has found credentials that are not valid.
    pub(super) fn last_resort(mut self) -> Self {
        self.is_last_resort = true;
        self
    }

    pub(super) fn is_last_resort(&self) -> bool {
        self.is_last_resort
    }

    /// Notes that `Authorization` has nothing but a token, whose claims tell the identity apart.
    #[cfg(feature = "auth-jwt")]
    pub(super) fn covering_authorization(mut self, covers: bool) -> Self {
        self.covers_authorization = covers;
        self
    }

    pub(super) fn covers_authorization(&self) -> bool {
        self.covers_authorization
    }

    /// Adds what another scheme has found: its mechanism and name, attributes that are not there yet, and all fields.
    pub(super) fn merge(mut self, other: &Self) -> Self {
        self.is_last_resort |= other.is_last_resort;
        let found = &other.identity;
        let name = join_list([format!("{}:{}", found.mechanism(), found.name())]);
        self.identity = self
            .identity
            .distinguish(found.distinction())
            .and_other_schemes(&name)
            .and_other_schemes(found.other_schemes());
        for (name, value) in other.identity.attributes() {
            if self.identity.get(name).is_none() {
                self.identity = self.identity.attribute(name, value);
            }
        }
        let add = |all: Self, (name, value): (&HeaderName, &HeaderValue)| all.field(name.clone(), value.clone());
        let all = other.fields().fold(self, add);
        let add =
            |all: Self, (name, value): (&HeaderName, &HeaderValue)| all.response_field(name.clone(), value.clone());
        other.response_fields().fold(all, add)
    }
}

impl From<Identity> for Authenticated {
    fn from(identity: Identity) -> Self {
        Self::new(identity)
    }
}

/// Why a scheme does not accept a request.
///
/// Reasons are for logs and statistics: clients do not get them. They contain no part of credentials.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AuthFailure {
    /// The request has no credentials for this scheme. The client gets status 401 with the code `missing_credentials`,
    /// unless another scheme accepts the request or the layer is [optional](super::AuthLayer::optional).
    Missing,
    /// The credentials are not valid. The client gets status 401 with the code `invalid_credentials`, unless another
    /// scheme accepts the request.
    #[non_exhaustive]
    Invalid {
        /// Why, as a stable label of lower-case letters, digits and `_`, such as `expired`.
        reason: &'static str,
        /// The challenge with which `WWW-Authenticate` explains this, such as `Bearer error="invalid_token"`. `None`:
        /// that of [`Authenticate::challenge`].
        challenge: Option<HeaderValue>,
        /// The text for the client: see [`AuthFailure::message`].
        message: &'static str,
    },
    /// The credentials are valid, but do not allow the request, or the scheme wants to send a response of its own. The
    /// client gets this response, unless another scheme accepts the request.
    Denied(Box<Denial>),
    /// It cannot be known at present whether the request is allowed, for example because a server does not respond. The
    /// client gets status 503 with the code `auth_unavailable` and `Retry-After`, unless another scheme accepts the
    /// request.
    #[non_exhaustive]
    Unavailable {
        /// What is not available.
        reason: Cow<'static, str>,
        /// When the client may try again: `Retry-After` of the response.
        retry_after: Duration,
    },
}

impl AuthFailure {
    /// Creates [`Invalid`](Self::Invalid). `reason` is a stable label of lower-case letters, digits and `_`.
    #[must_use]
    pub const fn invalid(reason: &'static str) -> Self {
        Self::Invalid { reason, challenge: None, message: NOT_VALID }
    }

    /// Creates [`Invalid`](Self::Invalid) with a challenge of its own.
    #[must_use]
    pub const fn invalid_with(reason: &'static str, challenge: HeaderValue) -> Self {
        Self::Invalid { reason, challenge: Some(challenge), message: NOT_VALID }
    }

    /// Sets the text that the client gets for [invalid](Self::Invalid) credentials, such as "the token has expired". It
    /// should help no attacker. Default: "the credentials of the request are not valid". Other failures stay as they
    /// are.
    #[must_use]
    pub fn message(mut self, text: &'static str) -> Self {
        if let Self::Invalid { message, .. } = &mut self {
            *message = text;
        }
        self
    }

    /// Creates [`Denied`](Self::Denied).
    #[must_use]
    pub fn denied(denial: Denial) -> Self {
        Self::Denied(Box::new(denial))
    }

    /// Creates [`Unavailable`](Self::Unavailable), after which the client may try again in 1 s.
    #[must_use]
    pub fn unavailable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::unavailable_for(Duration::from_secs(1), reason)
    }

    /// Creates [`Unavailable`](Self::Unavailable), after which the client may try again in a time, which is rounded up
    /// to seconds.
    #[must_use]
    pub fn unavailable_for(retry_after: Duration, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Unavailable { reason: reason.into(), retry_after }
    }

    /// Of several failures, that with the highest rank is the one that the client gets.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Missing => 0,
            Self::Invalid { .. } => 1,
            Self::Unavailable { .. } => 2,
            Self::Denied(_) => 3,
        }
    }
}

/// The decision of a scheme: known at once, or when a future ends.
#[must_use = "futures do nothing unless polled"]
pub struct AuthFuture(Kind);

enum Kind {
    /// `None` after it was polled.
    Ready(Option<AuthResult>),
    Pending(Pin<Box<dyn Future<Output = AuthResult> + Send>>),
}

impl AuthFuture {
    /// Creates a decision that is known. It allocates nothing.
    pub fn ready(result: AuthResult) -> Self {
        Self(Kind::Ready(Some(result)))
    }

    /// Creates a decision that is known when the future ends.
    pub fn new(future: impl Future<Output = AuthResult> + Send + 'static) -> Self {
        Self(Kind::Pending(Box::pin(future)))
    }

    /// Returns the decision if it is known without polling.
    ///
    /// # Errors
    ///
    /// The future itself, if it has to be polled.
    pub fn into_ready(self) -> Result<AuthResult, Self> {
        match self.0 {
            Kind::Ready(Some(result)) => Ok(result),
            kind => Err(Self(kind)),
        }
    }
}

impl Future for AuthFuture {
    type Output = AuthResult;

    /// After it was ready, polling it again gives [`AuthFailure::Unavailable`].
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<AuthResult> {
        match &mut self.0 {
            Kind::Ready(result) => {
                let polled_again = || Err(AuthFailure::unavailable("a decision was polled after its end"));
                Poll::Ready(result.take().unwrap_or_else(polled_again))
            }
            Kind::Pending(future) => {
                let result = std::task::ready!(future.as_mut().poll(cx));
                self.0 = Kind::Ready(None);
                Poll::Ready(result)
            }
        }
    }
}

impl From<AuthResult> for AuthFuture {
    fn from(result: AuthResult) -> Self {
        Self::ready(result)
    }
}

impl fmt::Debug for AuthFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Kind::Ready(_) => "AuthFuture::Ready(..)",
            Kind::Pending(_) => "AuthFuture::Pending(..)",
        })
    }
}
