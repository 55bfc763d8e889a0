use std::{fmt, time::Duration};

use super::PersistenceCookie;

/// What is done with the cookie: the first word of HAProxy's `cookie NAME …`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CookieMode {
    /// The balancer sets a cookie of its own.
    Insert,
    /// The endpoint sets the cookie, and the balancer puts its value in place of the endpoint's.
    Rewrite,
    /// The endpoint sets a cookie that it needs itself, and the balancer puts its value and `~` in front of the
    /// endpoint's, and takes them away again on the way back.
    Prefix,
}

impl fmt::Display for CookieMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Insert => "insert",
            Self::Rewrite => "rewrite",
            Self::Prefix => "prefix",
        })
    }
}

/// How a [`PersistenceCookie`] is made. Everything is off by default; the path is always `/`.
///
/// All but [`nocache`](Self::nocache) and the limits shape a cookie that the balancer sets, and go with
/// [insert](PersistenceCookie::insert) only.
///
/// ```
/// use equipoise_affinity::cookie::PersistenceCookie;
/// use std::time::Duration;
///
/// let cookie = PersistenceCookie::insert("SRV")
///     .indirect()
///     .nocache()
///     .httponly()
///     .attribute("SameSite=Lax")
///     .max_idle(Duration::from_secs(30 * 60))
///     .build()?;
///
/// let error = PersistenceCookie::prefix("JSESSIONID").httponly().build().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`httponly` goes with insert only; in prefix mode it is the endpoint that sets the cookie",
/// );
/// # Ok::<(), equipoise_affinity::cookie::InvalidCookie>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct PersistenceCookieBuilder {
    cookie: PersistenceCookie,
    /// The first setting that only insert mode has, for the error in other modes.
    insert_only: Option<&'static str>,
    domains: Vec<String>,
    attributes: Vec<String>,
    secure: bool,
    http_only: bool,
    max_idle: Option<Duration>,
    max_life: Option<Duration>,
}

impl PersistenceCookieBuilder {
    pub(super) fn new(name: String, mode: CookieMode) -> Self {
        Self {
            cookie: PersistenceCookie {
                name,
                mode,
                indirect: false,
                nocache: false,
                preserve: false,
                postonly: false,
                max_idle: None,
                max_life: None,
                tail: String::from("; path=/"),
                max_cookies: 16,
                max_bytes: 64 * 1024,
            },
            insert_only: None,
            domains: Vec::new(),
            attributes: Vec::new(),
            secure: false,
            http_only: false,
            max_idle: None,
            max_life: None,
        }
    }

    fn insert_only(mut self, setting: &'static str) -> Self {
        self.insert_only.get_or_insert(setting);
        self
    }

    /// Hides the cookie from endpoints: it is removed from requests. Insert mode only.
    pub fn indirect(mut self) -> Self {
        self.cookie.indirect = true;
        self.insert_only("indirect")
    }

    /// Adds `cache-control: private` to a response that sets the cookie and that a shared cache could store, so that no
    /// other client gets the cookie. Has no effect if nothing is inserted, as in HAProxy.
    pub fn nocache(mut self) -> Self {
        self.cookie.nocache = true;
        self
    }

    /// Keeps a cookie of this name that the endpoint sets, and then adds none. With an empty value or a date in the
    /// past, the endpoint can end the session. By default, the endpoint's cookie is removed. Insert mode only.
    pub fn preserve(mut self) -> Self {
        self.cookie.preserve = true;
        self.insert_only("preserve")
    }

    /// Sets the cookie only in responses to `POST`, so that clients that never log in get none. Insert mode only.
    pub fn postonly(mut self) -> Self {
        self.cookie.postonly = true;
        self.insert_only("postonly")
    }

    /// Adds `HttpOnly`: scripts cannot read the cookie. Insert mode only.
    pub fn httponly(mut self) -> Self {
        self.http_only = true;
        self.insert_only("httponly")
    }

    /// Adds `Secure`: the cookie is sent over TLS only. Insert mode only.
    pub fn secure(mut self) -> Self {
        self.secure = true;
        self.insert_only("secure")
    }

