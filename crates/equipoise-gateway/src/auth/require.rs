use std::{collections::BTreeSet, fmt, sync::Arc};

use equipoise_core::__private::guarded;
use http::{
    HeaderValue, StatusCode,
    header::{HeaderName, WWW_AUTHENTICATE},
};

use super::{Realm, list::list_contains};
use crate::{Denial, Identity, Mechanism};

type CheckFn = dyn Fn(&Identity) -> bool + Send + Sync;

/// What an identity needs so that a request is passed on. A request that does not meet all rules gets status 403.
///
/// ```
/// use equipoise_gateway::{Identity, Mechanism, auth::Requirements};
///
/// let requirements = Requirements::new().attribute_contains("groups", ["ops", "admin"]).scopes(["read"]);
/// let identity = Identity::new("ann", Mechanism::Jwt).attribute("groups", "dev,ops").attribute("scope", "read write");
/// assert!(requirements.are_met_by(&identity));
/// assert!(!requirements.are_met_by(&identity.attribute("scope", "write")));
/// ```
#[derive(Clone, Default)]
pub struct Requirements {
    names: Option<BTreeSet<String>>,
    mechanisms: Option<BTreeSet<Mechanism>>,
    attributes: Vec<(String, BTreeSet<String>)>,
    lists: Vec<(String, BTreeSet<String>)>,
    scopes: BTreeSet<String>,
    checks: Vec<Arc<CheckFn>>,
}

impl Requirements {
    /// Creates an empty list, which each identity meets.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Requires that the name of the identity is one of these. Default: any name. An empty list accepts no identity.
    #[must_use]
    pub fn names<T: Into<String>>(mut self, names: impl IntoIterator<Item = T>) -> Self {
        self.names = Some(strings(names));
        self
    }

    /// Requires that the mechanism of the identity is one of these. Default: any mechanism. An empty list accepts no
    /// identity.
    #[must_use]
    pub fn mechanisms(mut self, mechanisms: impl IntoIterator<Item = Mechanism>) -> Self {
        self.mechanisms = Some(mechanisms.into_iter().collect());
        self
    }

    /// Requires that an attribute of the identity has one of these values. Default: not required. An identity without
    /// the attribute does not meet the rule.
    #[must_use]
    pub fn attribute<T: Into<String>>(mut self, name: impl Into<String>, values: impl IntoIterator<Item = T>) -> Self {
        self.attributes.push((name.into(), strings(values)));
        self
    }

    /// Requires that an attribute of the identity contains at least one of these elements. The attribute is a list, as
    /// [`join_list`](super::join_list) writes it. Default: not required. Use it for groups and roles. An identity
    /// without the attribute does not meet the rule.
    #[must_use]
    pub fn attribute_contains<T: Into<String>>(
        mut self,
        name: impl Into<String>,
        elements: impl IntoIterator<Item = T>,
    ) -> Self {
        self.lists.push((name.into(), strings(elements)));
        self
    }

    /// Requires that the attribute `scope`, a list separated by spaces (RFC 6749, section 3.3), contains all of these
    /// scopes. An empty list requires none. Default: none. A request without them gets the code `insufficient_scope`. If
    /// it came with a token, the response has the challenge of RFC 6750, section 3.1.
    #[must_use]
    pub fn scopes<T: Into<String>>(mut self, scopes: impl IntoIterator<Item = T>) -> Self {
        self.scopes.extend(strings(scopes));
        self
    }

    /// Requires that a closure returns true for the identity. Default: none. If it panics, the rule is not met.
    #[must_use]
    pub fn check(mut self, check: impl Fn(&Identity) -> bool + Send + Sync + 'static) -> Self {
        self.checks.push(Arc::new(check));
        self
    }

    /// Returns whether an identity meets all rules. O(number of values and elements).
    pub fn are_met_by(&self, identity: &Identity) -> bool {
        self.has_scopes(identity) && self.has_all_but_scopes(identity)
    }

    /// Returns the response for an identity that does not meet the rules. `None` if it does.
    pub(super) fn denial(&self, identity: &Identity, realm: &Realm) -> Option<Denial> {
        if !self.has_all_but_scopes(identity) {
            return Some(Denial::new(StatusCode::FORBIDDEN, "forbidden", "these credentials do not allow the request"));
        }
        if self.has_scopes(identity) {
            return None;
        }
        let denial = Denial::new(StatusCode::FORBIDDEN, "insufficient_scope", "the request needs another scope");
        if identity.mechanism() != Mechanism::Jwt {
            return Some(denial);
        }
        let (field, challenge) = self.scope_challenge(realm);
        Some(denial.field(field, challenge))
    }

