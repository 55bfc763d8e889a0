//! Whatever bytes a client sends, the backend reads each forwarded request as the server has read it, and nothing more.

#![no_main]

#[path = "../../crates/equipoise-proxy/tests/recorded/reading.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod reading;
#[path = "../../crates/equipoise-proxy/tests/recorded/rig.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod rig;

use equipoise_proxy::ReverseProxyLayer;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Builder;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fuzz_target!(|request: &[u8]| {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let seen = runtime.block_on(rig::exchange(ReverseProxyLayer::new(), request, ANSWER));
    assert_eq!(reading::difference(&seen), None);
});
