use base64::{Engine, prelude::BASE64_STANDARD};
use http::{
    HeaderMap, HeaderValue,
    header::{SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY},
};
use sha1::{Digest, Sha1};

/// What an endpoint appends to the key before it hashes it (RFC 6455, section 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The key with which an endpoint proves that it has read the request for a WebSocket. The proxy needs it for a client
/// with HTTP/2, which has no such key (RFC 8441, section 5).
#[derive(Debug)]
pub(crate) struct WebSocketKey(String);

impl WebSocketKey {
    /// Creates a random key: 16 bytes in base64 (RFC 6455, section 4.1).
    pub(crate) fn random() -> Self {
        Self(BASE64_STANDARD.encode(rand::random::<[u8; 16]>()))
    }

    /// Adds the key to the headers of a request.
    pub(crate) fn add_to(&self, headers: &mut HeaderMap) {
        // Base64 consists of characters that a value may have.
        if let Ok(key) = HeaderValue::from_str(&self.0) {
            headers.insert(SEC_WEBSOCKET_KEY, key);
        }
    }

    /// Returns whether the headers of a response have the proof once.
    pub(crate) fn is_proved_by(&self, headers: &HeaderMap) -> bool {
        let mut proofs = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter();
        proofs.next().is_some_and(|proof| proof.as_bytes() == self.proof().as_bytes()) && proofs.next().is_none()
    }

    fn proof(&self) -> String {
        BASE64_STANDARD.encode(Sha1::new().chain_update(&self.0).chain_update(GUID).finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_random() {
        let (one, other) = (WebSocketKey::random(), WebSocketKey::random());
        assert_ne!(one.0, other.0);
        assert_eq!(BASE64_STANDARD.decode(&one.0).expect("base64").len(), 16);
    }

    /// The example of RFC 6455, section 1.3.
    #[test]
    fn the_proof_is_that_of_the_standard() {
        let key = WebSocketKey("dGhlIHNhbXBsZSBub25jZQ==".to_owned());
        let mut headers = HeaderMap::new();
        assert!(!key.is_proved_by(&headers));
        let proof = HeaderValue::from_static("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        headers.insert(SEC_WEBSOCKET_ACCEPT, proof.clone());
        assert!(key.is_proved_by(&headers));
        assert!(!WebSocketKey::random().is_proved_by(&headers));
        headers.append(SEC_WEBSOCKET_ACCEPT, proof);
        assert!(!key.is_proved_by(&headers));
    }
}
