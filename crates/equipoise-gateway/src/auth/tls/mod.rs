mod allowed;
mod name;

use std::{fmt, time::SystemTime};

use equipoise_proxy::{headers::ConnectionInfo, tls::ClientCertificate};
use equipoise_tower::RequestHead;

pub use self::{
    allowed::{AllowedCertificates, InvalidFingerprint},
    name::{CertificateName, CustomName},
};
use super::{AuthFailure, AuthFuture, Authenticate, Authenticated, Live, join_list};
use crate::{Identity, Mechanism};

/// Authentication by the certificate of the client, which the TLS listener has verified (mutual TLS).
///
/// Only the certificate of the TLS handshake counts, as the extension [`ConnectionInfo`] of the request has it. Fields
/// such as `Client-Cert` are never read: a client could write them. The listener has to ask for certificates and to
/// verify them against certificate authorities that you trust: see `TlsSettings` of `equipoise-proxy`. This layer
/// decides which of the verified certificates are accepted.
///
/// The identity has these attributes, as far as the certificate has them: `subject`, `issuer`, `serial`, `fingerprint`
/// (SHA-256 of the certificate in hexadecimal digits), and the lists `dns`, `uri` and `email` of the subject
/// alternative names (see [`join_list`]).
///
/// A client without certificate gets status 403 with the code `missing_credentials` if there is no other scheme: a
/// client cannot be asked for a certificate by HTTP.
///
/// Connections live long: a certificate that expires during one is still accepted on it, unless
/// [`check_expiry`](Self::check_expiry) is set.
///
/// ```
/// use equipoise_gateway::auth::{AllowedCertificates, AuthLayer, CertificateName, ClientCertificates};
///
/// let layer = AuthLayer::new(
///     ClientCertificates::new(CertificateName::Uri)
///         .allow(AllowedCertificates::new().names(["spiffe://example.test/orders"])),
/// );
/// # drop(layer);
/// ```
#[derive(Clone)]
pub struct ClientCertificates {
    name: CertificateName,
    allowed: Live<AllowedCertificates>,
    check_expiry: bool,
}

impl ClientCertificates {
    /// Creates the scheme. It accepts each certificate that the listener has verified and that has the name.
    #[must_use]
    pub fn new(name: CertificateName) -> Self {
        Self { name, allowed: Live::default(), check_expiry: false }
    }

    /// Sets which of the verified certificates are accepted. Default: all.
    #[must_use]
    pub fn allow(mut self, allowed: impl Into<Live<AllowedCertificates>>) -> Self {
        self.allowed = allowed.into();
        self
    }

    /// Sets whether a certificate that has expired since the TLS handshake is refused. Default: false.
    #[must_use]
    pub fn check_expiry(mut self, check: bool) -> Self {
        self.check_expiry = check;
        self
    }

    fn decide(&self, head: RequestHead<'_>, now: SystemTime) -> Result<Authenticated, AuthFailure> {
        let session = head.extensions.get::<ConnectionInfo>().and_then(ConnectionInfo::tls_session);
        let certificate = session.and_then(|session| session.client_certificate()).ok_or(AuthFailure::Missing)?;
        let name = self.name.of(certificate).ok_or(AuthFailure::invalid("certificate_without_name"))?;
        if self.check_expiry && certificate.not_after() < now {
            return Err(AuthFailure::invalid("expired_certificate"));
        }
        if !self.allowed.read(|allowed| allowed.contain(&name, certificate)) {
            return Err(AuthFailure::invalid("certificate_not_allowed"));
        }
        Ok(Authenticated::new(identity(name, certificate)))
    }
}

fn identity(name: String, certificate: &ClientCertificate) -> Identity {
    let attributes = [
        ("subject", certificate.subject().to_owned()),
        ("issuer", certificate.issuer().to_owned()),
        ("serial", certificate.serial_number().to_owned()),
        ("fingerprint", certificate.fingerprint_hex()),
        ("dns", join_list(certificate.dns_names())),
        ("uri", join_list(certificate.uris())),
        ("email", join_list(certificate.emails())),
    ];
    let identity = Identity::new(name, Mechanism::ClientCertificate);
    let attributes = attributes.into_iter().filter(|(_, value)| !value.is_empty());
    attributes.fold(identity, |identity, (name, value)| identity.attribute(name, value))
}

