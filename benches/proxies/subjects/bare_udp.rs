//! A relay of datagrams with a socket and a task for each client, on one thread: what a proxy for UDP costs without
//! batches, and without the end of a session. The arguments are `LISTEN BACKEND...`. Clients go to the backends in turn.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use anyhow::{Context, ensure};
use tokio::net::UdpSocket;

/// No datagram is larger.
const MAX_DATAGRAM: usize = 65_536;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().context("the arguments are: LISTEN BACKEND...")?;
    let backends: Vec<_> = arguments.collect();
    ensure!(!backends.is_empty(), "at least one backend is needed");
    let mut backends = backends.iter().cycle();
    let listener = Arc::new(UdpSocket::bind(listen).await?);
    let (mut sessions, mut buffer) = (HashMap::new(), vec![0; MAX_DATAGRAM]);
    loop {
        let (length, client) = listener.recv_from(&mut buffer).await?;
        let session = match sessions.get(&client) {
            Some(session) => session,
            None => {
                let server = Arc::new(UdpSocket::bind("0.0.0.0:0").await?);
                server.connect(backends.next().context("a backend")?).await?;
                tokio::spawn(replies(server.clone(), listener.clone(), client));
                sessions.entry(client).or_insert(server)
            }
        };
        session.send(&buffer[..length]).await?;
    }
}

/// Sends what the server sends to the client.
async fn replies(server: Arc<UdpSocket>, listener: Arc<UdpSocket>, client: SocketAddr) -> std::io::Result<()> {
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let length = server.recv(&mut buffer).await?;
        listener.send_to(&buffer[..length], client).await?;
    }
}
