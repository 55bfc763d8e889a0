mod credentials;
mod hash;
mod users;
mod verifier;

use std::{fmt, sync::Arc, time::Duration};

use equipoise_tower::RequestHead;
use http::{HeaderValue, header::AUTHORIZATION, request::Parts};
use tokio::time::Instant;

use self::{
    credentials::Credentials,
    verifier::{Limits, Verifier},
};
pub use self::{
    users::{InvalidUsers, Users},
    verifier::BasicStats,
};
use super::{AuthFailure, AuthFuture, Authenticate, Authenticated, Live, Realm, credentials::authorization};
use crate::Mechanism;

/// HTTP Basic authentication (RFC 7617): clients send a name and a password with each request. The password is not
/// encrypted, so clients should use TLS.
///
/// The [`Users`] can be [replaced](Live::replace) while requests are served. A replacement applies at once, also to
/// clients with a password that was verified before.
///
/// - The hash of a password is made to be slow. Verifications run on tokio's threads for blocking work,
///   [few at once](Self::max_verifications). If too many wait, requests get status 503, while clients with a password
///   that was verified before are still served.
/// - The result of a verification is kept [for a minute](Self::cache_ttl): that a password is wrong, for 10 s. It is
///   found by a SHA-256 of name, password and stored hash, with a secret of the process. Neither passwords nor names
///   are kept.
/// - A name that is not in the list costs a verification too, with the hash of another user. So the time of a response
///   does not tell which names exist, if all hashes have the same kind and parameters.
/// - Names and passwords are UTF-8 without control characters, and have at most 1024 bytes together. They are compared
///   as they are: nothing is normalised.
///
/// The credentials are removed from requests that are passed on, unless
/// [`forward_credentials`](Self::forward_credentials) keeps them. Requests are served inside a tokio runtime.
///
/// ```
/// use equipoise_gateway::auth::{AuthLayer, Basic, Users};
///
/// let users: Users = "ann:$2y$10$1v1eIqZM2SGi7L870PqLzufo9UXjukfs1zNo1brVp9vb9SmDGoLoi".parse()?;
/// let layer = AuthLayer::new(Basic::new(users));
/// # drop(layer);
/// # Ok::<(), equipoise_gateway::auth::InvalidUsers>(())
/// ```
#[derive(Clone)]
pub struct Basic {
    users: Live<Users>,
    verifier: Arc<Verifier>,
    forward: bool,
}

impl Basic {
    /// Creates the scheme for these users.
    #[must_use]
    pub fn new(users: impl Into<Live<Users>>) -> Self {
        Self { users: users.into(), verifier: Arc::new(Verifier::new(Limits::default())), forward: false }
    }

    /// Sets how many passwords are hashed at once. Each takes a CPU, and with argon2 the memory that its parameters
    /// say. Default: half of the CPUs, at least 1. With 0, it is 1.
    #[must_use]
    pub fn max_verifications(self, max: usize) -> Self {
        self.limits(|limits| limits.max_running = max)
    }

    /// Sets how many requests may wait for the verification of their password. Further requests get status 503.
    /// Default: 64.
    #[must_use]
    pub fn max_waiting(self, max: usize) -> Self {
        self.limits(|limits| limits.max_waiting = max)
    }

    /// Sets for how long a verified password is not verified again. Default: 60 s. With 0, each request is verified.
    #[must_use]
    pub fn cache_ttl(self, ttl: Duration) -> Self {
        self.limits(|limits| limits.ttl = ttl)
    }

    /// Sets the maximum number of verified passwords that are remembered. Each takes less than 100 bytes. Default: 10
    /// 000. Range: 1 to 1 000 000; other values are clamped.
    #[must_use]
    pub fn cache_capacity(self, capacity: usize) -> Self {
        self.limits(|limits| limits.capacity = capacity)
    }

    /// Sets whether the backend gets the name and the password of the client. Default: false.
    #[must_use]
    pub fn forward_credentials(mut self, forward: bool) -> Self {
        self.forward = forward;
        self
    }

    /// Returns what was done since the scheme was created. Clones share it: keep one when another goes into a layer.
    /// The methods that set something begin anew.
    pub fn stats(&self) -> BasicStats {
        self.verifier.stats()
    }

    fn limits(mut self, set: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = self.verifier.limits().clone();
        set(&mut limits);
        self.verifier = Arc::new(Verifier::new(limits));
        self
    }
}

