use std::{borrow::Cow, time::Duration};

use equipoise_core::{EndpointId, PickRequest};

use crate::{placement::Placement, protocol::Protocol};

/// What decides where a request goes. Computed once, and used for each pick of the request.
pub(super) struct Routing {
    key: Option<Key>,
    /// Boxed, since few requests have one.
    placement: Option<Box<Placement>>,
    /// Endpoints that must not be picked: those that the placement excludes, and those that have failed the request.
    pub(super) excluded: Vec<EndpointId>,
    /// How long the request may wait in the queue; `None` if not at all.
    pub(super) queue_timeout: Option<Duration>,
}

/// A key that outlives its request, without an allocation if it is short: a UUID without hyphens has 32 bytes, a 64-bit
/// number at most 20.
enum Key {
    Short { length: u8, bytes: [u8; Key::SHORT] },
    Long(Box<[u8]>),
}

impl Key {
    const SHORT: usize = 38;

    fn new(key: Cow<'_, [u8]>) -> Self {
        let mut bytes = [0; Self::SHORT];
        match bytes.get_mut(..key.len()) {
            Some(place) => {
                place.copy_from_slice(&key);
                Self::Short { length: key.len() as u8, bytes }
            }
            None => Self::Long(key.into_owned().into()),
        }
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

impl Routing {
    /// Reads it off the request, and takes the placement out: it is not for balancers below.
    pub(super) fn of<P, Req, Res>(protocol: &P, request: &mut Req, queue_timeout: Option<Duration>) -> Self
    where
        P: Protocol<Req, Res>,
    {
        let key = protocol.key(request).map(Key::new);
        let mut placement = protocol.take_placement(request);
        let excluded = placement.as_mut().map(|placement| std::mem::take(&mut placement.exclude)).unwrap_or_default();
        let queue_timeout = placement.as_ref().and_then(|placement| placement.queue_timeout).or(queue_timeout);
        Self { key, placement: placement.map(Box::new), excluded, queue_timeout }
    }

    /// What the pool is told of the request.
    pub(super) fn request(&self) -> PickRequest<'_> {
        let request = PickRequest::new().exclude(&self.excluded);
        let request = match &self.key {
            Some(key) => request.key(key.as_bytes()),
            None => request,
        };
        match &self.placement {
            Some(placement) => placement.of(request),
            None => request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_any_length_is_kept_whole() {
        for length in [0, 1, Key::SHORT - 1, Key::SHORT, Key::SHORT + 1, 1_000] {
            let key = vec![7; length];
            assert_eq!(Key::new(Cow::Borrowed(&key)).as_bytes(), key);
        }
    }
}
