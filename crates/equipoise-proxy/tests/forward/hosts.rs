//! Texts for hosts over real connections: whatever is accepted, the rules decide about what is connected to.

use equipoise_proxy::forward::{ForwardSettings, Rule};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::rig::{Names, Proxy, echo};

/// Each text that could mean 127.0.0.1 is refused or denied. The resolver of the test resolves every text to it.
#[test]
fn no_text_reaches_the_local_machine() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (proxy, port) = runtime.block_on(async {
        let (port, _) = echo().await;
        let names = Names::default().name("app.test", &[&["127.0.0.1"], &["::1"], &["::ffff:127.0.0.1"]]);
        let rules = [Rule::allow().ports(1..=65535)];
        (Proxy::start(rules, ForwardSettings::new().resolver(names)).await, port)
    });
    let number = prop_oneof![
        Just("127".to_owned()),
        Just("0177".to_owned()),
        Just("0x7f".to_owned()),
        Just("2130706433".to_owned()),
        Just("017700000001".to_owned()),
        Just("0x7f000001".to_owned()),
        "[0-9]{1,3}",
        "0[0-7]{1,3}",
        "0x[0-9a-f]{1,8}",
    ];
    let dotted = proptest::collection::vec(number, 1..5).prop_map(|numbers| numbers.join("."));
    let ipv6 = prop_oneof![
        Just("[::1]".to_owned()),
        Just("[::]".to_owned()),
        Just("[::ffff:127.0.0.1]".to_owned()),
        Just("[0:0:0:0:0:ffff:7f00:1]".to_owned()),
        Just("[::127.0.0.1]".to_owned()),
        Just("[64:ff9b::7f00:1]".to_owned()),
        Just("[fe80::1%25lo]".to_owned()),
        "\\[[0-9a-f:.]{2,20}\\]",
    ];
    let name = prop_oneof![Just("app.test".to_owned()), Just("localhost".to_owned()), Just("APP.TEST.".to_owned())];
    let host = prop_oneof![dotted, ipv6, name];
    let config = ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() };
    let loopback = host.prop_filter("public addresses are allowed", |host| {
        let bare = host.trim_matches(['[', ']']);
        !bare.parse::<std::net::Ipv4Addr>().is_ok_and(|address| !address.is_loopback())
            && !bare.parse::<std::net::Ipv6Addr>().is_ok_and(|address| address.segments()[0] & 0xe000 == 0x2000)
    });
    TestRunner::new(config)
        .run(&(loopback, "\\.?"), |(host, dot)| {
            let status = runtime.block_on(async { proxy.refused(&format!("{host}{dot}:{port}"), "").await.status });
            prop_assert!(matches!(status, 400 | 403 | 502), "{host}{dot}: {status}");
            Ok(())
        })
        .expect("no text reaches the server");
}
