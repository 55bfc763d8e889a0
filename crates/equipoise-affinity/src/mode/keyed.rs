use bytes::Bytes;
use equipoise_tower::RequestHead;
use http::request::Parts;

use super::{Home, Memo, Sought};
use crate::{
    key::{Extracted, SessionKey},
    outcome::Unbound,
};

pub(super) fn seek(key: &SessionKey, head: &Parts) -> Sought {
    match read(key, head) {
        Ok(session) => Sought { home: Home::Keyed, session: Some(session), memo: Memo::default() },
        Err(why) => Sought::unbound(why),
    }
}

/// The key that the request brings.
pub(super) fn read(key: &SessionKey, head: &Parts) -> Result<Bytes, Unbound> {
    match key.of(RequestHead::of_parts(head)) {
        Extracted::Found(key) => Ok(Bytes::copy_from_slice(&key)),
        Extracted::Absent => Err(Unbound::Absent),
        Extracted::Oversized => Err(Unbound::Oversized),
    }
}
