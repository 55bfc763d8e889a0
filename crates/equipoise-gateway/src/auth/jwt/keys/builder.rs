use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use equipoise_tower::BoxError;
use http::{Request, Response, Uri};
use http_body::Body;
use http_body_util::Full;
use tokio::runtime::Handle;
use tower::Service;

use super::{
    fetch::Fetch,
    file,
    live::{Keys, Settings, Shared},
    refresh::{self, Schedule},
    url,
};
use crate::InvalidSetting;

/// Builds [`Keys`] that are read again while the gateway runs.
#[must_use]
pub struct KeysBuilder {
    source: Source,
    refresh_interval: Duration,
    cool_down: Duration,
    fetch_timeout: Duration,
    max_age: Option<Duration>,
}

enum Source {
    File(PathBuf),
    Url(Uri, Fetch),
}

/// Why the keys cannot be read while the gateway runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidKeys {
    /// There is no Tokio runtime for the task that reads the keys.
    #[error("keys from a file or a URL are read by a task: start them inside a Tokio runtime")]
    NoRuntime,
    /// The file cannot be read, or has no good set of keys.
    #[error("{}: {reason}", path.display())]
    #[non_exhaustive]
    File {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The URI is not absolute, or has a user name.
    #[error("a JWKS URL has the form `https://host/path`, and no user name")]
    Url,
    /// A setting is out of range.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
}

impl Keys {
    /// Reads a JWK set or PEM blocks from a file, as [`KeySet::read`](super::KeySet::read) does, and again when the
    /// file may have changed. [`start`](KeysBuilder::start) reads it for the first time.
    pub fn file(path: impl Into<PathBuf>) -> KeysBuilder {
        KeysBuilder::new(Source::File(path.into()))
    }

    /// Fetches a JWK set from a URL with GET, through any HTTP client that is a tower service. The client makes the TLS
    /// connection and checks the certificate. Redirects are not followed, unless the client does so.
    ///
    /// Use a URL with `https`: over `http`, an attacker on the path can replace the keys and make tokens.
    ///
    /// Only a response with status 200 and at most 256 KiB is used. Secrets in it are ignored, and so is its
    /// `Cache-Control`.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use equipoise_gateway::auth::jwt::Keys;
    /// use http::{Request, Response, Uri};
    /// use http_body_util::Full;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// // Instead of a client.
    /// let client = tower::service_fn(async |request: Request<Full<Bytes>>| {
    ///     assert_eq!(request.uri(), "https://issuer.test/jwks");
    ///     let set = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    ///     Ok::<_, std::convert::Infallible>(Response::new(Full::<Bytes>::from(set)))
    /// });
    /// let keys = Keys::url(Uri::from_static("https://issuer.test/jwks"), client).start()?;
    /// assert!(keys.ready().await);
    /// # Ok(())
    /// # }
    /// ```
    pub fn url<S, B>(uri: Uri, service: S) -> KeysBuilder
    where
        S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        KeysBuilder::new(Source::Url(uri.clone(), url::fetch(uri, service)))
    }
}

impl KeysBuilder {
    fn new(source: Source) -> Self {
        Self {
            source,
            refresh_interval: Duration::from_secs(300),
            cool_down: Duration::from_secs(30),
            fetch_timeout: Duration::from_secs(5),
            max_age: None,
        }
    }

    /// Sets how often the keys are read again: from 1 s to 1 day. Default: 5 minutes. Up to a tenth of it is left out
    /// at random. After a failure, the next attempt follows after 1 s, then 2 s, 4 s and so on, up to this interval.
    pub fn refresh_interval(mut self, interval: Duration) -> Self {
        self.refresh_interval = interval;
        self
    }

    /// Sets the minimum time between an attempt and the next one that a token with an unknown key causes: from 1 s to 1
    /// day. If the token or the keys have no `kid`, each key that did not verify the token counts as unknown. Default:
    /// 30 s. It bounds what tokens with invented keys cost the issuer: at most one request in this time.
    pub fn cool_down(mut self, cool_down: Duration) -> Self {
        self.cool_down = cool_down;
        self
    }

