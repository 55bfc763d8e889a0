use std::{borrow::Cow, fmt};

use equipoise_core::{Address, EndpointId};

use super::ProbeError;

/// The endpoint that a probe examines: its id, its address and the port.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The id of the endpoint.
    pub id: EndpointId,
    /// The address of the endpoint, as in its [spec](equipoise_core::EndpointSpec): `host:port`, `[v6]:port` or a
    /// URL.
    pub address: String,
    /// The port that the probe examines, if [`Schedule::port`](crate::Schedule::port) sets one. `None` means the port
    /// of the address.
    pub port: Option<u16>,
}

impl Target {
    /// Creates a target with this id and address. Probes examine the port of the address.
    pub fn new(id: impl Into<EndpointId>, address: impl Into<String>) -> Self {
        Self { id: id.into(), address: address.into(), port: None }
    }

    /// Sets the port that probes examine. Range: 1 to 65 535. With 0, [`host_and_port`](Self::host_and_port) returns
    /// an error. Default: the port of the address.
    #[must_use]
    pub const fn with_port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Returns the host and the port that a probe connects to. The host is that of the address. The port is
    /// [`port`](Self::port) if it is set, and otherwise the port of the address. A URL without a port has the default
    /// port of its scheme, such as 443 for `https`.
    ///
    /// ```
    /// use equipoise_health::probe::Target;
    ///
    /// let target = Target::new("a", "https://[::1]/api");
    /// assert_eq!(target.host_and_port(), Ok(("::1".to_owned(), 443)));
    /// assert_eq!(target.with_port(8080).host_and_port(), Ok(("::1".to_owned(), 8080)));
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`ProbeError::Address`] if the address is invalid, if it has no host, or if the port is missing or 0.
    pub fn host_and_port(&self) -> Result<(String, u16), ProbeError> {
        let address = self.parsed()?;
        match self.port.or(address.known_port()) {
            Some(0) => Err(self.refuse("there is no port 0")),
            Some(port) => Ok((address.host().to_owned(), port)),
            None => Err(self.refuse("it has no port: give it one, or give the check one")),
        }
    }

    pub(super) fn parsed(&self) -> Result<Address<'_>, ProbeError> {
        let parsed = Address::parse(&self.address);
        let parsed = parsed.map_err(|error| self.refuse(error.reason().unwrap_or_default().to_owned()))?;
        if parsed.host().is_empty() { Err(self.refuse("it has no host")) } else { Ok(parsed) }
    }

    pub(super) fn refuse(&self, reason: impl Into<Cow<'static, str>>) -> ProbeError {
        ProbeError::Address { address: self.address.clone(), reason: reason.into() }
    }
}

/// Writes the id of the endpoint, followed by its address in parentheses.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.id, self.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(address: &str, port: Option<u16>) -> Target {
        Target { id: "a".into(), address: address.into(), port }
    }

    fn at(address: &str, port: Option<u16>) -> Option<(String, u16)> {
        target(address, port).host_and_port().ok()
    }

    fn is(host: &str, port: u16) -> Option<(String, u16)> {
        Some((host.to_owned(), port))
    }

    #[test]
    fn host_and_port_are_those_of_the_address() {
        assert_eq!(at("10.0.0.1:80", None), is("10.0.0.1", 80));
        assert_eq!(at("db.internal:5432", None), is("db.internal", 5432));
        assert_eq!(at("[::1]:80", None), is("::1", 80));
        assert_eq!(at("[fe80::1%eth0]:80", None), is("fe80::1%eth0", 80));
        assert_eq!(at("tcp://a:1", None), is("a", 1));
        assert_eq!(at("http://user:secret@a:81/path:9?x#y", None), is("a", 81));
        assert_eq!(at("http://a?x=b:1", None), is("a", 80));
    }

    #[test]
    fn a_url_without_a_port_has_its_schemes() {
        assert_eq!(at("http://a/", None), is("a", 80));
        assert_eq!(at("HTTPS://a", None), is("a", 443));
        assert_eq!(at("wss://[::1]", None), is("::1", 443));
        assert_eq!(at("http://a:/", None), is("a", 80));
        assert_eq!(at("ftp://a", None), None);
    }

    #[test]
    fn a_port_for_checks_comes_first() {
        assert_eq!(at("a:80", Some(9)), is("a", 9));
        assert_eq!(at("a", Some(9)), is("a", 9));
        assert_eq!(at("::1", Some(9)), is("::1", 9));
        assert_eq!(at("https://a:444", Some(9)), is("a", 9));
    }

    #[test]
    fn what_cannot_be_reached_is_refused() {
        for address in [
            "",
            ":80",
            "a",
            "a:",
            "a:0",
            "a:-1",
            "a:+80",
            "a:65536",
            "a:80x",
            "a:b:c",
            "::1",
            "[::1",
            "[::1]",
            "[::1]80",
            "[x]:80",
            "http://",
            "http:///x",
            "http://@/",
            "a b:80",
            "unix:/tmp/x",
            "unix:///tmp/x",
        ] {
            let Err(ProbeError::Address { address: named, .. }) = target(address, None).host_and_port() else {
                panic!("{address:?} was accepted")
            };
            assert_eq!(named, address);
        }
        assert_eq!(at("a:80", Some(0)), None);
        assert_eq!(at("a:x", Some(9)), None, "a port that is none is refused even where another is used");
    }
}
