use equipoise_health::probe::{InvalidProbe, PingProbe, ProbeError, ProbeOutcome};
use futures::future::join_all;

use crate::server::probe_once;

/// A ping probe. `None` if the system does not permit ICMP.
fn ping() -> Option<PingProbe> {
    match PingProbe::new() {
        Ok(ping) => Some(ping),
        Err(InvalidProbe { expected: wanted, .. }) => {
            eprintln!("skipped: {wanted}");
            None
        }
    }
}

#[tokio::test]
async fn loopback_answers_over_both_families() {
    let Some(ping) = ping() else { return };
    for address in ["127.0.0.1", "127.0.0.1:80", "::1", "http://[::1]/"] {
        match probe_once(&ping, address).await {
            Err(error @ (ProbeError::Forbidden(_) | ProbeError::Failed(_) | ProbeError::Connect(_)))
                if address.contains("::") && std::net::TcpListener::bind("[::1]:0").is_err() =>
            {
                eprintln!("skipped, there is no IPv6: {error}");
            }
            answer => assert_eq!(answer, Ok(ProbeOutcome::Passed), "{address}"),
        }
    }
}

#[tokio::test]
async fn many_probes_at_once_do_not_take_each_others_answers() {
    let Some(ping) = ping() else { return };
    let answers = join_all((1..=50).map(|host| probe_once(&ping, format!("127.0.0.{host}")))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let same = join_all((1..=50).map(|_| probe_once(&ping, "127.0.0.1"))).await;
    assert!(same.iter().all(Result::is_ok), "{same:?}");
}

#[tokio::test]
async fn an_address_that_is_none_or_unreachable_is_an_error() {
    let Some(ping) = ping() else { return };
    assert!(matches!(probe_once(&ping, "").await, Err(ProbeError::Address { .. })));
    assert!(matches!(probe_once(&ping, "unknown.invalid").await, Err(ProbeError::Connect(_))));
    let broadcast = probe_once(&ping, "255.255.255.255").await;
    assert!(matches!(broadcast, Err(ProbeError::Connect(_))), "{broadcast:?}");
}
