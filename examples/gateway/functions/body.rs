//! Filters of the bodies of requests and responses.

use equipoise::gateway::filter::{LimitSize, RejectText, ReplaceText, RequestBodyFilterLayer, ResponseBodyFilterLayer};
use serde_json::{Value, json};
use toml::Spanned;

use super::{Chain, Function, Shared};
use crate::{
    config::{ReplaceTable, Tables},
    context::Context,
    source::{ConfigError, Source},
};

/// Adds the filters of a route.
pub(super) fn add(
    chain: &mut Chain,
    tables: Tables<'_>,
    shared: &Shared<'_>,
    context: Context<'_>,
) -> Result<(), ConfigError> {
    add_of_responses(chain, tables, context.source)?;
    let Some((placed, (table, span))) = tables.request_body.and_then(|placed| Some((placed, placed.table()?))) else {
        return Ok(());
    };
    if table.reject.is_none() && table.replace.is_none() {
        return Err(context.source.error(span, "request_body does nothing: add reject or replace"));
    }
    if let Some(texts) = &table.reject {
        let layer =
            context.functions.keep_or_build(&format!("{} request_body", placed.place), table.clone(), || {
                let reject =
                    RejectText::new(texts.get_ref()).map_err(|error| context.source.caused(texts.span(), &error))?;
                Ok(Rejects(RequestBodyFilterLayer::new(reject)))
            })?;
        chain.push_for_bodies(layer.0.clone().errors(shared.errors.clone()));
    }
    if let Some(texts) = &table.replace {
        let replace = replace(texts, table.ignore_case, context.source)?;
        chain.push_for_bodies(RequestBodyFilterLayer::new(replace).errors(shared.errors.clone()));
    }
    Ok(())
}

fn add_of_responses(chain: &mut Chain, tables: Tables<'_>, source: &Source) -> Result<(), ConfigError> {
    let Some((table, span)) = tables.response_body.and_then(|placed| placed.table()) else { return Ok(()) };
    let of_types = |layer: ResponseBodyFilterLayer| match &table.content_type {
        Some(types) => layer.content_types(types),
        None => layer,
    };
    if table.replace.is_none() && table.max_bytes.is_none() {
        return Err(source.error(span, "response_body does nothing: add replace or max_bytes"));
    }
    if let Some(max) = table.max_bytes {
        chain.push(of_types(ResponseBodyFilterLayer::new(LimitSize::new(max)).keep_request_fields(true)));
    }
    if let Some(texts) = &table.replace {
        let replace = replace(texts, table.ignore_case, source)?.once(table.once);
        chain.push(of_types(ResponseBodyFilterLayer::new(replace)));
    }
    Ok(())
}

fn replace(texts: &Spanned<Vec<ReplaceTable>>, ignore_case: bool, source: &Source) -> Result<ReplaceText, ConfigError> {
    let pairs = texts.get_ref().iter().map(|ReplaceTable { find, with }| (find, with));
    let replace = if ignore_case { ReplaceText::ignoring_case(pairs) } else { ReplaceText::new(pairs) };
    replace.map_err(|error| source.caused(texts.span(), &error))
}

/// What refuses requests with certain texts.
struct Rejects(RequestBodyFilterLayer);

impl Function for Rejects {
    fn report(&self) -> Value {
        json!({ "rejected": self.0.rejected() })
    }
}