impl Authenticate for ClientCertificates {
    fn authenticate(&self, head: RequestHead<'_>) -> AuthFuture {
        AuthFuture::ready(self.decide(head, SystemTime::now()))
    }

    fn mechanism(&self) -> Mechanism {
        Mechanism::ClientCertificate
    }
}

impl fmt::Debug for ClientCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificates")
            .field("name", &self.name)
            .field("allowed", &self.allowed)
            .field("check_expiry", &self.check_expiry)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use equipoise_proxy::tls::TlsSession;
    use http::Request;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(set: impl FnOnce(&mut CertificateParams)) -> ClientCertificate {
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        set(&mut params);
        let key = KeyPair::generate().expect("a key");
        let der = params.self_signed(&key).expect("a certificate").der().to_vec();
        ClientCertificate::new([der]).expect("a certificate")
    }

    fn orders() -> ClientCertificate {
        certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "orders");
            params.subject_alt_names = vec![
                SanType::DnsName("Orders.a.test".try_into().expect("a name")),
                SanType::DnsName("b.test".try_into().expect("a name")),
                SanType::URI("spiffe://a.test/orders".try_into().expect("a URI")),
                SanType::Rfc822Name("orders@a.test".try_into().expect("an address")),
            ];
        })
    }

    fn decide(scheme: &ClientCertificates, certificate: ClientCertificate) -> Result<Identity, &'static str> {
        let session = TlsSession::new().with_client_certificate(certificate);
        let mut request = Request::new(());
        request.extensions_mut().insert(ConnectionInfo::new().session(session));
        decided(scheme, &request, SystemTime::now())
    }

    fn decided(scheme: &ClientCertificates, request: &Request<()>, now: SystemTime) -> Result<Identity, &'static str> {
        match scheme.decide(RequestHead::of(request), now) {
            Ok(authenticated) => Ok(authenticated.identity().clone()),
            Err(AuthFailure::Missing) => Err("missing"),
            Err(AuthFailure::Invalid { reason, .. }) => Err(reason),
            Err(_) => Err("another failure"),
        }
    }

    #[test]
    fn only_the_certificate_of_the_handshake_counts() {
        let scheme = ClientCertificates::new(CertificateName::Subject);
        let mut request = Request::get("/")
            .header("client-cert", ":MIIB:")
            .header("x-forwarded-client-cert", "Subject=\"CN=orders\"")
            .body(())
            .expect("a request");
        assert_eq!(decided(&scheme, &request, SystemTime::now()), Err("missing"));
        request.extensions_mut().insert(ConnectionInfo::new().session(TlsSession::new()));
        assert_eq!(decided(&scheme, &request, SystemTime::now()), Err("missing"));
        assert_eq!(decide(&scheme, orders()).map(|identity| identity.name().to_owned()), Ok("CN=orders".into()));
    }

    #[test]
    fn each_part_of_a_certificate_can_be_the_name() {
        let certificate = orders();
        let name = |name| {
            let identity = decide(&ClientCertificates::new(name), certificate.clone())?;
            Ok::<_, &'static str>(identity.name().to_owned())
        };
        for (part, expected) in [
            (CertificateName::CommonName, "orders"),
            (CertificateName::Dns, "orders.a.test"),
            (CertificateName::Uri, "spiffe://a.test/orders"),
            (CertificateName::Email, "orders@a.test"),
            (CertificateName::Fingerprint, &certificate.fingerprint_hex()),
            (CertificateName::custom(|certificate| certificate.dns_names().nth(1).map(str::to_owned)), "b.test"),
        ] {
            assert_eq!(name(part.clone()).as_deref(), Ok(expected), "{part:?}");
        }
        for part in [CertificateName::custom(|_| None), CertificateName::custom(|_| panic!("a bug"))] {
            assert_eq!(name(part), Err("certificate_without_name"));
        }
    }

    #[test]
    fn certificates_without_the_name_are_not_valid() {
        let bare = certificate(|_| {});
        for name in [
            CertificateName::Subject,
            CertificateName::CommonName,
            CertificateName::Dns,
            CertificateName::Uri,
            CertificateName::Email,
        ] {
            let scheme = ClientCertificates::new(name.clone());
            assert_eq!(decide(&scheme, bare.clone()), Err("certificate_without_name"), "{name:?}");
        }
        let two = certificate(|params| {
            params.subject_alt_names =
                ["spiffe://a/1", "spiffe://a/2"].map(|uri| SanType::URI(uri.try_into().expect("a URI"))).to_vec();
        });
        let scheme = ClientCertificates::new(CertificateName::Uri);
        assert_eq!(decide(&scheme, two), Err("certificate_without_name"));
    }

    #[test]
    fn the_identity_has_what_the_certificate_has() {
        let certificate = orders();
        let identity = decide(&ClientCertificates::new(CertificateName::CommonName), certificate.clone());
        let identity = identity.expect("an identity");
        assert_eq!(identity.mechanism(), Mechanism::ClientCertificate);
        assert_eq!(identity.get("dns"), Some("Orders.a.test,b.test"));
        assert_eq!(identity.get("issuer"), Some("CN=orders"));
        assert_eq!(identity.get("serial"), Some(certificate.serial_number()));
        assert_eq!(identity.get("fingerprint"), Some(certificate.fingerprint_hex().as_str()));
    }

    #[test]
    fn lists_of_certificates_are_replaced_while_requests_are_served() {
        let certificate = orders();
        let live = Live::new(AllowedCertificates::new());
        let scheme = ClientCertificates::new(CertificateName::CommonName).allow(live.clone());
        let colons: Vec<String> = certificate.fingerprint().iter().map(|byte| format!("{byte:02X}")).collect();
        let (own, other) = (colons.join(":"), "0".repeat(64));
        let fingerprints = |list: &[&str]| AllowedCertificates::new().fingerprints(list).expect("fingerprints");
        let revoked = |text: &str| AllowedCertificates::new().names(["orders"]).revoked([text]).expect("a fingerprint");
        for (allowed, is_allowed) in [
            (AllowedCertificates::new(), true),
            (AllowedCertificates::new().names(["billing", "orders"]), true),
            (AllowedCertificates::new().names(["Orders"]), false),
            (AllowedCertificates::new().names::<&str>([]), false),
            (AllowedCertificates::new().issuers(["CN=orders"]), true),
            (AllowedCertificates::new().issuers(["CN=other"]), false),
            (fingerprints(&[&own]), true),
            (fingerprints(&[&other, &own]), true),
            (fingerprints(&[&other]), false),
            (fingerprints(&[]), false),
            (revoked(&own), false),
            (revoked(&other), true),
        ] {
            live.replace(allowed.clone());
            let expected = if is_allowed { Ok(()) } else { Err("certificate_not_allowed") };
            assert_eq!(decide(&scheme, certificate.clone()).map(drop), expected, "{allowed:?}");
        }
    }

    #[test]
    fn only_64_hexadecimal_digits_are_a_fingerprint() {
        let colons = vec!["AB"; 32].join(":");
        let both = AllowedCertificates::new().fingerprints([&colons]).and_then(|allowed| allowed.revoked([&colons]));
        assert!(both.is_ok());
        for text in ["", "00", "0A:", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            let error = Err(InvalidFingerprint { text: text.to_owned() });
            assert_eq!(AllowedCertificates::new().fingerprints([colons.as_str(), text]).map(drop), error);
            assert_eq!(AllowedCertificates::new().revoked([colons.as_str(), text]).map(drop), error);
        }
    }

    #[test]
    fn certificates_can_expire_during_a_connection() {
        let certificate = orders();
        let after = certificate.not_after() + Duration::from_secs(1);
        let mut request = Request::new(());
        let session = TlsSession::new().with_client_certificate(certificate);
        request.extensions_mut().insert(ConnectionInfo::new().session(session));
        let scheme = ClientCertificates::new(CertificateName::CommonName);
        assert!(decided(&scheme, &request, after).is_ok());
        assert_eq!(decided(&scheme.check_expiry(true), &request, after), Err("expired_certificate"));
    }
}
