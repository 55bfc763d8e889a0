//! Gives the head of a request the form that its connection needs.

use http::{
    HeaderMap, HeaderValue, Method, Request, Uri, Version,
    header::{CONNECTION, HOST, TE, UPGRADE},
    uri::{Authority, PathAndQuery},
};
#[cfg(feature = "http2")]
use http::{header::EXPECT, uri::Scheme};

use crate::{error::Error, origin::Origin};

/// Refuses a CONNECT request that does not say where its tunnel leads to. Called before a connection is opened.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Error> {
    if *request.method() == Method::CONNECT && request.uri().authority().is_none() && !is_extended_connect(request) {
        return Err(Error::unsupported(
            "a CONNECT request needs a URI with the host and port that the tunnel leads to",
        ));
    }
    Ok(())
}

/// Returns whether a request asks for another protocol on its connection (RFC 9110, section 7.8). Only HTTP/1.1 has this.
pub(super) fn asks_to_upgrade<B>(request: &Request<B>) -> bool {
    request.headers().contains_key(UPGRADE)
}

/// Returns whether a CONNECT request asks for another protocol on one HTTP/2 stream (RFC 8441).
pub(super) fn is_extended_connect<B>(request: &Request<B>) -> bool {
    #[cfg(feature = "http2")]
    return request.extensions().get::<hyper::ext::Protocol>().is_some();
    #[cfg(not(feature = "http2"))]
    {
        let _ = request;
        false
    }
}

/// Prepares a request for an HTTP/1.1 connection: the target in origin form (RFC 9112, section 3.2.1), or in authority
/// form for CONNECT, and a `Host` header. A `Host` header that is there stays. `Connection` names `TE` if it is there.
pub(super) fn for_http1<B>(request: &mut Request<B>, origin: &Origin) -> Result<(), Error> {
    // RFC 9110, section 6.2: a client sends the version of its own connection.
    *request.version_mut() = Version::HTTP_11;
    let is_connect = *request.method() == Method::CONNECT;
    if !request.headers().contains_key(HOST) {
        let authority = request.uri().authority().unwrap_or(&origin.authority);
        let host = HeaderValue::from_str(without_userinfo(authority));
        let host = host.map_err(|_| Error::unsupported("the authority of its URI cannot be a Host header"))?;
        request.headers_mut().insert(HOST, host);
    }
    name_te(request.headers_mut());
    if is_connect {
        if is_extended_connect(request) {
            return Err(Error::unsupported("extended CONNECT needs HTTP/2, and the endpoint speaks HTTP/1.1"));
        }
        connect_target(request);
        return Ok(());
    }
    if request.uri().authority().is_some() || request.uri().scheme().is_some() {
        let path = request.uri().path_and_query().filter(|path| !path.as_str().is_empty()).cloned();
        *request.uri_mut() = Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/")));
    }
    Ok(())
}

/// The option of `Connection` that names `TE`.
const TE_OPTION: HeaderValue = HeaderValue::from_static("te");

/// Names `TE` in `Connection`, so that the next hop does not forward the field (RFC 9110, section 10.1.4).
fn name_te(headers: &mut HeaderMap) {
    let names_te = |line: &HeaderValue| {
        line.as_bytes().split(|byte| *byte == b',').any(|option| option.trim_ascii().eq_ignore_ascii_case(b"te"))
    };
    if headers.contains_key(TE) && !headers.get_all(CONNECTION).iter().any(names_te) {
        headers.append(CONNECTION, TE_OPTION);
    }
}

/// Prepares a request for an HTTP/2 connection: a URI with scheme and host, and no `Host` header (RFC 9113, section
/// 8.3.1). The host is that of a `Host` header, of the URI, or of the address. Removes `Expect`, because the body does not
/// wait.
#[cfg(feature = "http2")]
pub(super) fn for_http2<B>(request: &mut Request<B>, origin: &Origin) -> Result<(), Error> {
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().remove(EXPECT);
    if *request.method() == Method::CONNECT && !is_extended_connect(request) {
        request.headers_mut().remove(HOST);
        connect_target(request);
        return Ok(());
    }
    let headers = request.headers_mut();
    // hyper would remove `TE` if `Connection` names it. It does if the request was prepared for HTTP/1.1 before.
    if headers.contains_key(TE) && headers.contains_key(CONNECTION) {
        let names_only_te = |line: &&HeaderValue| line.as_bytes().trim_ascii().eq_ignore_ascii_case(b"te");
        let others: Vec<_> = headers.get_all(CONNECTION).iter().filter(|line| !names_only_te(line)).cloned().collect();
        headers.remove(CONNECTION);
        for line in others {
            headers.append(CONNECTION, line);
        }
    }
    let host = headers.remove(HOST);
    let named = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    let authority = named.or(parts.authority).unwrap_or_else(|| origin.authority.clone());
    let host = without_userinfo(&authority);
    parts.authority = if host.len() == authority.as_str().len() { Some(authority) } else { host.parse().ok() };
    parts.scheme = Some(if origin.is_tls { Scheme::HTTPS } else { Scheme::HTTP });
    parts.path_and_query.get_or_insert_with(|| PathAndQuery::from_static("/"));
    let uri = Uri::from_parts(parts).map_err(|_| Error::unsupported("its host and path are not a URI"))?;
    *request.uri_mut() = uri;
    Ok(())
}

