use std::{
    borrow::Cow,
    collections::HashSet,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use equipoise_proxy::__private::{is_ambiguous_path, normalized_path, path_without_parameters};
use equipoise_tower::RequestHead;
use http::StatusCode;

use super::{
    condition::{Client, Condition, Met},
    rule::{Action, InvalidRule, Rule, RuleError},
};
use crate::Denial;

/// The rules of a filter, in the order in which they are looked at.
///
/// The first rule that allows or denies, and whose conditions are met, decides. A request that meets the conditions of
/// none is allowed by [`new`](Self::new), and denied by [`denying_others`](Self::denying_others).
///
/// Rules compare the path that a server acts on, as the [routes](equipoise_proxy::route) of a proxy do. Servers
/// disagree about paths such as `/public%2F..%2Fadmin` and `/admin;x`. If a rule that is not only counted has a path, the
/// request gets status 400 for a path of the first kind, and for one of the second kind if the rules decide differently
/// without the parameter. A [`UriLayer`](crate::filter::UriLayer) outside of the filter refuses more.
#[derive(Debug, Default)]
pub struct FilterRules {
    rules: Vec<Counted>,
    denies_others: bool,
    /// Whether a rule has a path.
    depends_on_path: bool,
    /// Whether a rule with a path is not only counted.
    decides_by_path: bool,
    allows_ambiguous_paths: bool,
    others: AtomicU64,
    ambiguous: AtomicU64,
}

#[derive(Debug)]
struct Counted {
    rule: Rule,
    met: AtomicU64,
}

/// What a filter has counted since its rules were set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterStats {
    /// The number of requests that were passed on.
    pub allowed: u64,
    /// The number of requests that were denied before the inner service got them, for any reason.
    pub denied: u64,
    /// The number of requests whose body was longer than its limit, declared or not.
    pub too_large: u64,
    /// The number of requests that met the conditions of no rule that allows or denies.
    pub unmatched: u64,
    /// The number of requests that were denied because servers read their path differently.
    pub ambiguous_paths: u64,
    /// Each rule, in order.
    pub rules: Vec<RuleStats>,
}

/// How often a rule was met.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleStats {
    /// The name of the rule.
    pub name: Arc<str>,
    /// The number of requests that met its conditions, of those that no earlier rule had decided.
    pub met: u64,
    /// Whether the rule is only counted.
    pub dry_run: bool,
}

/// What the rules say of a request.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) denial: Option<Denial>,
    /// The limit of the body that a rule has set.
    pub(super) max_body: Option<u64>,
}

/// Which rules decide, by index.
#[derive(Clone, Debug)]
struct Decision {
    by: By,
    limit: Option<usize>,
    /// The rules that were met.
    met: Vec<usize>,
}

impl Decision {
    /// Returns whether both do the same to a request. Rules that are only counted do nothing.
    fn is_same(&self, other: &Self) -> bool {
        (self.by, self.limit) == (other.by, other.limit)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Rule(usize),
    Others,
    UnknownAddress,
}

impl FilterRules {
    /// Creates rules that allow the requests which meet the conditions of none. The names of rules are unique.
    ///
    /// # Errors
    ///
    /// [`InvalidRule`] names the first rule that is invalid, and says what would be valid. Rules that only allow are
    /// invalid, because they would change nothing.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Result<Self, InvalidRule> {
        let table = Self::checked(rules)?;
        let first = table.rules.first().map(|counted| &counted.rule);
        let only_allow = table.rules.iter().all(|counted| matches!(counted.rule.action, Action::Allow));
        match first.filter(|_| only_allow) {
            Some(rule) => Err(InvalidRule {
                rule: rule.name.to_string(),
                error: RuleError {
                    setting: "action",
                    text: "allow".to_owned(),
                    valid: "other requests pass too, so rules that only allow change nothing: add a rule that denies, or \
                            use FilterRules::denying_others",
                },
            }),
            None => Ok(table),
        }
    }

    /// Creates rules that deny the requests which meet the conditions of none with status 403. The names of rules are
    /// unique.
    ///
    /// # Errors
    ///
    /// [`InvalidRule`] names the first rule that is invalid, and says what would be valid.
    pub fn denying_others(rules: impl IntoIterator<Item = Rule>) -> Result<Self, InvalidRule> {
        Ok(Self { denies_others: true, ..Self::checked(rules)? })
    }

    fn checked(rules: impl IntoIterator<Item = Rule>) -> Result<Self, InvalidRule> {
        let mut table = Self::default();
        let mut names = HashSet::new();
        for mut rule in rules {
            let twice = (!names.insert(Arc::clone(&rule.name))).then(|| RuleError {
                setting: "name",
                text: rule.name.to_string(),
                valid: "each rule has another name",
            });
            if let Some(error) = rule.check().or(twice) {
                return Err(InvalidRule { rule: rule.name.to_string(), error });
            }
            rule.conditions.sort_by_key(Condition::cost);
            let has_path = rule.conditions.iter().any(|condition| matches!(condition, Condition::Paths(_)));
            table.depends_on_path |= has_path;
            table.decides_by_path |= has_path && !rule.is_dry_run;
            table.rules.push(Counted { rule, met: AtomicU64::new(0) });
        }
        Ok(table)
    }

