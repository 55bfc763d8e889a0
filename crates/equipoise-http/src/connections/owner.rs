use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use tokio::runtime::Id;

/// Which requests may use a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Those of this runtime: a connection needs the I/O driver of the runtime in which it was opened, and another runtime
    /// may have stopped.
    pub(super) runtime: Id,
    /// Those of this client: the header of the PROXY protocol with which the connection begins. `None` if connections do
    /// not begin with one.
    pub(super) client: Option<Client>,
}

/// A client, by the header of the PROXY protocol with which its connections begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Client {
    /// Of the header. It is compared first, because headers begin alike, and a request compares many.
    hash: u64,
    header: Arc<[u8]>,
}

impl Client {
    #[cfg_attr(not(feature = "proxy-protocol"), expect(dead_code, reason = "connections begin with nothing"))]
    pub(crate) fn new(header: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        header.hash(&mut hasher);
        Self { hash: hasher.finish(), header: header.into() }
    }

    pub(super) fn header(&self) -> &[u8] {
        &self.header
    }
}

impl Owner {
    /// Creates the owner of connections without a client.
    pub(super) const fn runtime(runtime: Id) -> Self {
        Self { runtime, client: None }
    }
}
