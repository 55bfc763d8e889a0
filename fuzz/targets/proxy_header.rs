//! More bytes change no verdict about a header of the PROXY protocol, and a header is read back as it was written.

#![no_main]

use equipoise_http::proxy_protocol::{ProxyHeader, Version};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut before = Ok(None);
    // Long inputs are looked at in steps, because each step reads all bytes before it.
    let step = bytes.len() / 256 + 1;
    for end in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
        let now = ProxyHeader::decode(&bytes[..end]);
        assert!(before == Ok(None) || before == now, "{before:?} {now:?}");
        before = now;
    }
    let Ok(Some((header, length))) = before else { return };
    assert!(length <= bytes.len() && length <= ProxyHeader::MAX_LEN);
    let all = ProxyHeader::decode(&bytes[..length]);
    assert_eq!(all, Ok(Some((header.clone(), length))));
    let sent = header.encode(Version::V2);
    assert_eq!(ProxyHeader::decode(&sent), Ok(Some((header.clone(), sent.len()))));
    let (read, length) = ProxyHeader::decode(&header.encode(Version::V1)).unwrap().unwrap();
    assert!(length <= 107);
    if let Some(source) = read.source() {
        assert_eq!((Some(source), read.destination()), (header.source(), header.destination()));
    }
    // Each value was checked.
    let _ = (header.authority(), header.alpn(), header.netns(), header.unix_paths(), format!("{header:?}"));
    assert!(header.unique_id().is_none_or(|id| id.len() <= 128));
    if header.value(equipoise_http::proxy_protocol::kind::SSL).is_some() {
        let ssl = header.ssl().expect("it was checked");
        let _ = (ssl.version(), ssl.common_name(), ssl.cipher(), ssl.tlvs().count());
    }
});
