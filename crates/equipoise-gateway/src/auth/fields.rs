use equipoise_proxy::__private::remove_where;
use http::{HeaderMap, HeaderName, HeaderValue, header::TRAILER};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::{Identity, framing::is_framing};

/// What a value of a field cannot have, and `%`, so that values can be decoded. Non-ASCII bytes are always encoded.
const VALUE: &AsciiSet = &CONTROLS.add(b'%');
/// A space at the start or at the end of a value would be lost.
const EDGE: &AsciiSet = &VALUE.add(b' ');

/// The fields that tell the backend about the sender of a request, such as `X-Auth-User`.
///
/// The layer removes them from every request of a client, in each spelling that a server could take for the field: any
/// case, several fields, and another character in the place of `-`, such as `X_Auth_User`, which is the same to CGI and
/// WSGI programs. Then it sets them from the [`Identity`]. An anonymous request has none of them.
///
/// A field is left out if the identity has no value for it, or an empty one. In values, control characters, `%` and the
/// bytes of non-ASCII characters are percent-encoded, and spaces at the start and at the end too: `jörg` is written as
/// `j%C3%B6rg`.
///
/// ```
/// use equipoise_gateway::auth::IdentityFields;
/// use http::HeaderName;
///
/// let fields = IdentityFields::none()
///     .name(HeaderName::from_static("x-user"))?
///     .attribute("email", HeaderName::from_static("x-email"))?;
/// # drop(fields);
/// # Ok::<(), equipoise_gateway::auth::InvalidIdentityField>(())
/// ```
#[derive(Clone, Debug)]
pub struct IdentityFields {
    written: Vec<(HeaderName, Source)>,
    /// Those of `written`, and others.
    removed: Vec<HeaderName>,
}

#[derive(Clone, Debug)]
enum Source {
    Name,
    Mechanism,
    OtherSchemes,
    Attribute(String),
}

/// A field that cannot tell about the sender of a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidIdentityField {
    /// The field has a meaning of its own for connections, routing or proxies.
    #[error("`{field}` has another meaning for proxies: use a name of your own, such as `X-Auth-User`")]
    Reserved {
        /// The name that was refused.
        field: HeaderName,
    },
    /// Two values are for the same field.
    #[error("`{field}` gets two values: use another name for one of them")]
    Duplicate {
        /// The name that was refused.
        field: HeaderName,
    },
}

impl Default for IdentityFields {
    /// `X-Auth-User` with the name of the identity.
    fn default() -> Self {
        let user = HeaderName::from_static("x-auth-user");
        Self { written: vec![(user.clone(), Source::Name)], removed: vec![user] }
    }
}

impl IdentityFields {
    /// Creates a list without fields: the backend learns nothing of the identity.
    #[must_use]
    pub const fn none() -> Self {
        Self { written: Vec::new(), removed: Vec::new() }
    }

    /// Adds a field with the name of the identity. [`IdentityFields::default`] has `X-Auth-User`.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentityField`] if the field has another meaning or another value.
    pub fn name(self, field: HeaderName) -> Result<Self, InvalidIdentityField> {
        self.write(field, Source::Name)
    }

    /// Adds a field with the [label](crate::Mechanism::as_str) of the mechanism, such as `basic`.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentityField`] if the field has another meaning or another value.
    pub fn mechanism(self, field: HeaderName) -> Result<Self, InvalidIdentityField> {
        self.write(field, Source::Mechanism)
    }

    /// Adds a field with the [other schemes](Identity::other_schemes) that had to accept the request, such as
    /// `basic:ann`.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentityField`] if the field has another meaning or another value.
    pub fn other_schemes(self, field: HeaderName) -> Result<Self, InvalidIdentityField> {
        self.write(field, Source::OtherSchemes)
    }

    /// Adds a field with an attribute of the identity, such as a claim of a token.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentityField`] if the field has another meaning or another value.
    pub fn attribute(self, name: impl Into<String>, field: HeaderName) -> Result<Self, InvalidIdentityField> {
        self.write(field, Source::Attribute(name.into()))
    }

