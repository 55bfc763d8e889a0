//! The address of an endpoint: where to connect, and what the `Host` header says by default.

use equipoise_core::{Address, InvalidAddress};
use http::uri::Authority;

/// A parsed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) place: Place,
    pub(crate) is_tls: bool,
    /// The host and port of the address, for requests that name no host themselves.
    pub(crate) authority: Authority,
}

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A host name or an IP address, without brackets.
    Tcp {
        /// The name or the address.
        host: String,
        /// The port.
        port: u16,
    },
    /// The path of a Unix socket.
    Unix {
        /// The path.
        path: String,
    },
}

impl Place {
    /// Reads the address of an endpoint that speaks any protocol: `host:port`, the same after `tcp://`, or the path of a
    /// Unix socket.
    ///
    /// # Errors
    ///
    /// [`InvalidAddress`] if it is none of these.
    pub fn parse(address: &str) -> Result<Self, InvalidAddress> {
        let refuse =
            |what: &str| InvalidAddress::new(address).because(format!("{what}: use host:port, or unix: with a path"));
        if let Some(path) = unix_path(address) {
            return if path.is_empty() {
                Err(refuse("it has no path"))
            } else {
                Ok(Self::Unix { path: path.to_owned() })
            };
        }
        let parsed = Address::parse(address)?;
        if parsed.scheme().is_some() && !parsed.has_scheme("tcp") {
            return Err(refuse("it has the scheme of a protocol"));
        }
        if parsed.userinfo().is_some() || !parsed.path_query_and_fragment().is_empty() {
            return Err(refuse("it has more than a host and a port"));
        }
        let port = parsed.port().ok_or_else(|| refuse("it has no port"))?;
        Ok(Self::Tcp { host: parsed.host().to_owned(), port })
    }
}

const VALID: &str = "use host:port, http:// or https:// with a host and no path, or unix: with a path";

impl Origin {
    pub(crate) fn parse(address: &str) -> Result<Self, InvalidAddress> {
        let refuse = |what: &str| InvalidAddress::new(address).because(format!("{what}: {VALID}"));
        if let Some(path) = unix_path(address) {
            if path.is_empty() {
                return Err(refuse("it has no path"));
            }
            let authority = Authority::from_static("localhost");
            return Ok(Self { place: Place::Unix { path: path.to_owned() }, is_tls: false, authority });
        }
        let parsed = Address::parse(address)?;
        let is_tls = match parsed.scheme() {
            None => false,
            _ if parsed.has_scheme("http") => false,
            _ if parsed.has_scheme("https") => true,
            Some(_) => return Err(refuse("its scheme is not one of HTTP")),
        };
        if is_tls && cfg!(not(feature = "tls")) {
            return Err(InvalidAddress::new(address).because("https needs the feature tls of equipoise-http"));
        }
        if parsed.userinfo().is_some() {
            return Err(refuse("it has a user or a password"));
        }
        if !matches!(parsed.path_query_and_fragment(), "" | "/") {
            return Err(refuse("it has a path"));
        }
        let port = parsed.known_port().ok_or_else(|| refuse("it has neither a port nor a scheme"))?;
        let host = if parsed.is_ipv6() { format!("[{}]", parsed.host()) } else { parsed.host().to_owned() };
        let authority = match parsed.port() {
            Some(port) => format!("{host}:{port}"),
            None => host,
        };
        let authority = authority.parse().map_err(|_| refuse("its host cannot stand in a URL"))?;
        Ok(Self { place: Place::Tcp { host: parsed.host().to_owned(), port }, is_tls, authority })
    }
}

/// Returns the path of an address of the form `unix:/path`, `unix:///path`, `/path` or `./path`.
fn unix_path(address: &str) -> Option<&str> {
    if address.starts_with(['/', '.']) {
        return Some(address);
    }
    let (scheme, rest) = address.split_at_checked(5)?;
    if !scheme.eq_ignore_ascii_case("unix:") {
        return None;
    }
    Some(rest.strip_prefix("//").unwrap_or(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_hosts_and_sockets_are_read() {
        for (address, place, authority) in [
            ("10.0.0.1:80", "10.0.0.1:80", "10.0.0.1:80"),
            ("http://orders", "orders:80", "orders"),
            ("http://orders:8080/", "orders:8080", "orders:8080"),
            ("http://[::1]:81", "::1:81", "[::1]:81"),
            ("unix:///run/app.sock", "/run/app.sock", "localhost"),
            ("unix:/run/my app.sock", "/run/my app.sock", "localhost"),
            ("/run/app.sock", "/run/app.sock", "localhost"),
            ("./app.sock", "./app.sock", "localhost"),
        ] {
            let origin = Origin::parse(address).unwrap_or_else(|error| panic!("{error}"));
            let shown = match origin.place {
                Place::Tcp { host, port } => format!("{host}:{port}"),
                Place::Unix { path } => path,
            };
            assert_eq!((shown.as_str(), origin.authority.as_str()), (place, authority), "{address}");
        }
    }

    #[cfg(feature = "tls")]
    #[test]
    fn https_means_tls() {
        let origin = Origin::parse("HTTPS://orders").unwrap();
        assert!(origin.is_tls && origin.place == Place::Tcp { host: "orders".into(), port: 443 });
    }

    #[test]
    fn addresses_of_any_protocol_are_read() {
        let tcp = |host: &str, port| Place::Tcp { host: host.to_owned(), port };
        assert_eq!(Place::parse("orders:5432"), Ok(tcp("orders", 5432)));
        assert_eq!(Place::parse("tcp://[::1]:81"), Ok(tcp("::1", 81)));
        assert_eq!(Place::parse("unix:/run/app.sock"), Ok(Place::Unix { path: "/run/app.sock".to_owned() }));
        for address in ["orders", "http://a:80", "me@a:80", "a:80/path", "a:0", "unix:", "", "a b:80"] {
            let error = Place::parse(address).expect_err(address);
            assert!(error.reason().is_some(), "{error}");
        }
    }

    #[test]
    fn what_http_cannot_use_is_refused() {
        for address in ["orders", "ftp://a:80", "http://me@a", "http://a/path", "a:0", "unix:", "", "a b:80"] {
            let error = Origin::parse(address).expect_err(address);
            assert!(error.reason().is_some(), "{error}");
        }
    }
}
