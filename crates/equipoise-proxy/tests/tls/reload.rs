//! Settings that are replaced while the server runs.

use equipoise_proxy::tls::{Certificate, InvalidTls, TlsSettings};

use crate::setup::{Authority, get, start};

#[tokio::test]
async fn new_handshakes_use_new_settings_and_connections_stay_open() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let server = start(TlsSettings::new(old.certificate(&["app.test"]))).await;
    let mut before = old.trusting().connect(server.address, "app.test").await.expect("a handshake");
    assert_eq!(get(&mut before, "app.test").await.expect("a response").0, 200);
    server.acceptor.replace(&TlsSettings::new(new.certificate(&["app.test", "other.test"]))).expect("valid settings");
    let mut after = new.trusting().connect(server.address, "app.test").await.expect("a handshake");
    assert!(old.trusting().connect(server.address, "app.test").await.is_err());
    // A connection has the sites with which it began.
    for (stream, status) in [(&mut before, 200), (&mut after, 200)] {
        assert_eq!(get(stream, "app.test").await.expect("a response").0, status);
    }
}

#[tokio::test]
async fn settings_that_are_not_valid_leave_the_old_ones() {
    let authority = Authority::new("ca");
    let server = start(TlsSettings::new(authority.certificate(&["app.test"]))).await;
    let mismatch = Certificate::from_pem(authority.issue(&["app.test"]).0, authority.issue(&["app.test"]).1);
    let error = server.acceptor.replace(&TlsSettings::new(mismatch.expect("valid PEM"))).expect_err("another key");
    assert!(matches!(error, InvalidTls::KeyMismatch { .. }));
    assert!(authority.trusting().asked(server.address, "app.test").await.is_ok());
}

#[tokio::test]
async fn no_request_fails_while_settings_are_replaced() {
    let authority = Authority::new("ca");
    let settings = [
        TlsSettings::new(authority.certificate(&["app.test"])),
        TlsSettings::new(authority.certificate(&["app.test"])),
    ];
    let server = start(settings[0].clone()).await;
    let address = server.address;
    let clients = (0..8).map(|_| {
        let client = authority.trusting();
        tokio::spawn(async move {
            let mut kept = client.connect(address, "app.test").await?;
            for _ in 0..50 {
                client.asked(address, "app.test").await?;
                get(&mut kept, "app.test").await?;
            }
            Ok::<_, std::io::Error>(())
        })
    });
    let clients: Vec<_> = clients.collect();
    let mut replaced = 0;
    while !clients.iter().all(tokio::task::JoinHandle::is_finished) {
        server.acceptor.replace(&settings[replaced % 2]).expect("valid settings");
        replaced += 1;
        tokio::task::yield_now().await;
    }
    for client in clients {
        client.await.expect("no panic").expect("no error");
    }
    let stats = server.acceptor.stats();
    assert!(replaced > 50 && stats.tls13 == 8 * 51, "{replaced} {stats:?}");
    // Certificates that are renewed end no sessions.
    assert!(stats.resumed >= 8 * 49, "{stats:?}");
}
