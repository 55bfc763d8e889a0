//! The header of the PROXY protocol that endpoints get.

use equipoise_proxy::{proxy_protocol::Version, tcp::TcpSettings};
use tokio::io::AsyncReadExt;

use crate::rig::*;

#[tokio::test]
async fn an_endpoint_gets_the_header_before_the_bytes_of_the_client() {
    // The first endpoint refuses the connection, so the header is sent to the second one only.
    let endpoints = [refusing().await, echoing().await];
    let mut rig = start(&endpoints, TcpSettings::new().proxy_protocol(Version::V1)).await;
    for _ in 0..2 {
        let mut client = rig.connect().await;
        let port = client.local_addr().expect("connected").port();
        let header = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\n", rig.address.port());
        // It comes back as all bytes do.
        let mut read = vec![0; header.len()];
        client.read_exact(&mut read).await.expect("open");
        assert_eq!(String::from_utf8(read).expect("text"), header);
        exchange(&mut client, b"ping").await;
        drop(client);
        assert_eq!(rig.ended().await.sent, 4, "the header does not count");
    }
    assert_eq!(rig.in_flight(), 0);
}
