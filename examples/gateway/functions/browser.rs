//! CORS, protection against cross-site requests, and ids of requests.

use equipoise::{
    gateway::browser::{CorsLayer, CorsPolicy, CsrfLayer, RequestIdLayer},
    monitor::FunctionReadings,
};
use serde_json::{Value, json};
use toml::Spanned;

use super::{
    chain::{Chain, Shared},
    filter::method,
    kept::Function,
    names::header_name,
};
use crate::{
    config::{CorsTable, HttpListener, Names, Setting, Tables},
    context::Context,
    proxies,
    source::{ConfigError, Source},
};

/// Adds the CORS policy of a route.
pub(super) fn add_cors(chain: &mut Chain, tables: Tables<'_>, context: Context<'_>) -> Result<(), ConfigError> {
    let Some((placed, (table, span))) = tables.cors.and_then(|placed| Some((placed, placed.table()?))) else {
        return Ok(());
    };
    let source = context.source;
    let layer = context.functions.keep_or_build(&format!("{} cors", placed.place), table.clone(), || {
        cors(table, source)?.build().map_err(|error| source.caused(span, &error))
    })?;
    chain.add(|functions| functions.cors((*layer).clone()));
    Ok(())
}

fn cors(table: &CorsTable, source: &Source) -> Result<CorsPolicy, ConfigError> {
    let CorsTable { origin, method: methods, header, expose, credentials, max_age } = table;
    let mut policy = match origin {
        Names::All(_) => CorsPolicy::any_origin(),
        Names::List(origins) => CorsPolicy::origins(origins),
    };
    if let Some(methods) = methods {
        policy = policy.methods(methods.iter().map(|text| method(text, source)).collect::<Result<Vec<_>, _>>()?);
    }
    policy = match header {
        None => policy,
        Some(Names::All(_)) => policy.any_header(),
        Some(Names::List(names)) => policy.headers(names),
    };
    policy = match expose {
        None => policy,
        Some(Names::All(_)) => policy.expose_any(),
        Some(Names::List(names)) => policy.expose(names),
    };
    if let Some(age) = max_age {
        policy = policy.max_age(*age.get_ref());
    }
    Ok(policy.credentials(*credentials))
}

/// Adds the protection of a route against requests that other sites cause.
pub(super) fn add_csrf(
    chain: &mut Chain,
    tables: Tables<'_>,
    shared: &Shared<'_>,
    context: Context<'_>,
) -> Result<(), ConfigError> {
    let Some((placed, (table, _))) = tables.csrf.and_then(|placed| Some((placed, placed.table()?))) else {
        return Ok(());
    };
    let source = context.source;
    let layer = context.functions.keep_or_build(&format!("{} csrf", placed.place), table.clone(), || {
        let mut layer = CsrfLayer::new();
        for origin in &table.trusted_origin {
            let trusting = layer.trusted_origin(origin.get_ref());
            layer = trusting.map_err(|error| source.caused(origin.span(), &error))?;
        }
        for path in &table.except {
            layer = layer.exempt_path(path.get_ref()).map_err(|error| source.caused(path.span(), &error))?;
        }
        Ok(layer)
    })?;
    let layer = (*layer).clone().errors(shared.errors.clone());
    chain.add(|functions| functions.csrf(layer));
    Ok(())
}

/// Adds what gives requests ids, before the routes.
pub(super) fn add_request_ids(
    chain: &mut Chain,
    (listener, place): (&HttpListener, &str),
    context: Context<'_>,
) -> Result<(), ConfigError> {
    let Some(Setting::On(table)) = listener.request_id.as_ref().map(Spanned::get_ref) else { return Ok(()) };
    let source = context.source;
    let trusted = listener.trusted_proxies.as_ref();
    let key = (table.clone(), trusted.cloned());
    let layer = context.functions.keep_or_build(&format!("{place} request_id"), key, || {
        let mut layer = RequestIdLayer::new().in_response(table.in_response);
        if table.keep {
            layer = layer.accept_from(proxies::trusted(trusted, source)?);
        }
        if let Some(header) = &table.header {
            layer = layer.header(header_name(header, source)?);
        }
        Ok(layer)
    })?;
    chain.add(|functions| functions.request_id((*layer).clone()));
    Ok(())
}

impl Function for CorsLayer {
    fn report(&self) -> Value {
        json!({ "preflights": self.stats().preflights })
    }

    fn watch(&self, into: &mut FunctionReadings) {
        into.cors(&self.stats());
    }
}

impl Function for RequestIdLayer {
    fn report(&self) -> Value {
        let stats = self.stats();
        json!({ "kept": stats.kept, "created": stats.created })
    }

    fn watch(&self, into: &mut FunctionReadings) {
        into.request_ids(&self.stats());
    }
}

impl Function for CsrfLayer {
    fn report(&self) -> Value {
        let stats = self.stats();
        json!({ "allowed": stats.allowed, "denied": stats.denied })
    }

    fn watch(&self, into: &mut FunctionReadings) {
        into.csrf(&self.stats());
    }
}
