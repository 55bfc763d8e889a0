use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use tower_http::cors::{self as tower_cors, AllowHeaders, AllowMethods, AllowOrigin, Any, ExposeHeaders};

use super::layer::CorsLayer;
use crate::browser::origin::{InvalidOrigin, OriginPattern};

/// Which other sites may read responses, and which requests they may make (CORS, the
/// [Fetch standard](https://fetch.spec.whatwg.org/#http-cors-protocol)).
///
/// ```
/// use std::time::Duration;
/// use equipoise_gateway::browser::{CorsLayer, CorsPolicy, InvalidCors};
/// use http::Method;
///
/// let cors: CorsLayer = CorsPolicy::origins(["https://app.test", "https://*.partner.test"])
///     .methods([Method::GET, Method::PUT])
///     .headers(["content-type", "authorization"])
///     .credentials(true)
///     .max_age(Duration::from_secs(600))
///     .build()?;
///
/// // All sites could act with the cookies of their visitors.
/// assert_eq!(CorsPolicy::any_origin().credentials(true).build().err(), Some(InvalidCors::AnyOriginWithCredentials));
/// # drop(cors);
/// # Ok::<(), InvalidCors>(())
/// ```
#[derive(Clone, Debug)]
pub struct CorsPolicy {
    /// `None` for any origin.
    origins: Option<Vec<OriginPattern>>,
    methods: Vec<Method>,
    headers: Names,
    exposed: Names,
    credentials: bool,
    max_age: Option<Duration>,
    wrong: Option<InvalidCors>,
}

#[derive(Clone, Debug)]
enum Names {
    Any,
    List(Vec<HeaderName>),
}

/// Why a CORS policy is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidCors {
    /// An origin is not one that browsers send.
    #[error(transparent)]
    Origin(#[from] InvalidOrigin),
    /// There is no origin.
    #[error("write at least one origin, such as https://app.test")]
    NoOrigin,
    /// Any site may read responses to requests with credentials.
    #[error("with credentials, any site could act in the name of its visitors; write the origins that may")]
    AnyOriginWithCredentials,
    /// Browsers take `*` for the name of a field if there are credentials.
    #[error("with credentials, any field cannot be allowed or exposed; write the names of the fields")]
    AnyHeaderWithCredentials,
    /// A text is not the name of a field.
    #[error("{name:?} is not the name of a header field; write a name such as x-version")]
    Header {
        /// The text that was refused.
        name: String,
    },
    /// Browsers never send such a request, would take the method for any one, or ask with it what is allowed.
    #[error("sites cannot use the method {method}; write methods such as PUT")]
    Method {
        /// The method that was refused: `CONNECT`, `OPTIONS`, `TRACE`, `TRACK` or `*`.
        method: Method,
    },
}

impl CorsPolicy {
    /// Creates a policy for some origins: `https://app.test` for one, and `https://*.app.test` for all below it. An
    /// origin has no slash at its end. The origin `null` is refused.
    #[must_use]
    pub fn origins<T: AsRef<str>>(origins: impl IntoIterator<Item = T>) -> Self {
        let mut policy = Self::new(None);
        let mut patterns = Vec::new();
        for origin in origins {
            match OriginPattern::parse(origin.as_ref()) {
                Ok(pattern) => patterns.push(pattern),
                Err(error) => drop(policy.wrong.get_or_insert(error.into())),
            }
        }
        if patterns.is_empty() {
            policy.wrong.get_or_insert(InvalidCors::NoOrigin);
        }
        policy.origins = Some(patterns);
        policy
    }

    /// Creates a policy for all sites. Use it for public resources without credentials only.
    #[must_use]
    pub fn any_origin() -> Self {
        Self::new(None)
    }

    fn new(origins: Option<Vec<OriginPattern>>) -> Self {
        Self {
            origins,
            methods: vec![Method::GET, Method::HEAD, Method::POST],
            headers: Names::List(Vec::new()),
            exposed: Names::List(Vec::new()),
            credentials: false,
            max_age: None,
            wrong: None,
        }
    }

