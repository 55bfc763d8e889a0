use std::{fmt, future::poll_fn, pin::Pin, sync::Arc, task::Poll};

use base64::{Engine, prelude::BASE64_STANDARD};
use equipoise_core::__private::guarded;
use equipoise_tower::BoxError;
use http::{HeaderMap, HeaderValue, header::PROXY_AUTHORIZATION};

/// The maximum length of the name and the password together, in bytes.
const MAX_CREDENTIALS: usize = 1024;

/// The user that the client has proved to be, as an extension of requests and responses.
///
/// A [`ForwardProxy`] adds it to each response whose request had valid credentials, so that an access log can contain it.
/// A layer in front of the proxy may add it to requests, for example because of the certificate of the client: then the
/// proxy asks for no credentials.
///
/// [`ForwardProxy`]: super::ForwardProxy
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AuthenticatedUser(pub Arc<str>);

/// A name and a password, such as a client sends them (RFC 7617). `Debug` does not show the password. They cannot be
/// compared with `==`, which would not take constant time.
#[derive(Clone)]
pub struct Credentials {
    user: Arc<str>,
    password: Box<str>,
}

impl Credentials {
    /// Creates credentials.
    #[must_use]
    pub fn new(user: &str, password: &str) -> Self {
        Self { user: user.into(), password: password.into() }
    }

    /// Returns the name of the user. If a client sent it, it has no colon and no control character.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Returns the password.
    pub fn password(&self) -> &str {
        &self.password
    }

    pub(super) fn into_user(self) -> AuthenticatedUser {
        AuthenticatedUser(self.user)
    }

    /// Reads the field `Proxy-Authorization`. Returns `None` unless there is exactly one, with valid credentials.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut lines = headers.get_all(PROXY_AUTHORIZATION).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else { return None };
        let (scheme, encoded) = line.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > MAX_CREDENTIALS * 4 / 3 {
            return None;
        }
        let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim_matches(' ')).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        (!text.chars().any(char::is_control)).then(|| Self::new(user, password))
    }

    /// Returns the value of `Proxy-Authorization` for these credentials.
    pub(super) fn to_field(&self) -> HeaderValue {
        let encoded = BASE64_STANDARD.encode(format!("{}:{}", self.user, self.password));
        // Base64 has no character that a field cannot have.
        let mut field = HeaderValue::try_from(format!("Basic {encoded}")).unwrap_or(HeaderValue::from_static("Basic"));
        field.set_sensitive(true);
        field
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// The future that [`Verify::verify`] returns.
pub type VerifyFuture = Pin<Box<dyn Future<Output = Result<bool, BoxError>> + Send>>;

/// Decides whether credentials are valid. Implemented for [`Passwords`](super::Passwords), and for closures
/// `async |credentials: Credentials| Ok::<bool, BoxError>(…)` whose future is `Send`.
///
/// Compare secrets in constant time, so that the duration of a comparison tells nothing about them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot verify credentials",
    note = "use `Passwords`, or a closure `|credentials: Credentials| async move {{ Ok::<bool, BoxError>(…) }}`"
)]
pub trait Verify: Send + Sync + 'static {
    /// Returns whether the credentials are valid. An error means that this cannot be known at present: the client gets
    /// status 503. So does a panic.
    fn verify(&self, credentials: Credentials) -> VerifyFuture;
}

impl<F, Fut> Verify for F
where
    F: Fn(Credentials) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<bool, BoxError>> + Send + 'static,
{
    fn verify(&self, credentials: Credentials) -> VerifyFuture {
        Box::pin(self(credentials))
    }
}

/// Basic authentication (RFC 7617): clients send a name and a password in `Proxy-Authorization`. The password is not
/// encrypted, so clients should reach the proxy over TLS or a network that is trusted.
///
/// ```
/// use equipoise_proxy::forward::{BasicAuth, Credentials, Passwords};
///
/// let fixed = BasicAuth::new("proxy", Passwords::new().user("ann", "correct horse"))?;
/// let asked = BasicAuth::new("proxy", |credentials: Credentials| async move {
///     // Ask a server here.
///     Ok(credentials.user() == "ann")
/// })?;
/// # drop((fixed, asked));
/// # Ok::<(), equipoise_proxy::forward::InvalidRealm>(())
/// ```
#[derive(Clone)]
pub struct BasicAuth {
    verifier: Arc<dyn Verify>,
    challenge: HeaderValue,
}

