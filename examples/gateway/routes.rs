//! The routes of a listener with mode "http", each with its functions and its pools.

use std::ops::Range;

use equipoise::{
    gateway::stack::AnyBody,
    proxy::{
        RequestBody,
        error::ErrorResponses,
        route::{Route, RouteBody, RouteError, Routes, Split},
    },
};
use http::Method;
use hyper::body::Incoming;
use toml::Spanned;

use crate::{
    backend::{Backend, Balanced, RoutedBody},
    conditions::{Conditions, groups},
    config::{HttpListener, Mode, ProxyTimeouts, RouteTable, Tables},
    context::Context,
    functions::{self, Chain, Functional, Shared, Unmatched},
    source::{ConfigError, Source},
};

/// The body of a request when its route is looked for.
pub(crate) type ListenerBody = AnyBody<RequestBody<Incoming>>;

/// The pool of a route, perhaps with functions.
pub(crate) type Routed = Functional<Balanced, RouteBody<ListenerBody>, RoutedBody>;

/// The name of the route of requests that no other route matches.
pub(crate) const NO_ROUTE: &str = "-";

/// Builds the table of routes, the functions before them, and those for the responses of the proxy itself. Routes with the
/// same conditions share their requests by weight, and their functions.
pub(crate) fn new(
    (listener, number): (&HttpListener, usize),
    errors: &ErrorResponses,
    context: Context<'_>,
) -> Result<(Routes<Routed>, Chain, Option<Chain>), ConfigError> {
    let (source, bind) = (context.source, listener.bind.get_ref().to_string());
    let service = |pool: &Spanned<String>| {
        let backend = context.pool(pool, *listener.bind.get_ref(), Mode::Http)?;
        check_attempt(listener, pool.get_ref(), backend, source)?;
        Ok(backend.service.clone())
    };
    let of_listener = Tables::of_listener(listener, &bind);
    let groups = groups(listener);
    if let Some(pool) = listener.pool.as_ref().filter(|_| groups.iter().any(|(key, _)| *key == Conditions::default())) {
        let message =
            "pool gets no requests, because a route without conditions gets all of them: leave one of them out";
        return Err(source.error(pool.span(), message));
    }
    let places: Vec<_> = groups.iter().map(|(conditions, _)| format!("{bind} {conditions}")).collect();
    let of_routes = || {
        let firsts =
            groups.iter().zip(&places).filter_map(|((_, group), place)| Some((group.first()?, place, group.len())));
        firsts.map(|(route, place, len)| of_listener.of_route(route.get_ref(), place, len > 1))
    };
    let of_groups: Vec<_> = groups.iter().map(|(_, group)| group.as_slice()).zip(of_routes()).collect();
    functions::check_open(of_listener, listener.pool.as_ref(), of_groups.iter().copied(), context)?;
    let shared = Shared::new(listener, number, errors);
    let mut routes = Vec::new();
    for ((_, group), tables) in groups.iter().zip(of_routes()) {
        let Some(route) = group.first() else { continue };
        let weights = weights(group, source)?;
        let mut choices = Vec::new();
        for (route, weight) in group.iter().zip(weights) {
            let functions = shared.route(tables, Some(route.get_ref().pool.get_ref()), context)?;
            choices.push((around(service(&route.get_ref().pool)?, &functions, route.span(), source)?, weight));
        }
        // The name of a route is that of its pools.
        let names: Vec<_> = group.iter().map(|route| route.get_ref().pool.get_ref().as_str()).collect();
        let split = Split::new(choices).map_err(|error| source.caused(route.span(), &error))?;
        let built = with_conditions(Route::split(names.join("|"), split), route, source)?;
        // Checked alone, so that the error has the line of this route.
        Routes::new([built.clone()]).map_err(|error| source.caused(span_of(&error.error, route), &error.error))?;
        routes.push(built);
    }
    let pool = listener.pool.as_ref().map(|pool| pool.get_ref().as_str());
    let functions = shared.route(of_listener, pool, context)?;
    match &listener.pool {
        Some(pool) => routes.push(Route::to(pool.get_ref(), around(service(pool)?, &functions, pool.span(), source)?)),
        None if routes.is_empty() => {
            return Err(
                source.error(listener.bind.span(), "the listener has no pool and no routes: add a pool, or routes")
            );
        }
        None if !functions.is_empty() && !groups.iter().any(|(key, _)| *key == Conditions::default()) => {
            let mut others = Vec::new();
            for (_, group) in &groups {
                let Some(route) = group.first() else { continue };
                others.push(with_conditions(Route::to(NO_ROUTE, ()), route, source)?);
            }
            let others = Routes::new(others).map_err(|error| source.caused(listener.bind.span(), &error))?;
            let unmatched = functions.only(Unmatched::new(others));
            let unmatched = unmatched.map_err(|error| source.caused(listener.bind.span(), &error))?;
            routes.push(Route::to(NO_ROUTE, unmatched));
        }
        None => {}
    }
    let routes = Routes::new(routes).map_err(|error| source.caused(listener.bind.span(), &error))?;
    let own_responses = shared.own_responses(listener, &bind, context)?;
    Ok((routes, shared.before_routes(listener, &bind, context)?, own_responses))
}

