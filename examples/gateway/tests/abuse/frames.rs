//! Frames of HTTP/2 as bytes (RFC 9113), for connections that no client library would make.

pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

/// `GET http://app.test/endless`, compressed.
pub(super) const GET_ENDLESS: &[u8] = b"\x82\x86\x04\x08/endless\x01\x08app.test";

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap();
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The start of a connection whose client takes this number of bytes of each response.
pub(super) fn preface(window: u32) -> Vec<u8> {
    const INITIAL_WINDOW_SIZE: [u8; 2] = [0, 4];
    let setting = [&INITIAL_WINDOW_SIZE[..], &window.to_be_bytes()].concat();
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &setting)].concat()
}

/// The numbers of the streams that a client opens.
pub(super) fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|stream| 2 * stream + 1)
}
