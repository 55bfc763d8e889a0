#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "forward", feature = "tcp", feature = "udp"))]
mod attempts;
mod body;
pub mod check;
#[cfg_attr(not(feature = "full"), allow(dead_code))]
mod counter;
pub mod error;
#[cfg(feature = "forward")]
#[cfg_attr(docsrs, doc(cfg(feature = "forward")))]
pub mod forward;
pub mod headers;
#[cfg(feature = "listen")]
#[cfg_attr(docsrs, doc(cfg(feature = "listen")))]
pub mod listen;
#[cfg(feature = "proxy-protocol")]
#[cfg_attr(docsrs, doc(cfg(feature = "proxy-protocol")))]
pub mod proxy_protocol;
mod relay;
pub mod route;
mod seen;
#[cfg(feature = "server")]
#[cfg_attr(docsrs, doc(cfg(feature = "server")))]
pub mod server;
mod service;
#[cfg(feature = "sni")]
#[cfg_attr(docsrs, doc(cfg(feature = "sni")))]
pub mod sni;
#[cfg(feature = "tcp")]
#[cfg_attr(docsrs, doc(cfg(feature = "tcp")))]
pub mod tcp;
mod timing;
#[cfg(feature = "tls")]
#[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
pub mod tls;
mod tunnel;
#[cfg(feature = "udp")]
#[cfg_attr(docsrs, doc(cfg(feature = "udp")))]
pub mod udp;

pub use crate::{
    body::{ProxyBody, ProxyBodyError, RequestBody, RequestBodyError, Timeouts},
    error::ProxyError,
    service::{Failed, ProxyFuture, ReverseProxy, ReverseProxyLayer},
    tunnel::{TunnelEnd, Tunnels},
};

/// Helpers for the other crates of this project. They are not part of the public interface and may change in any
/// version.
#[doc(hidden)]
pub mod __private {
    use std::borrow::Cow;

    use equipoise_tower::RequestHead;
    use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, StatusCode};

    use crate::{
        check, headers,
        route::{self, Redirect},
    };

    pub use crate::service::{LateResponse, Unanswered, refuse_invalid};

    /// Returns the path with which patterns are compared: ASCII is decoded, repeated slashes are one, and `.` and `..` are
    /// resolved.
    pub fn normalized_path(path: &str) -> Cow<'_, str> {
        route::normalized(path)
    }

    /// Returns the segments of a path after `.`, `..` and empty segments were resolved, without decoding them. The last one
    /// is empty if the path ends with a slash.
    pub fn resolved_segments(path: &str) -> Vec<&str> {
        route::resolved(path)
    }

    /// Returns whether servers disagree about the segments of a path: it contains an encoded slash, a backslash, or `;`
    /// after `.`, `..` or nothing.
    pub fn is_ambiguous_path(path: &str) -> bool {
        route::is_ambiguous(path)
    }

    /// Returns the path without what follows a `;` in each segment.
    pub fn path_without_parameters(path: &str) -> String {
        route::without_parameters(path)
    }

    /// Changes the path of a request. The query stays. Returns false if the new path is not valid.
    pub fn set_path<B>(request: &mut Request<B>, path: &str) -> bool {
        route::set_path(request, path)
    }

    /// Removes the fields whose names fulfil a condition.
    pub fn remove_where(headers: &mut HeaderMap, is_removed: impl Fn(&HeaderName) -> bool) {
        headers::remove_where(headers, is_removed);
    }

    /// Returns the scheme that the client used: the one that a trusted proxy reported, or else that of the connection.
    pub fn client_scheme(extensions: &Extensions) -> &'static str {
        headers::client_scheme(extensions)
    }

    /// Returns the host in a text of the form `host` or `host:port`, as it was written. `None` if it is neither an address
    /// nor a name.
    pub fn host_of(text: &[u8]) -> Option<&str> {
        check::host_and_port(text).map(|parsed| parsed.host)
    }

    /// Returns the authority that the client asked for: the `Host` with which the request came, or the authority of its
    /// target.
    fn asked_authority(head: RequestHead<'_>) -> Option<&[u8]> {
        match headers::OriginalHost::of(head.headers, head.extensions) {
            Some(host) => Some(host.as_bytes()),
            None => Some(head.uri.authority()?.as_str().as_bytes()),
        }
    }

    /// Returns the host that the client asked for: that of the `Host` with which the request came, or of its target.
    pub fn asked_for(head: RequestHead<'_>) -> Option<&str> {
        host_of(asked_authority(head)?)
    }

    /// Returns whether the client asked for this authority. One without a port has the default one of the client's scheme.
    pub fn is_asked_for(head: RequestHead<'_>, authority: &[u8]) -> bool {
        let default_port = if client_scheme(head.extensions) == "https" { 443 } else { 80 };
        let parsed = asked_authority(head).and_then(check::host_and_port).zip(check::host_and_port(authority));
        parsed.is_some_and(|(asked, other)| asked.is_same(&other, default_port))
    }

    /// Returns what is wrong with a redirect. `has_prefix` is whether it belongs to a prefix of the path.
    pub fn check_redirect(redirect: &Redirect, has_prefix: bool) -> Result<(), &'static str> {
        redirect.check(has_prefix)
    }

    /// Returns the status of a redirect.
    pub fn redirect_status(redirect: &Redirect) -> StatusCode {
        redirect.status_code()
    }

    /// Returns the location of a redirect for a request, if its path and its query were `path` and `query`. `segments` is
    /// the number of segments that a new prefix replaces. `None` if the location needs a host, and the request has none.
    pub fn redirect_location<B>(
        redirect: &Redirect,
        request: &Request<B>,
        segments: usize,
        path: &str,
        query: Option<&str>,
    ) -> Option<HeaderValue> {
        redirect.location_with(request, segments, path, query)
    }
}
