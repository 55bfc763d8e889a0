//! Routes that would be open by mistake, because their listener, its other routes or other ways to their pool are not.

use std::collections::BTreeSet;

use toml::Spanned;

use crate::{
    conditions::groups,
    config::{FilterTable, HttpListener, Placed, RouteTable, Setting, Tables},
    context::Context,
    source::ConfigError,
};

/// Returns the pools to which the listeners, or some of their routes, let requests through only with authentication.
pub(crate) fn protected_pools<'t>(listeners: impl Iterator<Item = &'t HttpListener>) -> BTreeSet<&'t str> {
    let mut protected = BTreeSet::new();
    for listener in listeners {
        let of_listener = Tables::of_listener(listener, "");
        if needs_credentials(&of_listener) {
            protected.extend(listener.pool.as_ref().map(|pool| pool.get_ref().as_str()));
        }
        for (_, group) in groups(listener) {
            if group.first().is_some_and(|first| needs_credentials(&of_listener.of_route(first.get_ref(), "", false))) {
                protected.extend(group.iter().map(|route| route.get_ref().pool.get_ref().as_str()));
            }
        }
    }
    protected
}

/// Checks the routes of a listener. Those with the same conditions are one group, with one set of tables. `pool` is that
/// of the listener.
pub(crate) fn check<'t>(
    listener: Tables<'t>,
    pool: Option<&Spanned<String>>,
    groups: impl Iterator<Item = (&'t [&'t Spanned<RouteTable>], Tables<'t>)> + Clone,
    context: Context<'_>,
) -> Result<(), ConfigError> {
    let source = context.source;
    let open = groups.clone().filter(|(_, tables)| tables.auth.is_none()).flat_map(|(group, _)| group);
    let open = open.map(|route| (route.span(), &route.get_ref().pool));
    let of_listener = pool.filter(|_| listener.auth.is_none()).map(|pool| (pool.span(), pool));
    let mut open = open.chain(of_listener);
    if groups.clone().any(|(_, tables)| needs_credentials(&tables))
        && let Some((span, _)) = open.clone().next()
    {
        let message = "these requests pass without authentication, although another route of the listener has auth: write \
                       auth = \"none\" here, or at the listener for all routes without auth, if they should be open";
        return Err(source.error(span, message));
    }
    if let Some((span, pool)) = open.find(|(_, pool)| context.protected_pools.contains(pool.get_ref().as_str())) {
        let pool = pool.get_ref();
        return Err(source.error(
            span,
            format_args!(
                "these requests pass to pool {pool:?} without authentication, although another listener has auth for it: \
                 write auth = \"none\" for this route or listener, if they should be open"
            ),
        ));
    }
    for route in groups.filter_map(|(group, _)| group.first()) {
        let of_route = route.get_ref().filter.as_ref();
        if let (Some(of_listener), Some(span)) = (listener.filter.and_then(Placed::table), of_route.map(Spanned::span))
            && of_route.is_some_and(|filter| is_silent(filter.get_ref()))
            && (!of_listener.0.rule.is_empty() || of_listener.0.denies_others())
        {
            let message = "the filter of the listener has rules, which do not hold here, because this filter replaces it: repeat \
                           those that should hold, and write default = \"deny\" or \"allow\"";
            return Err(source.error(span, message));
        }
    }
    Ok(())
}

fn needs_credentials(tables: &Tables<'_>) -> bool {
    tables.auth.is_some_and(|auth| auth.table().is_some())
}

/// Whether a filter does not say which requests are let through.
fn is_silent(filter: &Setting<FilterTable>) -> bool {
    matches!(filter, Setting::On(table) if table.default.is_none())
}