    /// Sets the methods that are allowed. `OPTIONS` cannot be one of them, because browsers ask with it. Default: `GET`, `HEAD`
    /// and `POST`, which browsers also allow without asking.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        self.methods = methods.into_iter().collect();
        let refused = |method: &&Method| matches!(method.as_str(), "CONNECT" | "OPTIONS" | "TRACE" | "TRACK" | "*");
        if let Some(method) = self.methods.iter().find(refused) {
            self.wrong.get_or_insert(InvalidCors::Method { method: method.clone() });
        }
        self
    }

    /// Sets the request fields that are allowed, besides those that browsers allow without asking. Default: none.
    #[must_use]
    pub fn headers<T: AsRef<str>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.headers = self.names(names);
        self
    }

    /// Allows all request fields except `Authorization`. It cannot be used with credentials.
    #[must_use]
    pub fn any_header(mut self) -> Self {
        self.headers = Names::Any;
        self
    }

    /// Sets the response fields that sites may read, besides those that browsers always show. Default: none.
    #[must_use]
    pub fn expose<T: AsRef<str>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.exposed = self.names(names);
        self
    }

    /// Exposes all response fields. It cannot be used with credentials.
    #[must_use]
    pub fn expose_any(mut self) -> Self {
        self.exposed = Names::Any;
        self
    }

    /// Sets whether requests may have credentials, such as cookies, and sites may read their responses. Default: false.
    #[must_use]
    pub fn credentials(mut self, allow: bool) -> Self {
        self.credentials = allow;
        self
    }

    /// Sets how long browsers may remember the answer to a preflight, in whole seconds. Default: not set, so that
    /// browsers remember it for 5 seconds. Browsers have maxima, such as 2 hours.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    fn names<T: AsRef<str>>(&mut self, names: impl IntoIterator<Item = T>) -> Names {
        let mut list = Vec::new();
        for name in names {
            match name.as_ref().parse() {
                // A browser would take it for any name.
                Ok(name) if name != "*" => list.push(name),
                _ => {
                    let name = name.as_ref().to_owned();
                    self.wrong.get_or_insert(InvalidCors::Header { name });
                }
            }
        }
        Names::List(list)
    }

    /// Creates the layer.
    ///
    /// # Errors
    ///
    /// [`InvalidCors`] says what is wrong with the policy.
    pub fn build(self) -> Result<CorsLayer, InvalidCors> {
        if let Some(wrong) = self.wrong {
            return Err(wrong);
        }
        if self.credentials {
            if self.origins.is_none() {
                return Err(InvalidCors::AnyOriginWithCredentials);
            }
            if matches!(self.headers, Names::Any) || matches!(self.exposed, Names::Any) {
                return Err(InvalidCors::AnyHeaderWithCredentials);
            }
        }
        let has_origins = self.origins.is_some();
        let allow_origin = match self.origins {
            None => AllowOrigin::any(),
            Some(origins) => AllowOrigin::predicate(move |origin: &HeaderValue, _: &http::request::Parts| {
                origins.iter().any(|pattern| pattern.matches(origin.as_bytes()))
            }),
        };
        let mut layer = tower_cors::CorsLayer::new()
            .allow_origin(allow_origin)
            .allow_methods(AllowMethods::list(self.methods))
            .allow_headers(match self.headers {
                Names::Any => AllowHeaders::from(Any),
                Names::List(names) => AllowHeaders::list(names),
            })
            .expose_headers(match self.exposed {
                Names::Any => ExposeHeaders::from(Any),
                Names::List(names) => ExposeHeaders::list(names),
            })
            .allow_credentials(self.credentials);
        if let Some(age) = self.max_age {
            layer = layer.max_age(age);
        }
        Ok(CorsLayer::new(layer, has_origins))
    }
}