impl Authenticate for Basic {
    fn authenticate(&self, head: RequestHead<'_>) -> AuthFuture {
        let credentials = match Credentials::of(head.headers) {
            Ok(credentials) => credentials,
            Err(failure) => return AuthFuture::ready(Err(failure)),
        };
        let Some((user, is_known)) = self.users.read(|users| users.find(credentials.user())) else {
            return AuthFuture::ready(Err(AuthFailure::invalid("wrong_password")));
        };
        let identity = is_known.then(|| user.identity.clone());
        // Verified nevertheless, so that the time does not tell the kind of the hash.
        let is_read = user.hash.reads_all_of(credentials.password());
        let reason = if is_read { "wrong_password" } else { "password_too_long" };
        let decided =
            |is_valid| identity.filter(|_| is_valid).map(Authenticated::new).ok_or(AuthFailure::invalid(reason));
        let key = self.verifier.key(&user, &credentials);
        if let Some(is_valid) = self.verifier.known(&key, Instant::now()) {
            return AuthFuture::ready(decided(is_valid));
        }
        let verified = self.verifier.clone().verify(user, is_known, credentials, key);
        AuthFuture::new(async move { decided(verified.await?) })
    }

    fn challenge(&self, realm: &Realm) -> Option<HeaderValue> {
        Some(realm.challenge_with("Basic", "charset=\"UTF-8\""))
    }

    fn remove_credentials(&self, parts: &mut Parts) {
        if !self.forward && !matches!(authorization(&parts.headers, "Basic"), Ok(None)) {
            parts.headers.remove(AUTHORIZATION);
        }
    }

    fn mechanism(&self) -> Mechanism {
        Mechanism::Basic
    }
}

