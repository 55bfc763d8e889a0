//! The moment at which the driver reports a change.
#![cfg(feature = "tokio")]

use equipoise_core::{EndpointSpec, P2c, Pool};
use equipoise_health::{AdminState, Health};
use futures::FutureExt;
use tokio::task::yield_now;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_reported_after_the_pool_has_it() {
    let health = Health::builder().build().unwrap();
    let pool = Pool::new(P2c::new());
    pool.add(EndpointSpec::new("a:80"), ()).unwrap();
    let mut changes = health.changes();
    let _checking = health.spawn(&pool);
    // Many times and without a pause, because the race lasts only microseconds.
    for order in [AdminState::Maintenance, AdminState::Ready].into_iter().cycle().take(1000) {
        health.set_admin_state("a:80", order);
        let change = loop {
            match changes.next().now_or_never() {
                Some(change) => break change.expect("the checks go on"),
                None => yield_now().await,
            }
        };
        assert_eq!(pool.endpoints()[0].availability, change.to);
    }
}