    /// Sets the maximum time of one attempt, with the whole body: from 1 ms to 1 minute. Default: 5 s.
    pub fn fetch_timeout(mut self, timeout: Duration) -> Self {
        self.fetch_timeout = timeout;
        self
    }

    /// Sets for how long keys are used after they were last read: the refresh interval or longer. Then requests get
    /// status 503 until they can be read again. Default: without limit.
    ///
    /// A limit means that the issuer's failure becomes one of the gateway. Without it, a key that the issuer has
    /// withdrawn stays in use for as long as the issuer cannot be reached.
    pub fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }

    /// Checks the settings, and starts the task that reads the keys. A file is read at once, which blocks the thread
    /// shortly.
    ///
    /// # Errors
    ///
    /// [`InvalidKeys`] for settings out of range, outside of a Tokio runtime, and for a file without a good set of
    /// keys. A URL that cannot be read is no error: see [`Keys::ready`].
    pub fn start(self) -> Result<Keys, InvalidKeys> {
        const DAY: Duration = Duration::from_secs(86_400);
        const YEAR: Duration = Duration::from_secs(365 * 86_400);
        let (second, minute) = (Duration::from_secs(1), Duration::from_secs(60));
        for (setting, value, min, max, expected) in [
            ("refresh_interval", self.refresh_interval, second, DAY, "from 1 s to 1 day"),
            ("cool_down", self.cool_down, second, DAY, "from 1 s to 1 day"),
            ("fetch_timeout", self.fetch_timeout, Duration::from_millis(1), minute, "from 1 ms to 1 minute"),
            (
                "max_age",
                self.max_age.unwrap_or(YEAR),
                self.refresh_interval,
                YEAR,
                "from the refresh interval to 1 year",
            ),
        ] {
            if !(min..=max).contains(&value) {
                return Err(InvalidSetting::new(setting, format_args!("{value:?}"), expected).into());
            }
        }
        let runtime = Handle::try_current().map_err(|_| InvalidKeys::NoRuntime)?;
        let settings = Settings { cool_down: self.cool_down, timeout: self.fetch_timeout, max_age: self.max_age };
        let shared = Arc::new(Shared::new(settings));
        let may_have_secrets = matches!(self.source, Source::File(_));
        let (fetch, first, place) = match self.source {
            Source::File(path) => {
                let place = path.display().to_string();
                let read = file::read(&path);
                let set = read.map_err(|error| InvalidKeys::File { path: path.clone(), reason: error.to_string() })?;
                shared.begin();
                shared.end(Ok(set), Some(self.refresh_interval));
                (file::fetch(path), self.refresh_interval, place)
            }
            Source::Url(uri, fetch) => {
                let has_user = uri.authority().is_none_or(|authority| authority.as_str().contains('@'));
                if !matches!(uri.scheme_str(), Some("http" | "https")) || has_user {
                    return Err(InvalidKeys::Url);
                }
                // A query may have a secret.
                let place = uri.to_string().split('?').next().unwrap_or_default().to_owned();
                (fetch, Duration::ZERO, place)
            }
        };
        let schedule = Schedule { first, interval: self.refresh_interval, timeout: self.fetch_timeout };
        let keep = refresh::keep(Arc::clone(&shared), fetch, schedule, place);
        Ok(Keys::of_task(shared, runtime.spawn(keep).abort_handle(), may_have_secrets))
    }
}

impl fmt::Debug for KeysBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source: &dyn fmt::Debug = match &self.source {
            Source::File(path) => path,
            Source::Url(uri, _) => uri,
        };
        f.debug_struct("KeysBuilder")
            .field("source", source)
            .field("refresh_interval", &self.refresh_interval)
            .field("cool_down", &self.cool_down)
            .field("fetch_timeout", &self.fetch_timeout)
            .field("max_age", &self.max_age)
            .finish()
    }
}