    /// Sets whether rules with paths also decide about paths that servers read differently. Default: false, so that
    /// such requests get status 400. Set it only if all servers behind the filter read paths as the filter does.
    #[must_use]
    pub fn allow_ambiguous_paths(mut self, allow: bool) -> Self {
        self.allows_ambiguous_paths = allow;
        self
    }

    /// Decides about a request. `client` determines the address of its client. `dry_run` is whether nothing is denied
    /// or limited.
    pub(super) fn decide(&self, head: RequestHead<'_>, client: &dyn Fn() -> Option<IpAddr>, dry_run: bool) -> Verdict {
        let checks_path = self.decides_by_path && !self.allows_ambiguous_paths;
        let path = match head.uri.path() {
            path if self.depends_on_path && path.starts_with('/') => normalized_path(path),
            path => Cow::Borrowed(path),
        };
        let mut client = Client::Unread(client);
        let decision = self.find(head, &path, &mut client);
        let is_ambiguous = checks_path
            && (is_ambiguous(head.uri.path())
                || path.contains(';')
                    && !decision.is_same(&self.find(head, &path_without_parameters(&path), &mut client)));
        for counted in decision.met.iter().filter_map(|at| self.rules.get(*at)) {
            counted.met.fetch_add(1, Ordering::Relaxed);
        }
        let denial = if is_ambiguous {
            self.ambiguous.fetch_add(1, Ordering::Relaxed);
            Some(Denial::new(StatusCode::BAD_REQUEST, "ambiguous_path", "servers read this path differently"))
        } else {
            self.denial(decision.by)
        };
        let limit = decision.limit.and_then(|at| self.rules.get(at)).and_then(|counted| match counted.rule.action {
            Action::Limit(bytes) => Some(bytes),
            _ => None,
        });
        Verdict { denial: denial.filter(|_| !dry_run), max_body: limit.filter(|_| !dry_run) }
    }

    fn denial(&self, by: By) -> Option<Denial> {
        let forbidden = |code, text| Some(Denial::new(StatusCode::FORBIDDEN, code, text));
        match by {
            By::UnknownAddress => forbidden("client_address_unknown", "the address of the client is not known"),
            By::Others => {
                self.others.fetch_add(1, Ordering::Relaxed);
                if !self.denies_others {
                    return None;
                }
                forbidden("not_allowed", "this request is not allowed")
            }
            By::Rule(at) => match &self.rules.get(at)?.rule.action {
                Action::Deny { status, allowed } => {
                    let (code, text) = described(*status);
                    let denial = Denial::new(*status, code, text);
                    Some(match allowed {
                        Some(allowed) => denial.field(http::header::ALLOW, allowed.clone()),
                        None => denial,
                    })
                }
                Action::Allow | Action::Limit(_) => None,
            },
        }
    }

    fn find(&self, head: RequestHead<'_>, path: &str, client: &mut Client<'_>) -> Decision {
        let mut decision = Decision { by: By::Others, limit: None, met: Vec::new() };
        let mut is_decided = false;
        for (at, Counted { rule, .. }) in self.rules.iter().enumerate() {
            let is_limit = matches!(rule.action, Action::Limit(_));
            // After the decision, only a limit may be missing.
            let is_done = if is_limit { decision.limit.is_some() } else { is_decided };
            if is_done {
                continue;
            }
            let met = rule.conditions.iter().map(|condition| condition.is_met(head, path, client));
            match met.into_iter().find(|met| *met != Met::Yes) {
                None => decision.met.push(at),
                Some(Met::Unknown) if !rule.is_dry_run => {
                    decision.by = By::UnknownAddress;
                    return decision;
                }
                Some(_) => continue,
            }
            if rule.is_dry_run {
                continue;
            }
            if is_limit {
                decision.limit = Some(at);
            } else {
                decision.by = By::Rule(at);
                is_decided = true;
            }
        }
        decision
    }

    /// Adds the counts of the rules.
    pub(super) fn count(&self, stats: &mut FilterStats) {
        stats.unmatched = self.others.load(Ordering::Relaxed);
        stats.ambiguous_paths = self.ambiguous.load(Ordering::Relaxed);
        stats.rules = self
            .rules
            .iter()
            .map(|Counted { rule, met }| RuleStats {
                name: Arc::clone(&rule.name),
                met: met.load(Ordering::Relaxed),
                dry_run: rule.is_dry_run,
            })
            .collect();
    }
}

/// Returns whether servers disagree about a path. A [`ReverseProxy`](equipoise_proxy::ReverseProxy) refuses a NUL and
/// characters outside ASCII before, but the filter may be used without one.
fn is_ambiguous(path: &str) -> bool {
    is_ambiguous_path(path) || !path.is_ascii() || path.contains("%00")
}

/// Returns the code and the text for a status of a denied request.
fn described(status: StatusCode) -> (&'static str, &'static str) {
    match status.as_u16() {
        400 => ("bad_request", "this request is not valid"),
        404 => ("not_found", "this server has no such resource"),
        405 => ("method_not_allowed", "this resource does not allow the method"),
        410 => ("gone", "this resource does not exist any more"),
        413 => ("body_too_large", "the body of the request is too large"),
        414 => ("uri_too_long", "the target of the request is too long"),
        431 => ("fields_too_large", "the header fields of the request are too large"),
        503 => ("unavailable", "this resource is not available now"),
        _ => ("forbidden", "this request is not allowed"),
    }
}
