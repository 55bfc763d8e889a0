//! The fields of spans by the semantic conventions of OpenTelemetry for HTTP and gRPC.

use equipoise_core::Address;
use equipoise_tower::{__private::is_grpc, RequestHead};
use http::{HeaderMap, Method, Version, header::HOST, uri::Authority};

/// How URLs are recorded.
#[derive(Clone, Debug, Default)]
pub(super) struct UrlSettings {
    /// The scheme of requests whose URI has none.
    pub(super) scheme: Option<String>,
    /// Whether queries are recorded.
    pub(super) queries: bool,
}

/// The fields that the spans of a request share.
#[derive(Debug, Default)]
pub(super) struct Described {
    /// The name of the spans: the method of HTTP, or the method of gRPC with its service. `None` for other requests.
    pub(super) name: Option<String>,
    pub(super) method: Option<&'static str>,
    /// The method as it was sent, if it is not one of the known ones.
    pub(super) method_original: Option<String>,
    pub(super) protocol_version: Option<&'static str>,
    pub(super) scheme: Option<String>,
    pub(super) path: Option<String>,
    /// The query without `?`. `None` unless queries are recorded.
    pub(super) query: Option<String>,
    pub(super) server: Server,
    /// The service and the method of a call of gRPC.
    pub(super) rpc_method: Option<String>,
}

/// The host and the port to which a request is sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) address: Option<String>,
    pub(super) port: Option<u16>,
    scheme: Option<String>,
    /// The host and the port in a URL.
    authority: Option<String>,
}

impl Server {
    /// Returns the server at the address of an endpoint. User names and passwords in it are left out.
    pub(super) fn of_endpoint(address: &str) -> Self {
        let Ok(parsed) = Address::parse(address) else { return Self::default() };
        let (host, scheme) = (parsed.host(), parsed.scheme());
        if host.is_empty() {
            // A Unix socket.
            let path = parsed.path_query_and_fragment();
            return Self { address: Some(path.trim_start_matches("//").to_owned()), ..Self::default() };
        }
        let bracketed = if parsed.is_ipv6() { format!("[{host}]") } else { host.to_owned() };
        let authority = match parsed.port() {
            Some(port) => format!("{bracketed}:{port}"),
            None => bracketed,
        };
        Self {
            address: Some(host.to_owned()),
            port: parsed.known_port(),
            scheme: scheme.map(str::to_ascii_lowercase),
            authority: Some(authority),
        }
    }

    fn of_request(head: &RequestHead<'_>) -> Self {
        let host = || head.headers.get(HOST)?.to_str().ok()?.parse::<Authority>().ok();
        let Some(authority) = head.uri.authority().cloned().or_else(host) else { return Self::default() };
        let host = authority.host();
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let written = match authority.port_u16() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Self {
            address: Some(bare.to_owned()),
            port: authority.port_u16(),
            scheme: head.uri.scheme_str().map(str::to_owned),
            authority: Some(written),
        }
    }
}

impl Described {
    /// Describes a request of HTTP or gRPC.
    pub(super) fn of(head: &RequestHead<'_>, settings: &UrlSettings) -> Self {
        let server = Server::of_request(head);
        if is_grpc(head.headers) {
            let method = head.uri.path().trim_start_matches('/').to_owned();
            return Self { name: Some(method.clone()), rpc_method: Some(method), server, ..Self::default() };
        }
        let (method, known) = match known(head.method) {
            Some(method) => (method, true),
            None => ("_OTHER", false),
        };
        Self {
            name: Some(if known { method } else { "HTTP" }.to_owned()),
            method: Some(method),
            method_original: (!known).then(|| head.method.to_string()),
            protocol_version: version(head.version),
            scheme: server.scheme.clone().or_else(|| settings.scheme.as_deref().map(str::to_owned)),
            path: Some(head.uri.path().to_owned()),
            query: settings.queries.then(|| head.uri.query().map(str::to_owned)).flatten(),
            server,
            rpc_method: None,
        }
    }

    /// Returns the URL of the request at `server`. `None` if a part of it is not known.
    pub(super) fn url(&self, server: &Server) -> Option<String> {
        let scheme = server.scheme.as_deref().or(self.scheme.as_deref())?;
        let (authority, path) = (server.authority.as_deref()?, self.path.as_deref()?);
        // The path of `OPTIONS *` and of `CONNECT` is no path of a URL.
        let path = if path.starts_with('/') { path } else { "" };
        Some(match &self.query {
            Some(query) => format!("{scheme}://{authority}{path}?{query}"),
            None => format!("{scheme}://{authority}{path}"),
        })
    }

    pub(super) fn is_grpc(&self) -> bool {
        self.rpc_method.is_some()
    }
}

/// Returns the method if it is one of the known ones, which are the only values of `http.request.method`.
fn known(method: &Method) -> Option<&'static str> {
    Some(match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::CONNECT => "CONNECT",
        Method::OPTIONS => "OPTIONS",
        Method::TRACE => "TRACE",
        Method::PATCH => "PATCH",
        _ if method.as_str() == "QUERY" => "QUERY",
        _ => return None,
    })
}

