use base64::{Engine, engine::general_purpose::STANDARD};
use http::{HeaderName, HeaderValue};

use super::field::{CLIENT_CERT, CLIENT_CERT_CHAIN, X_FORWARDED_CLIENT_CERT};
use crate::tls::ClientCertificate;

/// The maximum size of a value, in bytes. A client chooses the size of its certificate, and servers answer requests with
/// larger fields with status 400 or 431: a line may have 8190 bytes in Apache, with the name of the field, and 8 KiB in
/// nginx. Usual certificates have 1 to 3 KB.
const MAX_LEN: usize = 8000;

/// Returns the value of `Client-Cert` (RFC 9440): the certificate. `None` if it is too large.
pub(super) fn client_cert(certificate: &ClientCertificate) -> Option<HeaderValue> {
    list(&CLIENT_CERT, &[certificate.der()])
}

/// Returns the value of `Client-Cert-Chain` (RFC 9440): the other certificates that the client has sent. `None` if there
/// are none, or they are too large.
pub(super) fn client_cert_chain(certificate: &ClientCertificate) -> Option<HeaderValue> {
    list(&CLIENT_CERT_CHAIN, &certificate.issuers().collect::<Vec<_>>())
}

/// Returns a list of certificates.
fn list(field: &HeaderName, certificates: &[&[u8]]) -> Option<HeaderValue> {
    // Before they are encoded, which takes time for each request.
    if is_too_large(field, certificates.iter().map(|der| der.len()).sum()) {
        return None;
    }
    let list: Vec<_> = certificates.iter().map(|der| binary(der)).collect();
    value(field, list.join(", "))
}

/// Returns the value of a field. `None` if it is empty or too large.
fn value(field: &HeaderName, text: String) -> Option<HeaderValue> {
    if text.is_empty() || is_too_large(field, text.len()) { None } else { HeaderValue::try_from(text).ok() }
}

fn is_too_large(field: &HeaderName, size: usize) -> bool {
    let is_too_large = size > MAX_LEN;
    if is_too_large {
        tracing::debug!(%field, size, "a field is left out: the certificate of the client is too large for it");
    }
    is_too_large
}

/// Returns bytes in the form of a structured field (RFC 9651).
fn binary(bytes: &[u8]) -> String {
    format!(":{}:", STANDARD.encode(bytes))
}

/// Returns the element for `X-Forwarded-Client-Cert`, as Envoy writes it. `None` if it is too large.
pub(super) fn x_forwarded_client_cert(certificate: &ClientCertificate) -> Option<HeaderValue> {
    // Each quote in the subject has a backslash before it already, as in Envoy.
    let mut element = format!("Hash={};Subject=\"{}\"", certificate.fingerprint_hex(), certificate.subject());
    let uris = certificate.uris().map(|uri| ("URI", uri));
    for (key, value) in uris.chain(certificate.dns_names().map(|name| ("DNS", name))) {
        element.extend([";", key, "="]);
        push_value(&mut element, value);
    }
    value(&X_FORWARDED_CLIENT_CERT, element)
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
    fn values_that_servers_refuse_are_left_out() {
        let values = |length: usize| {
            let der = certificate("a", &format!("spiffe://test/{}", "a".repeat(length))).der().to_vec();
            let both = ClientCertificate::new([&*der, &*der]).expect("a certificate");
            let values = [client_cert(&both), client_cert_chain(&both), x_forwarded_client_cert(&both)];
            values.map(|value| value.map(|value| value.len()))
        };
        // 4 bytes of base64 for each 3 bytes, and the other fields of a certificate.
        let [Some(cert), Some(chain), Some(element)] = values(5000) else { panic!("{:?}", values(5000)) };
        assert!(cert == chain && (7000..=MAX_LEN).contains(&cert) && element < cert, "{cert} {chain} {element}");
        assert!(matches!(values(7000), [None, None, Some(7000..=MAX_LEN)]), "{:?}", values(7000));
        assert_eq!(values(9000), [None; 3]);
        // Together, the certificates are too large.
        let certificate = certificate("a", "spiffe://test/a");
        let all = [certificate.der(), &[0; 3000], &[0; 3000]];
        let certificate = ClientCertificate::new(all).expect("a certificate");
        assert!(client_cert(&certificate).is_some() && client_cert_chain(&certificate).is_none());
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
