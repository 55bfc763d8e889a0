use std::{net::IpAddr, ops::RangeInclusive, sync::Arc};

use ipnet::IpNet;

use super::{
    destination::{Destination, Host},
    range::{is_open, leads_into},
};

/// The ports that a rule without ports opens for requests of HTTP, besides 80. Requests to other ports below could be
/// read as commands of another protocol, such as SMTP.
const FIRST_HTTP_PORT: u16 = 1024;

/// A rule about destinations: allow or deny, with conditions. A rule without conditions applies to all destinations.
///
/// | condition | default of `allow` | default of `deny` |
/// | --- | --- | --- |
/// | [`host`](Self::host) | every host | every host |
/// | [`port`](Self::port), [`ports`](Self::ports) | 443 for `CONNECT`; 80 and those from 1024 for requests of HTTP | every port |
/// | [`network`](Self::network) | the addresses of the public internet | every address |
/// | [`user`](Self::user) | every client | every client |
///
/// A condition that is set several times holds if one of its values does. All conditions of a rule must hold.
///
/// ```
/// use equipoise_proxy::forward::Rule;
///
/// let rules = [
///     Rule::deny().host("*.tracker.test")?.named("trackers"),
///     Rule::allow().host("git.internal")?.port(22).network("10.0.0.0/8")?.user("deploy"),
///     Rule::allow(),
/// ];
/// # drop(rules);
/// # Ok::<(), equipoise_proxy::forward::InvalidRule>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) allows: bool,
    pub(super) name: Option<Arc<str>>,
    hosts: Vec<HostPattern>,
    ports: Vec<RangeInclusive<u16>>,
    networks: Vec<IpNet>,
    users: Vec<Box<str>>,
}

/// Why a condition of a [`Rule`] is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRule {
    /// The text is no pattern of hosts.
    #[error(
        "{pattern:?} is no host: use a name such as app.test, *.app.test for all names below it, * for every host, or \
         an address such as 192.0.2.1 or [2001:db8::1]; names in other scripts have the form xn--…"
    )]
    Host {
        /// The text.
        pattern: String,
    },
    /// The text is no network.
    #[error("{network:?} is no network: use an address with the length of the prefix, such as 10.0.0.0/8")]
    Network {
        /// The text.
        network: String,
    },
    /// Bits of the address after the prefix are set.
    #[error("{network:?} is no network, because bits after the prefix are set: use {meant}")]
    HostBits {
        /// The text.
        network: String,
        /// The network that contains the address.
        meant: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum HostPattern {
    Any,
    Exact(Host),
    /// All names that end with this text, which begins with a dot.
    Below(Box<str>),
}

impl HostPattern {
    fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        match text.strip_prefix("*.") {
            Some(parent) => match Host::parse(parent)? {
                Host::Name(parent) => Some(Self::Below(format!(".{parent}").into())),
                Host::Address(_) => None,
            },
            None => {
                // An IPv6 address may come without brackets in a configuration.
                let address = text.parse::<IpAddr>().ok().map(Host::Address);
                address.or_else(|| Host::parse(text)).map(Self::Exact)
            }
        }
    }

    fn matches(&self, host: &Host) -> bool {
        match (self, host) {
            (Self::Any, _) => true,
            (Self::Exact(exact), host) => exact == host,
            // A name has no empty label, so there is one before the dot.
            (Self::Below(suffix), Host::Name(name)) => name.ends_with(&**suffix),
            (Self::Below(_), Host::Address(_)) => false,
        }
    }
}

/// What a client asks for, as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Access<'a> {
    destination: &'a Destination,
    is_connect: bool,
    user: Option<&'a str>,
}

impl<'a> Access<'a> {
    /// A tunnel, by the method `CONNECT`.
    pub const fn tunnel(destination: &'a Destination) -> Self {
        Self { destination, is_connect: true, user: None }
    }

    /// A request of HTTP.
    pub const fn http(destination: &'a Destination) -> Self {
        Self { destination, is_connect: false, user: None }
    }

    /// Sets the user that the client has proved to be. Default: none.
    #[must_use]
    pub const fn user(mut self, user: Option<&'a str>) -> Self {
        self.user = user;
        self
    }
}

impl Rule {
    /// Creates a rule that allows destinations. See the table above for what it allows by default.
    #[must_use]
    pub const fn allow() -> Self {
        Self::new(true)
    }

    /// Creates a rule that denies destinations: all of them, unless conditions are added.
    #[must_use]
    pub const fn deny() -> Self {
        Self::new(false)
    }

    const fn new(allows: bool) -> Self {
        Self { allows, name: None, hosts: Vec::new(), ports: Vec::new(), networks: Vec::new(), users: Vec::new() }
    }

    /// Adds hosts: one (`app.test`, `192.0.2.1`, `[2001:db8::1]`), all names below one (`*.app.test`, which contains
    /// `a.b.app.test` and not `app.test`), or every host (`*`).
    ///
    /// Names are compared with the text that the client sent, not with what a name resolves to. A rule that denies a
    /// name does not deny its addresses.
    ///
    /// # Errors
    ///
    /// [`InvalidRule::Host`].
    pub fn host(mut self, pattern: &str) -> Result<Self, InvalidRule> {
        let parsed = HostPattern::parse(pattern).ok_or_else(|| InvalidRule::Host { pattern: pattern.to_owned() })?;
        self.hosts.push(parsed);
        Ok(self)
    }

    /// Adds a port.
    #[must_use]
    pub fn port(self, port: u16) -> Self {
        self.ports(port..=port)
    }

