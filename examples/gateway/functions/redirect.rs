//! Redirects.

use equipoise::{
    gateway::filter::{RedirectLayer, RedirectRule},
    monitor::FunctionReadings,
};
use serde_json::{Value, json};
use toml::Spanned;

use super::{chain::Chain, filter::status, kept::Function};
use crate::{
    config::{QueryTable, RedirectTable, RedirectTables, Tables, TrailingSlash},
    context::Context,
    source::{ConfigError, Source},
};

/// Adds the redirects of a route.
pub(super) fn add(chain: &mut Chain, tables: Tables<'_>, context: Context<'_>) -> Result<(), ConfigError> {
    let Some((placed, (table, span))) = tables.redirect.and_then(|placed| Some((placed, placed.table()?))) else {
        return Ok(());
    };
    let layer = context.functions.keep_or_build(&format!("{} redirect", placed.place), table.clone(), || {
        let RedirectTables(rules) = table;
        let rules = rules.iter().map(|rule| self::rule(rule, context.source)).collect::<Result<Vec<_>, _>>()?;
        RedirectLayer::new(rules).map_err(|error| context.source.caused(span, &error))
    })?;
    chain.add(|functions| functions.redirect((*layer).clone()));
    Ok(())
}

fn rule(table: &Spanned<RedirectTable>, source: &Source) -> Result<RedirectRule, ConfigError> {
    let (span, table) = (table.span(), table.get_ref());
    let wrong = |message: &str| source.error(span.clone(), message);
    let to = || table.to.as_ref().map(|to| to.get_ref().as_str()).ok_or_else(|| wrong("to is missing: add the target"));
    let slash = |slash| match slash {
        TrailingSlash::Add => RedirectRule::add_trailing_slash(),
        TrailingSlash::Remove => RedirectRule::remove_trailing_slash(),
    };
    let mut kinds = Vec::new();
    if let Some(path) = &table.path {
        kinds.push(RedirectRule::exact(path, to()?));
    }
    if let Some(prefix) = &table.path_prefix {
        kinds.push(RedirectRule::prefix(prefix, to()?));
    }
    let with_target = !kinds.is_empty();
    kinds.extend(table.https.then(RedirectRule::https));
    kinds.extend(table.apex.as_deref().map(RedirectRule::www_to_apex));
    kinds.extend(table.www.as_deref().map(RedirectRule::apex_to_www));
    kinds.extend(table.trailing_slash.map(slash));
    let mut kinds = kinds.into_iter();
    let (Some(mut rule), None) = (kinds.next(), kinds.next()) else {
        return Err(wrong("a redirect has one of path, path_prefix, https, apex, www and trailing_slash"));
    };
    if let Some(to) = table.to.as_ref().filter(|_| !with_target) {
        return Err(source.error(to.span(), "to has no effect without path or path_prefix: leave it out"));
    }
    if let Some(status) = &table.status {
        rule = rule.status(self::status(status, "301, 302, 303, 307 or 308", source)?);
    }
    rule = table.host.iter().fold(rule, |rule, host| rule.host(host));
    rule = table.except.iter().fold(rule, |rule, pattern| rule.except(pattern));
    let rule = match &table.query {
        None | Some(QueryTable::Keep(true)) => rule,
        Some(QueryTable::Keep(false)) => rule.drop_query(),
        Some(QueryTable::Set(query)) => rule.query(query),
    };
    // Checked alone, so that the error has the line of this rule.
    RedirectLayer::new([rule.clone()]).map(|_| rule).map_err(|error| source.caused(span, &error))
}

impl Function for RedirectLayer {
    fn report(&self) -> Value {
        json!({ "redirected": self.stats().redirected })
    }

    fn watch(&self, into: &mut FunctionReadings) {
        into.redirect(&self.stats());
    }
}
