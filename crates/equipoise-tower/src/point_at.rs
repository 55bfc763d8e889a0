//! How a request is given the address of its endpoint, if one client serves all endpoints.

use equipoise_core::{Address, Endpoint};
use http::{
    HeaderValue, Method, Request, Uri, Version,
    header::HOST,
    uri::{Authority, PathAndQuery, Scheme},
};

use crate::error::{InvalidAddress, PointError, UnsupportedRequest};

/// A request that can be changed so that a client sends it to a given endpoint. [`BalanceLayer`](crate::BalanceLayer)
/// changes each request in this way, because one client serves all its endpoints.
///
/// Implemented for [`http::Request`]. Implement it for your own request types.
///
/// ```
/// use equipoise_core::Endpoint;
/// use equipoise_tower::{PointAt, PointError};
///
/// struct Query {
///     shard: String,
/// }
///
/// impl PointAt for Query {
///     fn point_at(&mut self, endpoint: &Endpoint) -> Result<(), PointError> {
///         self.shard = endpoint.address().to_owned();
///         Ok(())
///     }
/// }
/// ```
pub trait PointAt {
    /// Changes the request so that a client sends it to `endpoint`.
    ///
    /// # Errors
    ///
    /// - [`PointError::Address`] if the request cannot be sent to the endpoint's address. The balancer then picks
    ///   another endpoint.
    /// - [`PointError::Unsupported`] if the request cannot be sent to any endpoint. The request then fails.
    fn point_at(&mut self, endpoint: &Endpoint) -> Result<(), PointError>;
}

/// Replaces the scheme and the authority (host and port) of the URI by those of the endpoint's address. Path and query
/// stay unchanged.
///
/// **Addresses** have the form `host:port`, `http://host`, `https://host`, `http://host:port` or `https://host:port`.
/// The scheme may have upper and lower case letters. If the address has no scheme, the request's scheme stays. If the
/// request has no scheme either, it gets `http`. An address that is only a host is refused, because its port would
/// depend on the scheme of each request.
///
/// **Host name**: the endpoint still receives the host name of the original request.
///
/// - A `Host` header stays as it is.
/// - A request without `Host` gets this header with the authority of its original URI, without user and password (RFC
///   9110, 7.2). Requests without an authority and HTTP/3 requests do not get it.
/// - Over an HTTP/2 connection, the endpoint receives its own address as `:authority` and the original name as `Host`.
///   RFC 9113, 8.3.1 allows a server to refuse two different names. For such a server, remove `Host` in a layer below
///   the balancer.
/// - With TLS, the client checks the certificate against the endpoint's address. The addresses of such endpoints must
///   therefore contain host names.
///
/// **Version**: an HTTP/2 request becomes an HTTP/1.1 request, because each connection has its own HTTP version. A
/// client without an HTTP/2 connection to the endpoint would refuse a request with the version HTTP/2. A client with an
/// HTTP/2 connection to the endpoint still uses this connection. The version HTTP/3 stays, because reqwest uses HTTP/3
/// only if the request asks for it.
///
/// **`CONNECT`** is refused with [`PointError::Unsupported`]. The target of a `CONNECT` request must not be changed
/// ([RFC 9110, section 9.3.6]), so the client would connect to the target instead of the endpoint. Use
/// [`Balance::new`](crate::Balance::new) with one service for each endpoint. With the feature `http2`, extended
/// `CONNECT` over HTTP/2 (RFC 8441) is changed like any other request, because it has an ordinary URI.
///
/// [RFC 9110, section 9.3.6]: https://www.rfc-editor.org/rfc/rfc9110#section-9.3.6
impl<B> PointAt for Request<B> {
    fn point_at(&mut self, endpoint: &Endpoint) -> Result<(), PointError> {
        if self.method() == Method::CONNECT && !is_extended_connect(self) {
            return Err(UnsupportedRequest::new(
                "CONNECT cannot be sent through a client that all endpoints share, which would connect to the target \
                 instead of the endpoint; use Balance::new with one service per endpoint",
            )
            .into());
        }
        let (scheme, authority) = origin(endpoint.address(), VALID)?;
        let mut parts = std::mem::take(self.uri_mut()).into_parts();
        let asked_for = parts.authority.replace(authority);
        parts.scheme = scheme.or(parts.scheme).or(Some(Scheme::HTTP));
        parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
        *self.uri_mut() = Uri::from_parts(parts).map_err(|_| InvalidAddress::new(endpoint.address()))?;
        // RFC 9110, 6.2: an intermediary sends the HTTP version of its own connection.
        if self.version() == Version::HTTP_2 {
            *self.version_mut() = Version::HTTP_11;
        }
        if let Some(name) = asked_for
            && self.version() < Version::HTTP_2
            && !self.headers().contains_key(HOST)
            && let Ok(host) = HeaderValue::from_str(without_userinfo(&name))
        {
            self.headers_mut().insert(HOST, host);
        }
        Ok(())
    }
}

/// Checks that HTTP can use an address. See [`BalanceLayer::check_addresses`](crate::BalanceLayer::check_addresses).
pub(crate) fn check(address: &str) -> Result<(), InvalidAddress> {
    origin(address, VALID).map(drop)
}

