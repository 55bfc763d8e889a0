use equipoise_proxy::{
    __private::{asked_for, check_redirect, client_scheme, host_of, is_asked_for, redirect_location},
    route::Redirect,
};
use equipoise_tower::RequestHead;
use http::{HeaderValue, Request, StatusCode, Uri, uri::PathAndQuery};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::filter::pattern::{InvalidPattern, PathPattern};

/// What is encoded in a location: characters that no URI has (RFC 3986, section 2).
const NOT_IN_URI: &AsciiSet =
    &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

const TARGET: &str = "a target is a path such as /new, or a URL such as https://new.test/";

/// A rule that answers some requests with a redirect.
///
/// The target is a path (`/new`), which keeps scheme and host, or a URL (`https://new.test/v2`). The location never
/// leads to another host because of the path of a request: `//evil.test` is the path `/evil.test`. The rest of the path
/// and the query are kept as the client wrote them; characters that no URI has are percent-encoded.
///
/// ```
/// use equipoise_gateway::filter::{RedirectLayer, RedirectRule};
/// use http::StatusCode;
///
/// let layer = RedirectLayer::new([
///     RedirectRule::https().except("/.well-known/acme-challenge/**"),
///     RedirectRule::www_to_apex("app.test"),
///     RedirectRule::exact("/old.html", "/new").status(StatusCode::MOVED_PERMANENTLY),
///     RedirectRule::prefix("/blog", "https://blog.test/"),
/// ])?;
/// # drop(layer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RedirectRule {
    pub(super) text: String,
    pub(super) kind: Kind,
    pub(super) redirect: Redirect,
    pub(super) hosts: Vec<String>,
    except: Vec<PathPattern>,
    query: Query,
    wrong: Option<(String, &'static str)>,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Path { pattern: PathPattern, segments: Option<usize> },
    Https,
    Host,
    AddSlash,
    RemoveSlash,
}

#[derive(Clone, Debug)]
enum Query {
    Keep,
    Drop,
    Set(String),
}

/// Why a redirect is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("redirect of {rule:?}: {text:?}: {valid}")]
#[non_exhaustive]
pub struct InvalidRedirect {
    /// What is redirected.
    pub rule: String,
    /// The text that was refused. It may be empty.
    pub text: String,
    /// What would be valid.
    pub valid: &'static str,
}

impl RedirectRule {
    fn new(text: &str, kind: Kind, redirect: Redirect) -> Self {
        Self {
            text: text.to_owned(),
            kind,
            redirect,
            hosts: Vec::new(),
            except: Vec::new(),
            query: Query::Keep,
            wrong: None,
        }
    }

    /// Redirects one path, or all paths of a [`PathPattern`], to one target. The status is 308.
    #[must_use]
    pub fn exact(pattern: &str, target: &str) -> Self {
        Self::to(pattern, pattern.parse().map_err(|error: InvalidPattern| error.valid), target, false)
    }

    /// Redirects a path and all paths below it. The rest of the path is kept: `/old/x` becomes `/new/x`. The status is
    /// 308.
    #[must_use]
    pub fn prefix(prefix: &str, target: &str) -> Self {
        Self::to(prefix, PathPattern::prefix(prefix).map_err(|error| error.valid), target, true)
    }

    fn to(text: &str, pattern: Result<PathPattern, &'static str>, target: &str, is_prefix: bool) -> Self {
        let mut redirect = Redirect::permanent();
        let mut wrong = None;
        let path = if target.starts_with('/') {
            target.to_owned()
        } else {
            match target.parse::<Uri>() {
                Ok(uri) if uri.query().is_some() || target.contains('#') => {
                    wrong = Some((target.to_owned(), "set the query with RedirectRule::query"));
                    String::new()
                }
                Ok(uri) => match (uri.scheme_str(), uri.authority()) {
                    (Some(scheme), Some(authority)) => {
                        redirect = redirect.scheme(scheme).host(authority.as_str());
                        uri.path().to_owned()
                    }
                    _ => {
                        wrong = Some((target.to_owned(), TARGET));
                        String::new()
                    }
                },
                Err(_) => {
                    wrong = Some((target.to_owned(), TARGET));
                    String::new()
                }
            }
        };
        redirect = if is_prefix { redirect.prefix(&path) } else { redirect.path(&path) };
        let kind = match pattern {
            Ok(pattern) => {
                let segments = pattern.prefix_segments().filter(|_| is_prefix);
                Kind::Path { pattern, segments }
            }
            Err(valid) => {
                wrong = Some((text.to_owned(), valid));
                Kind::Https
            }
        };
        Self { wrong, ..Self::new(text, kind, redirect) }
    }

    /// Redirects requests without TLS to the same URL with `https`. The scheme is that of the client's connection, or
    /// the one that a trusted proxy has reported. The status is 308.
    #[must_use]
    pub fn https() -> Self {
        Self::new("http", Kind::Https, Redirect::permanent().scheme("https"))
    }

    /// Redirects `www.` of a host to the host itself. The status is 308.
    #[must_use]
    pub fn www_to_apex(host: &str) -> Self {
        let www = format!("www.{host}");
        Self::new(&www, Kind::Host, Redirect::permanent().host(host)).host(&www)
    }

    /// Redirects a host to `www.` of the host. The status is 308.
    #[must_use]
    pub fn apex_to_www(host: &str) -> Self {
        Self::new(host, Kind::Host, Redirect::permanent().host(&format!("www.{host}"))).host(host)
    }

    /// Redirects paths without a slash at the end to the same path with one, except those with a dot in the last
    /// segment, such as `/a.css`. The status is 308.
    #[must_use]
    pub fn add_trailing_slash() -> Self {
        Self::new("no slash at the end", Kind::AddSlash, Redirect::permanent())
    }

