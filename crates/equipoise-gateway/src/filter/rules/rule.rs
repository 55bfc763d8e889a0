use std::sync::Arc;

use equipoise_tower::RequestHead;
use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::condition::{Condition, HostPattern, Test};
use crate::filter::{address::AddressRanges, pattern::PathPattern};

/// A rule of a filter: its conditions, and what happens to requests that meet all of them.
///
/// Values that are added to the same kind of condition with one call are alternatives: `methods([GET, HEAD])`.
/// Conditions that are added with several calls must all be met, except that of several hosts or paths one is enough. A
/// rule without conditions is met by every request.
///
/// Invalid conditions are refused by [`FilterRules::new`](super::FilterRules::new).
///
/// ```
/// use equipoise_gateway::filter::{FilterRules, Rule};
/// use http::{Method, StatusCode};
///
/// let rules = FilterRules::new([
///     Rule::allow("office").path("/admin/**").addresses("192.0.2.0/24".parse()?),
///     Rule::deny("admin").path("/admin/**").status(StatusCode::NOT_FOUND),
///     Rule::only_methods("read-only", [Method::GET, Method::HEAD]).path("/public/**"),
///     Rule::limit("uploads", 100 << 20).path("/upload"),
/// ])?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) name: Arc<str>,
    pub(super) action: Action,
    pub(super) conditions: Vec<Condition>,
    pub(super) is_dry_run: bool,
    /// The first thing that is wrong.
    pub(super) wrong: Option<RuleError>,
}

/// What happens to requests that meet the conditions.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Allow,
    Deny {
        status: StatusCode,
        allowed: Option<HeaderValue>,
    },
    /// The maximum length of the body.
    Limit(u64),
}

/// A rule that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule:?}: {error}")]
#[non_exhaustive]
pub struct InvalidRule {
    /// The name of the rule.
    pub rule: String,
    /// What is wrong.
    #[source]
    pub error: RuleError,
}

/// What is wrong with a rule, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} {text:?}: {valid}")]
#[non_exhaustive]
pub struct RuleError {
    /// The setting of the rule, such as `path`.
    pub setting: &'static str,
    /// The text that was refused. It may be empty.
    pub text: String,
    /// What would be valid.
    pub valid: &'static str,
}

impl Rule {
    fn new(name: &str, action: Action) -> Self {
        Self { name: name.into(), action, conditions: Vec::new(), is_dry_run: false, wrong: None }
    }

    /// Creates a rule that lets requests through: later rules do not deny them. Limits still apply.
    #[must_use]
    pub fn allow(name: &str) -> Self {
        Self::new(name, Action::Allow)
    }

    /// Creates a rule that denies requests with status 403.
    #[must_use]
    pub fn deny(name: &str) -> Self {
        Self::new(name, Action::Deny { status: StatusCode::FORBIDDEN, allowed: None })
    }

    /// Creates a rule that denies requests with other methods than these, with status 405 and the field `Allow`.
    /// Methods are case-sensitive.
    #[must_use]
    pub fn only_methods(name: &str, methods: impl IntoIterator<Item = Method>) -> Self {
        let methods: Vec<Method> = methods.into_iter().collect();
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        let allowed = HeaderValue::try_from(names.join(", ")).ok();
        let mut rule = Self::new(name, Action::Deny { status: StatusCode::METHOD_NOT_ALLOWED, allowed });
        rule.conditions.push(Condition::Methods { any_of: methods, is_met_by_others: true });
        rule
    }

    /// Creates a rule that limits the length of bodies, in bytes. A longer one gets status 413. The first such rule
    /// whose conditions are met sets the limit, instead of [`max_body_bytes`](super::FilterLayer::max_body_bytes) of
    /// the layer.
    #[must_use]
    pub fn limit(name: &str, max_body_bytes: u64) -> Self {
        Self::new(name, Action::Limit(max_body_bytes))
    }

