//! Servers that send invalid responses.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use equipoise_affinity::{
    Lookup, SessionStore, StoreError,
    redis::{InvalidRedisStore, RedisStore},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{builder, connected, eventually, find, id, server::Server};

/// Answers the first six commands of a connection correctly: the client's two commands at the start of a connection,
/// and the store's first four commands.
async fn introduce(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    let mut answered = 0;
    while answered < 6 {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).await.unwrap_or(0);
        if count == 0 {
            return;
        }
        seen.extend_from_slice(&some[..count]);
        // Each command begins with `*` and the number of its words. `*` and a digit occur nowhere else in these
        // commands.
        let asked = seen.windows(2).filter(|two| two[0] == b'*' && two[1].is_ascii_digit()).count();
        for question in answered..asked {
            let answer: &[u8] = match question {
                2 => b":0\r\n",
                3 => b"$-1\r\n",
                _ => b"-ERR\r\n",
            };
            let _ = stream.write_all(answer).await;
        }
        answered = asked.max(answered);
    }
}

/// A server that sends `answer` whenever it receives something. If `polite`, it first answers like a real server until
/// the connection is set up. If `then_close`, it closes the connection after the first `answer`. If `endless`, it
/// repeats `answer` without end.
struct Fake {
    polite: bool,
    answer: Vec<u8>,
    then_close: bool,
    endless: bool,
}

#[derive(Default)]
struct Seen {
    connections: AtomicU64,
    sent: AtomicU64,
}

impl Fake {
    fn new(answer: &[u8]) -> Self {
        Self { polite: true, answer: answer.to_vec(), then_close: false, endless: false }
    }

    async fn serve(self) -> (SocketAddr, Arc<Seen>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (fake, seen) = (Arc::new(self), Arc::new(Seen::default()));
        let counters = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (fake, seen) = (Arc::clone(&fake), Arc::clone(&counters));
                seen.connections.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    if fake.polite {
                        introduce(&mut stream).await;
                    }
                    let mut asked = [0; 4096];
                    while stream.read(&mut asked).await.is_ok_and(|count| count > 0) {
                        while stream.write_all(&fake.answer).await.is_ok() {
                            seen.sent.fetch_add(fake.answer.len() as u64, Ordering::Relaxed);
                            if !fake.endless {
                                break;
                            }
                        }
                        if fake.then_close || fake.endless {
                            return;
                        }
                    }
                });
            }
        });
        (address, seen)
    }
}

fn garbage(found: &Result<Option<equipoise_core::EndpointId>, StoreError>) -> bool {
    matches!(found, Err(StoreError::Malformed { .. }))
}

#[tokio::test]
async fn answers_that_are_no_bindings_are_counted_and_the_connection_stays() {
    for answer in [
        &b"$5\r\nhello\r\n"[..],
        b"$0\r\n\r\n",
        b"$7\r\n2 1 a b\r\n",
        b"$6\r\n1 1 \xff\xfe\r\n",
        b":17\r\n",
        b"+OK\r\n",
        b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
        &[b"$300\r\n1 1 ", &[b'a'; 296][..], b"\r\n"].concat(),
        &[b"$60000\r\n", &[b'a'; 60_000][..], b"\r\n"].concat(),
    ] {
        let (address, _) = Fake::new(answer).serve().await;
        let store = connected(builder(&format!("redis://{address}"))).await;
        for _ in 0..3 {
            let found = find(&store, "k").await;
            assert!(garbage(&found), "{:?}: {found:?}", String::from_utf8_lossy(answer));
        }
        let stats = store.stats();
        assert_eq!((stats.malformed, stats.reconnects, stats.protocol_errors), (3, 0, 0));
    }
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection_and_is_counted() {
    for answer in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"*1000000000\r\n",
        b"*1\r\n*1\r\n*1\r\n*1\r\n",
        b"%9223372036854775807\r\n",
        b">3\r\n",
        b"$536870912\r\naaaa",
        b"$3\r\nabcdef\r\n",
        b"\0\0\0\0",
        b"$-1\r\n$-1\r\n",
        &[b'+'; 70_000],
    ] {
        let (address, _) = Fake::new(answer).serve().await;
        let store = connected(builder(&format!("redis://{address}"))).await;
        let found = find(&store, "k").await;
        let text = String::from_utf8_lossy(answer);
        assert!(garbage(&found) || answer.starts_with(b"$-1"), "{text:?}: {found:?}");
        eventually("counted", || store.stats().protocol_errors > 0).await;
        eventually("connected again", || store.stats().reconnects > 0).await;
    }
}

