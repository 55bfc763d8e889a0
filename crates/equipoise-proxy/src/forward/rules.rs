use std::{fmt, net::IpAddr, sync::Arc};

use super::rule::{Access, Rule};

/// An ordered list of rules. The first rule whose conditions hold decides. If there is none, the destination is denied,
/// so a proxy without rules denies everything.
///
/// Clones share the rules. A decision costs time in proportion to the number of rules, and allocates nothing.
///
/// ```
/// use equipoise_proxy::forward::{Access, Destination, Rule, Rules};
///
/// let rules: Rules = [Rule::deny().host("*.ads.test")?, Rule::allow()].into();
/// let destination = Destination::parse("app.test:443", None).unwrap();
/// let access = Access::tunnel(&destination);
/// assert!(rules.decide(&access, "1.1.1.1".parse()?).is_ok());
/// // The name resolves to an address of the local network.
/// assert!(rules.decide(&access, "10.0.0.1".parse()?).is_err());
/// assert!(Rules::none().decide(&access, "1.1.1.1".parse()?).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rules(Arc<[Rule]>);

/// Which rule has denied a destination.
///
/// The text (`Display`) can be sent to clients: it names the rule, and says neither what the rule contains nor what the
/// destination's name resolves to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedBy(Option<(usize, Option<Arc<str>>)>);

impl DeniedBy {
    /// Returns the number of the rule, beginning with 1. `None` if no rule allows the destination.
    pub fn number(&self) -> Option<usize> {
        self.0.as_ref().map(|(number, _)| *number)
    }

    /// Returns the [name](Rule::named) of the rule, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.0.as_ref()?.1.as_deref()
    }
}

impl fmt::Display for DeniedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some((number, Some(name))) => write!(f, "rule {number} ({name}) denies this destination"),
            Some((number, None)) => write!(f, "rule {number} denies this destination"),
            None => f.write_str("no rule allows this destination"),
        }
    }
}

impl Rules {
    /// Creates an empty list, which denies everything.
    #[must_use]
    pub fn none() -> Self {
        Self(Arc::default())
    }

    /// Decides about one address of the destination.
    ///
    /// # Errors
    ///
    /// The rule that denies it.
    pub fn decide(&self, access: &Access<'_>, address: IpAddr) -> Result<(), DeniedBy> {
        match self.about(access).find(|(_, rule)| rule.covers(address)) {
            Some((_, rule)) if rule.allows => Ok(()),
            decided => Err(denied(decided)),
        }
    }

    /// Decides before the name is resolved: whether some address could be allowed. So a name that is denied is never
    /// resolved.
    ///
    /// # Errors
    ///
    /// The rule that denies all addresses.
    pub fn decide_name(&self, access: &Access<'_>) -> Result<(), DeniedBy> {
        match self.about(access).find(|(_, rule)| rule.allows || rule.covers_all()) {
            Some((_, rule)) if rule.allows => Ok(()),
            decided => Err(denied(decided)),
        }
    }

    /// Decides about a name whose addresses will not be known, because another proxy resolves it. A rule with networks
    /// allows no such name, and denies it.
    ///
    /// # Errors
    ///
    /// The rule that denies it.
    pub fn decide_unresolved(&self, access: &Access<'_>) -> Result<(), DeniedBy> {
        match self.about(access).find(|(_, rule)| !rule.allows || !rule.has_networks()) {
            Some((_, rule)) if rule.allows => Ok(()),
            decided => Err(denied(decided)),
        }
    }

    /// Returns the rules whose conditions hold apart from those on the address, with their numbers.
    fn about<'a>(&'a self, access: &Access<'a>) -> impl Iterator<Item = (usize, &'a Rule)> {
        let access = *access;
        self.0.iter().enumerate().filter(move |(_, rule)| rule.is_about(&access))
    }
}

fn denied(decided: Option<(usize, &Rule)>) -> DeniedBy {
    DeniedBy(decided.map(|(index, rule)| (index + 1, rule.name.clone())))
}

impl FromIterator<Rule> for Rules {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        Self(rules.into_iter().collect())
    }
}

impl<const N: usize> From<[Rule; N]> for Rules {
    fn from(rules: [Rule; N]) -> Self {
        rules.into_iter().collect()
    }
}