impl fmt::Debug for Basic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Basic")
            .field("users", &self.users)
            .field("limits", self.verifier.limits())
            .field("forward", &self.forward)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, prelude::BASE64_STANDARD};
    use http::Request;

    use super::*;

    /// `htpasswd -nbBC 4 bob 'b:c ü'`, with another name.
    const USERS: &str = "ann:$2y$04$mWzPeKhZCCGFOGbPx89QQ.ehavLzHaKY0bR.WVymO7.YOc3QwM2Ka:team=a";
    const PASSWORD: &str = "b:c ü";

    /// Awaits all of them at once.
    async fn join_all<F>(futures: Vec<F>) -> Vec<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let mut set = tokio::task::JoinSet::new();
        futures.into_iter().for_each(|future| drop(set.spawn(future)));
        set.join_all().await
    }

    fn basic() -> Basic {
        Basic::new(USERS.parse::<Users>().expect("users"))
    }

    fn asked(scheme: &Basic, user: &str, password: &str) -> impl Future<Output = Result<String, &'static str>> + use<> {
        let value = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
        let request = Request::get("/").header(AUTHORIZATION, value).body(()).expect("a request");
        let decided = scheme.authenticate(RequestHead::of(&request));
        async {
            match decided.await {
                Ok(authenticated) => Ok(authenticated.identity().name().to_owned()),
                Err(AuthFailure::Invalid { reason, .. }) => Err(reason),
                Err(AuthFailure::Unavailable { .. }) => Err("unavailable"),
                Err(_) => Err("another failure"),
            }
        }
    }

    #[tokio::test]
    async fn only_the_password_of_the_user_is_accepted() {
        let scheme = basic();
        assert_eq!(asked(&scheme, "ann", PASSWORD).await, Ok("ann".into()));
        for (user, password) in [("ann", ""), ("ann", "b:c"), ("Ann", PASSWORD), ("bob", PASSWORD), ("", "")] {
            assert_eq!(asked(&scheme, user, password).await, Err("wrong_password"), "{user}:{password}");
        }
        assert_eq!(asked(&Basic::new(Users::default()), "ann", PASSWORD).await, Err("wrong_password"));
    }

    #[tokio::test]
    async fn a_name_that_is_not_known_costs_the_same_verification() {
        let scheme = basic();
        for (count, user) in [(1, "ann"), (2, "eve"), (2, "eve"), (2, "ann")] {
            assert_eq!(asked(&scheme, user, "wrong").await, Err("wrong_password"));
            assert_eq!(scheme.stats().verifications, count);
        }
        assert_eq!(asked(&scheme, "eve", PASSWORD).await, Err("wrong_password"));
        assert_eq!((scheme.stats().verifications, scheme.stats().cache_hits), (3, 2));
    }

    #[tokio::test]
    async fn a_password_that_is_too_long_for_its_hash_is_refused_with_the_reason() {
        // `htpasswd -nbBC 4 ann` with 72 `x`.
        let scheme = Basic::new(
            "ann:$2y$04$VaugdxT.4qQMCyjaWcty7uI3bo2mqL10/UOvc0mM.jJHUed4aiPwy".parse::<Users>().expect("users"),
        );
        assert_eq!(asked(&scheme, "ann", &"x".repeat(72)).await, Ok("ann".into()));
        for _ in 0..2 {
            assert_eq!(asked(&scheme, "ann", &"x".repeat(73)).await, Err("password_too_long"));
        }
        assert_eq!(scheme.stats().verifications, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_password_is_verified_again_after_a_time() {
        let scheme = basic().cache_ttl(Duration::from_secs(30));
        for (seconds, verifications) in [(0, 1), (29, 1), (1, 2), (29, 2)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(asked(&scheme, "ann", PASSWORD).await, Ok("ann".into()));
            assert_eq!(scheme.stats().verifications, verifications);
        }
        for (seconds, verifications) in [(0, 3), (9, 3), (1, 4)] {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(asked(&scheme, "ann", "wrong").await, Err("wrong_password"));
            assert_eq!(scheme.stats().verifications, verifications);
        }
    }

    #[tokio::test]
    async fn without_a_cache_each_request_is_verified() {
        let scheme = basic().cache_ttl(Duration::ZERO);
        for verifications in 1..=2 {
            assert_eq!(asked(&scheme, "ann", PASSWORD).await, Ok("ann".into()));
            assert_eq!(scheme.stats().verifications, verifications);
        }
    }

    #[tokio::test]
    async fn a_replaced_list_is_used_at_once() {
        let live = Live::new(USERS.parse::<Users>().expect("users"));
        let scheme = Basic::new(live.clone());
        assert_eq!(asked(&scheme, "ann", PASSWORD).await, Ok("ann".into()));
        // `htpasswd -nbB ann 'correct horse'`.
        let changed = "ann:$2y$05$1v1eIqZM2SGi7L870PqLzufo9UXjukfs1zNo1brVp9vb9SmDGoLoi";
        live.replace(changed.parse().expect("users"));
        assert_eq!(asked(&scheme, "ann", PASSWORD).await, Err("wrong_password"));
        assert_eq!(asked(&scheme, "ann", "correct horse").await, Ok("ann".into()));
        live.replace(Users::default());
        assert_eq!(asked(&scheme, "ann", "correct horse").await, Err("wrong_password"));
    }

    #[tokio::test]
    async fn a_flood_of_passwords_waits_or_is_rejected() {
        let scheme = basic().max_verifications(1).max_waiting(2);
        assert_eq!(asked(&scheme, "ann", PASSWORD).await, Ok("ann".into()));
        let held = scheme.verifier.running.clone().acquire_owned().await.expect("a permit");
        let flood =
            tokio::spawn(join_all((0..10).map(|at| asked(&scheme, "ann", &format!("wrong {at}"))).collect::<Vec<_>>()));
        while scheme.stats().rejected < 7 {
            tokio::task::yield_now().await;
        }
        assert_eq!((scheme.stats().running, scheme.stats().waiting), (1, 2));
        drop(held);
        let results = flood.await.expect("results");
        let rejected = results.iter().filter(|result| **result == Err("unavailable")).count();
        let stats = scheme.stats();
        assert_eq!((rejected, stats.rejected, stats.verifications), (7, 7, 4));
        assert_eq!((stats.running, stats.waiting), (0, 0));
        // The cache still serves.
        assert_eq!(asked(&scheme, "ann", PASSWORD).await, Ok("ann".into()));
    }

    #[tokio::test]
    async fn requests_that_wait_for_the_same_password_verify_it_once() {
        let scheme = basic().max_verifications(1);
        let results = join_all((0..10).map(|_| asked(&scheme, "ann", PASSWORD)).collect()).await;
        assert!(results.iter().all(|result| *result == Ok("ann".into())), "{results:?}");
        assert_eq!((scheme.stats().verifications, scheme.stats().cache_hits), (1, 9));
    }

    #[test]
    fn credentials_are_removed_unless_they_are_wanted() {
        let left = |scheme: &Basic, value: &str| {
            let request = Request::get("/").header(AUTHORIZATION, value).body(()).expect("a request");
            let (mut parts, ()) = request.into_parts();
            scheme.remove_credentials(&mut parts);
            !parts.headers.is_empty()
        };
        assert!(!left(&basic(), "basic YTpi") && left(&basic(), "Bearer x"));
        assert!(left(&basic().forward_credentials(true), "Basic YTpi"));
        let challenge = basic().challenge(&Realm::default()).expect("a challenge");
        assert_eq!(challenge, r#"Basic realm="gateway", charset="UTF-8""#);
        assert!(!format!("{:?}", basic()).contains("ann"));
    }
}