    /// Redirects paths with a slash at the end to the same path without it, except `/`. The status is 308.
    #[must_use]
    pub fn remove_trailing_slash() -> Self {
        Self::new("slash at the end", Kind::RemoveSlash, Redirect::permanent())
    }

    /// Sets the status: 301, 302, 303, 307 or 308. Default: 308. Clients repeat the method after 307 and 308.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.redirect = self.redirect.status(status);
        self
    }

    /// Adds a host to which the rule applies, without a port. Default: any host.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        if host_of(host.as_bytes()) != Some(host) {
            self.wrong.get_or_insert((host.to_owned(), "write a host such as app.test, without a port"));
        }
        self.hosts.push(host.to_ascii_lowercase());
        self
    }

    /// Adds a [`PathPattern`] of paths to which the rule does not apply. Default: none.
    #[must_use]
    pub fn except(mut self, pattern: &str) -> Self {
        match pattern.parse() {
            Ok(pattern) => self.except.push(pattern),
            Err(InvalidPattern { valid, .. }) => drop(self.wrong.get_or_insert((pattern.to_owned(), valid))),
        }
        self
    }

    /// Removes the query from the location. Default: the query of the request is kept.
    #[must_use]
    pub fn drop_query(mut self) -> Self {
        self.query = Query::Drop;
        self
    }

    /// Sets the query of the location, without `?`, such as `from=old`. Default: the query of the request is kept.
    #[must_use]
    pub fn query(mut self, query: &str) -> Self {
        if query.contains('#') || format!("/?{query}").parse::<Uri>().is_err() {
            self.wrong.get_or_insert((query.to_owned(), "write a query such as from=old"));
        }
        self.query = Query::Set(query.to_owned());
        self
    }

    pub(super) fn check(&self) -> Result<(), (String, &'static str)> {
        if let Some(wrong) = &self.wrong {
            return Err(wrong.clone());
        }
        let has_prefix = matches!(self.kind, Kind::Path { segments: Some(_), .. });
        check_redirect(&self.redirect, has_prefix).map_err(|valid| (String::new(), valid))?;
        // The location of a rule for paths of one site must not match the rule again.
        if let Kind::Path { pattern, segments } = &self.kind {
            let probe = Request::new(());
            let path = pattern.as_str().replace("/**", "").replace('*', "x");
            if let Some(location) = redirect_location(&self.redirect, &probe, segments.unwrap_or(0), &path, None)
                && let Ok(location) = location.to_str()
                && location.starts_with('/')
                && pattern.matches(location)
                && !self.except.iter().any(|except| except.matches(location))
            {
                return Err((location.to_owned(), "the target is redirected again and again; use another path"));
            }
        }
        Ok(())
    }

    /// Returns a path that the rule redirects, if it is one for paths of any host.
    pub(super) fn example(&self) -> Option<String> {
        match &self.kind {
            Kind::Path { pattern, .. } if self.hosts.is_empty() => {
                let path = pattern.as_str().replace("/**", "").replace('*', "x");
                Some(if path.is_empty() { "/".to_owned() } else { path })
            }
            _ => None,
        }
    }

    /// Returns the location for a request. `None` if the rule does not apply to it.
    pub(super) fn location<B>(&self, request: &Request<B>, normalized: &str) -> Option<HeaderValue> {
        if !self.hosts.is_empty() {
            let host = asked_for(RequestHead::of(request))?;
            let host = host.strip_suffix('.').unwrap_or(host);
            if !self.hosts.iter().any(|wanted| wanted.eq_ignore_ascii_case(host)) {
                return None;
            }
        }
        if self.except.iter().any(|except| except.matches_normalized(normalized)) {
            return None;
        }
        let path = request.uri().path();
        let (changed, segments) = match &self.kind {
            Kind::Path { pattern, segments } => {
                if !pattern.matches_normalized(normalized) {
                    return None;
                }
                (None, segments.unwrap_or(0))
            }
            Kind::Https if client_scheme(request.extensions()) == "https" => return None,
            Kind::Https | Kind::Host => (None, 0),
            Kind::AddSlash => {
                let last = path.rsplit('/').next().unwrap_or_default();
                if !path.starts_with('/') || last.is_empty() || last.contains('.') {
                    return None;
                }
                (Some(format!("{path}/")), 0)
            }
            Kind::RemoveSlash => {
                let shorter = path.trim_end_matches('/');
                if !path.ends_with('/') || shorter.is_empty() {
                    return None;
                }
                (Some(shorter.to_owned()), 0)
            }
        };
        let query = match &self.query {
            Query::Keep => request.uri().query(),
            Query::Drop => None,
            Query::Set(query) => Some(query.as_str()),
        };
        let path = changed.as_deref().unwrap_or(path);
        let location = redirect_location(&self.redirect, request, segments, path, query)?;
        let text = std::str::from_utf8(location.as_bytes()).ok()?;
        if is_target(request, text) {
            None
        } else {
            HeaderValue::try_from(utf8_percent_encode(text, NOT_IN_URI).to_string()).ok()
        }
    }
}

/// Returns whether a location is the URL that the client has asked for.
fn is_target<B>(request: &Request<B>, location: &str) -> bool {
    let target = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
    let Some((scheme, rest)) = location.split_once("://") else { return location == target };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    scheme.eq_ignore_ascii_case(client_scheme(request.extensions()))
        && (path == target || path.is_empty() && target == "/")
        && is_asked_for(RequestHead::of(request), authority.as_bytes())
}