#[tokio::test]
async fn what_the_client_library_cannot_read_ends_the_connection() {
    for answer in [&b"-ERR \xff\r\n"[..], b":1.5\r\n", b"$\r\n", b"$3\r\nabcde"] {
        let (address, _) = Fake::new(answer).serve().await;
        let store = connected(builder(&format!("redis://{address}"))).await;
        let found = find(&store, "k").await;
        assert!(found.is_err(), "{:?}: {found:?}", String::from_utf8_lossy(answer));
        eventually("connected again", || store.stats().reconnects > 0).await;
    }
}

#[tokio::test]
async fn a_server_of_another_protocol_is_never_connected_and_costs_no_busy_loop() {
    for answer in [&b"220 mail.example ESMTP\r\n"[..], b"", b"+OK\r\n", b"*1\r\n$4\r\nPONG\r\n"] {
        let (address, seen) = Fake { polite: false, then_close: true, ..Fake::new(answer) }.serve().await;
        let since = Instant::now();
        let store = builder(&format!("redis://{address}")).connect_timeout(Duration::from_millis(50)).build().unwrap();
        eventually(
            "tried",
            || matches!(store.lookup(b"k"), Lookup::Now(Err(StoreError::Unavailable { reason })) if reason != "not connected yet"),
        )
        .await;
        assert!(!store.stats().connected);
        store.bind(b"k", &id("a"), None);
        assert_eq!(find(&store, "k").await, Ok(Some(id("a"))), "the store's local cache has the binding");
        eventually("tried often", || seen.connections.load(Ordering::Relaxed) >= 8).await;
        // The seven pauses between eight attempts are 5, 10, 20, 40, 50, 50 and 50 ms, each reduced by up to half.
        assert!(since.elapsed() >= Duration::from_millis(112), "{:?}", since.elapsed());
    }
}

#[tokio::test]
async fn an_endless_answer_is_not_read_for_long() {
    for answer in [&[b'a'; 4096][..], &[b'+'; 4096], b"$1000000\r\n", b"$-1\r\n"] {
        let (address, seen) = Fake { endless: true, ..Fake::new(answer) }.serve().await;
        let store = connected(builder(&format!("redis://{address}"))).await;
        let _ = find(&store, "k").await;
        eventually("given up", || store.stats().protocol_errors > 0).await;
        // Not 0, because the kernel's buffers accept data that the store never reads.
        assert!(seen.sent.load(Ordering::Relaxed) < 64 << 20);
    }
}

#[tokio::test]
async fn one_that_never_answers_or_stops_in_the_middle_costs_the_time_limit_once() {
    for answer in [&b""[..], b"$10\r\n1 1 a"] {
        let (address, _) = Fake::new(answer).serve().await;
        let settings = builder(&format!("redis://{address}")).lookup_timeout(Duration::from_millis(30));
        let store = connected(settings.connect_timeout(Duration::from_millis(300))).await;
        let since = Instant::now();
        assert!(matches!(find(&store, "k").await, Err(StoreError::Unavailable { .. })));
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
        assert!(matches!(store.lookup(b"k"), Lookup::Now(Err(StoreError::Unavailable { .. }))));
        eventually("given up", || store.stats().reconnects > 0).await;
    }
}

#[tokio::test]
async fn one_that_closes_in_the_middle_loses_the_lookup_and_no_more() {
    for answer in [&b""[..], b"$10\r\n1 1 a"] {
        let (address, _) = Fake { then_close: true, ..Fake::new(answer) }.serve().await;
        let store = connected(builder(&format!("redis://{address}"))).await;
        assert!(matches!(find(&store, "k").await, Err(StoreError::Unavailable { .. })));
        eventually("connected again", || store.stats().reconnects > 0).await;
        assert_eq!(store.stats().malformed, 0);
    }
}

