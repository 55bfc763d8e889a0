use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use equipoise_affinity::source::ClientAddress;
use equipoise_core::{SourceKey, SourcePrefix};
use equipoise_proxy::error::ErrorResponses;
use equipoise_tower::RequestHead;
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, RETRY_AFTER},
};
use parking_lot::Mutex;

use super::error::Failure;
use crate::{
    Denial,
    compression::{Encoding, choice::Preference, stats::ByEncoding},
};

/// The settings of a layer.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) preference: Preference,
    pub(super) max_bytes: u64,
    pub(super) max_ratio: u32,
    pub(super) max_concurrent: usize,
    pub(super) max_per_client: usize,
    pub(super) client: ClientAddress,
    pub(super) errors: Arc<ErrorResponses>,
}

#[derive(Debug, Default)]
pub(super) struct Shared {
    pub(super) encodings: ByEncoding,
    pub(super) unsupported: AtomicU64,
    pub(super) too_large: AtomicU64,
    pub(super) ratio: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) busy: AtomicU64,
    pub(super) concurrent: Mutex<Concurrent>,
}

/// The numbers of bodies that have a decoder now.
#[derive(Debug, Default)]
pub(super) struct Concurrent {
    pub(super) all: usize,
    /// Those of clients whose address is known.
    by_client: HashMap<SourceKey, usize>,
}

/// The place of one body among those that are decompressed at the same time. It is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    shared: Arc<Shared>,
    client: Option<SourceKey>,
}

impl Place {
    /// Returns `None` if there are too many bodies already, and counts this.
    pub(super) fn take(shared: &Arc<Shared>, settings: &Settings, head: RequestHead<'_>) -> Option<Self> {
        let client = settings.client.of(head).map(|address| SourcePrefix::default().key(address));
        let mut concurrent = shared.concurrent.lock();
        let of_client =
            client.as_ref().and_then(|client| concurrent.by_client.get(client)).copied().unwrap_or_default();
        if concurrent.all >= settings.max_concurrent || of_client >= settings.max_per_client {
            drop(concurrent);
            shared.busy.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        concurrent.all += 1;
        if let Some(client) = &client {
            concurrent.by_client.insert(*client, of_client + 1);
        }
        drop(concurrent);
        Some(Self { shared: Arc::clone(shared), client })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut concurrent = self.shared.concurrent.lock();
        concurrent.all -= 1;
        if let Some(client) = &self.client
            && let Some(count) = concurrent.by_client.get_mut(client)
        {
            *count -= 1;
            if *count == 0 {
                concurrent.by_client.remove(client);
            }
        }
    }
}

impl Shared {
    pub(super) fn on_failure(&self, failure: Failure) {
        let counter = match failure {
            Failure::TooLarge => &self.too_large,
            Failure::Ratio => &self.ratio,
            Failure::Window | Failure::Malformed => &self.malformed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// An encoding that is not decompressed, or several.
pub(super) struct Unsupported;

impl Settings {
    /// Returns the encoding of a request. `Ok(None)` if it has none.
    pub(super) fn encoding(&self, headers: &HeaderMap) -> Result<Option<Encoding>, Unsupported> {
        let mut values = headers.get_all(CONTENT_ENCODING).iter();
        let encoding = match (values.next(), values.next()) {
            (None, _) => return Ok(None),
            (Some(value), None) if value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity") => return Ok(None),
            (Some(value), None) => Encoding::of(value.as_bytes().trim_ascii()),
            (Some(_), Some(_)) => None,
        };
        match encoding.filter(|encoding| self.preference.iter().any(|listed| listed == *encoding)) {
            Some(encoding) => Ok(Some(encoding)),
            None => Err(Unsupported),
        }
    }

    pub(super) fn busy() -> Denial {
        Denial::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_compressed_bodies",
            "too many compressed requests are read at the same time",
        )
        .field(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    pub(super) fn unsupported(&self) -> Denial {
        let names: Vec<_> = self.preference.iter().map(Encoding::as_str).collect();
        let accepted = HeaderValue::from_str(&names.join(", ")).unwrap_or(HeaderValue::from_static("identity"));
        Denial::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_content_encoding",
            "this Content-Encoding of a request is not supported",
        )
        .field(ACCEPT_ENCODING, accepted)
    }
}
