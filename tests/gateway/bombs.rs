//! Compressed requests that become much larger than they were.

use std::io::Write;

use equipoise::gateway::{
    compression::{DecompressionLayer, DecompressionStats},
    stack::Functions,
};
use equipoise_tests::{Backend, Seen};
use flate2::{
    Compression,
    write::{GzEncoder, ZlibEncoder},
};
use http::Request;

use crate::setup::{Gateway, Reply, answer};

struct Rig {
    gateway: Gateway,
    backend: Backend,
    layer: DecompressionLayer,
}

async fn rig(layer: DecompressionLayer) -> Rig {
    let backend = Backend::answering(|seen: &Seen| answer(200, &[], seen.body.len().to_string())).expect("a free port");
    let gateway = Gateway::start(Functions::new().decompress(layer.clone()), backend.address()).await;
    Rig { gateway, backend, layer }
}

impl Rig {
    async fn send(&self, encoding: &str, body: Vec<u8>) -> Reply {
        self.gateway.send_body(Request::post("/").header("content-encoding", encoding), body).await
    }

    fn stats(&self) -> DecompressionStats {
        self.layer.stats()
    }
}

/// Bytes with a period that is too long for the window of deflate.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 17_u64;
    let next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

/// A frame of zstd with blocks of 4 bytes that become 128 KiB each.
fn zstd(blocks: u32) -> Vec<u8> {
    // The magic number, no optional fields, and a window of 128 KiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3];
    for block in 1..=blocks {
        let header = ((128 << 10) << 3) | (1 << 1) | u32::from(block == blocks);
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(b'x');
    }
    frame
}

#[tokio::test]
async fn compressed_requests_within_the_limits_pass() {
    let rig = rig(DecompressionLayer::new().max_bytes(1 << 20)).await;
    let body = noise(500_000);
    for (encoding, bytes) in [("gzip", gzip(&body)), ("x-gzip", gzip(&body)), ("deflate", deflate(&body))] {
        let reply = rig.send(encoding, bytes).await;
        assert_eq!((reply.status, reply.text()), (200, "500000"), "{encoding}");
    }
}

#[tokio::test]
async fn a_small_body_that_becomes_huge_is_refused() {
    let rig = rig(DecompressionLayer::new()).await;
    let zeros = vec![0; 16 << 20];
    for (encoding, bomb) in [("gzip", gzip(&zeros)), ("deflate", deflate(&zeros)), ("zstd", zstd(1000))] {
        assert!(bomb.len() < 1 << 20, "{} bytes", bomb.len());
        let reply = rig.send(encoding, bomb).await;
        assert_eq!(reply.status, 413, "{encoding}: {}", reply.text());
        assert_eq!(reply.code(), "body_too_large", "{encoding}");
    }
    assert_eq!(rig.backend.served(), 0, "the backend got a part of each, and never a complete request");
    assert_eq!((rig.stats().ratio + rig.stats().too_large, rig.stats().malformed), (3, 0));
}

#[tokio::test]
async fn a_body_that_is_only_too_long_is_refused() {
    let rig = rig(DecompressionLayer::new().max_bytes(1 << 20)).await;
    let reply = rig.send("gzip", gzip(&noise((1 << 20) + 1))).await;
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert_eq!((rig.stats().too_large, rig.stats().ratio, rig.backend.served()), (1, 0, 0));
    let reply = rig.send("gzip", gzip(&noise(1 << 20))).await;
    assert_eq!(reply.text(), "1048576");
}

#[tokio::test]
async fn bombs_in_bombs_and_unknown_encodings_are_refused_without_decompression() {
    let rig = rig(DecompressionLayer::new()).await;
    let nested = gzip(&gzip(&vec![0; 16 << 20]));
    for encoding in ["gzip, gzip", "gzip,br", "identity, gzip, gzip", "compress", "gzip;q=1", "bzip2"] {
        let reply = rig.send(encoding, nested.clone()).await;
        assert_eq!(reply.status, 415, "{encoding}: {}", reply.text());
        assert!(reply.header("accept-encoding").contains("gzip"), "{encoding}");
    }
    let twice = Request::post("/").header("content-encoding", "gzip").header("content-encoding", "gzip");
    assert_eq!(rig.gateway.send_body(twice, nested).await.status, 415);
    assert_eq!((rig.backend.served(), rig.stats().unsupported), (0, 7));
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let rig = rig(DecompressionLayer::new()).await;
    let whole = gzip(&noise(100_000));
    let mut wrong_sum = whole.clone();
    let at = wrong_sum.len() - 8;
    wrong_sum[at] ^= 1;
    let mut followed = whole.clone();
    followed.extend_from_slice(b"GET / HTTP/1.1\r\n\r\n");
    // A window of 2 GiB.
    let window = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0];
    for (name, encoding, body) in [
        ("cut", "gzip", whole[..whole.len() / 2].to_vec()),
        ("a wrong sum", "gzip", wrong_sum),
        ("more bytes", "gzip", followed),
        ("no gzip", "gzip", b"hello".to_vec()),
        ("a huge window", "zstd", window),
    ] {
        let reply = rig.send(encoding, body).await;
        assert_eq!(reply.status, 400, "{name}: {}", reply.text());
        assert_eq!(reply.code(), "malformed_body", "{name}");
    }
    assert_eq!(rig.backend.served(), 0);
}
