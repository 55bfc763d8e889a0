use http::{Extensions, HeaderMap, HeaderValue, Request, Uri, header::HOST, uri::PathAndQuery};

use super::connection::ConnectionInfo;
use crate::check::{Refusal, host_and_port};

/// Which `Host` endpoints get.
///
/// ```
/// use equipoise_proxy::headers::HostRule;
/// use http::Request;
///
/// let mut request = Request::get("http://app.test/a?b=c").header("host", "app.test").body(())?;
/// HostRule::set("backend.internal:8080").unwrap().apply(&mut request).unwrap();
/// assert_eq!(request.headers()["host"], "backend.internal:8080");
/// assert_eq!(request.uri(), "/a?b=c");
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostRule(Option<HeaderValue>);

impl HostRule {
    /// Endpoints get the host that the client asked for. This is the default.
    #[must_use]
    pub const fn keep() -> Self {
        Self(None)
    }

    /// Endpoints get this host, whatever the client asked for. A [`Router`](crate::route::Router) behind the proxy
    /// still finds routes by the host that the client asked for. `host` is a name or an address, with an optional port.
    ///
    /// # Errors
    ///
    /// [`Refusal::HostInvalid`] if `host` is neither.
    pub fn set(host: &str) -> Result<Self, Refusal> {
        host_and_port(host.as_bytes()).ok_or(Refusal::HostInvalid)?;
        HeaderValue::from_str(host).map(|host| Self(Some(host))).map_err(|_| Refusal::HostInvalid)
    }

    /// Sets the `Host` of a request, and changes its target to a path. The authority of the target becomes the `Host`
    /// if the request has none. The address of this proxy ([`ConnectionInfo::local`]) becomes the `Host` of an HTTP/1.0
    /// request that names none.
    ///
    /// # Errors
    ///
    /// [`Refusal::HostMissing`] if the request names no host and the proxy's address is not known, and
    /// [`Refusal::Target`] if the target has no path.
    pub fn apply<B>(&self, request: &mut Request<B>) -> Result<(), Refusal> {
        if let Some(host) = &self.0 {
            request.headers_mut().insert(HOST, host.clone());
        } else if !request.headers().contains_key(HOST) {
            let host = asked_for(request).ok_or(Refusal::HostMissing)?;
            request.headers_mut().insert(HOST, host);
        }
        let uri = request.uri();
        if uri.scheme().is_some() || uri.authority().is_some() {
            let target = uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
            *request.uri_mut() = Uri::from(target);
        }
        Ok(())
    }
}

/// A request extension: the `Host` with which the request came, if the proxy has replaced it before the request was
/// routed. Routes are found by the host that the client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OriginalHost(pub(crate) HeaderValue);

impl OriginalHost {
    /// Returns the `Host` that the client sent.
    pub(crate) fn of<'a>(headers: &'a HeaderMap, extensions: &'a Extensions) -> Option<&'a HeaderValue> {
        extensions.get::<Self>().map(|Self(host)| host).or_else(|| headers.get(HOST))
    }
}

/// Returns the host of a request without `Host`.
fn asked_for<B>(request: &Request<B>) -> Option<HeaderValue> {
    if let Some(authority) = request.uri().authority() {
        return HeaderValue::from_str(authority.as_str()).ok();
    }
    let local = request.extensions().get::<ConnectionInfo>()?.local_addr()?;
    HeaderValue::from_str(&local.to_string()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(rule: &HostRule, uri: &str, host: Option<&str>) -> Result<(String, String), Refusal> {
        let mut request = Request::get(uri);
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let mut request = request.body(()).expect("a request");
        request.extensions_mut().insert(ConnectionInfo::new().local("192.0.2.1:80".parse().expect("an address")));
        rule.apply(&mut request)?;
        let host = request.headers()[HOST].to_str().expect("ASCII").to_owned();
        Ok((request.uri().to_string(), host))
    }

    #[test]
    fn targets_become_paths_and_hosts_stay() {
        let keep = HostRule::keep();
        for (uri, host, path, kept) in [
            ("/a?b", Some("APP.test:81"), "/a?b", "APP.test:81"),
            ("http://app.test/a?b", None, "/a?b", "app.test"),
            ("http://app.test", Some("app.test"), "/", "app.test"),
            ("*", Some("app.test"), "*", "app.test"),
            ("/", None, "/", "192.0.2.1:80"),
        ] {
            assert_eq!(applied(&keep, uri, host), Ok((path.to_owned(), kept.to_owned())), "{uri}");
        }
        let set = HostRule::set("b.internal").expect("a host");
        assert_eq!(applied(&set, "/", Some("app.test")), Ok(("/".to_owned(), "b.internal".to_owned())));
        assert_eq!(HostRule::set("a b"), Err(Refusal::HostInvalid));
        assert_eq!(keep.apply(&mut Request::new(())), Err(Refusal::HostMissing));
    }
}
