//! The settings of a persistence cookie and their builder.

use std::time::Duration;

use super::{
    check::{InvalidCookie, check_attributes, check_name},
    value::{CookieMode, CookieValue, DATE, InvalidCookieValue, PREFIX},
};

/// Maximum length of a cookie's name and value together that browsers store (RFC 6265, 6.1).
const MAX_LEN: usize = 4096;

/// The settings of a persistence cookie: HAProxy's `cookie` line.
///
/// [`on_request`](Self::on_request) reads the cookie and [`on_response`](Self::on_response) sets it. It has no state
/// and reads no clock, so it can be shared freely.
#[derive(Clone, Debug)]
pub struct PersistenceCookie {
    pub(super) name: String,
    pub(super) mode: CookieMode,
    pub(super) indirect: bool,
    pub(super) nocache: bool,
    pub(super) preserve: bool,
    pub(super) postonly: bool,
    pub(super) max_idle: Option<u64>,
    pub(super) max_life: Option<u64>,
    /// The text after the value in a `Set-Cookie` line.
    pub(super) tail: String,
    pub(super) max_cookies: usize,
    pub(super) max_bytes: usize,
}

impl PersistenceCookie {
    /// A cookie that the balancer sets. The usual choice, together with
    /// [`indirect`](PersistenceCookieBuilder::indirect) and [`nocache`](PersistenceCookieBuilder::nocache).
    pub fn insert(name: impl Into<String>) -> PersistenceCookieBuilder {
        PersistenceCookieBuilder::new(name.into(), CookieMode::Insert)
    }

    /// A cookie that endpoints set. The balancer replaces its value. The endpoints decide which clients get one, and
    /// see the balancer's value in requests.
    ///
    /// ```
    /// use equipoise_affinity::cookie::{PersistenceCookie, CookieState, ResponseContext};
    /// use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
    ///
    /// let cookie = PersistenceCookie::rewrite("SRV").build()?;
    /// let value = cookie.value("A")?;
    /// let context = ResponseContext {
    ///     state: CookieState::default(),
    ///     kept: false,
    ///     value: Some(&value),
    ///     method: &Method::GET,
    ///     now: std::time::SystemTime::now(),
    /// };
    /// let mut response = HeaderMap::new();
    /// response.insert(header::SET_COOKIE, HeaderValue::from_static("SRV=any; Path=/app"));
    /// cookie.on_response(context, StatusCode::OK, &mut response);
    /// assert_eq!(response[header::SET_COOKIE], "SRV=A; Path=/app");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rewrite(name: impl Into<String>) -> PersistenceCookieBuilder {
        PersistenceCookieBuilder::new(name.into(), CookieMode::Rewrite)
    }

    /// A cookie that endpoints set and need, such as `JSESSIONID`. The balancer puts its own value in front of the
    /// endpoint's. For clients that store only one cookie.
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

    /// Returns the cookie's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns how the cookie is set.
    pub fn mode(&self) -> CookieMode {
        self.mode
    }

    /// Checks that `text` can name an endpoint in this cookie.
    ///
    /// # Errors
    ///
    /// [`InvalidCookieValue`] if the text is empty, is too long for browsers, or contains a byte that is not an RFC
    /// 6265 `cookie-octet`. `|`, which precedes dates, is not allowed in insert and rewrite mode. `~`, which precedes
    /// the endpoint's value, is not allowed in prefix mode.
    pub fn value(&self, text: impl AsRef<[u8]>) -> Result<CookieValue, InvalidCookieValue> {
        let reserved = if self.mode == CookieMode::Prefix { PREFIX } else { DATE };
        // Two dates take twelve bytes.
        let max = MAX_LEN.saturating_sub(self.name.len() + 12);
        CookieValue::checked(text.as_ref(), reserved, max)
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
    fn new(name: String, mode: CookieMode) -> Self {
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
        // In the other modes, the endpoint writes the attributes.
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
