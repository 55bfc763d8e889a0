use std::{io, sync::Arc};

use tokio::io::{AsyncRead, AsyncWrite};

use super::{
    acceptor::TlsAcceptor, certificate::Certificate, error::InvalidTls, failure::HandshakeError, settings::TlsSettings,
    stream::TlsStream,
};
use crate::listen::{Accepted, Established, Listener};

/// A listener that makes a TLS handshake on each connection of another listener. The [module](super) has an example.
#[derive(Debug)]
pub struct Tls<L> {
    listener: L,
    acceptor: TlsAcceptor,
}

impl<L> Tls<L> {
    /// Creates a listener with one certificate, for HTTP/1.1 and HTTP/2.
    ///
    /// # Errors
    ///
    /// [`InvalidTls::Key`] and [`InvalidTls::KeyMismatch`].
    pub fn new(listener: L, certificate: Certificate) -> Result<Self, InvalidTls> {
        Self::with_settings(listener, &TlsSettings::new(certificate))
    }

    /// Creates a listener with settings.
    ///
    /// # Errors
    ///
    /// The first reason why the settings cannot be used.
    pub fn with_settings(listener: L, settings: &TlsSettings) -> Result<Self, InvalidTls> {
        Ok(Self::with_acceptor(listener, TlsAcceptor::new(settings)?))
    }

    /// Creates a listener that shares an acceptor with others.
    #[must_use]
    pub fn with_acceptor(listener: L, acceptor: TlsAcceptor) -> Self {
        Self { listener, acceptor }
    }

    /// Returns the acceptor, through which settings are replaced while the listener is used. Clone it before the listener
    /// is given to a server.
    pub fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Returns a connection that is established by a handshake on an accepted one.
    fn encrypted<Io>(&self, accepted: Accepted<Io>) -> Accepted<TlsStream<Io>>
    where
        Io: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let acceptor = self.acceptor.clone();
        Accepted::later(async move {
            let Established { io, peer, info } = accepted.established().await?;
            let io = acceptor.accept(io).await.map_err(|error| HandshakeError { peer, ..error })?;
            let info = info.session(Arc::clone(io.session()));
            Ok(Established { io, peer, info })
        })
    }
}

impl<L: Listener> Listener for Tls<L> {
    type Io = TlsStream<L::Io>;

    async fn accept(&mut self) -> io::Result<Accepted<Self::Io>> {
        let accepted = self.listener.accept().await?;
        Ok(self.encrypted(accepted))
    }

    fn accept_waiting(&mut self) -> io::Result<Option<Accepted<Self::Io>>> {
        let accepted = self.listener.accept_waiting()?;
        Ok(accepted.map(|accepted| self.encrypted(accepted)))
    }
}