    /// Adds a range of ports. `1..=65535` are all ports.
    #[must_use]
    pub fn ports(mut self, ports: RangeInclusive<u16>) -> Self {
        self.ports.push(ports);
        self
    }

    /// Adds a network, such as `10.0.0.0/8`, or one address. It is compared with the addresses to which the host
    /// resolves.
    ///
    /// A rule that allows opens addresses that are closed by default only if the network lies in their range: `10.0.0.0/8`
    /// opens private addresses, and `0.0.0.0/0` opens no closed address at all. The [module](super) lists the ranges.
    ///
    /// # Errors
    ///
    /// [`InvalidRule::Network`] and [`InvalidRule::HostBits`].
    pub fn network(mut self, network: &str) -> Result<Self, InvalidRule> {
        let parsed = match network.parse::<IpAddr>() {
            Ok(address) => Ok(address.into()),
            Err(_) => network.parse::<IpNet>(),
        };
        let parsed = parsed.map_err(|_| InvalidRule::Network { network: network.to_owned() })?;
        let meant = parsed.trunc();
        if meant != parsed {
            return Err(InvalidRule::HostBits { network: network.to_owned(), meant: meant.to_string() });
        }
        self.networks.push(meant);
        Ok(self)
    }

    /// Adds a user, as the authentication has proved it. Names are compared byte by byte. Without authentication, no
    /// client is a user.
    #[must_use]
    pub fn user(mut self, name: &str) -> Self {
        self.users.push(name.into());
        self
    }

    /// Names the rule. Clients whose destination it denies are told this name, and the log has it. Default: no name, so
    /// it has only its number.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Returns whether all conditions hold that do not depend on the address.
    pub(super) fn is_about(&self, access: &Access<'_>) -> bool {
        let Destination { host, port } = access.destination;
        let is_port = match (&self.ports[..], self.allows) {
            ([], false) => true,
            ([], true) if access.is_connect => *port == 443,
            ([], true) => *port == 80 || *port >= FIRST_HTTP_PORT,
            (ports, _) => ports.iter().any(|ports| ports.contains(port)),
        };
        is_port
            && (self.hosts.is_empty() || self.hosts.iter().any(|pattern| pattern.matches(host)))
            && (self.users.is_empty() || access.user.is_some_and(|user| self.users.iter().any(|name| **name == *user)))
    }

    /// Returns whether the conditions on the address hold.
    pub(super) fn covers(&self, address: IpAddr) -> bool {
        match (&self.networks[..], self.allows) {
            ([], false) => true,
            (networks, false) => leads_into(address, networks),
            ([], true) => is_open(address, &[]),
            (networks, true) => networks.iter().any(|network| network.contains(&address)) && is_open(address, networks),
        }
    }

    /// Returns whether the rule has conditions on the address.
    pub(super) fn has_networks(&self) -> bool {
        !self.networks.is_empty()
    }

    /// Returns whether the rule applies to every address.
    pub(super) fn covers_all(&self) -> bool {
        !self.allows && self.networks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_about(rule: &Rule, destination: &str) -> bool {
        rule.is_about(&Access::http(&Destination::parse(destination, Some(80)).expect("a destination")))
    }

    #[test]
    fn patterns_match_a_host_or_the_names_below_one() {
        let rule = |pattern| Rule::deny().host(pattern).expect("a pattern");
        assert!(is_about(&rule("App.test"), "app.test.") && !is_about(&rule("app.test"), "a.app.test"));
        let below = rule("*.app.test");
        assert!(is_about(&below, "a.app.test") && is_about(&below, "a.b.App.Test"));
        assert!(!is_about(&below, "app.test") && !is_about(&below, "xapp.test") && !is_about(&below, "app.test.x"));
        assert!(is_about(&rule("*"), "1.2.3.4") && is_about(&rule("1.2.3.4"), "1.2.3.4"));
        assert!(is_about(&rule("2001:db8::1"), "[2001:DB8:0::1]") && is_about(&rule("[::1]"), "[0::1]"));
    }

    #[test]
    fn a_condition_that_is_not_valid_is_explained() {
        for pattern in ["", "*.", "*.*", "a*", "**", "*.1.2.3.4", "127.1", "b\u{fc}cher.test", "a:80"] {
            let error = Rule::allow().host(pattern).expect_err(pattern);
            assert_eq!(error, InvalidRule::Host { pattern: pattern.to_owned() });
        }
        for network in ["", "10.0.0.0/33", "10/8", "a", "10.0.0.0/"] {
            assert!(matches!(Rule::allow().network(network), Err(InvalidRule::Network { .. })), "{network}");
        }
        let error = Rule::allow().network("10.0.0.1/8").expect_err("bits are set").to_string();
        assert_eq!(error, "\"10.0.0.1/8\" is no network, because bits after the prefix are set: use 10.0.0.0/8");
    }

    #[test]
    fn without_ports_a_rule_allows_few() {
        let rule = Rule::allow();
        let of = |port: u16| Destination { host: Host::Name("a".into()), port };
        let allowed = |port| (rule.is_about(&Access::tunnel(&of(port))), rule.is_about(&Access::http(&of(port))));
        assert_eq!(
            [22, 25, 80, 443, 8443].map(allowed),
            [(false, false), (false, false), (false, true), (true, false), (false, true)]
        );
        let rule = Rule::allow().port(22).ports(8000..=8001);
        let allowed = |port| (rule.is_about(&Access::tunnel(&of(port))), rule.is_about(&Access::http(&of(port))));
        assert_eq!([22, 443, 8001, 8002].map(allowed), [(true, true), (false, false), (true, true), (false, false)]);
    }
}