    fn scope_challenge(&self, realm: &Realm) -> (HeaderName, HeaderValue) {
        // RFC 6749 allows no other characters in a scope.
        let is_scope = |scope: &&String| scope.bytes().all(|byte| matches!(byte, b'!' | b'#'..=b'[' | b']'..=b'~'));
        let scopes: Vec<&str> = self.scopes.iter().filter(is_scope).map(String::as_str).collect();
        let parameters = format!("error=\"insufficient_scope\", scope=\"{}\"", scopes.join(" "));
        (WWW_AUTHENTICATE, realm.challenge_with("Bearer", &parameters))
    }

    fn has_scopes(&self, identity: &Identity) -> bool {
        let granted = identity.get("scope").unwrap_or_default();
        self.scopes.iter().all(|scope| granted.split(' ').any(|granted| granted == scope))
    }

    fn has_all_but_scopes(&self, identity: &Identity) -> bool {
        self.names.as_ref().is_none_or(|names| names.contains(identity.name()))
            && self.mechanisms.as_ref().is_none_or(|mechanisms| mechanisms.contains(&identity.mechanism()))
            && self
                .attributes
                .iter()
                .all(|(name, values)| identity.get(name).is_some_and(|value| values.contains(value)))
            && self.lists.iter().all(|(name, elements)| {
                let list = identity.get(name).unwrap_or_default();
                elements.iter().any(|element| list_contains(list, element))
            })
            && self.checks.iter().all(|check| guarded(|| check(identity)).unwrap_or(false))
    }
}

impl fmt::Debug for Requirements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requirements")
            .field("names", &self.names)
            .field("mechanisms", &self.mechanisms)
            .field("attributes", &self.attributes)
            .field("lists", &self.lists)
            .field("scopes", &self.scopes)
            .field("checks", &self.checks.len())
            .finish()
    }
}

fn strings<T: Into<String>>(values: impl IntoIterator<Item = T>) -> BTreeSet<String> {
    values.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(requirements: &Requirements, identity: &Identity) -> Option<&'static str> {
        requirements.denial(identity, &Realm::default()).map(|denial| denial.code())
    }

    #[test]
    fn all_rules_have_to_be_met() {
        let ann = Identity::new("ann", Mechanism::Basic).attribute("team", "a").attribute("groups", "ops,dev");
        for (requirements, is_met) in [
            (Requirements::new(), true),
            (Requirements::new().names(["bob", "ann"]), true),
            (Requirements::new().names(["Ann"]), false),
            (Requirements::new().names::<&str>([]), false),
            (Requirements::new().mechanisms([Mechanism::Basic]), true),
            (Requirements::new().mechanisms([Mechanism::Jwt]), false),
            (Requirements::new().attribute("team", ["b", "a"]), true),
            (Requirements::new().attribute("team", ["b"]), false),
            (Requirements::new().attribute("none", [""]), false),
            (Requirements::new().attribute_contains("groups", ["dev"]), true),
            (Requirements::new().attribute_contains("groups", ["ops,dev"]), false),
            (Requirements::new().attribute_contains("none", [""]), false),
            (Requirements::new().check(|identity| identity.name() == "ann"), true),
            (Requirements::new().check(|_| panic!("a bug")), false),
            (Requirements::new().names(["ann"]).attribute("team", ["b"]), false),
        ] {
            assert_eq!(requirements.are_met_by(&ann), is_met, "{requirements:?}");
            assert_eq!(code(&requirements, &ann), (!is_met).then_some("forbidden"), "{requirements:?}");
        }
    }

    #[test]
    fn scopes_are_compared_as_a_whole() {
        let with = |scope: &str| Identity::new("ann", Mechanism::Jwt).attribute("scope", scope);
        let requirements = Requirements::new().scopes(["read", "write"]);
        assert_eq!(code(&requirements, &with("write other read")), None);
        for scope in ["", "read", "readwrite", "read,write", "READ WRITE", "reader writer"] {
            assert_eq!(code(&requirements, &with(scope)), Some("insufficient_scope"), "{scope:?}");
        }
        let denied: http::Response<crate::ReplyBody<()>> = requirements
            .denial(&with("read"), &Realm::default())
            .expect("denied")
            .respond(&http::Request::new(()), &Default::default());
        let challenge = r#"Bearer realm="gateway", error="insufficient_scope", scope="read write""#;
        assert_eq!(
            (denied.status().as_u16(), &denied.headers()[WWW_AUTHENTICATE]),
            (403, &challenge.parse().expect("a value"))
        );
    }
}
