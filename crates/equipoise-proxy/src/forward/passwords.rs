use std::{collections::HashMap, fmt, future::ready};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};

use super::authentication::{Credentials, Verify, VerifyFuture};

/// A digest of SHA-256.
type Digest = [u8; 32];

/// Compared with the digest of the password if the name is not in the list. No known password has this digest.
const OF_NO_PASSWORD: Digest = [0; 32];

/// A fixed list of users and passwords, as a verifier.
///
/// It keeps no password and no name, but their HMAC-SHA-256 with a random key of its own. Digests of passwords are
/// compared in constant time. A name that is not in the list costs the same computation as one that is, so the time of a
/// verification tells nothing about either. Each verification costs two computations of HMAC (about 1 µs).
///
/// ```
/// use equipoise_proxy::forward::{Credentials, Passwords};
///
/// let passwords = Passwords::new().user("ann", "correct horse");
/// assert!(passwords.contains(&Credentials::new("ann", "correct horse")));
/// assert!(!passwords.contains(&Credentials::new("ann", "battery staple")));
/// ```
#[derive(Clone)]
pub struct Passwords {
    key: [u8; 64],
    /// The digests of passwords by the digests of names.
    users: HashMap<Digest, Digest>,
}

impl Passwords {
    /// Creates an empty list.
    #[must_use]
    pub fn new() -> Self {
        Self { key: rand::random(), users: HashMap::new() }
    }

    /// Adds a user, or replaces the password of one.
    #[must_use]
    pub fn user(self, name: &str, password: &str) -> Self {
        self.user_sha256(name, Sha256::digest(password).into())
    }

    /// Adds a user, or replaces the password of one, of which only the SHA-256 is known. Such a hash in a file does not
    /// reveal the password if that was generated at random, for example with `openssl rand -hex 32`. A password that
    /// people can remember can be found from it.
    #[must_use]
    pub fn user_sha256(mut self, name: &str, password: [u8; 32]) -> Self {
        let (name, password) = (self.digest(b'n', name).finalize(), self.digest(b'p', password).finalize());
        self.users.insert(name.into_bytes().into(), password.into_bytes().into());
        self
    }

    /// Returns whether the password is that of the user.
    pub fn contains(&self, credentials: &Credentials) -> bool {
        let name: Digest = self.digest(b'n', credentials.user()).finalize().into_bytes().into();
        let password = self.users.get(&name).unwrap_or(&OF_NO_PASSWORD);
        self.digest(b'p', Sha256::digest(credentials.password())).verify_slice(password).is_ok()
    }

    /// The purpose is part of the digest, so that no name has the digest of a password.
    fn digest(&self, purpose: u8, text: impl AsRef<[u8]>) -> Hmac<Sha256> {
        let mut digest = Hmac::<Sha256>::new((&self.key).into());
        digest.update(&[purpose]);
        digest.update(text.as_ref());
        digest
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self::new()
    }
}

impl Verify for Passwords {
    fn verify(&self, credentials: Credentials) -> VerifyFuture {
        Box::pin(ready(Ok(self.contains(&credentials))))
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("users", &self.users.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_of_the_user_is_accepted() {
        let passwords = Passwords::new().user("ann", "a").user("bob", "b").user("bob", "c");
        let contains = |user: &str, password: &str| passwords.contains(&Credentials::new(user, password));
        assert!(contains("ann", "a") && contains("bob", "c"));
        for (user, password) in [("ann", "c"), ("ann", ""), ("bob", "b"), ("eve", "a"), ("Ann", "a"), ("", "")] {
            assert!(!contains(user, password), "{user} {password}");
        }
        let hashed = Passwords::new().user_sha256("ann", Sha256::digest("a").into());
        assert!(hashed.contains(&Credentials::new("ann", "a")) && !hashed.contains(&Credentials::new("ann", "b")));
        assert_eq!(format!("{passwords:?}"), "Passwords { users: 2, .. }");
    }
}