impl From<Vec<Rule>> for Rules {
    fn from(rules: Vec<Rule>) -> Self {
        Self(rules.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forward::destination::Destination;

    fn decide(rules: &Rules, destination: &str, user: Option<&str>, address: &str) -> Result<(), String> {
        let destination = Destination::parse(destination, None).expect("a destination");
        let access = Access::tunnel(&destination).user(user);
        let decision = rules.decide(&access, address.parse().expect("an address"));
        if decision.is_ok() {
            assert_eq!(rules.decide_name(&access), Ok(()), "what allows an address allows the name");
        }
        decision.map_err(|denied| denied.to_string())
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let rules: Rules = [
            Rule::allow().host("a.test").expect("a host"),
            Rule::deny().host("*.test").expect("a host").named("tests"),
            Rule::deny().user("eve"),
            Rule::allow(),
        ]
        .into();
        let public = "1.1.1.1";
        assert_eq!(decide(&rules, "a.test:443", None, public), Ok(()));
        assert_eq!(decide(&rules, "b.test:443", None, public), Err("rule 2 (tests) denies this destination".into()));
        assert_eq!(decide(&rules, "b.org:443", Some("eve"), public), Err("rule 3 denies this destination".into()));
        assert_eq!(decide(&rules, "b.org:443", Some("Eve"), public), Ok(()));
        assert_eq!(decide(&rules, "b.org:22", None, public), Err("no rule allows this destination".into()));
        assert_eq!(decide(&Rules::none(), "b.org:443", None, public), Err("no rule allows this destination".into()));
    }

    #[test]
    fn a_rule_for_a_user_is_for_no_client_without_one() {
        let rules: Rules = [Rule::allow().user("ann")].into();
        assert!(decide(&rules, "a.org:443", None, "1.1.1.1").is_err());
        assert_eq!(decide(&rules, "a.org:443", Some("ann"), "1.1.1.1"), Ok(()));
    }

    #[test]
    fn closed_addresses_need_a_rule_that_names_their_network() {
        let network = |rule: Rule, network| rule.network(network).expect("a network");
        let everything: Rules = [network(network(Rule::allow().ports(1..=65535), "0.0.0.0/0"), "::/0")].into();
        let private: Rules =
            [network(Rule::deny(), "10.9.0.0/16"), network(Rule::allow(), "10.0.0.0/8"), Rule::allow()].into();
        for address in ["127.0.0.1", "10.1.1.1", "::1", "169.254.169.254", "::ffff:10.1.1.1"] {
            assert!(decide(&everything, "a.org:443", None, address).is_err(), "{address}");
        }
        assert_eq!(decide(&everything, "a.org:443", None, "1.1.1.1"), Ok(()));
        assert_eq!(decide(&private, "a.org:443", None, "10.1.1.1"), Ok(()));
        assert_eq!(decide(&private, "a.org:443", None, "1.1.1.1"), Ok(()));
        assert_eq!(decide(&private, "a.org:443", None, "10.9.1.1"), Err("rule 1 denies this destination".into()));
        assert!(decide(&private, "a.org:443", None, "192.168.0.1").is_err());
        assert!(decide(&private, "a.org:443", None, "::ffff:10.1.1.1").is_err());
    }

    #[test]
    fn a_name_that_is_denied_is_not_resolved() {
        let rules: Rules = [
            Rule::deny().network("1.1.1.1").expect("an address"),
            Rule::deny().host("a.org").expect("a host"),
            Rule::allow().host("*.org").expect("a host"),
        ]
        .into();
        let by_name = |destination| {
            let destination = Destination::parse(destination, None).expect("a destination");
            rules.decide_name(&Access::tunnel(&destination)).map_err(|denied| denied.number())
        };
        assert_eq!(by_name("a.org:443"), Err(Some(2)));
        assert_eq!(by_name("b.org:443"), Ok(()), "its addresses decide");
        assert_eq!(by_name("b.org:22"), Err(None));
        assert_eq!(by_name("com:443"), Err(None));
    }

    #[test]
    fn a_rule_with_a_network_allows_no_name_that_is_not_resolved() {
        let network = |rule: Rule| rule.network("10.0.0.0/8").expect("a network");
        let unresolved = |rules: &[Rule]| {
            let destination = Destination::parse("a.org:443", None).expect("a destination");
            Rules::from(rules.to_vec()).decide_unresolved(&Access::tunnel(&destination)).map_err(|by| by.number())
        };
        assert_eq!(unresolved(&[network(Rule::allow())]), Err(None));
        assert_eq!(unresolved(&[network(Rule::allow()), Rule::allow()]), Ok(()));
        assert_eq!(unresolved(&[network(Rule::deny()), Rule::allow()]), Err(Some(1)));
        let other = network(Rule::deny()).host("b.org").expect("a host");
        assert_eq!(unresolved(&[other, Rule::allow()]), Ok(()));
    }
}
