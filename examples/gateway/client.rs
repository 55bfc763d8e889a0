//! The address of the client, which each listener finds behind its own trusted proxies.

use std::net::IpAddr;

use equipoise::tower::RequestHead;

/// A request extension: the address of the client.
#[derive(Clone, Copy)]
pub(crate) struct Client(pub(crate) IpAddr);

/// Returns the address of the client of a request.
pub(crate) fn client_address(head: RequestHead<'_>) -> Option<IpAddr> {
    head.extensions.get().map(|Client(address)| *address)
}
