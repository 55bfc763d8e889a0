//! Connections over TLS.

use equipoise_affinity::{
    Lookup, SessionStore,
    redis::{InvalidRedisStore, RedisStore},
};
use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::{
    builder, connected, eventually, find, id,
    tls_server::{TlsServer, trusting},
};

#[tokio::test]
async fn a_server_with_the_right_certificate_is_connected_and_one_without_is_unavailable() {
    let Some(server) = TlsServer::start().await else { return };
    let store = connected(builder(&server.url).tls(server.trusting())).await;
    store.bind(b"k", &id("a"), None);
    eventually("written", || store.stats().writes == 1).await;
    assert_eq!(find(&store, "k").await, Ok(Some(id("a"))));

    for wrong in [builder(&server.url), builder(&server.misnamed).tls(server.trusting())] {
        let store = wrong.build().unwrap();
        eventually(
            "refused",
            || matches!(store.lookup(b"k"), Lookup::Now(Err(error)) if error.to_string().contains("certificate")),
        )
        .await;
    }
}

#[test]
fn a_configuration_for_tls_takes_a_url_that_asks_for_it() {
    let CertifiedKey { cert, .. } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (url, tls) in [("redis://h", true), ("redis+unix:///socket", true), ("rediss://a_b*c", false)] {
        let mut builder = RedisStore::builder(url);
        if tls {
            builder = builder.tls(trusting(&cert));
        }
        let error = builder.build().unwrap_err();
        assert!(matches!(error, InvalidRedisStore::Tls { .. } | InvalidRedisStore::Url { .. }), "{url}: {error:?}");
    }
}