    /// Removes one more field from the requests of clients, without setting it. Use it for fields that backends
    /// believe, and that only other routes set.
    #[must_use]
    pub fn remove(mut self, field: HeaderName) -> Self {
        self.removed.push(field);
        self
    }

    fn write(mut self, field: HeaderName, source: Source) -> Result<Self, InvalidIdentityField> {
        if is_reserved(&field) {
            return Err(InvalidIdentityField::Reserved { field });
        }
        if self.written.iter().any(|(written, _)| is_same(written, &field)) {
            return Err(InvalidIdentityField::Duplicate { field });
        }
        self.removed.push(field.clone());
        self.written.push((field, source));
        Ok(self)
    }

    /// Removes what the client has sent. O(number of fields).
    pub(super) fn remove_from(&self, headers: &mut HeaderMap) {
        remove_all(headers, &self.removed);
    }

    /// Sets the fields, after [`remove_from`](Self::remove_from).
    pub(super) fn set(&self, headers: &mut HeaderMap, identity: &Identity) {
        for (field, source) in &self.written {
            let value = match source {
                Source::Name => Some(identity.name()),
                Source::Mechanism => Some(identity.mechanism().as_str()),
                Source::OtherSchemes => Some(identity.other_schemes()),
                Source::Attribute(name) => identity.get(name),
            };
            if let Some(value) = value.filter(|value| !value.is_empty()).and_then(encoded) {
                headers.insert(field, value);
            }
        }
    }
}

/// Returns whether a field is one of the connection, of routing, or of what proxies tell about clients.
pub(super) fn is_reserved(field: &HeaderName) -> bool {
    let name = field.as_str();
    is_framing(field)
        || name.starts_with("x-forwarded-")
        || matches!(
            name,
            "authorization"
                | "client-cert"
                | "client-cert-chain"
                | "content-encoding"
                | "content-type"
                | "cookie"
                | "forwarded"
                | "proxy"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "via"
                | "x-real-ip"
        )
}

/// Returns whether a server could take both names for one field: programs behind CGI and WSGI see each character that
/// is no letter and no digit as `_`.
fn is_same(one: &HeaderName, other: &HeaderName) -> bool {
    is_same_text(one.as_str().as_bytes(), other.as_str().as_bytes())
}

fn is_same_text(one: &[u8], other: &[u8]) -> bool {
    let plain = |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' };
    one.len() == other.len() && one.iter().zip(other).all(|(one, other)| plain(*one) == plain(*other))
}

/// Removes fields in all spellings, and their names from `Trailer`: a field of HTTP/1 trailers that is not announced
/// there is not sent to backends.
pub(super) fn remove_all(headers: &mut HeaderMap, names: &[HeaderName]) {
    if names.is_empty() {
        return;
    }
    let is_removed = |name: &HeaderName| names.iter().any(|removed| is_same(name, removed));
    remove_where(headers, is_removed);
    if headers.contains_key(TRAILER) {
        let elements = headers.get_all(TRAILER).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let is_kept = |element: &&[u8]| {
            !element.is_empty() && !names.iter().any(|removed| is_same_text(element, removed.as_str().as_bytes()))
        };
        let kept: Vec<&[u8]> = elements.map(<[u8]>::trim_ascii).filter(is_kept).collect();
        match HeaderValue::from_bytes(&kept.join(&b", "[..])) {
            Ok(value) if !value.is_empty() => drop(headers.insert(TRAILER, value)),
            _ => drop(headers.remove(TRAILER)),
        }
    }
}

/// Removes the fields that a server could take for this one, and leaves those with exactly this name.
pub(super) fn remove_spellings(headers: &mut HeaderMap, name: &HeaderName) {
    remove_where(headers, |found| found != name && is_same(found, name));
}