/// Puts the functions of a route around its pool.
fn around(pool: Balanced, functions: &Chain, span: Range<usize>, source: &Source) -> Result<Routed, ConfigError> {
    functions.around(pool).map_err(|error| source.caused(span, &error))
}

/// Returns the weights of routes with the same conditions.
fn weights(group: &[&Spanned<RouteTable>], source: &Source) -> Result<Vec<u32>, ConfigError> {
    let mut weights = Vec::new();
    for (at, route) in group.iter().enumerate() {
        weights.push(match (&route.get_ref().weight, group.len()) {
            (None, 1) => 1,
            (Some(weight), 1) => {
                let message = "weight has no effect, because no other route has the same conditions: leave it out";
                return Err(source.error(weight.span(), message));
            }
            (Some(weight), _) => *weight.get_ref(),
            (None, _) => {
                let message = "another route has the same conditions: give each a weight to share the requests";
                return Err(source.error(route.span(), message));
            }
        });
        if let Some((key, span)) = Tables::first_of(route.get_ref()).filter(|_| at > 0) {
            let message = "is for all routes with the same conditions: write it in the first of them";
            return Err(source.error(span, format_args!("{key} {message}")));
        }
    }
    Ok(weights)
}

fn with_conditions<T>(
    mut built: Route<T>,
    route: &Spanned<RouteTable>,
    source: &Source,
) -> Result<Route<T>, ConfigError> {
    let RouteTable { host, path_prefix, method, header, cookie, .. } = route.get_ref();
    if let Some(host) = host {
        built = built.host(host.get_ref());
    }
    if let Some(prefix) = path_prefix {
        built = built.path_prefix(prefix.get_ref());
    }
    if let Some(method) = method {
        let (method, span) = (method.get_ref(), method.span());
        let parsed =
            method.parse().ok().filter(|parsed: &Method| !parsed.as_str().bytes().any(|b| b.is_ascii_lowercase()));
        let wrong =
            || source.error(span, format_args!("{method:?} is not a method: write {:?}", method.to_ascii_uppercase()));
        built = built.method(parsed.ok_or_else(wrong)?);
    }
    let built = header.iter().fold(built, |built, (name, value)| built.header(name, value.get_ref()));
    Ok(cookie.iter().fold(built, |built, (name, value)| built.cookie(name, value.get_ref())))
}

/// Returns the place of what the table of routes has refused.
fn span_of(error: &RouteError, route: &Spanned<RouteTable>) -> Range<usize> {
    let table = route.get_ref();
    let value = match error.setting {
        "host" => table.host.as_ref(),
        "path_prefix" => table.path_prefix.as_ref(),
        "header" => table.header.get(&error.text),
        "cookie" => table.cookie.get(&error.text),
        _ => None,
    };
    value.map_or_else(|| route.span(), Spanned::span)
}

/// Checks that an attempt in a pool ends before its request does. Otherwise, no request would get to another endpoint.
fn check_attempt(listener: &HttpListener, name: &str, pool: &Backend, source: &Source) -> Result<(), ConfigError> {
    let ProxyTimeouts { head, total, .. } = &listener.timeouts;
    let attempt = &pool.table.timeouts;
    let limits = [Some(("head", head)), total.as_ref().map(|total| ("total", total))];
    match limits.into_iter().flatten().find(|(_, limit)| *limit.get_ref() <= attempt.attempt()) {
        None => Ok(()),
        Some((key, limit)) => {
            let span = attempt.attempt.as_ref().unwrap_or(limit).span();
            let (attempt, limit) = (attempt.attempt(), limit.get_ref());
            Err(source.error(
                span,
                format_args!(
                    "the timeout attempt of pool {name:?} ({attempt:?}) must be shorter than {key} of the listener \
                     {} ({limit:?}): set it under timeouts of the pool",
                    listener.bind.get_ref()
                ),
            ))
        }
    }
}
