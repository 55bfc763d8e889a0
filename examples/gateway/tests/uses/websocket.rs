//! WebSocket.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::start;
use crate::{
    backend::{Backend, head},
    client::soon,
    process::Folder,
};

/// Starts a server that accepts each handshake, and then sends back what it gets. Returns its address.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let asked = head(&mut stream).await?;
                assert!(asked.to_ascii_lowercase().contains("upgrade: websocket\r\n"), "{asked}");
                // The key and its answer are those of RFC 6455, section 1.3.
                let accepted = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
                                sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
                stream.write_all(accepted.as_bytes()).await?;
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}

/// Sends a handshake with a field. Returns the connection and the head of the response.
async fn handshake(address: &str, field: &str) -> (TcpStream, String) {
    let mut stream = soon(TcpStream::connect(address)).await.unwrap();
    let request = format!(
        "GET /chat HTTP/1.1\r\nhost: chat.test\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{field}\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = soon(head(&mut stream)).await.unwrap();
    (stream, head)
}

#[tokio::test]
async fn messages_pass_after_a_handshake_of_the_own_site() {
    let (site, chats, folder) = (Backend::start("site"), [echo().await, echo().await], Folder::new());
    let config = include_str!("../../uses/websocket.toml");
    let gateway = start(&folder, config, &[site.address(), &chats[0], &chats[1]]).await;
    let address = &gateway.addresses[0];
    let (mut stream, head) = handshake(address, "origin: https://chat.test\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101") && head.contains("set-cookie: CHAT="), "{head}");
    // A text frame with the mask of RFC 6455, section 5.7: `Hello`.
    let frame = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
    for _ in 0..3 {
        stream.write_all(&frame).await.unwrap();
        let mut back = [0; 11];
        soon(stream.read_exact(&mut back)).await.unwrap();
        assert_eq!(back, frame);
    }
    let (_stream, head) = handshake(address, "origin: https://evil.test\r\nsec-fetch-site: cross-site\r\n").await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    // Six at once are one more than an address may open.
    let mut limited = 0;
    for _ in 0..6 {
        let (_stream, head) = handshake(address, "origin: https://chat.test\r\n").await;
        limited += usize::from(head.starts_with("HTTP/1.1 429"));
    }
    assert!(limited > 0);
    assert_eq!(gateway.connect(0).await.get("/").await.body, "site");
}
