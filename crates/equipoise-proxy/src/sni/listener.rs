use std::io;

use super::acceptor::SniAcceptor;
use crate::listen::{Accepted, Listener, Prefixed};

/// A listener that reads the ClientHello at the start of each connection of another listener, and passes it on. Its
/// connections have the server name in [`ConnectionInfo`](crate::headers::ConnectionInfo), and are still encrypted.
///
/// ```
/// use std::time::Duration;
/// use equipoise_proxy::sni::{Sni, SniAcceptor};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// let listener = Sni::with_acceptor(listener, SniAcceptor::new().hello_timeout(Duration::from_secs(3)));
/// # drop(listener);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Sni<L> {
    listener: L,
    acceptor: SniAcceptor,
}

impl<L> Sni<L> {
    /// Creates a listener with the defaults of [`SniAcceptor`].
    #[must_use]
    pub fn new(listener: L) -> Self {
        Self::with_acceptor(listener, SniAcceptor::new())
    }

    /// Creates a listener with the settings and counters of an acceptor.
    #[must_use]
    pub fn with_acceptor(listener: L, acceptor: SniAcceptor) -> Self {
        Self { listener, acceptor }
    }

    /// Returns the acceptor, which has the counters. Clone it before the listener is given to a server.
    pub fn acceptor(&self) -> &SniAcceptor {
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

impl<L: Listener> Listener for Sni<L> {
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
