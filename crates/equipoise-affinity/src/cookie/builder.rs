//! The constructors of a persistence cookie (a cookie that names the endpoint of its client), and its builder.

use std::time::Duration;

use super::{
    check::{InvalidCookie, check_attributes, check_name},
    value::{CookieMode, PersistenceCookie},
};

impl PersistenceCookie {
    /// Creates the builder of a cookie that the balancer sets itself. `name` is the cookie's name. This is HAProxy's
    /// mode `insert`.
    ///
    /// This is the usual mode. Combine it with [`indirect`](PersistenceCookieBuilder::indirect) and
    /// [`nocache`](PersistenceCookieBuilder::nocache).
    pub fn insert(name: impl Into<String>) -> PersistenceCookieBuilder {
        PersistenceCookieBuilder::new(name.into(), CookieMode::Insert)
    }

    /// Creates the builder of a cookie that endpoints set. The balancer replaces the cookie's value with a value that
    /// names the endpoint. `name` is the cookie's name. This is HAProxy's mode `rewrite`.
    ///
    /// The balancer never adds the cookie to a response, so the endpoints decide which clients get it. In requests, the
    /// endpoints see the balancer's value.
    ///
    /// ```
    /// use equipoise_affinity::cookie::{PersistenceCookie, CookieState, ResponseContext};
    /// use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
    ///
    /// let cookie = PersistenceCookie::rewrite("SRV").build()?;
    /// let value = cookie.value("A")?;
    /// let now = std::time::SystemTime::now();
    /// let context = ResponseContext::new(CookieState::default(), Some(&value), &Method::GET, now);
    /// let mut response = HeaderMap::new();
    /// response.insert(header::SET_COOKIE, HeaderValue::from_static("SRV=any; Path=/app"));
    /// cookie.on_response(context, StatusCode::OK, &mut response);
    /// assert_eq!(response[header::SET_COOKIE], "SRV=A; Path=/app");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rewrite(name: impl Into<String>) -> PersistenceCookieBuilder {
        PersistenceCookieBuilder::new(name.into(), CookieMode::Rewrite)
    }

    /// Creates the builder of a cookie that endpoints set and need themselves, such as `JSESSIONID`. `name` is the
    /// cookie's name. This is HAProxy's mode `prefix`.
    ///
    /// In responses, the balancer writes its own value and `~` in front of the endpoint's value. In requests, it
    /// removes both again. Use this mode for clients that store only one cookie.
    ///
    /// ```
    /// use equipoise_affinity::cookie::{CookieMatch, PersistenceCookie};
    /// use http::{HeaderMap, HeaderValue, header};
    ///
    /// let cookie = PersistenceCookie::prefix("JSESSIONID").build()?;
    /// let mut request = HeaderMap::new();
    /// request.insert(header::COOKIE, HeaderValue::from_static("JSESSIONID=A~abc123"));
    /// let (endpoint, _) = cookie.on_request(&mut request, std::time::SystemTime::now(), |value| match value {
    ///     b"A" => CookieMatch::Endpoint("A"),
    ///     _ => CookieMatch::Unknown,
    /// });
    /// assert_eq!(endpoint, Some("A"));
    /// assert_eq!(request[header::COOKIE], "JSESSIONID=abc123");
    /// # Ok::<(), equipoise_affinity::cookie::InvalidCookie>(())
    /// ```
    pub fn prefix(name: impl Into<String>) -> PersistenceCookieBuilder {
        PersistenceCookieBuilder::new(name.into(), CookieMode::Prefix)
    }
}

/// Builds a [`PersistenceCookie`]. By default, all options are off. The cookie's path is always `/`.
///
/// Most options are for cookies that the balancer sets itself, so they are allowed in [insert
/// mode](PersistenceCookie::insert) only. [`nocache`](Self::nocache), [`max_cookies`](Self::max_cookies) and
/// [`max_bytes`](Self::max_bytes) are allowed in every mode.
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
///     .idle_timeout(Duration::from_secs(30 * 60))
///     .build()?;
///
/// let error = PersistenceCookie::prefix("JSESSIONID").httponly().build().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "`httponly` cannot be set in prefix mode, in which endpoints set the cookie: use insert mode",
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
    idle_timeout: Option<Duration>,
    lifetime: Option<Duration>,
}

