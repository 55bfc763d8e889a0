use bytes::Bytes;
use equipoise_tower::RequestHead;
use http::request::Parts;

use super::{Home, Sought};
use crate::{
    key::{Extracted, SessionKey},
    outcome::Unbound,
};

pub(super) fn seek(key: &SessionKey, head: &Parts) -> Sought {
    Sought::by_key(read(key, head), |_| Home::Keyed)
}

/// The key that the request brings.
pub(super) fn read(key: &SessionKey, head: &Parts) -> Result<Bytes, Unbound> {
    match key.of(RequestHead::of_parts(head)) {
        Extracted::Found(key) => Ok(Bytes::copy_from_slice(&key)),
        Extracted::Absent => Err(Unbound::Absent),
        Extracted::Oversized => Err(Unbound::Oversized),
    }
}