const VALID: &str = "use host:port, or http:// or https:// with a host, perhaps a port, and no path";

/// Returns the scheme and the authority of an address that HTTP can use. `valid` is the part of the error message that
/// says which addresses are valid.
pub(crate) fn origin(address: &str, valid: &str) -> Result<(Option<Scheme>, Authority), InvalidAddress> {
    let refuse = |what: &str| InvalidAddress::new(address).because(format!("{what}: {valid}"));
    let parsed = Address::parse(address)?;
    let scheme = match parsed.scheme() {
        _ if parsed.has_scheme("http") => Some(Scheme::HTTP),
        _ if parsed.has_scheme("https") => Some(Scheme::HTTPS),
        None => None,
        Some(_) => return Err(refuse("its scheme is not one of HTTP")),
    };
    if parsed.userinfo().is_some() {
        return Err(refuse("it has a user or a password"));
    }
    if !matches!(parsed.path_query_and_fragment(), "" | "/") {
        return Err(refuse("it has a path"));
    }
    let host = if parsed.is_ipv6() { format!("[{}]", parsed.host()) } else { parsed.host().to_owned() };
    let authority = match parsed.port() {
        Some(port) => format!("{host}:{port}"),
        None if scheme.is_some() => host,
        None => return Err(refuse("it has neither a port nor a scheme")),
    };
    let authority = authority.parse::<Authority>().map_err(|_| refuse("its host cannot stand in a URL"))?;
    Ok((scheme, authority))
}

/// Returns the authority's host and port.
fn without_userinfo(authority: &Authority) -> &str {
    authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host)
}

/// Returns whether a CONNECT request asks for another protocol on one HTTP/2 stream (RFC 8441).
fn is_extended_connect<B>(request: &Request<B>) -> bool {
    #[cfg(feature = "http2")]
    return request.version() == Version::HTTP_2 && request.extensions().get::<hyper::ext::Protocol>().is_some();
    #[cfg(not(feature = "http2"))]
    {
        let _ = request;
        false
    }
}

#[cfg(test)]
mod tests {
    use equipoise_core::{EndpointSpec, PickRequest, Pool};

    use super::*;

    fn pointed(uri: &str, address: &str) -> Result<Request<()>, PointError> {
        let pool = Pool::default();
        pool.add(EndpointSpec::new(address), ()).expect("a valid endpoint");
        let lease = pool.pick(&PickRequest::new()).expect("it is up");
        let mut request = Request::builder().uri(uri).body(()).expect("a valid request");
        request.point_at(lease.endpoint())?;
        Ok(request)
    }

    #[test]
    fn path_and_query_stay() {
        for (uri, address, expected) in [
            ("/a?b=c", "10.0.0.1:80", "http://10.0.0.1:80/a?b=c"),
            ("http://orders/a", "10.0.0.1:80", "http://10.0.0.1:80/a"),
            ("/a", "https://orders", "https://orders/a"),
            ("https://orders", "10.0.0.1:443", "https://10.0.0.1:443/"),
            ("http://orders/", "https://[::1]:8443/", "https://[::1]:8443/"),
            ("/a", "HTTPS://orders", "https://orders/a"),
            ("/a", "Http://orders:8080", "http://orders:8080/a"),
            ("*", "10.0.0.1:80", "http://10.0.0.1:80*"),
        ] {
            let request = pointed(uri, address);
            assert_eq!(request.map(|request| request.uri().to_string()).as_deref(), Ok(expected), "{uri} at {address}");
        }
    }

    #[test]
    fn the_endpoint_sees_the_name_that_was_asked_for() {
        let request = pointed("http://orders:8080/a", "10.0.0.1:80").expect("a valid address");
        assert_eq!(request.headers()[HOST], "orders:8080");
        assert!(!pointed("/a", "10.0.0.1:80").expect("a valid address").headers().contains_key(HOST));
    }

    #[test]
    fn user_and_password_are_not_part_of_the_host() {
        for (authority, host) in [
            ("user:secret@orders:8080", "orders:8080"),
            ("user@orders", "orders"),
            ("@orders", "orders"),
            ("user:secret@[::1]:8080", "[::1]:8080"),
            ("user:p%40ss@orders", "orders"),
        ] {
            let request = pointed(&format!("http://{authority}/a"), "10.0.0.1:80").expect("a valid address");
            assert_eq!(request.headers()[HOST], host, "{authority}");
            assert_eq!(request.uri(), "http://10.0.0.1:80/a");
        }
    }

    #[test]
    fn an_address_that_is_not_one_of_http_is_refused() {
        for address in [
            "10.0.0.1:80/path",
            "http://",
            "http://a b c/",
            "unix:///run/app.sock",
            "http://me@a",
            "a",
            "no such thing",
            "://x",
            "ftp://a:80",
            "http://a:80//",
            "me:secret@a:80",
            "10.0.0.1:99999",
            "10.0.0.1:0",
            "10.0.0.1:",
            "10.0.0.1",
            "[::1]",
        ] {
            assert_eq!(check(address).expect_err(address).address(), address);
        }
    }
}
