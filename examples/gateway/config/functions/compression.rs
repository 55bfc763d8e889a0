//! The tables `compression` and `decompression`.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::FunctionTable;
use crate::config::values::some_positive;

/// Which responses are compressed, and how. `gateway.toml` describes each key.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct CompressionTable {
    pub(crate) encoding: Option<Spanned<Vec<EncodingName>>>,
    pub(crate) level: BTreeMap<EncodingName, Spanned<u8>>,
    pub(crate) media_type: Option<Spanned<Vec<String>>>,
    pub(crate) min_bytes: Option<u64>,
    #[serde(deserialize_with = "some_positive")]
    pub(crate) max_concurrent: Option<usize>,
    /// Whether the backend is asked for responses without an encoding.
    pub(crate) plain_backend: bool,
}

impl FunctionTable for CompressionTable {
    const VALID: &'static str = "true, or a table such as { min_bytes = 2000 }";

    fn plain() -> Option<Self> {
        Some(Self::default())
    }
}

/// Which request bodies are decompressed, and up to what length.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DecompressionTable {
    pub(crate) encoding: Option<Spanned<Vec<EncodingName>>>,
    #[serde(deserialize_with = "some_positive")]
    pub(crate) max_bytes: Option<u64>,
    pub(crate) max_ratio: Option<Spanned<u32>>,
    pub(crate) max_concurrent: Option<Spanned<usize>>,
    pub(crate) max_per_client: Option<Spanned<usize>>,
}

impl FunctionTable for DecompressionTable {
    const VALID: &'static str = "true, or a table such as { max_bytes = 1000000 }";

    fn plain() -> Option<Self> {
        Some(Self::default())
    }
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EncodingName {
    Zstd,
    Br,
    Gzip,
    Deflate,
}