fn version(version: Version) -> Option<&'static str> {
    Some(match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => return None,
    })
}

/// Whether a span describes a request that was received or one that was sent. The two have different errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SpanKind {
    Server,
    Client,
}

impl SpanKind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    /// Returns whether a response with this status is an error.
    pub(super) fn is_http_error(self, status: u16) -> bool {
        status >= if self == Self::Server { 500 } else { 400 }
    }

    /// Returns whether a response with this status of gRPC is an error.
    pub(super) fn is_grpc_error(self, status: &str) -> bool {
        const OF_SERVERS: [&str; 6] =
            ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];
        status != "OK" && (self == Self::Client || OF_SERVERS.contains(&status))
    }
}

/// Returns the status of a call of gRPC as the conventions name it. `None` if these fields do not have one.
pub(super) fn grpc_status(fields: &HeaderMap) -> Option<&'static str> {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let code = fields.get("grpc-status")?.to_str().ok().and_then(|code| code.trim().parse().ok());
    // gRPC: a client treats a code that it does not know as UNKNOWN.
    Some(code.and_then(|code: usize| NAMES.get(code).copied()).unwrap_or("UNKNOWN"))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn described(request: &Request<()>, settings: &UrlSettings) -> Described {
        Described::of(&RequestHead::of(request), settings)
    }

    #[test]
    fn a_url_has_no_query_and_no_user_unless_queries_are_wanted() {
        let request = Request::get("https://me:secret@[::1]:8443/a?token=secret").body(()).unwrap();
        let without = described(&request, &UrlSettings::default());
        assert_eq!(without.url(&without.server).as_deref(), Some("https://[::1]:8443/a"));
        assert_eq!((without.server.address.as_deref(), without.server.port), (Some("::1"), Some(8443)));
        let with = described(&request, &UrlSettings { queries: true, ..UrlSettings::default() });
        assert_eq!(with.url(&with.server).as_deref(), Some("https://[::1]:8443/a?token=secret"));
    }

    #[test]
    fn the_url_of_an_attempt_has_the_address_of_the_endpoint() {
        let request = Request::get("/a").header("host", "shop.example").body(()).unwrap();
        let described = described(&request, &UrlSettings { scheme: Some("https".into()), ..UrlSettings::default() });
        assert_eq!(described.url(&described.server).as_deref(), Some("https://shop.example/a"));
        let url = |address| described.url(&Server::of_endpoint(address));
        assert_eq!(url("10.0.0.1:80").as_deref(), Some("https://10.0.0.1:80/a"));
        assert_eq!(url("http://me:secret@b:81/base").as_deref(), Some("http://b:81/a"));
        assert_eq!(url("[::1]:80").as_deref(), Some("https://[::1]:80/a"));
        assert_eq!(url("unix:///run/app.sock"), None);
        assert_eq!(Server::of_endpoint("unix:///run/app.sock").address.as_deref(), Some("/run/app.sock"));
        assert_eq!(Server::of_endpoint("http://b").port, Some(80));
    }

    #[test]
    fn a_method_that_is_not_known_does_not_name_spans() {
        let request = Request::builder().method("EVIL").uri("/").body(()).unwrap();
        let of = described(&request, &UrlSettings::default());
        assert_eq!((of.name.as_deref(), of.method), (Some("HTTP"), Some("_OTHER")));
        assert_eq!(of.method_original.as_deref(), Some("EVIL"));
    }

    #[test]
    fn a_call_of_grpc_has_the_fields_of_grpc_and_none_of_http() {
        let request = Request::post("http://a/shop.Orders/Get").header("content-type", "application/grpc+proto");
        let of = described(&request.body(()).unwrap(), &UrlSettings::default());
        assert_eq!(of.rpc_method.as_deref(), Some("shop.Orders/Get"));
        assert_eq!(of.name, of.rpc_method);
        assert_eq!((of.method, of.path), (None, None));
    }

    #[test]
    fn statuses_are_errors_by_the_side_that_sees_them() {
        assert!(SpanKind::Client.is_http_error(404) && !SpanKind::Server.is_http_error(404));
        assert!(SpanKind::Server.is_http_error(500) && !SpanKind::Client.is_http_error(399));
        assert!(SpanKind::Client.is_grpc_error("NOT_FOUND") && !SpanKind::Server.is_grpc_error("NOT_FOUND"));
        assert!(SpanKind::Server.is_grpc_error("UNAVAILABLE") && !SpanKind::Client.is_grpc_error("OK"));
    }

    #[test]
    fn each_status_of_grpc_has_a_name_and_what_is_no_status_is_unknown() {
        let of = |value: &'static str| {
            grpc_status(&HeaderMap::from_iter([("grpc-status".parse().unwrap(), value.parse().unwrap())]))
        };
        assert_eq!([of("0"), of("5"), of("16")], [Some("OK"), Some("NOT_FOUND"), Some("UNAUTHENTICATED")]);
        assert_eq!([of("17"), of("x"), of("")], [Some("UNKNOWN"); 3]);
        assert_eq!(grpc_status(&HeaderMap::new()), None);
    }
}
