//! Routes that would be open by mistake, because the listener or its other routes are not.

use toml::Spanned;

use crate::{
    config::{FilterTable, Placed, RouteTable, Setting, Tables},
    source::{ConfigError, Source},
};

/// Checks the routes of a listener, with their tables. `pool` is that of the listener.
pub(crate) fn check<'t>(
    listener: Tables<'t>,
    pool: Option<&Spanned<String>>,
    routes: impl Iterator<Item = (&'t Spanned<RouteTable>, Tables<'t>)> + Clone,
    source: &Source,
) -> Result<(), ConfigError> {
    let needs_credentials = |(_, tables): &(_, Tables<'_>)| tables.auth.is_some_and(|auth| auth.table().is_some());
    if listener.auth.is_none() && routes.clone().any(|route| needs_credentials(&route)) {
        let open = routes.clone().find(|(_, tables)| tables.auth.is_none()).map(|(route, _)| route.span());
        if let Some(span) = open.or(pool.map(Spanned::span)) {
            let message = "these requests pass without authentication, although another route of the listener has auth: write \
                           auth = \"none\" here, or at the listener for all routes without auth, if they should be open";
            return Err(source.error(span, message));
        }
    }
    for (route, _) in routes {
        let of_route = route.get_ref().filter.as_ref();
        if let (Some(of_listener), Some(span)) = (listener.filter.and_then(Placed::table), of_route.map(Spanned::span))
            && of_route.is_some_and(|filter| is_silent(filter.get_ref()))
            && (!of_listener.0.rule.is_empty() || of_listener.0.denies_others())
        {
            let message = "the filter of the listener has rules, which do not hold here, because this filter replaces it: repeat \
                           them, or add default = \"allow\" if they should not hold";
            return Err(source.error(span, message));
        }
    }
    Ok(())
}

/// Whether a filter does not say which requests are let through.
fn is_silent(filter: &Setting<FilterTable>) -> bool {
    matches!(filter, Setting::On(table) if table.rule.is_empty() && table.default.is_none())
}
