//! Datagrams over UDP.

use std::{net::SocketAddr, time::Duration};

use anyhow::ensure;
use tokio::{net::UdpSocket, time::timeout};

use super::{loops, outcome::Outcome, tcp::message};
use crate::backend::MESSAGE;

/// After how long a datagram without an answer is sent again.
const REPEAT: Duration = Duration::from_millis(200);
const MAX_REPEATS: u64 = 10;

pub(super) fn round_trips(address: SocketAddr, seconds: u32, sockets: usize) -> anyhow::Result<Outcome> {
    loops::run(sockets, seconds, |mut client| async move {
        let socket = UdpSocket::bind("127.0.0.1:0").await?;
        socket.connect(address).await?;
        while let Some(number) = client.begin() {
            let request = message(number);
            let mut sent = 0;
            loop {
                socket.send(&request).await?;
                sent += 1;
                if let Ok(answered) = timeout(REPEAT, answer(&socket, &request)).await {
                    answered?;
                    break;
                }
                ensure!(sent <= MAX_REPEATS, "no answer to {sent} datagrams");
            }
            client.repeats += sent - 1;
            client.end();
        }
        Ok(client)
    })
}

/// Waits for the echo of a message. Ignores those of earlier ones, which may have been sent again.
async fn answer(socket: &UdpSocket, request: &[u8; MESSAGE]) -> anyhow::Result<()> {
    let mut response = [0; 2 * MESSAGE];
    loop {
        let length = socket.recv(&mut response).await?;
        let response = &response[..length];
        if response == request {
            return Ok(());
        }
        ensure!(length == MESSAGE && response[..8] < request[..8], "the response is {response:?}");
    }
}
