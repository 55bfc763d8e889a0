//! Compression of responses, and decompression of requests.

use equipoise::{
    affinity::source::ClientAddress,
    gateway::compression::{CompressionLayer, DecompressionLayer, Encoding, EncodingStats},
    monitor::FunctionReadings,
};
use serde_json::{Value, json};

use super::{
    chain::{Chain, Shared},
    kept::Function,
};
use crate::{
    client::client_address,
    config::{CompressionTable, EncodingName, Tables},
    context::Context,
    source::{ConfigError, Source},
};

/// Adds the compression of responses of a route.
pub(super) fn add(chain: &mut Chain, tables: Tables<'_>, context: Context<'_>) -> Result<(), ConfigError> {
    let Some((placed, (table, _))) = tables.compression.and_then(|placed| Some((placed, placed.table()?))) else {
        return Ok(());
    };
    let place = format!("{} compression", placed.place);
    let layer = context.functions.keep_or_build(&place, table.clone(), || layer(table, context.source))?;
    chain.add(|functions| functions.compress((*layer).clone()));
    Ok(())
}

fn layer(table: &CompressionTable, source: &Source) -> Result<CompressionLayer, ConfigError> {
    let mut layer = CompressionLayer::new().plain_backend(table.plain_backend);
    if let Some(encodings) = &table.encoding {
        let names = encodings.get_ref().iter().map(|name| encoding(*name));
        layer = layer.encodings(names).map_err(|error| source.caused(encodings.span(), &error))?;
    }
    for (name, level) in &table.level {
        let leveled = layer.level(encoding(*name), *level.get_ref());
        layer = leveled.map_err(|error| source.caused(level.span(), &error))?;
    }
    if let Some(types) = &table.media_type {
        layer = layer.media_types(types.get_ref()).map_err(|error| source.caused(types.span(), &error))?;
    }
    if let Some(min) = table.min_bytes {
        layer = layer.min_bytes(min);
    }
    Ok(table.max_concurrent.iter().fold(layer, |layer, max| layer.max_concurrent(*max)))
}

/// Adds the decompression of requests of a route.
pub(super) fn add_decompression(
    chain: &mut Chain,
    tables: Tables<'_>,
    shared: &Shared<'_>,
    context: Context<'_>,
) -> Result<(), ConfigError> {
    let Some((placed, (table, _))) = tables.decompression.and_then(|placed| Some((placed, placed.table()?))) else {
        return Ok(());
    };
    let source = context.source;
    let layer = context.functions.keep_or_build(&format!("{} decompression", placed.place), table.clone(), || {
        let client = ClientAddress::connection().peer(client_address);
        let mut layer = DecompressionLayer::new().client_address(client);
        if let Some(encodings) = &table.encoding {
            let names = encodings.get_ref().iter().map(|name| encoding(*name));
            layer = layer.encodings(names).map_err(|error| source.caused(encodings.span(), &error))?;
        }
        if let Some(ratio) = &table.max_ratio {
            layer = layer.max_ratio(*ratio.get_ref()).map_err(|error| source.caused(ratio.span(), &error))?;
        }
        if let Some(max) = &table.max_concurrent {
            layer = layer.max_concurrent(*max.get_ref()).map_err(|error| source.caused(max.span(), &error))?;
        }
        if let Some(max) = &table.max_per_client {
            layer = layer.max_per_client(*max.get_ref()).map_err(|error| source.caused(max.span(), &error))?;
        }
        Ok(table.max_bytes.iter().fold(layer, |layer, max| layer.max_bytes(*max)))
    })?;
    let layer = (*layer).clone().errors(shared.errors.clone());
    chain.add(|functions| functions.decompress(layer));
    Ok(())
}

fn encoding(name: EncodingName) -> Encoding {
    match name {
        EncodingName::Zstd => Encoding::Zstd,
        EncodingName::Br => Encoding::Brotli,
        EncodingName::Gzip => Encoding::Gzip,
        EncodingName::Deflate => Encoding::Deflate,
    }
}

fn of_encoding(stats: EncodingStats) -> Value {
    json!({ "messages": stats.messages, "bytes_in": stats.bytes_in, "bytes_out": stats.bytes_out })
}

impl Function for CompressionLayer {
    fn report(&self) -> Value {
        let stats = self.stats();
        json!({
            "zstd": of_encoding(stats.zstd),
            "br": of_encoding(stats.brotli),
            "gzip": of_encoding(stats.gzip),
            "deflate": of_encoding(stats.deflate),
            "not_accepted": stats.not_accepted,
            "skipped_busy": stats.skipped_busy,
            "active": stats.active,
        })
    }

    fn watch(&self, into: &mut FunctionReadings) {
        into.compression(&self.stats());
    }
}

impl Function for DecompressionLayer {
    fn report(&self) -> Value {
        let stats = self.stats();
        json!({
            "zstd": of_encoding(stats.zstd),
            "br": of_encoding(stats.brotli),
            "gzip": of_encoding(stats.gzip),
            "deflate": of_encoding(stats.deflate),
            "unsupported": stats.unsupported,
            "too_large": stats.too_large,
            "ratio": stats.ratio,
            "malformed": stats.malformed,
            "busy": stats.busy,
            "concurrent": stats.concurrent,
        })
    }

    fn watch(&self, into: &mut FunctionReadings) {
        into.decompression(&self.stats());
    }
}
