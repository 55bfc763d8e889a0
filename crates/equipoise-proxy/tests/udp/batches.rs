//! Datagrams of all sizes, and many at once.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use super::*;

#[tokio::test]
async fn datagrams_of_all_sizes_are_relayed() {
    let endpoint = bound(at("127.0.0.1:0")).await;
    let address = address_of(&endpoint).to_string();
    let running = Running::start([&*address], long());
    let client = client().await;
    let mut buffer = vec![0; 65_536];
    // 65 507 bytes is the maximum of IPv4.
    for size in [0, 1, 1400, 1500, 2048, 2049, 9000, 65_507] {
        let sent = vec![b'x'; size];
        client.send(running.address, &sent).await;
        let (length, from) = soon(endpoint.recv_from(&mut buffer)).await.unwrap();
        assert_eq!(length, size);
        endpoint.send_to(&buffer[..length], from).await.unwrap();
        let (reply, from) = client.receive().await;
        assert!(reply == sent && from == running.address, "{size}");
    }
    assert_eq!(running.stats().dropped, Default::default());
    running.end().await;
}

/// Joined datagrams are received as one message, and sent as one.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_datagrams_of_one_message_keep_their_sizes_both_ways() {
    use quinn_udp::{Transmit, UdpSocketState};

    let endpoint = bound(at("127.0.0.1:0")).await;
    let address = address_of(&endpoint);
    let running = Running::start([&*address.to_string()], long());
    let client = client().await;
    let contents: Vec<u8> = (0..5 * 1000 + 7).map(|at| (at / 1000) as u8).collect();
    // That of another socket: it would let the sockets of this test join what they receive.
    let state = UdpSocketState::new((&std::net::UdpSocket::bind("127.0.0.1:0").unwrap()).into()).unwrap();
    let send = |socket: &UdpSocket, destination| {
        let transmit = Transmit { destination, ecn: None, contents: &contents, segment_size: Some(1000), src_ip: None };
        state.try_send(socket.into(), &transmit).unwrap();
    };
    let sizes = [1000, 1000, 1000, 1000, 1000, 7];
    let mut buffer = [0; 2000];
    // Replies are joined in bulk only, so there are several messages.
    for _ in 0..4 {
        send(&client.0, running.address);
        let mut session = None;
        for (at, size) in sizes.into_iter().enumerate() {
            let (length, from) = soon(endpoint.recv_from(&mut buffer)).await.unwrap();
            assert!(length == size && buffer[..length].iter().all(|byte| usize::from(*byte) == at), "{at}");
            session = Some(from);
        }
        for _ in 0..3 {
            send(&endpoint, session.unwrap());
        }
        for _ in 0..3 {
            for (at, size) in sizes.into_iter().enumerate() {
                let (reply, _) = client.receive().await;
                assert!(reply.len() == size && reply.iter().all(|byte| usize::from(*byte) == at), "{at}");
            }
        }
    }
    let stats = running.until(|stats| stats.to_clients == 72).await;
    assert_eq!((stats.to_endpoints, stats.opened, stats.dropped), (24, 1, Default::default()));
    running.end().await;
}

#[tokio::test]
async fn a_session_with_endless_replies_lets_others_have_theirs() {
    let flood = bound(at("127.0.0.1:0")).await;
    let address = address_of(&flood).to_string();
    let running = Running::start([&*address], long());
    let (flooded, other) = (client().await, client().await);
    flooded.send(running.address, "x").await;
    let (_, from) = soon(flood.recv_from(&mut [0; 8])).await.unwrap();
    let a = Echo::start("a").await;
    running.pool.add(EndpointSpec::new(&*a.address), ()).unwrap();
    running.pool.drain(&*address).unwrap();
    let flood = flood.into_std().unwrap();
    flood.set_nonblocking(false).unwrap();
    let ends = Arc::new(AtomicBool::new(false));
    let ended = Arc::clone(&ends);
    let flooding = std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            let _ = flood.send_to(&[b'x'; 64], from);
        }
    });
    running.until(|stats| stats.to_clients > 1000).await;
    for number in 0..20 {
        assert_eq!(other.ask(running.address, format!("{number}")).await, format!("a:{number}"));
    }
    ends.store(true, Ordering::Relaxed);
    flooding.join().unwrap();
    running.end().await;
}

#[tokio::test]
async fn a_thousand_clients_at_once_have_their_replies() {
    let (a, b) = (Echo::start("a").await, Echo::start("b").await);
    let running = Running::start([&*a.address, &*b.address], long());
    let mut clients = Vec::new();
    for number in 0..1000 {
        let client = client().await;
        client.send(running.address, format!("{number}")).await;
        clients.push(client);
        if number % 50 == 49 {
            // As many as fit into the buffers of the sockets.
            running.until(|stats| stats.to_clients == number + 1).await;
        }
    }
    for (number, client) in clients.iter().enumerate() {
        let (reply, _) = client.receive().await;
        assert_eq!(&reply[2..], number.to_string().as_bytes());
    }
    assert_eq!((running.stats().open, running.in_flight()), (1000, 1000));
    running.end().await;
}
