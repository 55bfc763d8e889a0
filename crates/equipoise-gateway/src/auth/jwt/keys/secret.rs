use serde_json::{Map, Value};

/// What each text of a key in PEM has (RFC 7468), and each in the form of SSH2 (RFC 4716), which has fewer dashes.
const BLOCKS: [&[u8]; 2] = [b"-----BEGIN ", b"---- BEGIN "];

/// The types of keys with which OpenSSH begins a public key.
const SSH: [&[u8]; 6] = [b"ssh-rsa", b"ssh-dss", b"ssh-ed25519", b"ecdsa-sha2-", b"sk-ssh-", b"sk-ecdsa-"];

/// Returns the name of the form if a secret is the text of a key. Such a text is no secret of HMAC: with a public key as
/// the secret, everybody could make tokens (key confusion), and of a JWK only a member is the secret.
pub(super) fn form_of_key(secret: &[u8]) -> Option<&'static str> {
    let has = |block: &&[u8]| secret.windows(block.len()).any(|window| window == *block);
    // Windows begins text with a byte order mark.
    let text = secret.strip_prefix(b"\xef\xbb\xbf").unwrap_or(secret).trim_ascii_start();
    let is_jwk = |text: &[u8]| {
        let read = serde_json::from_slice::<Map<String, Value>>(text);
        read.is_ok_and(|members| members.contains_key("kty") || members.contains_key("keys"))
    };
    if BLOCKS.iter().any(has) {
        Some("PEM")
    } else if SSH.iter().any(|kind| text.starts_with(kind)) {
        Some("OpenSSH")
    } else if text.starts_with(b"{") && is_jwk(text) {
        Some("JWK")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_keys_are_recognised() {
        for (text, form) in [
            ("-----BEGIN PUBLIC KEY-----\nMCow\n-----END PUBLIC KEY-----\n", "PEM"),
            ("-----BEGIN CERTIFICATE-----\r\nMIIB", "PEM"),
            ("Issuer: CN=a\n  -----BEGIN RSA PUBLIC KEY-----\n", "PEM"),
            ("---- BEGIN SSH2 PUBLIC KEY ----\nAAAA", "PEM"),
            ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI a@b", "OpenSSH"),
            ("\n ssh-rsa-cert-v01@openssh.com AAAA", "OpenSSH"),
            ("ecdsa-sha2-nistp256 AAAA", "OpenSSH"),
            ("\u{feff}{\"kty\":\"OKP\",\"x\":\"11qY\"}", "JWK"),
            (" { \"keys\": [] }\n", "JWK"),
        ] {
            assert_eq!(form_of_key(text.as_bytes()), Some(form), "{text}");
        }
    }

    #[test]
    fn other_texts_and_bytes_are_no_keys() {
        for text in ["", "-----BEGIN", "a long and random secret", "{", "{}", "{\"k\":1}", "{kty}", "ssh", "my ssh-rsa"]
        {
            assert_eq!(form_of_key(text.as_bytes()), None, "{text}");
        }
        assert_eq!(form_of_key(&[0xff; 64]), None);
    }
}
