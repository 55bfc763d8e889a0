use std::{
    borrow::{Borrow, Cow},
    fmt,
    sync::Arc,
};

/// The name that an endpoint keeps across updates; its state belongs to it.
///
/// Cheap to clone. By default a spec's id is its address. Valid ids are 1 to 255 bytes long and free of control
/// characters (so that they fit into a header or a cookie); the pool checks this when it takes a spec.
///
/// Every method that takes an id takes `&str`, `String`, `EndpointId` and `&EndpointId`. With the feature `serde` it is
/// serialized as its text.
///
/// ```
/// use equipoise_core::EndpointId;
///
/// let id = EndpointId::from("10.0.0.7:8080");
/// assert_eq!(id.as_str(), "10.0.0.7:8080");
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointId(Arc<str>);

impl EndpointId {
    /// The id's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn shared(&self) -> &Arc<str> {
        &self.0
    }
}

/// From `&str`, `&String`, `&EndpointId` and the like.
impl<S: AsRef<str> + ?Sized> From<&S> for EndpointId {
    fn from(text: &S) -> Self {
        Self(Arc::from(text.as_ref()))
    }
}

impl From<String> for EndpointId {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Arc<str>> for EndpointId {
    fn from(text: Arc<str>) -> Self {
        Self(text)
    }
}

impl From<Cow<'_, str>> for EndpointId {
    fn from(text: Cow<'_, str>) -> Self {
        Self(text.into())
    }
}

impl AsRef<str> for EndpointId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for EndpointId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for EndpointId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
