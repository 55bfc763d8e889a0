use std::{borrow::Cow, fmt, net::Ipv6Addr};

/// The parts of an endpoint's address: scheme, user information, host, port and path. All crates of this project parse
/// addresses with this type.
///
/// Three forms of addresses can be parsed:
///
/// | form | examples |
/// | --- | --- |
/// | host and port | `10.0.0.7:8080`, `orders.internal:80`, `[::1]:80`, `[fe80::1%eth0]:80` |
/// | host alone | `orders.internal`, `10.0.0.7`, `[::1]`, `::1` |
/// | URL | `http://orders`, `HTTPS://[::1]:8443/api`, `unix:///run/app.sock` |
///
/// The case of schemes does not matter (RFC 3986, section 3.1). A pool also accepts addresses of other forms: see
/// [`EndpointSpec::new`](crate::EndpointSpec::new).
///
/// ```
/// use equipoise_core::Address;
///
/// let address = Address::parse("HTTPS://orders/")?;
/// assert!(address.has_scheme("https"));
/// assert_eq!((address.host(), address.port(), address.known_port()), ("orders", None, Some(443)));
///
/// let error = Address::parse("http://a b c/").unwrap_err();
/// assert_eq!(error.to_string(), r#""http://a b c/" is not a usable address: there is white space in its host"#);
/// # Ok::<(), equipoise_core::InvalidAddress>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    scheme: Option<&'a str>,
    userinfo: Option<&'a str>,
    host: &'a str,
    is_ipv6: bool,
    port: Option<u16>,
    rest: &'a str,
}

const PORT: &str = "its port is not a number from 1 to 65535";

impl<'a> Address<'a> {
    /// Parses an address, in time linear in its length.
    ///
    /// # Errors
    ///
    /// - The scheme, the host or the port is invalid.
    /// - The host is missing. Exception: a URL without a host is valid if it has a path and no port, and its scheme has
    ///   no [default port](Self::known_port). Example: `unix:///run/app.sock`.
    pub fn parse(address: &'a str) -> Result<Self, InvalidAddress> {
        let refuse = |reason: &'static str| InvalidAddress::new(address).because(reason);
        let (scheme, hierarchy) = match address.split_once("://") {
            Some((scheme, _)) if !is_scheme(scheme) => {
                return Err(refuse(
                    "\"://\" follows a scheme, such as http: a letter, then letters, digits, +, - or .",
                ));
            }
            Some((scheme, hierarchy)) => (Some(scheme), hierarchy),
            None => (None, address),
        };
        let (authority, rest) = hierarchy.split_at(hierarchy.find(['/', '?', '#']).unwrap_or(hierarchy.len()));
        let (userinfo, host_and_port) = match authority.rsplit_once('@') {
            Some((userinfo, host_and_port)) => (Some(userinfo), host_and_port),
            None => (None, authority),
        };
        let (host, port) = match host_and_port.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) = bracketed.split_once(']').ok_or_else(|| refuse("\"[\" without \"]\""))?;
                if !is_ipv6(host) {
                    return Err(refuse("what is in the brackets is not an IPv6 address"));
                }
                match after.strip_prefix(':') {
                    _ if after.is_empty() => (host, None),
                    Some(port) => (host, Some(port)),
                    None => return Err(refuse("after \"]\" comes \":\" and the port, or nothing")),
                }
            }
            // IPv6 without brackets has no port, because a port would look like the last group.
            None if is_ipv6(host_and_port) => (host_and_port, None),
            None => match host_and_port.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (host_and_port, None),
            },
        };
        if host.contains(char::is_whitespace) {
            return Err(refuse("there is white space in its host"));
        }
        if host.contains(|c: char| c.is_control() || "\"<>[]\\^`{|}".contains(c)) {
            return Err(refuse("its host has a character that no host has"));
        }
        let port = match port {
            None => None,
            // RFC 3986, section 3.2.3: an empty port in a URL means that there is none.
            Some("") if scheme.is_some() => None,
            Some(port) => Some(read_port(port).ok_or_else(|| refuse(PORT))?),
        };
        let parsed = Self { scheme, userinfo, host, is_ipv6: is_ipv6(host), port, rest };
        let hostless = scheme.is_some() && parsed.known_port().is_none() && port.is_none() && rest.len() > 1;
        if host.is_empty() && !hostless {
            return Err(refuse("it has no host"));
        }
        Ok(parsed)
    }

    /// Returns the scheme of the address as it is written, such as `HTTPS`. `None` if the address is not a URL.
    pub fn scheme(&self) -> Option<&'a str> {
        self.scheme
    }

    /// Returns whether the address is a URL whose scheme is `scheme`. Upper and lower case do not matter.
    pub fn has_scheme(&self, scheme: &str) -> bool {
        self.scheme.is_some_and(|own| own.eq_ignore_ascii_case(scheme))
    }

    /// Returns the text before `@` in the address: a user name, or a user name and a password. `None` if there is no
    /// `@`.
    pub fn userinfo(&self) -> Option<&'a str> {
        self.userinfo
    }

    /// Returns the host of the address. An IPv6 address is returned without brackets, but with its zone if there is
    /// one, as in `fe80::1%eth0`. The host is empty for URLs without a host, such as `unix:///run/app.sock`.
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// Returns whether the host is an IPv6 address. To write a port after such a host, put the host in brackets.
    pub fn is_ipv6(&self) -> bool {
        self.is_ipv6
    }

    /// Returns the port that is written in the address, from 1 to 65535. `None` if there is no port.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Returns the port that is written in the address. If there is none, returns the default port of the scheme: 80
    /// for `http` and `ws`, 443 for `https` and `wss`. `None` if there is no port and the scheme has no default port.
    pub fn known_port(&self) -> Option<u16> {
        let schemes = [("http", 80), ("https", 443), ("ws", 80), ("wss", 443)];
        let of_scheme = || schemes.into_iter().find(|(scheme, _)| self.has_scheme(scheme)).map(|(_, port)| port);
        self.port.or_else(of_scheme)
    }

    /// Returns the path, the query and the fragment of the address as they are written. Empty if the address has none.
    pub fn path_query_and_fragment(&self) -> &'a str {
        self.rest
    }
}

