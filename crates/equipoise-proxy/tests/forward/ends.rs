//! What is told of tunnels at their ends.

use std::time::Duration;

use equipoise_proxy::{
    Tunnels,
    forward::{
        AuthenticatedUser, BasicAuth, ForwardEnd, ForwardLimits, ForwardSettings, ForwardTunnel, LimitReached,
        Passwords, Upstreams,
    },
};
use tokio::{io::AsyncWriteExt, sync::mpsc};

use crate::{
    rig::{Proxy, basic, echo, echoes, ends, local, names},
    upstreams::pool,
};

/// Returns settings whose tunnels are told as text.
fn telling(settings: ForwardSettings) -> (ForwardSettings, mpsc::UnboundedReceiver<String>) {
    let (told, tunnels) = mpsc::unbounded_channel();
    let settings = settings.resolver(names()).on_end(move |tunnel| {
        let ForwardTunnel { client, user, destination, address, upstream, sent, received, end, .. } = tunnel;
        assert!(client.is_some_and(|client| client.ip().is_loopback()));
        assert!(tunnel.info.local_addr().is_some());
        assert!(tunnel.duration < Duration::from_secs(60));
        let user = user.as_ref().map_or("-", |AuthenticatedUser(name)| name);
        let address = address.map_or_else(|| "-".to_owned(), |address| address.ip().to_string());
        let upstream = upstream.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
        let (host, end) = (destination.host(), end.as_str());
        let _ = told.send(format!("{user} {host} {address} {upstream} {sent} {received} {end}"));
    });
    (settings, tunnels)
}

#[tokio::test]
async fn each_tunnel_is_told_at_its_end() {
    let (port, _) = echo().await;
    let users = BasicAuth::new("p", Passwords::new().user("ann", "a")).expect("a realm");
    let (settings, mut tunnels) = telling(ForwardSettings::new().authentication(users));
    let proxy = Proxy::start([local()], settings).await;
    let open = async || proxy.tunnel(&format!("app.test:{port}"), &basic("ann", "a")).await.expect("a tunnel");
    let mut tunnel = open().await;
    echoes(&mut tunnel, "hello").await;
    tunnel.shutdown().await.expect("open");
    assert_eq!(ends(&mut tunnel).await, b"");
    assert_eq!(tunnels.recv().await.as_deref(), Some("ann app.test 127.0.0.1 - 5 5 complete"));
    let _tunnel = open().await;
    proxy.proxy.tunnels().close();
    assert_eq!(tunnels.recv().await.as_deref(), Some("ann app.test 127.0.0.1 - 0 0 closed"));
    // What is no tunnel is not told.
    proxy.refused(&format!("app.test:{port}"), "").await;
    proxy.refused("nowhere.test:443", &basic("ann", "a")).await;
    drop(proxy);
    assert!(tunnels.try_recv().is_err());
}

#[tokio::test]
async fn limits_are_reasons() {
    let (port, _) = echo().await;
    let limits = ForwardLimits::new().max_tunnel_bytes(7);
    let (settings, mut tunnels) = telling(ForwardSettings::new().limits(limits));
    let proxy = Proxy::start([local()], settings).await;
    let mut tunnel = proxy.tunnel(&format!("app.test:{port}"), "").await.expect("a tunnel");
    tunnel.write_all(b"hello").await.expect("open");
    assert_eq!(ends(&mut tunnel).await, b"he");
    assert_eq!(tunnels.recv().await.as_deref(), Some("- app.test 127.0.0.1 - 5 2 tunnel_bytes"));
    assert_eq!(ForwardEnd::Limit(LimitReached::TunnelBytes).to_string(), LimitReached::TunnelBytes.to_string());

    let limits = ForwardLimits::new().max_tunnel_time(Duration::from_millis(20));
    let (settings, mut tunnels) = telling(ForwardSettings::new().limits(limits));
    let proxy = Proxy::start([local()], settings).await;
    let _tunnel = proxy.tunnel(&format!("app.test:{port}"), "").await.expect("a tunnel");
    assert_eq!(tunnels.recv().await.as_deref(), Some("- app.test 127.0.0.1 - 0 0 tunnel_time"));
}

#[tokio::test]
async fn the_upstream_proxy_is_told() {
    let (port, _) = echo().await;
    let second = Proxy::local().await;
    let upstreams = Upstreams::new(pool(&[second.address.to_string()])).with_names_resolved_upstream(true);
    let tunnels = Tunnels::new().idle_timeout(Duration::from_millis(20));
    let (settings, mut told) = telling(ForwardSettings::new().upstreams(upstreams).tunnels(tunnels));
    let rule = equipoise_proxy::forward::Rule::allow().ports(1..=65535);
    let proxy = Proxy::start([rule], settings).await;
    let _tunnel = proxy.tunnel(&format!("app.test:{port}"), "").await.expect("a tunnel");
    let line = told.recv().await.expect("told");
    assert_eq!(line, format!("- app.test - {} 0 0 idle", second.address));
}

#[tokio::test]
async fn a_panic_of_the_hook_changes_nothing() {
    let (port, _) = echo().await;
    let settings = ForwardSettings::new().resolver(names()).on_end(|_| panic!("the hook of a user"));
    let proxy = Proxy::start([local()], settings).await;
    let mut tunnel = proxy.tunnel(&format!("app.test:{port}"), "").await.expect("a tunnel");
    tunnel.shutdown().await.expect("open");
    assert_eq!(ends(&mut tunnel).await, b"");
    proxy.proxy.tunnels().close();
    proxy.proxy.tunnels().closed().await;
    let stats = proxy.proxy.stats();
    assert_eq!((stats.tunnels, stats.open_tunnels), (1, 0));
}
