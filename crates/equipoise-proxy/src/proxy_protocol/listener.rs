use std::io;

use equipoise_affinity::source::TrustedProxies;

use super::acceptor::ProxyAcceptor;
use crate::listen::{Accepted, Listener, Prefixed};

/// A listener that reads a header of the PROXY protocol at the start of each connection of another listener. The
/// [module](super) has an example.
///
/// TLS comes after the header, so a listener with TLS is around this one.
#[derive(Debug)]
pub struct ProxyProtocol<L> {
    listener: L,
    acceptor: ProxyAcceptor,
}

impl<L> ProxyProtocol<L> {
    /// Creates a listener that expects a header from the peers in `trusted`, and closes the connections of all others.
    #[must_use]
    pub fn new(listener: L, trusted: TrustedProxies) -> Self {
        Self::with_acceptor(listener, ProxyAcceptor::new(trusted))
    }

    /// Creates a listener with the settings and counters of an acceptor.
    #[must_use]
    pub fn with_acceptor(listener: L, acceptor: ProxyAcceptor) -> Self {
        Self { listener, acceptor }
    }

    /// Returns the acceptor, which has the counters. Clone it before the listener is given to a server.
    pub fn acceptor(&self) -> &ProxyAcceptor {
        &self.acceptor
    }

    fn reading<Io>(&self, accepted: Accepted<Io>) -> Accepted<Prefixed<Io>>
    where
        Io: tokio::io::AsyncRead + Unpin + Send + 'static,
    {
        let acceptor = self.acceptor.clone();
        Accepted::later(async move { Ok(acceptor.accept(accepted.established().await?).await?) })
    }
}

impl<L: Listener> Listener for ProxyProtocol<L> {
    type Io = Prefixed<L::Io>;

    async fn accept(&mut self) -> io::Result<Accepted<Self::Io>> {
        let accepted = self.listener.accept().await?;
        Ok(self.reading(accepted))
    }

    fn accept_waiting(&mut self) -> io::Result<Option<Accepted<Self::Io>>> {
        let accepted = self.listener.accept_waiting()?;
        Ok(accepted.map(|accepted| self.reading(accepted)))
    }
}
