//! Filters: which requests are let through, and in which form of their paths.

use std::{
    fmt::Display,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use equipoise::{
    affinity::source::ClientAddress,
    gateway::filter::{AddressRanges, FilterLayer, FilterRules, PathAction, PathFault, Rule, UriLayer, UriPolicy},
    monitor::FunctionReadings,
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use toml::Spanned;

use super::{
    chain::{Chain, Shared},
    file,
    kept::Function,
};
use crate::{
    client::client_address,
    config::{EachPath, FilterRule, Matching, PartTable, PathsAction, PathsTable, RuleAction, Tables},
    context::Context,
    source::{ConfigError, Source},
};

/// The filter of a route.
struct FilterFunction {
    layer: FilterLayer,
    /// The hash of the files with addresses.
    files: AtomicU64,
}

impl FilterFunction {
    /// Uses the rules from now on, unless their files are the same. New rules begin with new counters.
    fn replace(&self, rules: FilterRules, files: u64) {
        if self.files.swap(files, Ordering::Relaxed) != files {
            self.layer.replace(rules);
        }
    }
}

/// Adds the filter of a route.
pub(super) fn add(
    chain: &mut Chain,
    tables: Tables<'_>,
    shared: &Shared<'_>,
    context: Context<'_>,
) -> Result<(), ConfigError> {
    let Some((placed, (table, span))) = tables.filter.and_then(|placed| Some((placed, placed.table()?))) else {
        return Ok(());
    };
    if table.is_empty() {
        let message = "filter lets each request through: add rule, default = \"deny\", max_body_bytes or another limit";
        return Err(context.source.error(span, message));
    }
    if let Some(after) = table.rule.iter().skip_while(|rule| !rule.get_ref().decides_all()).nth(1) {
        let message =
            "no request gets to this rule, because an earlier one decides on all of them: write it before that one";
        return Err(context.source.error(after.span(), message));
    }
    let only_allows = |rule: &Spanned<FilterRule>| rule.get_ref().action == RuleAction::Allow;
    if let Some(rule) = table.rule.first().filter(|_| !table.denies_others())
        && table.rule.iter().all(only_allows)
    {
        let message = "the rules change nothing, because other requests pass too: add default = \"deny\" to filter";
        return Err(context.source.error(rule.span(), message));
    }
    let rules = || {
        let mut rules = Vec::new();
        for (at, rule) in table.rule.iter().enumerate() {
            let name = rule.get_ref().name.clone().unwrap_or_else(|| format!("rule {}", at + 1));
            rules.push(self::rule(&name, rule, context.source)?);
        }
        let rules = if table.denies_others() { FilterRules::denying_others(rules) } else { FilterRules::new(rules) };
        rules.map_err(|error| context.source.error(span.clone(), error))
    };
    // The addresses in files, in one hash.
    let files = || {
        let rules = table.rule.iter().map(Spanned::get_ref);
        let paths = rules.flat_map(|rule| [&rule.address_file, &rule.not_address_file]).flatten();
        let texts = paths.map(|path| file::read(path, context.source)).collect::<Result<Vec<_>, _>>();
        texts.map(|texts| file::hash(&texts))
    };
    let function = context.functions.keep_or_build(&format!("{} filter", placed.place), table.clone(), || {
        let mut layer = FilterLayer::new(rules()?)
            .client_address(ClientAddress::connection().peer(client_address))
            .dry_run(table.dry_run);
        if let Some(max) = table.max_body_bytes {
            layer = layer.max_body_bytes(max);
        }
        if let Some(max) = table.max_uri_bytes {
            layer = layer.max_uri_bytes(max);
        }
        if let Some(max) = table.max_headers {
            layer = layer.max_fields(max);
        }
        let layer = table.max_header_bytes.iter().fold(layer, |layer, max| layer.max_field_bytes(*max));
        Ok(FilterFunction { layer, files: files()?.into() })
    })?;
    let reads_files =
        |rule: &Spanned<FilterRule>| rule.get_ref().address_file.is_some() || rule.get_ref().not_address_file.is_some();
    if table.rule.iter().any(reads_files) {
        let (running, rules, files) = (function.clone(), rules()?, files()?);
        context.functions.on_apply(move || running.replace(rules, files));
    }
    let layer = function.layer.clone().errors(shared.errors.clone());
    chain.add(|functions| functions.filter(layer));
    Ok(())
}

fn rule(name: &str, table: &Spanned<FilterRule>, source: &Source) -> Result<Rule, ConfigError> {
    let (span, table) = (table.span(), table.get_ref());
    let methods = table.method.iter().map(|method| self::method(method, source)).collect::<Result<Vec<_>, _>>()?;
    let mut rule = match (table.action, &table.max_body_bytes) {
        (RuleAction::LimitBody, Some(max)) => Rule::limit(name, *max.get_ref()),
        (RuleAction::LimitBody, None) => {
            return Err(source.error(span, "max_body_bytes is missing: it is the limit of a rule with limit-body"));
        }
        (_, Some(max)) => {
            return Err(source.error(max.span(), "max_body_bytes belongs to a rule with action = \"limit-body\""));
        }
        (RuleAction::OnlyMethods, None) if methods.is_empty() => {
            return Err(source.error(span, "method is missing: list the methods that are permitted"));
        }
        (RuleAction::OnlyMethods, None) => Rule::only_methods(name, methods.clone()),
        (RuleAction::Allow, None) => Rule::allow(name),
        (RuleAction::Deny, None) => Rule::deny(name),
    };
    if table.action != RuleAction::OnlyMethods && !methods.is_empty() {
        rule = rule.methods(methods);
    }
    if let Some(status) = &table.status {
        if table.action == RuleAction::Allow || table.action == RuleAction::LimitBody {
            return Err(source.error(status.span(), "status has no effect, because the rule denies nothing"));
        }
        rule = rule.status(self::status(status, "403", source)?);
    }
    for host in &table.host {
        rule = rule.host(host);
    }
    for path in &table.path {
        rule = rule.path(path);
    }
    for (name, value) in &table.header {
        rule = match value {
            Matching::Present(true) => rule.has_header(name),
            Matching::Present(false) => rule.lacks_header(name),
            Matching::Equal(value) => rule.header(name, value),
            Matching::Part(PartTable::Contains(part)) => rule.header_contains(name, part),
            Matching::Part(PartTable::StartsWith(start)) => rule.header_starts_with(name, start),
        };
    }
    for (name, value) in &table.query {
        rule = match value {
            Matching::Present(true) => rule.has_query(name),
            Matching::Equal(value) => rule.query(name, value),
            Matching::Part(PartTable::Contains(part)) => rule.query_contains(name, part),
            Matching::Present(false) | Matching::Part(PartTable::StartsWith(_)) => {
                let message = "a query parameter can be true, a text or { contains = \"x\" }";
                return Err(source.error(span, message));
            }
        };
    }
    if let Some(ranges) = addresses(table.address.as_ref(), table.address_file.as_ref(), source)? {
        rule = rule.addresses(ranges);
    }
    if let Some(ranges) = addresses(table.not_address.as_ref(), table.not_address_file.as_ref(), source)? {
        rule = rule.not_addresses(ranges);
    }
    // Checked alone, so that the error has the line of this rule. It may be one that allows.
    let checked = FilterRules::denying_others([rule.clone()]);
    checked.map(|_| rule.dry_run(table.dry_run)).map_err(|error| source.error(span, error))
}

/// Reads address ranges from a list and from a file.
pub(super) fn addresses(
    list: Option<&Spanned<Vec<String>>>,
    path: Option<&Spanned<PathBuf>>,
    source: &Source,
) -> Result<Option<AddressRanges>, ConfigError> {
    let mut text = String::new();
    if let Some(list) = list {
        let ranges = list.get_ref().join("\n");
        let checked = ranges.parse::<AddressRanges>().map(drop);
        checked.map_err(|error| source.error(list.span(), format_args!("{:?}: {}", error.element, error.valid)))?;
        text = ranges;
    }
    if let Some(path) = path {
        let ranges = file::read(path, source)?;
        let checked = ranges.parse::<AddressRanges>().map(drop);
        checked.map_err(|error| file::wrong(path, &error, source))?;
        text = format!("{text}\n{ranges}");
    }
    if list.is_none() && path.is_none() {
        return Ok(None);
    }
    // Both were checked.
    Ok(text.parse().ok())
}

pub(super) fn method(method: &Spanned<String>, source: &Source) -> Result<Method, ConfigError> {
    let text = method.get_ref();
    let parsed = text.parse().ok().filter(|_| !text.bytes().any(|byte| byte.is_ascii_lowercase()));
    parsed.ok_or_else(|| {
        source.error(method.span(), format_args!("{text:?} is not a method: write {:?}", text.to_ascii_uppercase()))
    })
}

pub(super) fn status(status: &Spanned<u16>, valid: impl Display, source: &Source) -> Result<StatusCode, ConfigError> {
    let (number, span) = (status.get_ref(), status.span());
    StatusCode::from_u16(*number).map_err(|_| source.error(span, format_args!("{number} is not a status: use {valid}")))
}

/// Adds what refuses or rewrites paths, before the routes.
pub(super) fn add_paths(
    chain: &mut Chain,
    (table, place): (Option<&Spanned<PathsTable>>, &str),
    shared: &Shared<'_>,
    context: Context<'_>,
) -> Result<(), ConfigError> {
    let Some(table) = table.map(Spanned::get_ref) else { return Ok(()) };
    // A route without authentication must not have requests that a backend reads as those for another one.
    let strict = |policy: UriPolicy| policy.on(PathFault::DoubleEncoding, PathAction::Refuse);
    let policy = match table {
        PathsTable::Refuse => strict(UriPolicy::new()),
        PathsTable::Normalize => strict(UriPolicy::normalizing()),
        PathsTable::Each(each) => each_path(each),
    };
    let place = format!("{place} paths");
    let layer = context.functions.keep_or_build(&place, table.clone(), || Ok(UriLayer::new(policy)))?;
    let layer = (*layer).clone().errors(shared.errors.clone());
    chain.add(|functions| functions.uri(layer));
    Ok(())
}

fn each_path(table: &EachPath) -> UriPolicy {
    let actions = [
        (PathFault::InvalidEncoding, table.invalid_encoding),
        (PathFault::Control, table.control),
        (PathFault::NotUtf8, table.not_utf8),
        (PathFault::DoubleEncoding, table.double_encoding),
        (PathFault::EncodedSlash, table.encoded_slash),
        (PathFault::Backslash, table.backslash),
        (PathFault::Parameters, table.parameters),
        (PathFault::DotSegments, table.dot_segments),
        (PathFault::EmptySegments, table.empty_segments),
    ];
    let policy = UriPolicy::new().keep_encodings(table.keep_encodings);
    actions.into_iter().filter_map(|(fault, action)| Some((fault, action?))).fold(policy, |policy, (fault, action)| {
        policy.on(
            fault,
            match action {
                PathsAction::Refuse => PathAction::Refuse,
                PathsAction::Normalize => PathAction::Normalize,
                PathsAction::Allow => PathAction::Allow,
            },
        )
    })
}

impl Function for FilterFunction {
    fn report(&self) -> Value {
        let stats = self.layer.stats();
        let rules =
            stats.rules.iter().map(|rule| json!({ "name": &*rule.name, "met": rule.met, "dry_run": rule.dry_run }));
        json!({
            "allowed": stats.allowed,
            "denied": stats.denied,
            "too_large": stats.too_large,
            "unmatched": stats.unmatched,
            "ambiguous_paths": stats.ambiguous_paths,
            "rules": rules.collect::<Value>(),
        })
    }

    fn watch(&self, into: &mut FunctionReadings) {
        into.filter(&self.layer.stats());
    }
}

impl Function for UriLayer {
    fn report(&self) -> Value {
        let stats = self.stats();
        let refused = stats.refused.iter().map(|(fault, count)| (fault.as_str().to_owned(), json!(count)));
        json!({ "rewritten": stats.rewritten, "refused": refused.collect::<serde_json::Map<_, _>>() })
    }

    fn watch(&self, into: &mut FunctionReadings) {
        into.uri(&self.stats());
    }
}
