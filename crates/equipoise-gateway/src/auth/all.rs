use std::{fmt, sync::Arc};

use equipoise_tower::RequestHead;
use http::{HeaderName, HeaderValue, request::Parts};

use super::{
    AuthFailure, AuthFuture, AuthResult, Authenticate, Authenticated, Realm,
    any::{ask, ended, joined},
};
use crate::Mechanism;

/// Several schemes, all of which have to accept a request: for example a client certificate and a token.
///
/// The identity is that of the first scheme, with the attributes of the others. An attribute of an earlier scheme is
/// not replaced. [`Identity::other_schemes`](crate::Identity::other_schemes) is the list of what the other schemes have
/// found, such as `basic:ann`. So users that share the first credentials have different identities. The fields for the
/// backend are those of all schemes.
///
/// The schemes are asked in order. The first failure is that of the request, except that a scheme without credentials
/// does not end the search for invalid ones.
///
/// ```
/// use equipoise_gateway::{Identity, Mechanism, auth::{AllOf, AuthFailure, AuthLayer}};
/// use equipoise_tower::RequestHead;
///
/// async fn first() -> Result<Identity, AuthFailure> {
///     Ok(Identity::new("host-1", Mechanism::Custom))
/// }
/// async fn second() -> Result<Identity, AuthFailure> {
///     Ok(Identity::new("ann", Mechanism::Custom).attribute("user", "ann"))
/// }
/// let layer = AuthLayer::new(AllOf::new(|_: RequestHead<'_>| first()).and(|_: RequestHead<'_>| second()));
/// # drop(layer);
/// ```
#[derive(Clone)]
pub struct AllOf {
    schemes: Vec<Arc<dyn Authenticate>>,
}

impl AllOf {
    /// Creates the combination with its first scheme, which gives the identity.
    #[must_use]
    pub fn new(scheme: impl Authenticate) -> Self {
        Self { schemes: vec![Arc::new(scheme)] }
    }

    /// Adds a scheme, which is asked after the others.
    #[must_use]
    pub fn and(mut self, scheme: impl Authenticate) -> Self {
        self.schemes.push(Arc::new(scheme));
        self
    }
}

/// What the schemes that were asked have decided.
#[derive(Default)]
struct Collected {
    accepted: Option<Authenticated>,
    is_missing: bool,
}

impl Collected {
    /// Adds a decision. `Err` ends the search.
    fn add(&mut self, result: AuthResult) -> Result<(), AuthFailure> {
        match result {
            Ok(next) => {
                self.accepted = Some(match self.accepted.take() {
                    None => next,
                    Some(first) => first.merge(&next),
                });
            }
            Err(AuthFailure::Missing) => self.is_missing = true,
            Err(failure) => return Err(failure),
        }
        Ok(())
    }

    fn end(self) -> AuthResult {
        self.accepted.filter(|_| !self.is_missing).ok_or(AuthFailure::Missing)
    }
}

impl Authenticate for AllOf {
    fn authenticate(&self, head: RequestHead<'_>) -> AuthFuture {
        let mut collected = Collected::default();
        let mut schemes = self.schemes.iter();
        for scheme in &mut schemes {
            match ask(&**scheme, head).into_ready() {
                Ok(result) => {
                    if let Err(failure) = collected.add(result) {
                        return AuthFuture::ready(Err(failure));
                    }
                }
                Err(future) => {
                    let later: Vec<AuthFuture> = schemes.map(|scheme| ask(&**scheme, head)).collect();
                    return AuthFuture::new(async move {
                        for future in std::iter::once(future).chain(later) {
                            collected.add(ended(future).await)?;
                        }
                        collected.end()
                    });
                }
            }
        }
        AuthFuture::ready(collected.end())
    }

    fn challenge(&self, realm: &Realm) -> Option<HeaderValue> {
        joined(self.schemes.iter().filter_map(|scheme| scheme.challenge(realm)))
    }

    fn remove_credentials(&self, parts: &mut Parts) {
        for scheme in &self.schemes {
            scheme.remove_credentials(parts);
        }
    }

    fn written_fields(&self) -> Vec<HeaderName> {
        self.schemes.iter().flat_map(Authenticate::written_fields).collect()
    }

    /// That of the first scheme.
    fn mechanism(&self) -> Mechanism {
        self.schemes.first().map_or(Mechanism::Custom, Authenticate::mechanism)
    }
}

impl fmt::Debug for AllOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mechanisms: Vec<Mechanism> = self.schemes.iter().map(Authenticate::mechanism).collect();
        f.debug_tuple("AllOf").field(&mechanisms).finish()
    }
}
