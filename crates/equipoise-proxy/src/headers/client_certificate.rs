use base64::{Engine, engine::general_purpose::STANDARD};
use http::HeaderValue;

use crate::tls::ClientCertificate;

/// Returns the value of `Client-Cert` (RFC 9440): the certificate.
pub(super) fn client_cert(certificate: &ClientCertificate) -> Option<HeaderValue> {
    HeaderValue::try_from(binary(certificate.der())).ok()
}

/// Returns the value of `Client-Cert-Chain` (RFC 9440): the certificates of the issuers. `None` if there are none.
pub(super) fn client_cert_chain(certificate: &ClientCertificate) -> Option<HeaderValue> {
    let list: Vec<_> = certificate.issuers().map(binary).collect();
    if list.is_empty() { None } else { HeaderValue::try_from(list.join(", ")).ok() }
}

/// Returns bytes in the form of a structured field (RFC 9651).
fn binary(bytes: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(bytes))
}

/// Returns the element for `X-Forwarded-Client-Cert`, as Envoy writes it.
pub(super) fn x_forwarded_client_cert(certificate: &ClientCertificate) -> Option<HeaderValue> {
    // Each quote in the subject has a backslash before it already, as in Envoy.
    let mut element = format!("Hash={};Subject=\"{}\"", certificate.fingerprint_hex(), certificate.subject());
    let uris = certificate.uris().map(|uri| ("URI", uri));
    for (key, value) in uris.chain(certificate.dns_names().map(|name| ("DNS", name))) {
        element.extend([";", key, "="]);
        push_value(&mut element, value);
    }
    HeaderValue::try_from(element).ok()
}

/// Adds a value, in quotes if it has a character with a meaning of its own. Bytes that cannot be in a field are
/// percent-encoded.
fn push_value(element: &mut String, value: &str) {
    let quote = if value.bytes().any(|byte| b",;=\"\\ ".contains(&byte)) { "\"" } else { "" };
    element.push_str(quote);
    for byte in value.bytes() {
        match byte {
            b'"' | b'\\' => element.extend(['\\', char::from(byte)]),
            b' '..=b'~' => element.push(char::from(byte)),
            _ => element.push_str(percent_encoding::percent_encode_byte(byte)),
        }
    }
    element.push_str(quote);
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(name: &str, uri: &str) -> ClientCertificate {
        let mut params = CertificateParams::new(vec!["client.test".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.push(SanType::URI(uri.try_into().expect("ASCII")));
        let key = KeyPair::generate().expect("a key");
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        ClientCertificate::new([der, b"issuer 1".to_vec(), b"issuer 2".to_vec()]).expect("a certificate")
    }

    #[test]
    fn certificates_are_binary_items() {
        let certificate = certificate("a", "spiffe://test/a");
        let value = client_cert(&certificate).expect("a value");
        let text = value.to_str().expect("ASCII").strip_prefix(':').and_then(|text| text.strip_suffix(':'));
        assert_eq!(STANDARD.decode(text.expect("colons")).expect("base64"), certificate.der());
        let chain = client_cert_chain(&certificate).expect("a value");
        assert_eq!(chain, ":aXNzdWVyIDE=:, :aXNzdWVyIDI=:");
        let alone = ClientCertificate::new([certificate.der()]).expect("a certificate");
        assert_eq!(client_cert_chain(&alone), None);
    }

    #[test]
    fn elements_of_envoy_are_quoted() {
        let element = |name, uri| {
            let certificate = certificate(name, uri);
            let value = x_forwarded_client_cert(&certificate).expect("a value");
            let rest = value.to_str().expect("ASCII").strip_prefix("Hash=").expect("the hash").to_owned();
            let (hash, rest) = rest.split_at(64);
            assert_eq!(hash, certificate.fingerprint_hex());
            rest.to_owned()
        };
        let plain = ";Subject=\"CN=client 1\";URI=spiffe://test/a;DNS=client.test";
        assert_eq!(element("client 1", "spiffe://test/a"), plain);
        assert_eq!(
            element("a\";URI=spiffe://evil", "spiffe://test/a\",Hash=\\\n"),
            ";Subject=\"CN=a\\\"\\;URI\\=spiffe://evil\";URI=\"spiffe://test/a\\\",Hash=\\\\%0A\";DNS=client.test"
        );
    }
}