/// Checks the parts of an address that do not depend on the transport. A text that looks neither like a host with a
/// port nor like a URL is accepted, because only the endpoint's target knows its form.
pub(super) fn check(address: &str) -> Result<(), InvalidAddress> {
    let refuse = |reason: &'static str| Err(InvalidAddress::new(address).because(reason));
    if address.is_empty() {
        return refuse("it is empty: use host:port or a URL; where none is needed, the endpoint's id will do");
    }
    if address.contains(char::is_control) {
        return refuse("there is a control character in it");
    }
    // File names may contain spaces and other characters.
    if address.starts_with(['/', '.']) || address.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("unix:")) {
        return Ok(());
    }
    if address.contains("://") {
        return Address::parse(address).map(drop);
    }
    if address.contains(char::is_whitespace) {
        return refuse("there is white space in it: use host:port or a URL; other texts, such as shard-7, have none");
    }
    let is_host_and_port = match address.rsplit_once(':') {
        _ if address.starts_with('[') => true,
        // Other texts with a colon are names of another kind.
        Some((host, port)) => !host.contains([':', '/']) && port.bytes().all(|byte| byte.is_ascii_digit()),
        None => false,
    };
    if is_host_and_port { Address::parse(address).map(drop) } else { Ok(()) }
}

fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// Returns whether the text is an IPv6 address, with or without a zone (`fe80::1%eth0`).
fn is_ipv6(host: &str) -> bool {
    host.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

fn read_port(digits: &str) -> Option<u16> {
    // Rust's parser would accept a sign.
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|&port| plain && port > 0)
}

/// The error for an address that cannot be used. It contains the address and the reason. Its `Display` text is a
/// sentence with both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidAddress {
    address: String,
    reason: Option<Cow<'static, str>>,
}

impl InvalidAddress {
    /// Creates the error for this address, without a reason. Add the reason with [`because`](Self::because).
    pub fn new(address: impl Into<String>) -> Self {
        Self { address: address.into(), reason: None }
    }

