//! tokio's copy between two connections, on one thread. The arguments are `LISTEN BUFFER BACKEND...`, with the length of
//! the buffers in bytes. Connections go to the backends in turn.

use anyhow::{Context, ensure};
use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("the arguments are: LISTEN BUFFER BACKEND...");
    let (listen, buffer) = (next()?, next()?.parse()?);
    let backends: Vec<_> = arguments.collect();
    ensure!(!backends.is_empty(), "at least one backend is needed");
    let listener = TcpListener::bind(listen).await?;
    for backend in backends.iter().cycle() {
        let (client, _) = listener.accept().await?;
        tokio::spawn(relay(client, backend.parse()?, buffer));
    }
    Ok(())
}

async fn relay(mut client: TcpStream, backend: std::net::SocketAddr, buffer: usize) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut server = TcpStream::connect(backend).await?;
    server.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut server, buffer, buffer).await?;
    Ok(())
}
