//! Filters of the bodies of requests and responses.

use equipoise::{
    gateway::filter::{
        BodyFilterStats, LimitSize, RejectText, ReplaceText, RequestBodyFilterLayer, ResponseBodyFilterLayer,
    },
    monitor::FunctionReadings,
};
use serde_json::{Value, json};
use toml::Spanned;

use super::{
    chain::{Chain, Shared},
    kept::Function,
};
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
    add_of_responses(chain, tables, context)?;
    let Some((placed, (table, span))) = tables.request_body.and_then(|placed| Some((placed, placed.table()?))) else {
        return Ok(());
    };
    let layer = match (&table.reject, &table.replace) {
        (Some(texts), None) => {
            let reject = RejectText::new(texts.get_ref());
            RequestBodyFilterLayer::new(
                reject.map_err(|error| context.source.error(texts.span(), format_args!("reject: {error}")))?,
            )
        }
        (None, Some(texts)) => RequestBodyFilterLayer::new(replace(texts, table.ignore_case, context.source)?),
        (None, None) => return Err(context.source.error(span, "request_body does nothing: add reject or replace")),
        (Some(_), Some(_)) => {
            return Err(context
                .source
                .error(span, "request_body has one of reject and replace: leave one of them out"));
        }
    };
    let place = format!("{} request_body", placed.place);
    let layer = context.functions.keep_or_build(&place, table.clone(), || Ok(layer))?;
    let layer = (*layer).clone().errors(shared.errors.clone());
    chain.add(|functions| functions.filter_request_bodies(layer));
    Ok(())
}

fn add_of_responses(chain: &mut Chain, tables: Tables<'_>, context: Context<'_>) -> Result<(), ConfigError> {
    let Some((placed, (table, span))) = tables.response_body.and_then(|placed| Some((placed, placed.table()?))) else {
        return Ok(());
    };
    let of_types = |layer: ResponseBodyFilterLayer| match &table.content_type {
        Some(types) => layer.content_types(types),
        None => layer,
    };
    let layer = match (table.max_bytes, &table.replace) {
        (Some(max), None) => ResponseBodyFilterLayer::new(LimitSize::new(max)).keep_request_fields(true),
        (None, Some(texts)) => {
            let replace = replace(texts, table.ignore_case, context.source)?.once(table.once);
            ResponseBodyFilterLayer::new(replace)
        }
        (None, None) => return Err(context.source.error(span, "response_body does nothing: add replace or max_bytes")),
        (Some(_), Some(_)) => {
            return Err(context
                .source
                .error(span, "response_body has one of replace and max_bytes: leave one of them out"));
        }
    };
    let place = format!("{} response_body", placed.place);
    let layer = context.functions.keep_or_build(&place, table.clone(), || Ok(of_types(layer)))?;
    chain.add(|functions| functions.filter_response_bodies((*layer).clone()));
    Ok(())
}

fn replace(texts: &Spanned<Vec<ReplaceTable>>, ignore_case: bool, source: &Source) -> Result<ReplaceText, ConfigError> {
    let pairs = texts.get_ref().iter().map(|ReplaceTable { find, with }| (find, with));
    let replace = if ignore_case { ReplaceText::ignoring_case(pairs) } else { ReplaceText::new(pairs) };
    replace.map_err(|error| source.error(texts.span(), format_args!("replace: {error}")))
}

fn of_filter(stats: BodyFilterStats) -> Value {
    json!({ "filtered": stats.filtered, "rejected": stats.rejected })
}

impl Function for RequestBodyFilterLayer {
    fn report(&self) -> Value {
        of_filter(self.stats())
    }

    fn watch(&self, into: &mut FunctionReadings) {
        into.request_bodies(&self.stats());
    }
}

impl Function for ResponseBodyFilterLayer {
    fn report(&self) -> Value {
        of_filter(self.stats())
    }

    fn watch(&self, into: &mut FunctionReadings) {
        into.response_bodies(&self.stats());
    }
}