    /// Sets the reason why the address cannot be used. The reason should begin in lower case, because it is the end of
    /// the error's text, as in `"a b" is not a usable address: there is white space in it`. Default: no reason.
    #[must_use]
    pub fn because(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Returns the address that cannot be used, as it was given.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Returns the reason why the address cannot be used. `None` if no reason was set.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl fmt::Display for InvalidAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is not a usable address", self.address)?;
        match &self.reason {
            Some(reason) => write!(f, ": {reason}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for InvalidAddress {}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_into_its_parts() {
        for (address, scheme, host, port, rest) in [
            ("10.0.0.1:80", None, "10.0.0.1", Some(80), ""),
            ("orders", None, "orders", None, ""),
            ("[::1]:80", None, "::1", Some(80), ""),
            ("[fe80::1%eth0]:80", None, "fe80::1%eth0", Some(80), ""),
            ("::1", None, "::1", None, ""),
            ("HTTPS://orders", Some("HTTPS"), "orders", None, ""),
            ("http://me:secret@a:81/path:9?x#y", Some("http"), "a", Some(81), "/path:9?x#y"),
            ("http://a?x=b:1", Some("http"), "a", None, "?x=b:1"),
            ("http://a:/", Some("http"), "a", None, "/"),
            ("git+ssh://[::1]:22", Some("git+ssh"), "::1", Some(22), ""),
            ("unix:///run/app.sock", Some("unix"), "", None, "/run/app.sock"),
        ] {
            let parsed = Address::parse(address).unwrap_or_else(|error| panic!("{error}"));
            let parts = (parsed.scheme(), parsed.host(), parsed.port(), parsed.path_query_and_fragment());
            assert_eq!(parts, (scheme, host, port, rest), "{address}");
        }
        assert_eq!(Address::parse("http://me:secret@a").unwrap().userinfo(), Some("me:secret"));
    }

    #[test]
    fn a_scheme_is_one_in_whatever_case() {
        for address in ["https://a", "HTTPS://a", "Https://a"] {
            let parsed = Address::parse(address).unwrap();
            assert!(parsed.has_scheme("https") && parsed.known_port() == Some(443), "{address}");
        }
    }

    #[test]
    fn what_has_no_parts_is_refused_with_its_reason() {
        for (address, reason) in [
            ("", "no host"),
            ("http://", "no host"),
            ("http:///x", "no host"),
            ("http://@/", "no host"),
            ("HTTP://:80", "no host"),
            ("unix:///", "no host"),
            (":80", "no host"),
            ("://x", "scheme"),
            ("1a://x", "scheme"),
            ("a b://x", "scheme"),
            ("http://a b c/", "white space"),
            ("http://a\u{a0}b", "white space"),
            ("http://a<b", "character"),
            ("http://a:x", "port"),
            ("http://a:0", "port"),
            ("http://a:65536", "port"),
            ("http://a:+80", "port"),
            ("a:", "port"),
            ("a:b:c", "port"),
            ("[::1", "\"]\""),
            ("[x]:80", "IPv6"),
            ("[::1]80", "after \"]\""),
        ] {
            let error = Address::parse(address).expect_err(address);
            assert_eq!(error.address(), address);
            assert!(error.reason().is_some_and(|said| said.contains(reason)), "{error}");
        }
    }

    #[test]
    fn a_pool_refuses_only_what_no_transport_can_use() {
        for address in [
            "a",
            "a:80",
            "shard-7",
            "shard=1",
            "redis:main",
            "a:b:c",
            "::1",
            "unix:/run/my app.sock",
            "/run/my app.sock",
            "./app.sock",
            "UNIX:///tmp/x y",
            "10.0.0.1:80/path",
            "tcp://a:1",
            "memory://x",
            "dns:///orders",
            "münchen:80",
        ] {
            assert_eq!(check(address), Ok(()), "{address}");
        }
        for address in
            ["", "a b", " a", "a\n", "http://a b c/", "http://", ":80", "a:", "a:0", "a:99999", "[::1", "[::1]x", "://"]
        {
            assert_eq!(check(address).expect_err(address).address(), address);
        }
    }
}
