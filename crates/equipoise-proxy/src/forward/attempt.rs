use std::{net::SocketAddr, ops::Deref, sync::Arc};

use http::uri::Authority;

use super::{
    accounts::{Client, Meter},
    authentication::AuthenticatedUser,
    destination::Destination,
    rule::Access,
};
use crate::headers::ConnectionInfo;

/// What is known of one request while it is sent on. It is an extension of the request inside of this module.
#[derive(Clone, Debug)]
pub(super) struct Attempt(Arc<Asked>);

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) destination: Destination,
    /// The destination as the client has written it.
    pub(super) authority: Authority,
    pub(super) is_connect: bool,
    pub(super) user: Option<AuthenticatedUser>,
    pub(super) client: Client,
    /// The address of the client.
    pub(super) peer: Option<SocketAddr>,
    /// The connection of the client.
    pub(super) info: ConnectionInfo,
    /// Counts the request of HTTP and the bytes of its bodies. `None` if nothing limits them.
    pub(super) meter: Option<Meter>,
}

impl Attempt {
    pub(super) fn new(asked: Asked) -> Self {
        Self(Arc::new(asked))
    }
}

impl Asked {
    /// Returns what rules see.
    pub(super) fn access(&self) -> Access<'_> {
        let user = self.user.as_ref().map(|AuthenticatedUser(name)| &**name);
        let access = if self.is_connect { Access::tunnel(&self.destination) } else { Access::http(&self.destination) };
        access.user(user)
    }
}

impl Deref for Attempt {
    type Target = Asked;

    fn deref(&self) -> &Asked {
        &self.0
    }
}
