//! Connections over TLS.

use super::{away, connected, is_stored, layer, limits, passed, put, store, tls_server::TlsServer};

#[tokio::test]
async fn a_server_is_used_over_tls_if_its_certificate_is_right() {
    let Some(server) = TlsServer::start().await else { return };
    let config = server.trusting();
    let (shared, cache) =
        connected(limits(&server.url).tls(config.clone()), store(&server.url).tls(config.clone())).await;
    assert_eq!(passed(&shared, "k", 12).await, 9);
    put(&cache, "a").await;
    assert!(is_stored(&cache, "a").await);
    for (limits, store) in [
        // The public root certificates do not contain the server's.
        (limits(&server.url), store(&server.url)),
        (limits(&server.misnamed).tls(config.clone()), store(&server.misnamed).tls(config)),
    ] {
        let (layer, store) = (layer(limits), store.build().unwrap());
        away(&layer, &store, "certificate").await;
        assert_eq!(passed(&layer, "k", 12).await, 3);
    }
}

#[tokio::test]
async fn a_configuration_for_tls_is_refused_with_a_url_that_is_not_for_it() {
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = super::tls_server::trusting(&key.cert);
    let error = store("redis://h").tls(config).build().unwrap_err().to_string();
    assert!(error.contains("needs a URL with rediss://"), "{error}");
}
