use std::{
    fmt::Write,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use x509_parser::{
    extensions::GeneralName,
    objects::oid2abbrev,
    oid_registry::OidRegistry,
    prelude::{ASN1Time, AttributeTypeAndValue, FromDer, X509Certificate, X509Name},
};

/// The fields of a certificate that this crate uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    /// As text (RFC 4514). Printable ASCII only.
    pub(super) subject: String,
    /// As the certificate has it, without control characters.
    pub(super) common_name: Option<String>,
    pub(super) issuer: String,
    /// In lower-case hexadecimal digits.
    pub(super) serial: String,
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    pub(super) dns_names: Vec<String>,
    pub(super) uris: Vec<String>,
    pub(super) emails: Vec<String>,
    pub(super) ip_addresses: Vec<IpAddr>,
}

impl Fields {
    /// Parses a certificate in DER. `None` if it is not valid.
    pub(super) fn parse(der: &[u8]) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let mut fields = Self {
            subject: name(certificate.subject())?,
            common_name: common_name(certificate.subject()),
            issuer: name(certificate.issuer())?,
            serial: hex(certificate.raw_serial()),
            not_before: time(certificate.validity().not_before)?,
            not_after: time(certificate.validity().not_after)?,
            dns_names: Vec::new(),
            uris: Vec::new(),
            emails: Vec::new(),
            ip_addresses: Vec::new(),
        };
        let alternatives = certificate.subject_alternative_name().ok()?;
        for alternative in alternatives.iter().flat_map(|names| &names.value.general_names) {
            match alternative {
                GeneralName::DNSName(name) => fields.dns_names.push((*name).to_owned()),
                GeneralName::URI(uri) => fields.uris.push((*uri).to_owned()),
                GeneralName::RFC822Name(email) => fields.emails.push((*email).to_owned()),
                GeneralName::IPAddress(octets) => fields.ip_addresses.extend(address(octets)),
                _ => {}
            }
        }
        Some(fields)
    }
}

fn common_name(subject: &X509Name<'_>) -> Option<String> {
    let name = subject.iter_common_name().next()?.as_str().ok()?;
    (!name.contains(char::is_control)).then(|| name.to_owned())
}

/// Converts bytes to lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

fn time(time: ASN1Time) -> Option<SystemTime> {
    let seconds = time.timestamp();
    let distance = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 {
        SystemTime::UNIX_EPOCH.checked_sub(distance)
    } else {
        SystemTime::UNIX_EPOCH.checked_add(distance)
    }
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

/// Converts a distinguished name to text (RFC 4514): the last part is first.
fn name(name: &X509Name<'_>) -> Option<String> {
    let registry = OidRegistry::default();
    let mut text = String::new();
    let parts: Vec<_> = name.iter_rdn().collect();
    for (at, part) in parts.into_iter().rev().enumerate() {
        for (nth, attribute) in part.iter().enumerate() {
            if at + nth > 0 {
                text.push(if nth > 0 { '+' } else { ',' });
            }
            match oid2abbrev(attribute.attr_type(), &registry) {
                Ok(kind) => text.push_str(kind),
                Err(_) => write!(text, "{}", attribute.attr_type()).ok()?,
            }
            text.push('=');
            value(attribute, &mut text);
        }
    }
    Some(text)
}

fn value(attribute: &AttributeTypeAndValue<'_>, text: &mut String) {
    let Ok(value) = attribute.as_str() else {
        // Not a string that this parser knows. RFC 4514 has the bytes of its encoding here, this has those of its value.
        text.push('#');
        text.push_str(&hex(attribute.as_slice()));
        return;
    };
    let last = value.len().saturating_sub(1);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\' | b'=' => text.extend(['\\', char::from(byte)]),
            b'#' if at == 0 => text.push_str("\\#"),
            b' ' if at == 0 || at == last => text.push_str("\\ "),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:02x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn parsed(change: impl FnOnce(&mut CertificateParams)) -> Fields {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.remove(DnType::CommonName);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        Fields::parse(params.self_signed(&key).expect("a certificate").der()).expect("a certificate")
    }

    #[test]
    fn alternative_names_are_read_by_kind() {
        let fields = parsed(|params| {
            params.subject_alt_names = vec![
                SanType::DnsName("*.app.test".try_into().expect("ASCII")),
                SanType::URI("spiffe://test/a".try_into().expect("ASCII")),
                SanType::Rfc822Name("a@app.test".try_into().expect("ASCII")),
                SanType::IpAddress("192.0.2.1".parse().expect("an address")),
                SanType::IpAddress("2001:db8::1".parse().expect("an address")),
            ];
            params.serial_number = Some(vec![1, 0xab].into());
            params.not_before = rcgen::date_time_ymd(2020, 1, 1);
            params.not_after = rcgen::date_time_ymd(2020, 1, 2);
        });
        assert_eq!(fields.dns_names, ["*.app.test"]);
        assert_eq!(fields.uris, ["spiffe://test/a"]);
        assert_eq!(fields.emails, ["a@app.test"]);
        let addresses: [IpAddr; 2] = ["192.0.2.1", "2001:db8::1"].map(|address| address.parse().expect("an address"));
        assert_eq!(fields.ip_addresses, addresses);
        assert_eq!(fields.serial, "01ab");
        assert_eq!(fields.not_before, SystemTime::UNIX_EPOCH + Duration::from_secs(1_577_836_800));
        assert_eq!(fields.not_after, fields.not_before + Duration::from_secs(86_400));
    }

    #[test]
    fn subjects_are_escaped() {
        let subject = |value: &str| {
            parsed(|params| {
                params.distinguished_name.push(DnType::OrganizationName, "Test");
                params.distinguished_name.push(DnType::CommonName, value);
            })
            .subject
        };
        assert_eq!(subject("client 1"), "CN=client 1,O=Test");
        assert_eq!(subject("a,O=Evil"), "CN=a\\,O\\=Evil,O=Test");
        assert_eq!(subject("a\";Hash=0"), "CN=a\\\"\\;Hash\\=0,O=Test");
        assert_eq!(subject("#a "), "CN=\\#a\\ ,O=Test");
        assert_eq!(subject("é\r\n\\"), "CN=\\c3\\a9\\0d\\0a\\\\,O=Test");
    }

    #[test]
    fn common_names_are_as_they_are_unless_they_have_control_characters() {
        let common_name = |names: &[&str]| {
            parsed(|params| names.iter().for_each(|name| params.distinguished_name.push(DnType::CommonName, *name)))
                .common_name
        };
        assert_eq!(common_name(&["é \"a\""]).as_deref(), Some("é \"a\""));
        assert_eq!(common_name(&["admin\0.evil.test"]), None);
        assert_eq!(common_name(&[]), None);
    }

    #[test]
    fn other_bytes_are_no_certificate() {
        assert_eq!(Fields::parse(b""), None);
        assert_eq!(Fields::parse(b"\x30\x03\x02\x01\x00"), None);
    }
}
