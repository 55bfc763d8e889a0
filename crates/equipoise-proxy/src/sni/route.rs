use super::hello::ClientHello;
use crate::{
    check::server_name,
    route::{HostIndex, HostPattern},
};

/// Finds a value for a ClientHello.
#[derive(Clone, Debug)]
pub(super) struct Routes<T> {
    /// The protocols for all hosts.
    alpn: Vec<(Box<[u8]>, T)>,
    hosts: HostIndex,
    /// What the index of hosts refers to.
    by_host: Vec<ByAlpn<T>>,
    pub(super) unnamed: Option<T>,
    pub(super) otherwise: Option<T>,
    pub(super) other: Option<T>,
}

/// The values of one host.
#[derive(Clone, Debug)]
struct ByAlpn<T> {
    alpn: Vec<(Box<[u8]>, T)>,
    any: Option<T>,
}

/// Why a route was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidSniRoute {
    /// The host is not a name, and not `*.` with a name.
    #[error("{host:?} is not a server name: {reason}")]
    Host {
        /// The text that was refused.
        host: String,
        /// What would be valid.
        reason: &'static str,
    },
    /// A protocol has 1 to 255 bytes.
    #[error("{protocol:?} is not a protocol of ALPN: use 1 to 255 bytes, such as h2")]
    Alpn {
        /// The text that was refused.
        protocol: String,
    },
    /// There is a route for the same host and protocol.
    #[error("{route} has a target already: remove one of the two routes")]
    Duplicate {
        /// The host or the protocol, or both.
        route: String,
    },
}

impl<T> Routes<T> {
    pub(super) fn new() -> Self {
        Self {
            alpn: Vec::new(),
            hosts: HostIndex::new(),
            by_host: Vec::new(),
            unnamed: None,
            otherwise: None,
            other: None,
        }
    }

    /// Adds a value for a protocol.
    pub(super) fn alpn(&mut self, protocol: &str, value: T) -> Result<(), InvalidSniRoute> {
        add_alpn(&mut self.alpn, protocol, value, || protocol.to_owned())
    }

    /// Adds a value for a host, and for a protocol or for all of them.
    pub(super) fn host(&mut self, host: &str, protocol: Option<&str>, value: T) -> Result<(), InvalidSniRoute> {
        let invalid = |reason| InvalidSniRoute::Host { host: host.to_owned(), reason };
        let pattern = HostPattern::parse(host).map_err(invalid)?;
        let name = host.strip_prefix("*.").unwrap_or(host);
        if host != "*" && !matches!(server_name(name.as_bytes()), Some(Some(_))) {
            return Err(invalid("TLS clients ask for names only, not for IP addresses"));
        }
        let at = self.hosts.entry(&pattern, self.by_host.len());
        if at == self.by_host.len() {
            self.by_host.push(ByAlpn { alpn: Vec::new(), any: None });
        }
        let Some(values) = self.by_host.get_mut(at) else { return Ok(()) };
        match protocol {
            Some(protocol) => add_alpn(&mut values.alpn, protocol, value, || format!("{host} with {protocol}")),
            None if values.any.is_some() => Err(InvalidSniRoute::Duplicate { route: host.to_owned() }),
            None => {
                values.any = Some(value);
                Ok(())
            }
        }
    }

    /// Returns the value for a connection. `None` as the ClientHello is for a connection without TLS.
    pub(super) fn find(&self, hello: Option<&ClientHello>) -> Option<&T> {
        let Some(hello) = hello else { return self.other.as_ref() };
        if let Some(value) = by_alpn(&self.alpn, hello) {
            return Some(value);
        }
        match hello.server_name() {
            Some(name) => {
                let found = self.hosts.find(name).find_map(|at| {
                    let values = self.by_host.get(at)?;
                    by_alpn(&values.alpn, hello).or(values.any.as_ref())
                });
                found.or(self.otherwise.as_ref())
            }
            None => self.unnamed.as_ref().or(self.otherwise.as_ref()),
        }
    }
}

fn add_alpn<T>(
    routes: &mut Vec<(Box<[u8]>, T)>,
    protocol: &str,
    value: T,
    route: impl Fn() -> String,
) -> Result<(), InvalidSniRoute> {
    if !(1..=255).contains(&protocol.len()) {
        return Err(InvalidSniRoute::Alpn { protocol: protocol.to_owned() });
    }
    if routes.iter().any(|(other, _)| **other == *protocol.as_bytes()) {
        return Err(InvalidSniRoute::Duplicate { route: route() });
    }
    routes.push((protocol.as_bytes().into(), value));
    Ok(())
}