#[tokio::test]
async fn foreign_values_in_a_real_server_are_no_bindings() {
    let Some(server) = Server::start(&[]).await else { return };
    let store = connected(builder(&server.url())).await;
    let _: u64 = server.ask(&["RPUSH", "equipoise:list", "x"]);
    let _: String = server.ask(&["SET", "equipoise:text", "x"]);
    let _: String = server.ask(&["SET", "equipoise:broken", "1 99999999999999999999 x"]);
    let _: String = server.ask(&["SET", "equipoise:later", "2 something else"]);
    let _: String = server.ask(&["SET", "equipoise:huge", &"x".repeat(1 << 20)]);
    for key in ["list", "text", "broken", "later"] {
        assert!(garbage(&find(&store, key).await), "{key}");
    }
    assert_eq!((store.stats().malformed, store.stats().protocol_errors), (4, 0));

    for key in ["list", "text", "broken", "later"] {
        store.bind(key.as_bytes(), &id("a"), None);
    }
    eventually("answered", || store.stats().writes + store.stats().writes_dropped == 4).await;
    for key in ["text", "broken"] {
        let value: String = server.ask(&["GET", &format!("equipoise:{key}")]);
        assert!(value.ends_with(" a"), "a value that is not a binding is replaced");
    }
    assert_eq!(server.ask::<String>(&["GET", "equipoise:later"]), "2 something else");
    assert_eq!(server.ask::<u64>(&["LLEN", "equipoise:list"]), 1);
    assert_eq!((store.stats().writes, store.stats().writes_dropped), (2, 2));

    assert!(garbage(&find(&store, "huge").await));
    eventually("connected again", || store.stats().reconnects == 1).await;
    assert_eq!(find(&store, "text").await, Ok(Some(id("a"))));
}

#[tokio::test]
async fn impossible_settings_are_refused_and_an_absent_server_is_none() {
    for url in [
        "",
        "127.0.0.1:6379",
        "http://127.0.0.1",
        "redis://",
        "redis://h/x",
        "redis://:secret@h:99999/",
        "redis://h/#x",
    ] {
        let error = RedisStore::builder(url).build().unwrap_err();
        assert!(matches!(error, InvalidRedisStore::Url { .. }), "{url}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("secret"));
    }
    #[cfg(not(feature = "redis-tls"))]
    assert!(matches!(RedisStore::builder("rediss://h").build().unwrap_err(), InvalidRedisStore::Tls { .. }));
    let zero = Duration::ZERO;
    let new = || RedisStore::builder("redis://127.0.0.1:1");
    for (builder, setting) in [
        (new().idle_timeout(zero), "idle_timeout"),
        (new().idle_timeout(Duration::MAX), "idle_timeout"),
        (new().lifetime(Duration::from_millis(999)), "lifetime"),
        (new().lookup_timeout(zero), "lookup_timeout"),
        (new().connect_timeout(zero), "connect_timeout"),
        (new().backoff(zero, zero), "backoff's minimum"),
        (new().backoff(Duration::from_secs(2), Duration::from_secs(1)), "backoff's maximum"),
        (new().prefix("p".repeat(129)), "prefix"),
        (new().cache_capacity(0), "cache_capacity"),
        (new().cache_capacity(usize::MAX), "cache_capacity"),
        (new().write_queue(0), "write_queue"),
        (new().write_queue(usize::MAX), "write_queue"),
    ] {
        match builder.build().unwrap_err() {
            InvalidRedisStore::Setting { setting: named, .. } => assert_eq!(named, setting),
            other => panic!("{other:?}"),
        }
    }
    assert!(matches!(find(&new().build().unwrap(), "k").await, Err(StoreError::Unavailable { .. })));
}

#[test]
fn without_a_runtime_there_is_no_store() {
    assert_eq!(RedisStore::builder("redis://h").build().unwrap_err(), InvalidRedisStore::NoRuntime);
}