    /// Sets the status for denied requests, between 400 and 599. Default: 403, and 405 for
    /// [`only_methods`](Self::only_methods). It changes nothing in rules that do not deny.
    #[must_use]
    pub fn status(mut self, new: StatusCode) -> Self {
        if !new.is_client_error() && !new.is_server_error() {
            self.refuse("status", new.as_str(), "a denied request gets a status between 400 and 599");
        }
        if let Action::Deny { status, .. } = &mut self.action {
            *status = new;
        }
        self
    }

    /// Sets whether the rule is only counted, and changes nothing. Default: false.
    #[must_use]
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.is_dry_run = dry_run;
        self
    }

    /// Adds a condition: the request has one of these methods.
    #[must_use]
    pub fn methods(mut self, methods: impl IntoIterator<Item = Method>) -> Self {
        let any_of = methods.into_iter().collect();
        self.conditions.push(Condition::Methods { any_of, is_met_by_others: false });
        self
    }

    /// Adds a condition: the client has asked for this host, such as `app.test`, or `*.app.test` for all hosts below
    /// it. Ports are ignored, and so is upper and lower case. Of several hosts, one is enough.
    ///
    /// A request for another host name of the same server does not meet the condition. To deny something for a host,
    /// deny it for all hosts, or let [routes](equipoise_proxy::route) refuse unknown hosts.
    #[must_use]
    pub fn host(mut self, pattern: &str) -> Self {
        let Some(host) = HostPattern::parse(pattern) else {
            self.refuse("host", pattern, "write a host such as app.test, or *.app.test, without a port");
            return self;
        };
        let hosts = self.conditions.iter_mut().find_map(|condition| match condition {
            Condition::Hosts(hosts) => Some(hosts),
            _ => None,
        });
        match hosts {
            Some(hosts) => hosts.push(host),
            None => self.conditions.push(Condition::Hosts(vec![host])),
        }
        self
    }

    /// Adds a condition: the path matches this [`PathPattern`]. Of several paths, one is enough.
    #[must_use]
    pub fn path(mut self, pattern: &str) -> Self {
        match pattern.parse::<PathPattern>() {
            Ok(pattern) => {
                let paths = self.conditions.iter_mut().find_map(|condition| match condition {
                    Condition::Paths(paths) => Some(paths),
                    _ => None,
                });
                match paths {
                    Some(paths) => paths.push(pattern),
                    None => self.conditions.push(Condition::Paths(vec![pattern])),
                }
            }
            Err(error) => self.refuse("path", pattern, error.valid),
        }
        self
    }

    /// Adds a condition: the request has this field, with any value.
    #[must_use]
    pub fn has_header(self, name: &str) -> Self {
        self.field("has_header", name, Test::Present)
    }

    /// Adds a condition: the request does not have this field.
    #[must_use]
    pub fn lacks_header(mut self, name: &str) -> Self {
        match name.parse::<HeaderName>() {
            Ok(name) => self.conditions.push(Condition::NoField(name)),
            Err(_) => self.refuse("lacks_header", name, VALID_NAME),
        }
        self
    }

    /// Adds a condition: a line of the field has this value. Upper and lower case of the value differ.
    #[must_use]
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.field("header", name, Test::Equals(value.as_ref().into()))
    }

    /// Adds a condition: the value of a line of the field begins with this text.
    #[must_use]
    pub fn header_starts_with(self, name: &str, start: &str) -> Self {
        self.field("header_starts_with", name, Test::StartsWith(start.as_bytes().into()))
    }

    /// Adds a condition: the value of a line of the field contains this text.
    #[must_use]
    pub fn header_contains(self, name: &str, part: &str) -> Self {
        self.field("header_contains", name, Test::Contains(part.into()))
    }

    /// Adds a condition: the request has this query parameter, with any value. The name is plain text.
    #[must_use]
    pub fn has_query(self, name: &str) -> Self {
        self.parameter(name, Test::Present)
    }

    /// Adds a condition: a query parameter of this name has this value. Name and value are plain text: `a b` is `a%20b`
    /// or `a+b` in the URL. Of several parameters of the name, one is enough.
    #[must_use]
    pub fn query(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.parameter(name, Test::Equals(value.as_ref().into()))
    }

    /// Adds a condition: the value of a query parameter of this name contains this text.
    #[must_use]
    pub fn query_contains(self, name: &str, part: &str) -> Self {
        self.parameter(name, Test::Contains(part.into()))
    }

    /// Adds a condition: the address of the client is in these ranges. A request whose client has no known address gets
    /// status 403 if it meets all other conditions.
    #[must_use]
    pub fn addresses(self, ranges: AddressRanges) -> Self {
        self.ranges(ranges, false)
    }

    /// Adds a condition: the address of the client is not in these ranges. A request whose client has no known address
    /// gets status 403 if it meets all other conditions.
    #[must_use]
    pub fn not_addresses(self, ranges: AddressRanges) -> Self {
        self.ranges(ranges, true)
    }

    /// Adds a condition: path and query together are longer than this number of bytes.
    #[must_use]
    pub fn uri_longer_than(self, bytes: usize) -> Self {
        self.with(Condition::UriLonger(bytes))
    }

    /// Adds a condition: the request has more than this number of header fields.
    #[must_use]
    pub fn more_fields_than(self, fields: usize) -> Self {
        self.with(Condition::MoreFields(fields))
    }

    /// Adds a condition: the header fields together are longer than this number of bytes. Each field counts with its
    /// name, its value and 4 bytes.
    #[must_use]
    pub fn fields_longer_than(self, bytes: usize) -> Self {
        self.with(Condition::FieldsLonger(bytes))
    }

    /// Adds a condition: `Content-Length` is above this number of bytes. A body without this field does not meet the
    /// condition: see [`limit`](Self::limit).
    #[must_use]
    pub fn body_longer_than(self, bytes: u64) -> Self {
        self.with(Condition::BodyLonger(bytes))
    }

    /// Adds a condition: the closure returns true for the head of the request. A closure that panics counts as true in
    /// rules that deny or limit, and as false in rules that allow.
    #[must_use]
    pub fn when(self, is_met: impl Fn(RequestHead<'_>) -> bool + Send + Sync + 'static) -> Self {
        let allows = matches!(self.action, Action::Allow);
        self.with(Condition::When(Arc::new(move |head| {
            equipoise_core::__private::guarded(|| is_met(head)).unwrap_or(!allows)
        })))
    }

    fn with(mut self, condition: Condition) -> Self {
        self.conditions.push(condition);
        self
    }

    fn field(mut self, setting: &'static str, name: &str, test: Test) -> Self {
        match name.parse::<HeaderName>() {
            Ok(name) => self.conditions.push(Condition::Field { name, test }),
            Err(_) => self.refuse(setting, name, VALID_NAME),
        }
        self
    }

    fn parameter(mut self, name: &str, test: Test) -> Self {
        if name.is_empty() {
            self.refuse("query", name, "a query parameter has a name");
        }
        self.conditions.push(Condition::Query { name: name.as_bytes().into(), test });
        self
    }

    fn ranges(mut self, ranges: AddressRanges, is_met_by_others: bool) -> Self {
        if ranges.is_empty() {
            self.refuse("addresses", "", "write at least one network, such as 10.0.0.0/8");
        }
        self.conditions.push(Condition::Addresses { ranges, is_met_by_others });
        self
    }

    fn refuse(&mut self, setting: &'static str, text: &str, valid: &'static str) {
        self.wrong.get_or_insert_with(|| RuleError { setting, text: text.to_owned(), valid });
    }

    /// Returns what is wrong with the rule as a whole.
    pub(super) fn check(&self) -> Option<RuleError> {
        let wrong = |setting, valid| Some(RuleError { setting, text: String::new(), valid });
        if self.wrong.is_some() {
            return self.wrong.clone();
        }
        if self.name.is_empty() {
            return wrong("name", "a rule has a name, for logs and statistics");
        }
        let no_method =
            |condition: &Condition| matches!(condition, Condition::Methods { any_of, .. } if any_of.is_empty());
        if self.conditions.iter().any(no_method) {
            return wrong("methods", "write at least one method, such as GET");
        }
        None
    }
}

const VALID_NAME: &str = "write the name of a field, such as x-version";