/// Makes the URI of a CONNECT request the host and port that the tunnel leads to.
fn connect_target<B>(request: &mut Request<B>) {
    if let Some(authority) = request.uri().authority().cloned() {
        *request.uri_mut() = Uri::from(authority);
    }
}

/// Returns the authority's host and port.
fn without_userinfo(authority: &Authority) -> &str {
    authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(method: Method, uri: &str) -> Result<(String, String), Error> {
        let origin = Origin::parse("10.0.0.1:80").expect("an address");
        let mut request = Request::builder().method(method).uri(uri).version(Version::HTTP_2).body(()).unwrap();
        for_http1(&mut request, &origin)?;
        assert_eq!(request.version(), Version::HTTP_11);
        Ok((request.uri().to_string(), request.headers()[HOST].to_str().unwrap().to_owned()))
    }

    #[test]
    fn the_target_is_the_path_and_the_host_that_of_the_uri() {
        for (uri, target, host) in [
            ("http://orders/a?b=c", "/a?b=c", "orders"),
            ("http://user:secret@orders:81", "/", "orders:81"),
            ("http://orders?b", "/?b", "orders"),
            ("/a", "/a", "10.0.0.1:80"),
            ("*", "*", "10.0.0.1:80"),
        ] {
            assert_eq!(prepared(Method::GET, uri).unwrap(), (target.to_owned(), host.to_owned()), "{uri}");
        }
    }

    #[test]
    fn connection_names_te_over_http1_only() {
        let origin = Origin::parse("10.0.0.1:80").expect("an address");
        let fields = |request: &Request<()>, name| -> Vec<String> {
            request.headers().get_all(name).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
        };
        for (connection, te, named) in [
            (None, Some("trailers"), &["te"][..]),
            (None, None, &[]),
            (Some("upgrade"), Some("trailers"), &["upgrade", "te"]),
            (Some("TE"), Some("trailers"), &["TE"]),
            (Some("close, TE"), Some("trailers"), &["close, TE"]),
        ] {
            let mut request = Request::new(());
            for (name, value) in [(CONNECTION, connection), (TE, te)] {
                if let Some(value) = value {
                    request.headers_mut().insert(name, HeaderValue::from_static(value));
                }
            }
            for_http1(&mut request, &origin).unwrap();
            assert_eq!(fields(&request, CONNECTION), named);
            // Another connection is tried after one that was closed.
            for_http1(&mut request, &origin).unwrap();
            assert_eq!(fields(&request, CONNECTION), named);
            #[cfg(feature = "http2")]
            if connection != Some("close, TE") {
                for_http2(&mut request, &origin).unwrap();
                assert_eq!(
                    fields(&request, CONNECTION),
                    connection.into_iter().filter(|line| *line == "upgrade").collect::<Vec<_>>()
                );
                assert_eq!(fields(&request, TE).len(), usize::from(te.is_some()));
            }
        }
    }

    #[test]
    fn connect_keeps_its_target() {
        let target = "db:5432".to_owned();
        assert_eq!(prepared(Method::CONNECT, "db:5432").unwrap(), (target.clone(), target));
        let request = Request::builder().method(Method::CONNECT).uri("/a").body(()).unwrap();
        assert!(matches!(check(&request), Err(Error::Unsupported(_))));
    }

    #[cfg(feature = "http2")]
    #[test]
    fn http2_has_no_host_and_no_expectation() {
        let origin = Origin::parse("10.0.0.1:80").expect("an address");
        let request = Request::post("/a").header(HOST, "orders").header(EXPECT, "100-continue");
        let mut request = request.body(()).unwrap();
        for_http2(&mut request, &origin).unwrap();
        assert_eq!((request.uri().to_string().as_str(), request.headers().len()), ("http://orders/a", 0));
    }
}