impl PersistenceCookieBuilder {
    fn new(name: String, mode: CookieMode) -> Self {
        Self {
            cookie: PersistenceCookie {
                name,
                mode,
                indirect: false,
                nocache: false,
                preserve: false,
                postonly: false,
                idle_timeout: None,
                lifetime: None,
                tail: String::from("; path=/"),
                max_cookies: 16,
                max_bytes: 64 * 1024,
            },
            insert_only: None,
            domains: Vec::new(),
            attributes: Vec::new(),
            secure: false,
            http_only: false,
            idle_timeout: None,
            lifetime: None,
        }
    }

    fn insert_only(mut self, setting: &'static str) -> Self {
        self.insert_only.get_or_insert(setting);
        self
    }

    /// Removes the cookie from requests, so that endpoints do not see it. Default: off. Only for [insert
    /// mode](PersistenceCookie::insert); otherwise [`build`](Self::build) returns an error.
    pub fn indirect(mut self) -> Self {
        self.cookie.indirect = true;
        self.insert_only("indirect")
    }

    /// Adds the header `cache-control: private` to each response in which the balancer sets the cookie, if a shared
    /// cache could store the response. Without this header, the cache could give the cookie to other clients. Default:
    /// off.
    ///
    /// In rewrite and prefix mode, the balancer adds no cookie, so this setting has no effect.
    pub fn nocache(mut self) -> Self {
        self.cookie.nocache = true;
        self
    }

    /// Keeps a persistence cookie that the endpoint sets in a response. The balancer then does not add its own cookie
    /// to this response. Default: off, so the endpoint's cookie is removed and the balancer's cookie is added. Only for
    /// [insert mode](PersistenceCookie::insert); otherwise [`build`](Self::build) returns an error.
    ///
    /// With this setting, an endpoint can end the session: it sets the cookie with an empty value or with an `Expires`
    /// date in the past.
    pub fn preserve(mut self) -> Self {
        self.cookie.preserve = true;
        self.insert_only("preserve")
    }

    /// Adds the cookie only to responses to `POST` requests. Clients that never send a `POST` request, for example
    /// because they do not log in, then get no cookie. Default: off. Only for [insert mode](PersistenceCookie::insert);
    /// otherwise [`build`](Self::build) returns an error.
    pub fn postonly(mut self) -> Self {
        self.cookie.postonly = true;
        self.insert_only("postonly")
    }

    /// Adds the attribute `HttpOnly` to the cookie, so that scripts in the browser cannot read it. Default: off. Only
    /// for [insert mode](PersistenceCookie::insert); otherwise [`build`](Self::build) returns an error.
    pub fn httponly(mut self) -> Self {
        self.http_only = true;
        self.insert_only("httponly")
    }

    /// Adds the attribute `Secure` to the cookie, so that browsers send it over TLS only. Default: off. Only for
    /// [insert mode](PersistenceCookie::insert); otherwise [`build`](Self::build) returns an error.
    pub fn secure(mut self) -> Self {
        self.secure = true;
        self.insert_only("secure")
    }

    /// Adds the attribute `domain` to the cookie. `domain` is the value of the attribute, such as `.example.com`.
    /// Default: no domain. Only for [insert mode](PersistenceCookie::insert); otherwise [`build`](Self::build) returns
    /// an error.
    ///
    /// If this method is called several times, the cookie gets one attribute for each call, and browsers use the last
    /// one.
    pub fn domain(mut self, domain: impl Into<String>) -> Self {
        self.domains.push(domain.into());
        self.insert_only("domain")
    }

    /// Adds another attribute to the cookie. `attribute` is the text of the attribute, such as `SameSite=Lax`, and is
    /// written unchanged. Each call adds one attribute. Default: no other attributes. Only for [insert
    /// mode](PersistenceCookie::insert); otherwise [`build`](Self::build) returns an error.
    pub fn attribute(mut self, attribute: impl Into<String>) -> Self {
        self.attributes.push(attribute.into());
        self.insert_only("attribute")
    }

