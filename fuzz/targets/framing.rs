//! Whatever bytes a client sends, the service gets the requests that another parser reads in them, and no others.

#![no_main]

#[path = "../../crates/equipoise-proxy/tests/recorded/reading.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod reading;
#[path = "../../crates/equipoise-proxy/tests/recorded/rig.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod rig;

use libfuzzer_sys::fuzz_target;
use tokio::runtime::Builder;

fuzz_target!(|requests: &[u8]| {
    if requests.starts_with(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") {
        return;
    }
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let served = runtime.block_on(rig::served(requests));
    assert_eq!(reading::misread(requests, &served), None);
});
