use http::{HeaderName, header};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(super) const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static("x-forwarded-client-cert");
pub(super) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

pub(super) const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
pub(super) const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");

/// What a proxy does with one forwarding field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldAction {
    /// If the peer is a trusted proxy that [writes this field](super::ForwardingFields::written_by_proxies), what it
    /// sent is believed: lists (`X-Forwarded-For`, `X-Forwarded-Client-Cert`, `Forwarded`) get one more element, and
    /// other fields stay as they are. In all other cases, this proxy writes the field itself. `X-Real-IP` is always
    /// replaced by the address of the client.
    Append,
    /// The field tells about the connection to this proxy only, whatever the peer sent.
    Replace,
    /// The field is removed.
    Remove,
    /// The field stays as the peer sent it. A client can then send any value.
    Keep,
}

/// A field in which a proxy reports to the next one what it knows of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReportedField {
    /// `X-Forwarded-For`: the addresses of the client and of the proxies before the last one.
    XForwardedFor,
    /// `X-Forwarded-Proto`: `http` or `https`.
    XForwardedProto,
    /// `X-Forwarded-Host`: the `Host` that the client sent.
    XForwardedHost,
    /// `X-Forwarded-Port`: the port to which the client connected.
    XForwardedPort,
    /// `Forwarded` (RFC 7239): all of this in one list.
    Forwarded,
    /// `Client-Cert` and `Client-Cert-Chain` (RFC 9440): the certificate of the client. A proxy that writes them removes
    /// them from requests of clients without a certificate.
    ClientCert,
    /// `X-Forwarded-Client-Cert`: a list of what is known of the certificates of the client and of the proxies before the
    /// last one.
    XForwardedClientCert,
}

impl ReportedField {
    pub(super) const ALL: [Self; 7] = [
        Self::XForwardedFor,
        Self::XForwardedProto,
        Self::XForwardedHost,
        Self::XForwardedPort,
        Self::Forwarded,
        Self::ClientCert,
        Self::XForwardedClientCert,
    ];

    pub(super) const fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => X_FORWARDED_FOR,
            Self::XForwardedProto => X_FORWARDED_PROTO,
            Self::XForwardedHost => X_FORWARDED_HOST,
            Self::XForwardedPort => X_FORWARDED_PORT,
            Self::Forwarded => header::FORWARDED,
            Self::ClientCert => CLIENT_CERT,
            Self::XForwardedClientCert => X_FORWARDED_CLIENT_CERT,
        }
    }
}