/// Returns a text as the value of a field.
fn encoded(text: &str) -> Option<HeaderValue> {
    let inner = text.trim_matches(' ');
    // The text is not empty. One of spaces only is encoded as a whole.
    let start = text.len() - text.trim_start_matches(' ').len();
    let (before, after) = (text.get(..start)?, text.get(start + inner.len()..)?);
    let value = format!(
        "{}{}{}",
        utf8_percent_encode(before, EDGE),
        utf8_percent_encode(inner, VALUE),
        utf8_percent_encode(after, EDGE)
    );
    HeaderValue::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;
    use crate::Mechanism;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::from_bytes(name.as_bytes()).expect("a name"), HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn clients_cannot_set_the_fields_in_any_spelling() {
        let mut sent = headers(&[
            ("X-AUTH-USER", "eve"),
            ("x-auth-user", "eve"),
            ("x_auth_user", "eve"),
            ("X-Auth_User", "eve"),
            ("x.auth~user", "eve"),
            ("x-auth-users", "kept"),
            ("xauthuser", "kept"),
        ]);
        IdentityFields::default().remove_from(&mut sent);
        assert_eq!(sent, headers(&[("x-auth-users", "kept"), ("xauthuser", "kept")]));
    }

    #[test]
    fn trailers_with_the_fields_are_not_announced() {
        let mut sent = headers(&[("trailer", "x-sum, X_Auth-User"), ("trailer", "x-auth-user,,x-other")]);
        IdentityFields::default().remove_from(&mut sent);
        assert_eq!(sent, headers(&[("trailer", "x-sum, x-other")]));
        let mut sent = headers(&[("trailer", "X-Auth-User")]);
        IdentityFields::default().remove_from(&mut sent);
        assert!(sent.is_empty());
    }

    #[test]
    fn values_come_from_the_identity() {
        let field = HeaderName::from_static;
        let fields = IdentityFields::none()
            .name(field("x-user"))
            .and_then(|fields| fields.mechanism(field("x-how")))
            .and_then(|fields| fields.other_schemes(field("x-others")))
            .and_then(|fields| fields.attribute("email", field("x-email")))
            .and_then(|fields| fields.attribute("empty", field("x-empty")))
            .and_then(|fields| fields.attribute("none", field("x-none")))
            .expect("fields");
        let identity = Identity::new("ann", Mechanism::Basic).attribute("email", "ann@a.test").attribute("empty", "");
        let mut sent = headers(&[]);
        fields.set(&mut sent, &identity);
        assert_eq!(sent, headers(&[("x-user", "ann"), ("x-how", "basic"), ("x-email", "ann@a.test")]));
        fields.set(&mut sent, &identity.and_other_schemes("api_key:b"));
        assert_eq!(sent["x-others"], "api_key:b");
    }

    #[test]
    fn fields_with_another_meaning_are_refused() {
        for name in ["host", "content-length", "x-forwarded-for", "connection", "x-real-ip", "authorization"] {
            let field = HeaderName::from_static(name);
            let refused = IdentityFields::none().name(field.clone()).map(drop);
            assert_eq!(refused, Err(InvalidIdentityField::Reserved { field }));
        }
        let field = HeaderName::from_static("x_auth_user");
        let refused = IdentityFields::default().mechanism(field.clone()).map(drop);
        assert_eq!(refused, Err(InvalidIdentityField::Duplicate { field }));
    }

    #[test]
    fn values_are_text_of_ascii() {
        let value = |text: &str| encoded(text).expect("a value");
        assert_eq!(value("jörg"), "j%C3%B6rg");
        assert_eq!(value(" admin "), "%20admin%20");
        assert_eq!(value("  "), "%20%20");
        assert_eq!(value("a b, c\r\nx: y\0"), "a b, c%0D%0Ax: y%00");
        assert_eq!(value("100%"), "100%25");
    }

    proptest! {
        #[test]
        fn every_value_can_be_decoded(text in "\\PC{1,20}|[\\x00-\\x7f]{1,20}") {
            let value = encoded(&text).expect("a value");
            let value = value.to_str().expect("ASCII");
            prop_assert_eq!(value.trim(), value);
            prop_assert_eq!(percent_decode_str(value).decode_utf8().expect("UTF-8"), text);
        }
    }
}