/// Returns the value of the first protocol in the client's order that has one.
fn by_alpn<'a, T>(routes: &'a [(Box<[u8]>, T)], hello: &ClientHello) -> Option<&'a T> {
    if routes.is_empty() {
        return None;
    }
    let mut protocols = hello.alpn();
    protocols.find_map(|protocol| routes.iter().find(|(known, _)| **known == *protocol).map(|(_, value)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(name: Option<&str>, alpn: &[&str]) -> ClientHello {
        ClientHello::of(name, alpn)
    }

    #[test]
    fn the_most_specific_name_counts() {
        let mut routes = Routes::new();
        for (host, value) in [("shop.example", 1), ("*.shop.example", 2), ("*.eu.shop.example", 3)] {
            routes.host(host, None, value).expect("valid");
        }
        let find = |name| routes.find(Some(&hello(Some(name), &[]))).copied();
        assert_eq!(find("shop.example"), Some(1));
        assert_eq!(find("a.shop.example"), Some(2));
        assert_eq!(find("a.b.shop.example"), Some(2));
        assert_eq!(find("a.eu.shop.example"), Some(3));
        assert_eq!(find("example"), None);
        assert_eq!(find("xshop.example"), None);
    }

    #[test]
    fn a_protocol_for_all_hosts_comes_first_and_that_of_a_host_before_its_others() {
        let mut routes = Routes::new();
        routes.alpn("acme-tls/1", 1).expect("valid");
        routes.host("a.example", Some("h2"), 2).expect("valid");
        routes.host("a.example", None, 3).expect("valid");
        routes.host("*.example", Some("h3"), 4).expect("valid");
        let find = |name, alpn: &[&str]| routes.find(Some(&hello(name, alpn))).copied();
        assert_eq!(find(Some("a.example"), &["h2", "acme-tls/1"]), Some(1));
        assert_eq!(find(None, &["acme-tls/1"]), Some(1));
        assert_eq!(find(Some("a.example"), &["http/1.1", "h2"]), Some(2));
        assert_eq!(find(Some("a.example"), &["http/1.1"]), Some(3));
        assert_eq!(find(Some("b.example"), &["h3"]), Some(4));
        assert_eq!(find(Some("b.example"), &["h2"]), None);
    }

    #[test]
    fn each_kind_of_connection_has_its_default() {
        let mut routes = Routes::new();
        routes.host("a", None, 1).expect("valid");
        assert_eq!(routes.find(None), None);
        assert_eq!(routes.find(Some(&hello(None, &[]))), None);
        routes.otherwise = Some(2);
        assert_eq!(routes.find(Some(&hello(Some("b"), &[]))), Some(&2));
        assert_eq!(routes.find(Some(&hello(None, &[]))), Some(&2));
        assert_eq!(routes.find(None), None);
        (routes.unnamed, routes.other) = (Some(3), Some(4));
        assert_eq!(routes.find(Some(&hello(None, &[]))), Some(&3));
        assert_eq!(routes.find(None), Some(&4));
    }

    #[test]
    fn routes_that_are_wrong_are_refused() {
        let mut routes = Routes::new();
        routes.host("A.example", Some("h2"), 1).expect("valid");
        let duplicate = |route: &str| Err(InvalidSniRoute::Duplicate { route: route.to_owned() });
        assert_eq!(routes.host("a.example.", Some("h2"), 2), duplicate("a.example. with h2"));
        routes.host("a.example", None, 1).expect("valid");
        assert_eq!(routes.host("a.example", None, 1), duplicate("a.example"));
        for host in ["", "a:443", "a.*", "https://a", "127.0.0.1", "[::1]", "müller.example"] {
            assert!(matches!(routes.host(host, None, 1), Err(InvalidSniRoute::Host { .. })), "{host}");
        }
        routes.alpn("h2", 1).expect("valid");
        assert_eq!(routes.alpn("h2", 1), duplicate("h2"));
        assert!(matches!(routes.alpn("", 1), Err(InvalidSniRoute::Alpn { .. })));
    }
}