    /// Adds `domain=…`. Can be called several times; browsers use the last one. Insert mode only.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domains.push(domain.into());
        self.insert_only("domain")
    }

    /// Adds an attribute as it is, such as `SameSite=Lax`. Can be called several times. Insert mode only.
    pub fn attribute(mut self, attribute: impl Into<String>) -> Self {
        self.attributes.push(attribute.into());
        self.insert_only("attribute")
    }

    /// Ignores a cookie that was last seen longer ago than this. Default: no limit; 1 to 2³¹ − 1 whole seconds. The
    /// cookie's value contains the date, in steps of 4 seconds, and each response updates it. Insert mode only.
    pub fn max_idle(mut self, idle: Duration) -> Self {
        self.max_idle = Some(idle);
        self.insert_only("max_idle")
    }

    /// Ignores a cookie that was first set longer ago than this. Default: no limit; 1 to 2³¹ − 1 whole seconds. Insert
    /// mode only.
    pub fn max_life(mut self, life: Duration) -> Self {
        self.max_life = Some(life);
        self.insert_only("max_life")
    }

    /// Sets how many cookies of this name a request may have. Default: 16; at least 1. A request with more has no
    /// binding.
    pub fn max_cookies(mut self, cookies: usize) -> Self {
        self.cookie.max_cookies = cookies;
        self
    }

    /// Sets how long the `Cookie` lines of a request may be together, in bytes. Default: 64 KiB; at least 1. A request
    /// with more has no binding.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.cookie.max_bytes = bytes;
        self
    }

    /// Creates the cookie. A cookie that browsers would ignore is an error: `SameSite=None`, `Partitioned` and the name
    /// prefix `__Secure-` need [`secure`](Self::secure). `__Host-` needs it too, and allows no domain and no path
    /// except `/`. `__Http-` and `__Host-Http-` also need [`httponly`](Self::httponly).
    ///
    /// # Errors
    ///
    /// [`InvalidCookie`] names the setting that is invalid or does not fit the mode, and says what would be valid.
    pub fn build(self) -> Result<PersistenceCookie, InvalidCookie> {
        let Self { mut cookie, domains, attributes, .. } = self;
        check_name(&cookie.name)?;
        if let (Some(setting), CookieMode::Rewrite | CookieMode::Prefix) = (self.insert_only, cookie.mode) {
            return Err(InvalidCookie::InsertOnly { setting, mode: cookie.mode });
        }
        if cookie.max_cookies == 0 || cookie.max_bytes == 0 {
            return Err(InvalidCookie::NoneAllowed);
        }
        cookie.max_idle = self.max_idle.map(|idle| in_seconds("max_idle", idle)).transpose()?;
        cookie.max_life = self.max_life.map(|life| in_seconds("max_life", life)).transpose()?;
        for domain in domains {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            if domain.is_empty() || !domain.bytes().all(fits) {
                return Err(InvalidCookie::Domain { domain });
            }
            cookie.tail.extend(["; domain=", &domain]);
        }
        if self.http_only {
            cookie.tail.push_str("; HttpOnly");
        }
        if self.secure {
            cookie.tail.push_str("; Secure");
        }
        for attribute in attributes {
            let fits = |byte: u8| matches!(byte, b' '..=b'~') && byte != b';';
            if attribute.trim().is_empty() || !attribute.bytes().all(fits) {
                return Err(InvalidCookie::Attribute { attribute });
            }
            cookie.tail.extend(["; ", &attribute]);
        }
        cookie.check_kept()?;
        Ok(cookie)
    }
}

impl PersistenceCookie {
    /// Refuses a cookie that browsers ignore (RFC 6265bis, 5.7). Only what the balancer sets itself can be checked: in the
    /// other modes the endpoint writes the attributes.
    fn check_kept(&self) -> Result<(), InvalidCookie> {
        if self.mode != CookieMode::Insert {
            return Ok(());
        }
        let attributes = Attributes::of(&self.tail);
        let needs = |what: &str, attribute| {
            Err(InvalidCookie::Needs { name: self.name.clone(), what: what.to_owned(), attribute })
        };
        // Browsers compare prefixes without case. `__Host-Http-` is both of its parts.
        let prefixed =
            |prefix: &str| self.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
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
                Err(InvalidCookie::HostOnly { name: self.name.clone(), attribute: attribute.to_owned() })
            }
            _ => Ok(()),
        }
    }
}

/// The attributes of a cookie that decide whether browsers keep it. Of one that is there twice the last counts.
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
    /// Of what follows a cookie's value in a `Set-Cookie` line.
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

fn check_name(name: &str) -> Result<(), InvalidCookie> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    // What begins with `$` is an attribute of the cookie before it (RFC 2965), and would never be found again.
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with('$') || !name.bytes().all(fits) {
        return Err(InvalidCookie::Name { name: name.to_owned() });
    }
    Ok(())
}

fn in_seconds(setting: &'static str, time: Duration) -> Result<u64, InvalidCookie> {
    match time.as_secs() {
        seconds @ 1..=0x7fff_ffff => Ok(seconds),
        _ => Err(InvalidCookie::Time { setting, time }),
    }
}

/// Why settings of a [`PersistenceCookie`] are invalid.
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
