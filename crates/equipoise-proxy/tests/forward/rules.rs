//! What the rules allow, and what clients learn of it.

use std::sync::atomic::Ordering;

use equipoise_proxy::{
    error::{ErrorResponses, ProxyStatus},
    forward::{ForwardProxy, ForwardSettings, Rule},
};
use tokio::net::TcpListener;

use crate::rig::{Names, Origin, Proxy, basic, echo, echoes, local, names};

#[tokio::test]
async fn a_proxy_without_rules_denies_everything() {
    let (names, origin) = (names(), Origin::start().await);
    let proxy = Proxy::start([], ForwardSettings::new().resolver(names.clone())).await;
    for host in ["app.test", "127.0.0.1", "1.1.1.1", "[::1]", "example.org"] {
        let reply = proxy.get(&format!("http://{host}/"), "").await;
        assert_eq!((reply.status, reply.body.as_str()), (403, "no rule allows this destination\n"), "{host}");
        assert_eq!(proxy.refused(&format!("{host}:443"), "").await.status, 403);
    }
    assert_eq!((names.asked(), origin.connections()), (0, 0), "nothing was resolved");
    assert_eq!(proxy.proxy.stats().denied, 10);
    assert_eq!(ForwardProxy::new([]).stats().requests, 0);
}

#[tokio::test]
async fn a_rule_that_allows_opens_the_public_internet_only() {
    let names = Names::default()
        .name("loopback.test", &[&["127.0.0.1"]])
        .name("private.test", &[&["10.0.0.1", "fd00::1"]])
        .name("metadata.test", &[&["169.254.169.254"]])
        .name("mapped.test", &[&["::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]]);
    let everything = Rule::allow().network("0.0.0.0/0").and_then(|rule| rule.network("::/0")).expect("networks");
    for rule in [Rule::allow(), everything.ports(1..=65535)] {
        let proxy = Proxy::start([rule], ForwardSettings::new().resolver(names.clone())).await;
        for host in [
            "loopback.test",
            "LOOPBACK.test.",
            "private.test",
            "metadata.test",
            "mapped.test",
            "127.0.0.1",
            "0.0.0.0",
            "10.0.0.1",
            "169.254.169.254",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[fd00:ec2::254]",
            "255.255.255.255",
        ] {
            let reply = proxy.get(&format!("http://{host}/"), "").await;
            assert_eq!((reply.status, reply.body.as_str()), (403, "no rule allows this destination\n"), "{host}");
            assert_eq!(proxy.refused(&format!("{host}:443"), "").await.status, 403, "{host}");
        }
    }
}

#[tokio::test]
async fn tunnels_lead_to_port_443_unless_a_rule_names_another() {
    let (port, _) = echo().await;
    let narrow = Rule::allow().network("127.0.0.1").expect("an address");
    let proxy = Proxy::start([narrow.clone()], ForwardSettings::new().resolver(names())).await;
    assert_eq!(proxy.refused(&format!("app.test:{port}"), "").await.status, 403);
    let proxy = Proxy::start([narrow.port(port)], ForwardSettings::new().resolver(names())).await;
    echoes(&mut proxy.tunnel(&format!("app.test:{port}"), "").await.expect("a tunnel"), "hello").await;
}

#[tokio::test]
async fn clients_learn_the_rule_and_not_what_lies_behind() {
    let names = Names::default().name("a.internal", &[&["10.9.8.7"]]);
    let rules = [
        Rule::deny().host("*.ads.test").expect("a host").named("ads"),
        Rule::deny().network("10.0.0.0/8").expect("a network"),
        Rule::allow(),
    ];
    let errors = ErrorResponses::new().proxy_status(ProxyStatus::new("edge").expect("a name"));
    let proxy = Proxy::start(rules, ForwardSettings::new().resolver(names).errors(errors)).await;
    for (host, message) in [
        ("x.ads.test", "rule 1 (ads) denies this destination\n"),
        ("a.internal", "rule 2 denies this destination\n"),
        ("10.1.1.1", "rule 2 denies this destination\n"),
        ("127.0.0.1", "no rule allows this destination\n"),
    ] {
        for reply in [proxy.get(&format!("http://{host}/"), "").await, proxy.refused(&format!("{host}:443"), "").await]
        {
            assert_eq!((reply.status, reply.body.as_str()), (403, message));
            assert_eq!(reply.field("proxy-status"), Some("edge; error=http_request_denied"));
            assert!(!format!("{reply:?}").contains("10.9.8.7"));
        }
    }
}

/// The name has an address that is allowed and one that is not, with a server at both.
#[tokio::test]
async fn a_name_with_a_forbidden_address_leads_to_the_others() {
    let (port, allowed) = echo().await;
    let forbidden = TcpListener::bind(("127.0.0.2", port)).await.expect("the same port at another address");
    let names = Names::default()
        .name("both.test", &[&["127.0.0.2", "127.0.0.1"]])
        .name("bad.test", &[&["127.0.0.2"]])
        .name("changes.test", &[&["127.0.0.1"], &["127.0.0.2"]]);
    let proxy = Proxy::start([local()], ForwardSettings::new().resolver(names.clone())).await;
    for _ in 0..3 {
        let mut tunnel = proxy.tunnel(&format!("both.test:{port}"), "").await.expect("a tunnel");
        echoes(&mut tunnel, "hello").await;
    }
    assert_eq!(allowed.load(Ordering::Relaxed), 3);
    assert_eq!(proxy.refused(&format!("bad.test:{port}"), "").await.status, 403);

    // The second answer would come between the check and the connection.
    let before = names.asked();
    let mut tunnel = proxy.tunnel(&format!("changes.test:{port}"), "").await.expect("a tunnel");
    echoes(&mut tunnel, "hello").await;
    assert_eq!(names.asked() - before, 1, "it is resolved once");
    assert_eq!(proxy.refused(&format!("changes.test:{port}"), "").await.status, 403);

    let waiting = futures_now(forbidden.accept());
    assert!(waiting, "nothing has connected to the forbidden address");
}

/// Whether a future has to wait.
fn futures_now<T>(future: impl Future<Output = T>) -> bool {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    future.as_mut().poll(&mut cx).is_pending()
}

#[tokio::test]
async fn a_kept_connection_is_used_only_for_those_who_may_connect_to_it() {
    use equipoise_proxy::forward::{BasicAuth, Passwords};
    let origin = Origin::start().await;
    let users = Passwords::new().user("ann", "a").user("bob", "b");
    let settings =
        ForwardSettings::new().resolver(names()).authentication(BasicAuth::new("p", users).expect("a realm"));
    let rules = [local().user("ann"), Rule::allow()];
    let proxy = Proxy::start(rules, settings).await;
    let get = async |user, password| proxy.get(&origin.url("/"), &basic(user, password)).await.status;
    assert_eq!((get("ann", "a").await, get("bob", "b").await, get("ann", "a").await), (200, 403, 200));
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn new_rules_decide_about_connections_that_are_kept() {
    let (proxy, origin) = (Proxy::local().await, Origin::start().await);
    let get = async || proxy.get(&origin.url("/"), "").await.status;
    assert_eq!(get().await, 200);
    proxy.proxy.set_rules([Rule::allow()]);
    assert_eq!(get().await, 403);
    proxy.proxy.set_rules([local()]);
    assert_eq!((get().await, origin.connections()), (200, 1));
}

#[tokio::test]
async fn a_kept_connection_belongs_to_one_user() {
    use equipoise_proxy::forward::{BasicAuth, Passwords};
    let origin = Origin::start().await;
    let users = BasicAuth::new("p", Passwords::new().user("ann", "a").user("bob", "b")).expect("a realm");
    let settings = ForwardSettings::new().resolver(names()).authentication(users);
    let proxy = Proxy::start([local()], settings).await;
    let get = async |user, password| proxy.get(&origin.url("/"), &basic(user, password)).await.status;
    for (user, password, connections) in [("ann", "a", 1), ("bob", "b", 2), ("ann", "a", 2), ("bob", "b", 2)] {
        assert_eq!((get(user, password).await, origin.connections()), (200, connections));
    }
}
