//! Nodes of a Redis Cluster.

use super::{away, connected, is_stored, layer, limits, passed, put, server::Server, stats, store};

/// Starts a cluster of one node, which has all slots.
async fn node() -> Option<Server> {
    let server = Server::start(&["--cluster-enabled", "yes"]).await?;
    let _: String = server.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    super::eventually("a cluster", || server.ask::<String>(&["CLUSTER", "INFO"]).contains("cluster_state:ok")).await;
    Some(server)
}

#[tokio::test]
async fn a_node_of_a_cluster_is_not_used_and_says_why() {
    let Some(server) = node().await else { return };
    let (layer, store) = (layer(limits(&server.url())), store(&server.url()).build().unwrap());
    away(&layer, &store, "CROSSSLOT (it is a node of a Redis Cluster").await;
    assert_eq!(passed(&layer, "k", 12).await, 3);
    assert_eq!((stats(&layer).disconnected, stats(&layer).fallbacks), (12, 12));
    assert!(!is_stored(&store, "a").await);
    assert_eq!((store.connection_stats().unavailable, store.connection_stats().connects), (1, 0));
}

#[tokio::test]
async fn a_node_is_used_for_keys_with_a_hash_tag_until_it_loses_their_slot() {
    let Some(server) = node().await else { return };
    let (layer, store) =
        connected(limits(&server.url()).prefix("{a}:limit:"), store(&server.url()).prefix("{a}:cache:")).await;
    assert_eq!(passed(&layer, "k", 12).await, 9);
    put(&store, "a").await;
    assert!(is_stored(&store, "a").await);
    let slot = server.ask::<u16>(&["CLUSTER", "KEYSLOT", "{a}"]).to_string();
    let _: String = server.ask(&["CLUSTER", "DELSLOTS", &slot]);
    assert_eq!(passed(&layer, "k", 12).await, 3);
    assert!(!is_stored(&store, "a").await);
    away(&layer, &store, "CLUSTERDOWN").await;
    assert_eq!((stats(&layer).errors, store.connection_stats().refused), (1, 1));
}
