//! Bytes over TCP.

use std::{
    io::Write,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use rustix::net::{RecvFlags, recv};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{loops, outcome::Outcome};
use crate::backend::MESSAGE;

/// How long a connection may deliver nothing.
const STALL: Duration = Duration::from_secs(5);

/// Receives over one connection. The kernel discards the bytes, so that the client costs little.
pub(super) fn bulk(address: SocketAddr, seconds: u32) -> anyhow::Result<Outcome> {
    let mut stream = std::net::TcpStream::connect(address)?;
    stream.set_read_timeout(Some(STALL))?;
    stream.write_all(b"!")?;
    let (begin, length) = (Instant::now(), Duration::from_secs(seconds.into()));
    let (mut buffer, mut count) = (vec![0; 1 << 20], 0);
    while begin.elapsed() < length {
        let (_, received) = recv(&stream, &mut buffer[..], RecvFlags::TRUNC)?;
        ensure!(received > 0, "the connection was closed after {count} bytes");
        count += received as u64;
    }
    Ok(Outcome { count, seconds: begin.elapsed().as_secs_f64(), latency: None, repeats: None })
}

pub(super) fn small(address: SocketAddr, seconds: u32, connections: usize) -> anyhow::Result<Outcome> {
    let outcome = loops::run(connections, seconds, |mut client| async move {
        let mut stream = connect(address).await?;
        while let Some(number) = client.begin() {
            exchange(&mut stream, number).await?;
            client.end();
        }
        Ok(client)
    })?;
    Ok(Outcome { repeats: None, ..outcome })
}

pub(super) fn short(address: SocketAddr, seconds: u32, connections: usize) -> anyhow::Result<Outcome> {
    let outcome = loops::run(connections, seconds, |mut client| async move {
        while let Some(number) = client.begin() {
            exchange(&mut connect(address).await?, number).await?;
            client.end();
        }
        Ok(client)
    })?;
    Ok(Outcome { repeats: None, ..outcome })
}

async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(address).await.context("cannot connect")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Sends a message and reads its echo.
async fn exchange(stream: &mut TcpStream, number: usize) -> anyhow::Result<()> {
    let request = message(number);
    stream.write_all(&request).await?;
    // With a buffer that is larger than the response, tokio sees that there is nothing else to read.
    let (mut response, mut length) = ([0; 2 * MESSAGE], 0);
    while length < MESSAGE {
        let read = stream.read(&mut response[length..]).await?;
        ensure!(read > 0, "the connection was closed");
        length += read;
    }
    ensure!(response[..length] == request, "the response is {:?}", &response[..length]);
    Ok(())
}

/// Returns the message with this number.
pub(super) fn message(number: usize) -> [u8; MESSAGE] {
    let mut message = [b'.'; MESSAGE];
    message[..8].copy_from_slice(&(number as u64).to_be_bytes());
    message
}
