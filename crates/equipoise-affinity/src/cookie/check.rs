//! Which cookies can be set: those that RFC 6265 allows, and that browsers do not ignore.

use std::time::Duration;

use super::value::CookieMode;

/// Refuses a cookie that browsers ignore (RFC 6265bis, 5.7). `tail` is the text after its value in a `Set-Cookie` line.
pub(super) fn check_attributes(name: &str, tail: &str) -> Result<(), InvalidCookie> {
    let attributes = Attributes::of(tail);
    let needs =
        |what: &str, attribute| Err(InvalidCookie::Needs { name: name.to_owned(), what: what.to_owned(), attribute });
    // Browsers compare prefixes without case. `__Host-Http-` is both of its parts.
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

/// The attributes that decide whether browsers keep a cookie. If one occurs twice, the last one counts.
#[derive(Default)]
struct Attributes<'a> {
    secure: bool,
    http_only: bool,
    partitioned: bool,
    /// `SameSite=None`.
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

/// Maximum length of a name, in bytes. It leaves room for a value in the 4096 bytes that browsers store.
const MAX_NAME: usize = 256;

pub(super) fn check_name(name: &str) -> Result<(), InvalidCookie> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    // What begins with `$` is an attribute of the cookie before it (RFC 2965), and would never be found again.
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('$') || !name.bytes().all(fits) {
        return Err(InvalidCookie::Name { name: name.to_owned() });
    }
    Ok(())
}

/// Why settings of a [`PersistenceCookie`](super::PersistenceCookie) are invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCookie {
    /// The name is not an RFC 6265 token, is too long, or begins with `$`.
    #[error(
        "{name:?} cannot be a cookie's name: 1 to {MAX_NAME} letters, digits or !#$%&'*+-.^_`|~, and no '$' in front"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The setting applies only to a cookie that the balancer sets, which it does not do in this mode.
    #[error("`{setting}` goes with insert only; in {mode} mode it is the endpoint that sets the cookie")]
    InsertOnly {
        /// The setting.
        setting: &'static str,
        /// The mode.
        mode: CookieMode,
    },
    /// The domain has a character that domains cannot have.
    #[error("{domain:?} cannot be a cookie's domain: letters, digits, '.', '-' and '_' can, as in `.example.com`")]
    Domain {
        /// The domain.
        domain: String,
    },
    /// The attribute is empty, or has a character that would end it.
    #[error("{attribute:?} cannot be an attribute: printable ASCII without ';' can, as in `SameSite=Lax`")]
    Attribute {
        /// The attribute.
        attribute: String,
    },
    /// Browsers ignore the cookie, because an attribute is missing (RFC 6265bis).
    #[error("browsers do not keep the cookie {name:?}: {what} needs `{attribute}`, so set that too")]
    Needs {
        /// The cookie's name.
        name: String,
        /// What needs the attribute: another attribute, or the name's prefix.
        what: String,
        /// The attribute that is missing: `Secure` or `HttpOnly`.
        attribute: &'static str,
    },
    /// Browsers ignore the cookie: a name that begins with `__Host-` allows no domain and no path except `/` (RFC 6265bis).
    #[error(
        "browsers do not keep the cookie {name:?} with {attribute:?}: its prefix allows no domain and no path but `/`; \
         leave the attribute out, or take another name"
    )]
    HostOnly {
        /// The cookie's name.
        name: String,
        /// The attribute that does not go with the name.
        attribute: String,
    },
    /// The time is less than 1 s or more than 2³¹ − 1 s.
    #[error("`{setting}` cannot be {time:?}: 1 s to 2147483647 s can; for no limit leave it out")]
    Time {
        /// The setting.
        setting: &'static str,
        /// The time.
        time: Duration,
    },
    /// A limit is 0, so no cookie would be read.
    #[error("a limit of 0 admits no cookie at all: at least 1 is needed")]
    NoneAllowed,
}
