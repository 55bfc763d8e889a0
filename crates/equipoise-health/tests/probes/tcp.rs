use equipoise_health::{
    agent::AgentHealth,
    probe::{AgentProbe, OnTimeout, Probe, ProbeError, ProbeOutcome, TcpProbe},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::server::{
    droning, probe_once, refusing_address, reset, saying, serve, silent, target, until_closed, waits_until_dropped,
};

#[tokio::test]
async fn a_connection_is_enough() {
    assert_eq!(probe_once(&TcpProbe::new(), saying("").await).await, Ok(ProbeOutcome::Passed));
}

#[tokio::test]
async fn without_a_listener_there_is_no_connection() {
    assert!(matches!(probe_once(&TcpProbe::new(), refusing_address()).await, Err(ProbeError::Connect(_))));
}

#[tokio::test]
async fn a_name_is_resolved_and_one_that_does_not_exist_is_no_connection() {
    let port = saying("").await.port();
    assert_eq!(probe_once(&TcpProbe::new(), format!("localhost:{port}")).await, Ok(ProbeOutcome::Passed));
    assert!(matches!(probe_once(&TcpProbe::new(), "unknown.invalid:1").await, Err(ProbeError::Connect(_))));
}

#[tokio::test]
async fn a_name_whose_first_address_is_silent_is_reached_at_the_next() {
    let addresses = tokio::net::lookup_host("localhost:0").await.expect("loopback has a name");
    let mut addresses: Vec<_> = addresses.map(|address| address.ip()).collect();
    addresses.dedup();
    let [first, second, ..] = addresses[..] else {
        return println!("SKIPPED: localhost has one address, {addresses:?}");
    };
    let answers = TcpListener::bind((second, 0)).await.expect("loopback");
    let port = answers.local_addr().expect("bound").port();
    let _silent = silent((first, port).into()).await.expect("the port is free there too");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = answers.accept().await {
            let _ = stream.write_all(b"up\n").await;
        }
    });
    assert_eq!(probe_once(&TcpProbe::new(), format!("localhost:{port}")).await, Ok(ProbeOutcome::Passed));
    let Ok(ProbeOutcome::Agent(reply)) = probe_once(&AgentProbe::new(), format!("localhost:{port}")).await else {
        panic!("silence")
    };
    assert_eq!(reply.health, Some(AgentHealth::Up));
}

#[tokio::test]
async fn an_address_without_a_port_is_refused() {
    assert!(matches!(probe_once(&TcpProbe::new(), "127.0.0.1").await, Err(ProbeError::Address { .. })));
}

#[tokio::test]
async fn checks_may_have_a_port_of_their_own() {
    let target = target(refusing_address()).with_port(saying("").await.port());
    assert_eq!(TcpProbe::new().probe(&target).await, Ok(ProbeOutcome::Passed));
}

#[tokio::test]
async fn what_is_sent_arrives_and_what_is_expected_is_found_in_pieces() {
    let address = serve(|mut stream| async move {
        let mut ping = [0; 6];
        stream.read_exact(&mut ping).await.expect("six bytes");
        assert_eq!(&ping, b"PING\r\n");
        for piece in ["+PO", "NG\r\n"] {
            stream.write_all(piece.as_bytes()).await.expect("the probe reads on");
            stream.flush().await.expect("the probe reads on");
            tokio::task::yield_now().await;
        }
        until_closed(stream).await;
    })
    .await;
    assert_eq!(
        probe_once(&TcpProbe::new().send("PING\r\n").expect("PONG").unwrap(), address).await,
        Ok(ProbeOutcome::Passed)
    );
    assert_eq!(
        probe_once(&TcpProbe::new().send("PING\r\n").expect_prefix("+PONG").unwrap(), address).await,
        Ok(ProbeOutcome::Passed)
    );
}

#[tokio::test]
async fn another_answer_is_unexpected_and_shown() {
    let address = saying("-ERR busy\r\n").await;
    for probe in [TcpProbe::new().expect("PONG"), TcpProbe::new().expect_prefix("+")] {
        let Err(ProbeError::Unexpected(reason)) = probe_once(&probe.unwrap(), address).await else {
            panic!("it passed")
        };
        assert!(reason.contains(r"-ERR busy\r\n"), "{reason}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_read_no_further_than_the_limit() {
    let address = droning(b"", b"la").await;
    let probe = TcpProbe::new().expect("stop").unwrap().max_bytes(1000).unwrap();
    let Err(ProbeError::Unexpected(reason)) = probe_once(&probe, address).await else { panic!("it passed") };
    assert!(reason.contains("in 1000 bytes"), "{reason}");
}

#[tokio::test]
async fn a_peer_that_never_answers_is_waited_for_until_the_probe_is_dropped() {
    waits_until_dropped(&TcpProbe::new().expect("hello").unwrap()).await;
    assert_eq!(TcpProbe::new().on_timeout(), OnTimeout::Fail);
}

#[tokio::test]
async fn a_reset_breaks_it() {
    let answer = reset(&TcpProbe::new().expect("hello").unwrap()).await;
    assert!(matches!(answer, Err(ProbeError::Failed(_))), "{answer:?}");
}

#[test]
fn expecting_nothing_and_reading_nothing_are_refused() {
    assert_eq!(TcpProbe::new().expect("").unwrap_err().setting, "expect");
    assert_eq!(TcpProbe::new().expect_prefix("").unwrap_err().setting, "expect_prefix");
    assert_eq!(TcpProbe::new().max_bytes(0).unwrap_err().setting, "max_bytes");
    assert_eq!(TcpProbe::new().max_bytes(usize::MAX).unwrap_err().setting, "max_bytes");
}
