//! However a ClientHello is divided into reads, the same is read in it, and all bytes are passed on. A server with rustls
//! reads the same name.

#![no_main]

use std::io::Cursor;

use equipoise_proxy::{
    listen::Established,
    sni::{ClientHello, InvalidHello, SniAcceptor, SniError},
};
use libfuzzer_sys::fuzz_target;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    runtime::{Builder, Runtime},
};

thread_local!(static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().unwrap());

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    // Not in more than 64 reads, because each of them wakes a task.
    let size = (usize::from(size) + 1).max(bytes.len() / 64);
    let parsed = ClientHello::parse(bytes);
    let accepted = RUNTIME.with(|runtime| {
        runtime.block_on(async {
            // The buffer is as large as each read.
            let (mut client, server) = duplex(size);
            let acceptor = SniAcceptor::new().pass_other(true);
            let sends = async {
                let _ = client.write_all(bytes).await;
                let _ = client.shutdown().await;
            };
            let reads = async {
                let mut connection = acceptor.accept(Established::new(server)).await?;
                let mut read = Vec::new();
                connection.io.read_to_end(&mut read).await.unwrap();
                Ok((connection.info.client_hello().cloned(), read))
            };
            tokio::join!(sends, reads).1
        })
    });
    match (&parsed, accepted) {
        (Ok(Some(hello)), Ok((accepted, read))) => assert!(accepted.as_ref() == Some(hello) && read == bytes),
        // It is not TLS.
        (Err(InvalidHello::Record), Ok((None, read))) => assert_eq!(read, bytes),
        (Ok(None), Err(SniError::Closed)) => {}
        (Err(parsed), Err(SniError::Malformed(accepted))) => assert_eq!(*parsed, accepted),
        (parsed, accepted) => panic!("{parsed:?} {accepted:?}"),
    }
    let mut acceptor = rustls::server::Acceptor::default();
    let mut rest = Cursor::new(bytes);
    while rest.position() < bytes.len() as u64 {
        if acceptor.read_tls(&mut rest).is_err() {
            return;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => {
                let theirs = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                // rustls reads more bytes at once, and what follows its ClientHello may be wrong for it, too.
                let Ok(Some(ours)) = &parsed else { return };
                if let Some(theirs) = theirs {
                    assert_eq!(ours.server_name(), Some(theirs.trim_end_matches('.')));
                }
                return;
            }
            Ok(None) => {}
            Err(_) => return,
        }
    }
});
