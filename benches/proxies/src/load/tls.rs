//! Handshakes of TLS.

use std::{io::ErrorKind, net::SocketAddr};

use anyhow::{Context, ensure};
use rustls::{HandshakeKind, ProtocolVersion};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::{loops, outcome::Outcome};
use crate::certificate::{Certificate, NAME};

pub(super) fn handshakes(
    address: SocketAddr,
    certificate: &Certificate,
    seconds: u32,
    connections: usize,
) -> anyhow::Result<Outcome> {
    let (connector, name) = (TlsConnector::from(certificate.client()?), NAME.try_into()?);
    let outcome = loops::run(connections, seconds, |mut client| {
        let (connector, name): (_, rustls::pki_types::ServerName<'static>) = (connector.clone(), Clone::clone(&name));
        async move {
            while client.begin().is_some() {
                let stream = TcpStream::connect(address).await.context("cannot connect")?;
                stream.set_nodelay(true)?;
                let mut stream = connector.connect(name.clone(), stream).await?;
                let session = stream.get_ref().1;
                ensure!(session.protocol_version() == Some(ProtocolVersion::TLSv1_3), "not TLS 1.3");
                ensure!(session.handshake_kind() == Some(HandshakeKind::Full), "not a full handshake");
                // The server closes the connection after it has processed the end of the handshake.
                stream.shutdown().await?;
                match stream.read(&mut [0; 64]).await {
                    Ok(0) => {}
                    // Without the message `close_notify`.
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => {}
                    Ok(read) => anyhow::bail!("the server has sent {read} bytes"),
                    Err(error) => return Err(error).context("the connection does not end"),
                }
                client.end();
            }
            Ok(client)
        }
    })?;
    Ok(Outcome { repeats: None, ..outcome })
}
