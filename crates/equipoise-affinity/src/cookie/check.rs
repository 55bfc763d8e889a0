//! Checks the settings of a persistence cookie: RFC 6265 must allow the cookie, and browsers must not ignore it.

use std::time::Duration;

use super::value::CookieMode;

/// Returns an error for a cookie that browsers ignore (RFC 6265bis, 5.7). `tail` is the text after the cookie's value
/// in a `Set-Cookie` line.
pub(super) fn check_attributes(name: &str, tail: &str) -> Result<(), InvalidCookie> {
    let attributes = Attributes::of(tail);
    let needs =
        |what: &str, attribute| Err(InvalidCookie::Needs { name: name.to_owned(), what: what.to_owned(), attribute });
    // Browsers ignore the case of prefixes. The rules of `__Host-` and `__Http-` both apply to `__Host-Http-`.
    let prefixed = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let host = prefixed("__Host-");
    let http = prefixed("__Http-") || prefixed("__Host-Http-");
    if !attributes.secure {
        if attributes.cross_site {
            return needs("SameSite=None", "Secure");
        }
        if attributes.partitioned {
            return needs("Partitioned", "Secure");
        }
        if host || http || prefixed("__Secure-") {
            return needs("its prefix", "Secure");
        }
    }
    if http && !attributes.http_only {
        return needs("its prefix", "HttpOnly");
    }
    match attributes.wider_than_host {
        Some(attribute) if host => {
            Err(InvalidCookie::HostOnly { name: name.to_owned(), attribute: attribute.to_owned() })
        }
        _ => Ok(()),
    }
}

/// The attributes that decide whether browsers store a cookie. If an attribute occurs twice, the last one is used.
#[derive(Default)]
struct Attributes<'a> {
    secure: bool,
    http_only: bool,
    partitioned: bool,
    /// Whether the cookie has `SameSite=None`.
    cross_site: bool,
    /// A `Domain`, or a `Path` that is not `/`.
    wider_than_host: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    fn of(tail: &'a str) -> Self {
        let mut attributes = Self::default();
        let (mut domain, mut path) = (None, None);
        for attribute in tail.split(';').map(str::trim) {
            let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("secure") {
                attributes.secure = true;
            } else if name.eq_ignore_ascii_case("httponly") {
                attributes.http_only = true;
            } else if name.eq_ignore_ascii_case("partitioned") {
                attributes.partitioned = true;
            } else if name.eq_ignore_ascii_case("samesite") {
                attributes.cross_site = value.eq_ignore_ascii_case("none");
            } else if name.eq_ignore_ascii_case("domain") {
                domain = Some(attribute).filter(|_| !value.is_empty());
            } else if name.eq_ignore_ascii_case("path") {
                path = Some(attribute).filter(|_| value != "/");
            }
        }
        attributes.wider_than_host = domain.or(path);
        attributes
    }
}

/// Maximum length of a cookie's name, in bytes. The other bytes of the 4096 that browsers store are left for the value.
const MAX_NAME: usize = 256;

pub(super) fn check_name(name: &str) -> Result<(), InvalidCookie> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    // In a request, a name that begins with `$` is an attribute of the cookie before it (RFC 2965). A cookie with such a
    // name would not be found in requests.
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('$') || !name.bytes().all(fits) {
        return Err(InvalidCookie::Name { name: name.to_owned() });
    }
    Ok(())
}

/// Why the settings of a [`PersistenceCookie`](super::PersistenceCookie) are invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCookie {
    /// The cookie's name is not an RFC 6265 token, has more than 256 characters, or begins with `$`.
    #[error(
        "{name:?} cannot be a cookie's name: use 1 to {MAX_NAME} letters, digits and !#$%&'*+-.^_`|~, and no '$' at \
         the beginning"
    )]
    Name {
        /// The cookie's name that was refused.
        name: String,
    },
    /// A setting that is only allowed in insert mode was used in rewrite or prefix mode. In these modes, the endpoint
    /// sets the cookie and its attributes. Remove the setting, or use insert mode.
    #[error("`{setting}` cannot be set in {mode} mode, in which endpoints set the cookie: use insert mode")]
    InsertOnly {
        /// The name of the setting, such as `httponly`.
        setting: &'static str,
        /// The mode of the cookie: rewrite or prefix.
        mode: CookieMode,
    },
    /// The cookie's domain is empty, or has a character other than ASCII letters, digits, `.`, `-` and `_`.
    #[error("{domain:?} cannot be a cookie's domain: use letters, digits, '.', '-' and '_', as in `.example.com`")]
    Domain {
        /// The domain that was refused.
        domain: String,
    },
    /// A cookie's attribute is empty, has a `;`, or has a character that is not printable ASCII.
    #[error("{attribute:?} cannot be a cookie's attribute: use printable ASCII without ';', as in `SameSite=Lax`")]
    Attribute {
        /// The attribute that was refused.
        attribute: String,
    },
    /// Browsers would ignore the cookie, because an attribute is missing (RFC 6265bis). For example, the attribute
    /// `SameSite=None` and the name prefix `__Secure-` need the attribute `Secure`.
    #[error("browsers ignore the cookie {name:?}: {what} needs `{attribute}`, so set it too")]
    Needs {
        /// The cookie's name.
        name: String,
        /// What needs the missing attribute: another attribute, such as `SameSite=None`, or the prefix of the cookie's
        /// name.
        what: String,
        /// The attribute that is missing: `Secure` or `HttpOnly`.
        attribute: &'static str,
    },
    /// Browsers would ignore the cookie, because its name begins with `__Host-`. Such a cookie must have no domain, and
    /// no path except `/` (RFC 6265bis).
    #[error(
        "browsers ignore the cookie {name:?} with {attribute:?}: its prefix allows no domain, and no path except `/`; \
         remove the attribute, or use another name"
    )]
    HostOnly {
        /// The cookie's name.
        name: String,
        /// The domain or path attribute that is not allowed with this name.
        attribute: String,
    },
    /// [`idle_timeout`](super::PersistenceCookieBuilder::idle_timeout) or
    /// [`lifetime`](super::PersistenceCookieBuilder::lifetime) is less than 1 s or more than 2³¹ − 1 s.
    #[error("`{setting}` cannot be {time:?}: use 1 s to 2147483647 s, or leave it out for no limit")]
    Time {
        /// The name of the setting: `idle_timeout` or `lifetime`.
        setting: &'static str,
        /// The time that was refused.
        time: Duration,
    },
    /// [`max_cookies`](super::PersistenceCookieBuilder::max_cookies) or
    /// [`max_bytes`](super::PersistenceCookieBuilder::max_bytes) is 0, so no cookie would be read.
    #[error("`max_cookies` and `max_bytes` cannot be 0: use at least 1")]
    NoneAllowed,
}