/// The realm has a character that a field cannot contain.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{realm:?} is no realm: use printable characters of ASCII")]
#[non_exhaustive]
pub struct InvalidRealm {
    /// The text that was refused.
    pub realm: String,
}

impl BasicAuth {
    /// Creates authentication with a verifier. Clients without valid credentials get status 407, with `realm` in
    /// `Proxy-Authenticate`, which they show to their user.
    ///
    /// # Errors
    ///
    /// [`InvalidRealm`] if the realm contains anything but printable characters of ASCII.
    pub fn new(realm: &str, verifier: impl Verify) -> Result<Self, InvalidRealm> {
        let invalid = || InvalidRealm { realm: realm.to_owned() };
        if !realm.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(invalid());
        }
        let escaped = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let challenge = HeaderValue::try_from(format!("Basic realm=\"{escaped}\", charset=\"UTF-8\""));
        Ok(Self { verifier: Arc::new(verifier), challenge: challenge.map_err(|_| invalid())? })
    }

    /// Returns the value of `Proxy-Authenticate`.
    pub(super) fn challenge(&self) -> &HeaderValue {
        &self.challenge
    }

    /// Returns whether credentials are valid. A panic of the verifier is an error.
    pub(super) async fn verify(&self, credentials: Credentials) -> Result<bool, BoxError> {
        let panicked = || Err("the verifier has panicked".into());
        let Some(mut verified) = guarded(|| self.verifier.verify(credentials)) else { return panicked() };
        poll_fn(|cx| guarded(|| verified.as_mut().poll(cx)).unwrap_or_else(|| Poll::Ready(panicked()))).await
    }
}

impl fmt::Debug for BasicAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicAuth").field("challenge", &self.challenge).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Option<(String, String)> {
        let fields = lines.iter().map(|line| (PROXY_AUTHORIZATION, HeaderValue::from_str(line).expect("a value")));
        let credentials = Credentials::of(&fields.collect())?;
        Some((credentials.user().to_owned(), credentials.password().to_owned()))
    }

    fn basic(text: &[u8]) -> String {
        format!("Basic {}", BASE64_STANDARD.encode(text))
    }

    #[test]
    fn credentials_are_read_from_one_field() {
        let read_one = |text: &[u8]| read(&[&basic(text)]);
        assert_eq!(read_one(b"ann:a:b "), Some(("ann".into(), "a:b ".into())));
        assert_eq!(read_one("\u{e4}:\u{fc}".as_bytes()), Some(("\u{e4}".into(), "\u{fc}".into())));
        assert_eq!(read_one(b":"), Some((String::new(), String::new())));
        assert_eq!(read(&[&basic(b"a:b").replacen("Basic ", "bASIC   ", 1)]), Some(("a".into(), "b".into())));
        for text in [&b"ann"[..], b"", b"a\xff:b", b"a\n:b", b"a:\0"] {
            assert_eq!(read_one(text), None, "{text:?}");
        }
        for line in ["Basic", "Basic ", "Basic !", "Bearer YTpi", "YTpi", "Basic YTpi YTpi", "Basic YTp"] {
            assert_eq!(read(&[line]), None, "{line}");
        }
        assert_eq!(read(&[&basic(b"a:b"), &basic(b"a:b")]), None);
        assert_eq!(read(&[]), None);
        assert_eq!(read_one(&[b'a'; 2048]), None);
    }

    #[test]
    fn credentials_are_written_as_they_are_read() {
        let credentials = Credentials::new("ann", "s:\u{fc}");
        let headers = HeaderMap::from_iter([(PROXY_AUTHORIZATION, credentials.to_field())]);
        let read = Credentials::of(&headers).expect("credentials");
        assert_eq!((read.user(), read.password()), ("ann", "s:\u{fc}"));
        assert!(credentials.to_field().is_sensitive());
        assert_eq!(format!("{credentials:?}"), "Credentials { user: \"ann\", .. }");
    }

    #[test]
    fn the_realm_is_a_quoted_string() {
        let challenge = |realm| BasicAuth::new(realm, super::super::Passwords::new()).map(|auth| auth.challenge);
        assert_eq!(
            challenge(r#"the "inner" \ net"#),
            Ok(HeaderValue::from_static(r#"Basic realm="the \"inner\" \\ net", charset="UTF-8""#))
        );
        for realm in ["a\nb", "\u{e4}", "\0"] {
            assert_eq!(challenge(realm), Err(InvalidRealm { realm: realm.to_owned() }));
        }
    }
}