    /// Sets how long a cookie stays valid after its last use. An older cookie names no endpoint. Default: no limit.
    /// Range: 1 s to 2³¹ − 1 s; fractions of a second are dropped. Only for [insert mode](PersistenceCookie::insert);
    /// otherwise [`build`](Self::build) returns an error.
    ///
    /// The cookie's value contains the date of its last use, rounded up to a multiple of 4 seconds. When this date is
    /// in the past, the next response sets the cookie again with the current date. The cookie is also invalid if this
    /// date is more than 24 hours in the future. HAProxy calls this setting `maxidle`.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.idle_timeout = Some(timeout);
        self.insert_only("idle_timeout")
    }

    /// Sets how long a cookie stays valid after it was first set. An older cookie names no endpoint. Default: no limit.
    /// Range: 1 s to 2³¹ − 1 s; fractions of a second are dropped. Only for [insert mode](PersistenceCookie::insert);
    /// otherwise [`build`](Self::build) returns an error.
    ///
    /// The cookie's value contains the date when it was first set, rounded up to a multiple of 4 seconds. The cookie is
    /// also invalid if this date is more than 24 hours in the future. HAProxy calls this setting `maxlife`.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self.insert_only("lifetime")
    }

    /// Sets how many persistence cookies (cookies with the name of this cookie) a request may have. If a request has
    /// more, all of them are ignored, and the request may go to any endpoint. Default: 16. Range: at least 1; with 0,
    /// [`build`](Self::build) returns an error.
    pub fn max_cookies(mut self, cookies: usize) -> Self {
        self.cookie.max_cookies = cookies;
        self
    }

    /// Sets the maximum length of all `Cookie` lines of a request together, in bytes. If they are longer, the
    /// persistence cookie is ignored, and the request may go to any endpoint. Default: 64 KiB. Range: at least 1; with
    /// 0, [`build`](Self::build) returns an error.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.cookie.max_bytes = bytes;
        self
    }

    /// Creates the cookie's settings. In [insert mode](PersistenceCookie::insert), a cookie that browsers would ignore
    /// is refused, by the rules of RFC 6265bis:
    ///
    /// - `SameSite=None` and `Partitioned` need [`secure`](Self::secure).
    /// - A name that begins with `__Secure-`, `__Host-` or `__Http-` needs [`secure`](Self::secure).
    /// - A name that begins with `__Http-` or `__Host-Http-` also needs [`httponly`](Self::httponly).
    /// - A name that begins with `__Host-` allows no domain, and no path except `/`.
    ///
    /// # Errors
    ///
    /// - [`InvalidCookie::Name`] if the name is not 1 to 256 characters of an RFC 6265 token, or begins with `$`.
    /// - [`InvalidCookie::InsertOnly`] if a setting for insert mode is used in another mode.
    /// - [`InvalidCookie::NoneAllowed`] if [`max_cookies`](Self::max_cookies) or [`max_bytes`](Self::max_bytes) is 0.
    /// - [`InvalidCookie::Time`] if [`idle_timeout`](Self::idle_timeout) or [`lifetime`](Self::lifetime) is out of
    ///   range.
    /// - [`InvalidCookie::Domain`] or [`InvalidCookie::Attribute`] if a domain or attribute is empty, or has a
    ///   character that is not allowed.
    /// - [`InvalidCookie::Needs`] or [`InvalidCookie::HostOnly`] if browsers would ignore the cookie.
    pub fn build(self) -> Result<PersistenceCookie, InvalidCookie> {
        let Self { mut cookie, domains, attributes, .. } = self;
        check_name(&cookie.name)?;
        if let (Some(setting), CookieMode::Rewrite | CookieMode::Prefix) = (self.insert_only, cookie.mode) {
            return Err(InvalidCookie::InsertOnly { setting, mode: cookie.mode });
        }
        if cookie.max_cookies == 0 || cookie.max_bytes == 0 {
            return Err(InvalidCookie::NoneAllowed);
        }
        cookie.idle_timeout = self.idle_timeout.map(|time| in_seconds("idle_timeout", time)).transpose()?;
        cookie.lifetime = self.lifetime.map(|time| in_seconds("lifetime", time)).transpose()?;
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
        // In rewrite and prefix mode, the endpoint writes the attributes.
        if cookie.mode == CookieMode::Insert {
            check_attributes(&cookie.name, &cookie.tail)?;
        }
        Ok(cookie)
    }
}

fn in_seconds(setting: &'static str, time: Duration) -> Result<u64, InvalidCookie> {
    match time.as_secs() {
        seconds @ 1..=0x7fff_ffff => Ok(seconds),
        _ => Err(InvalidCookie::Time { setting, time }),
    }
}
