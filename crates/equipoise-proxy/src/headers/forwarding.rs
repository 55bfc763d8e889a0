use std::{fmt::Write, net::IpAddr};

use equipoise_affinity::source::{ClientAddress, ForwardedHeader, PeerAddr, ProxiedAddr, TrustedProxies};
use equipoise_tower::RequestHead;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request,
    header::{Entry, FORWARDED, HOST},
};

#[cfg(feature = "tls")]
use super::client_certificate;
use super::{
    connection::{ConnectionInfo, ReportedScheme},
    field::{
        CLIENT_CERT, CLIENT_CERT_CHAIN, FieldAction, ReportedField, X_FORWARDED_CLIENT_CERT, X_FORWARDED_PROTO,
        X_REAL_IP,
    },
    known::X_FORWARDED_PREFIX,
};
use crate::check::host_and_port;
#[cfg(feature = "tls")]
use crate::tls::ClientCertificate;

/// Which fields tell endpoints about the client: its address, and the scheme, host and port that it used.
///
/// By default, no proxy is trusted, so nothing that a client writes into these fields reaches an endpoint:
///
/// | field | default | content |
/// | --- | --- | --- |
/// | `X-Forwarded-For` | append | the address of the peer, after the addresses that trusted proxies reported |
/// | `X-Forwarded-Proto` | append | `http` or `https` |
/// | `X-Forwarded-Host` | append | the `Host` of the request |
/// | `X-Forwarded-Port` | remove | the local port of the connection |
/// | `X-Real-IP` | remove | the address of the client: the first from the right that is not a trusted proxy |
/// | `Forwarded` (RFC 7239) | remove | `for`, `host` and `proto` |
/// | `Client-Cert` (RFC 9440) | append | the certificate of the client, if the TLS handshake has verified one |
/// | `Client-Cert-Chain` (RFC 9440) | remove | the other certificates that the client has sent, which may be unverified |
/// | `X-Forwarded-Client-Cert` | remove | what Envoy tells of the certificate: `Hash`, `Subject`, `URI` and `DNS` |
/// | all others that begin with `X-Forwarded-` | append | removed, unless a trusted proxy is known to write them |
///
/// A proxy passes on fields that it does not know of, so a trusted proxy's request can have fields that its client
/// wrote. Of trusted proxies, only `X-Forwarded-For` is believed, unless
/// [`written_by_proxies`](Self::written_by_proxies) or
/// [`others_written_by_proxies`](Self::others_written_by_proxies) names the fields that they write. A field that is not
/// named is not believed: `append` then acts like `replace`. `X-Real-IP` is never believed.
///
/// The peer's address is read from the extension [`PeerAddr`], or from [`ProxiedAddr`] if the peer is trusted. Local
/// port, TLS and the client's certificate are read from [`ConnectionInfo`]. If an address or port is not known, its field is
/// removed.
///
/// A field about a certificate of more than 8000 bytes is left out, because many servers refuse such requests: see
/// [`client_cert`](Self::client_cert).
///
/// ```
/// use equipoise_affinity::source::PeerAddr;
/// use equipoise_proxy::headers::{FieldAction, ForwardingFields, ReportedField};
/// use http::Request;
///
/// let fields = ForwardingFields::behind("10.0.0.0/8".parse()?)
///     .written_by_proxies([ReportedField::XForwardedFor, ReportedField::XForwardedProto])
///     .x_real_ip(FieldAction::Append);
/// let mut request = Request::get("/")
///     .header("host", "app.test")
///     .header("x-forwarded-for", "6.6.6.6, 203.0.113.9")
///     .header("x-forwarded-proto", "https")
///     .header("x-forwarded-host", "evil.test")
///     .body(())?;
/// request.extensions_mut().insert(PeerAddr("10.0.0.1:40312".parse()?));
/// fields.apply(&mut request);
/// assert_eq!(request.headers()["x-forwarded-for"], "6.6.6.6, 203.0.113.9, 10.0.0.1");
/// assert_eq!(request.headers()["x-forwarded-proto"], "https");
/// assert_eq!(request.headers()["x-forwarded-host"], "app.test");
/// assert_eq!(request.headers()["x-real-ip"], "203.0.113.9");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ForwardingFields {
    trusted: TrustedProxies,
    /// The fields that the trusted proxies write.
    written: Vec<ReportedField>,
    /// The other fields that the trusted proxies write.
    others_written: Vec<HeaderName>,
    client: ClientAddress,
    x_forwarded_for: FieldAction,
    x_forwarded_proto: FieldAction,
    x_forwarded_host: FieldAction,
    x_forwarded_port: FieldAction,
    x_real_ip: FieldAction,
    forwarded: FieldAction,
    client_cert: FieldAction,
    client_cert_chain: FieldAction,
    x_forwarded_client_cert: FieldAction,
    others: FieldAction,
}

impl ForwardingFields {
    /// Creates the rules for a proxy to which clients connect directly.
    #[must_use]
    pub fn new() -> Self {
        Self::behind(TrustedProxies::none())
    }

    /// Creates the rules for a proxy behind the proxies in `trusted`. Each of these proxies must append to
    /// `X-Forwarded-For` or replace it. If they write other fields, name them with
    /// [`written_by_proxies`](Self::written_by_proxies).
    #[must_use]
    pub fn behind(trusted: TrustedProxies) -> Self {
        Self {
            client: ClientAddress::behind(trusted.clone()).header(ForwardedHeader::XForwardedFor),
            trusted,
            written: vec![ReportedField::XForwardedFor],
            others_written: Vec::new(),
            x_forwarded_for: FieldAction::Append,
            x_forwarded_proto: FieldAction::Append,
            x_forwarded_host: FieldAction::Append,
            x_forwarded_port: FieldAction::Remove,
            x_real_ip: FieldAction::Remove,
            forwarded: FieldAction::Remove,
            client_cert: FieldAction::Append,
            client_cert_chain: FieldAction::Remove,
            x_forwarded_client_cert: FieldAction::Remove,
            others: FieldAction::Append,
        }
    }

    /// Creates rules that leave all fields as the peer sent them. For a proxy within another one's trust only.
    #[must_use]
    pub fn untouched() -> Self {
        Self::new().all(FieldAction::Keep)
    }

    /// Sets which fields the trusted proxies write: each of these proxies must append to the field, or replace what its
    /// client sent. Any other field of a trusted proxy's request may be the client's, so it is not believed. Default:
    /// `X-Forwarded-For` only.
    ///
    /// The address of the client is determined from `X-Forwarded-For`. Without this field, it is determined from
    /// `Forwarded`. Without both, it is the address of the peer.
    #[must_use]
    pub fn written_by_proxies(mut self, fields: impl IntoIterator<Item = ReportedField>) -> Self {
        self.written = fields.into_iter().collect();
        let client = ClientAddress::behind(self.trusted.clone());
        self.client = match () {
            () if self.written.contains(&ReportedField::XForwardedFor) => client.header(ForwardedHeader::XForwardedFor),
            () if self.written.contains(&ReportedField::Forwarded) => client.header(ForwardedHeader::Forwarded),
            () => client,
        };
        self
    }

    /// Sets which other fields that begin with `X-Forwarded-` the trusted proxies write, such as `X-Forwarded-Prefix`.
    /// As with [`written_by_proxies`](Self::written_by_proxies), each of these proxies must replace what its client
    /// sent. Default: none. Names that do not begin with `X-Forwarded-`, and those of a [`ReportedField`], have no
    /// effect.
    ///
    /// ```
    /// use equipoise_proxy::headers::ForwardingFields;
    /// use http::HeaderName;
    ///
    /// let prefix = HeaderName::from_static("x-forwarded-prefix");
    /// let fields = ForwardingFields::behind("10.0.0.0/8".parse()?).others_written_by_proxies([prefix]);
    /// # drop(fields);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn others_written_by_proxies(mut self, names: impl IntoIterator<Item = HeaderName>) -> Self {
        self.others_written = names.into_iter().collect();
        self
    }

    /// Returns how the address of a client is determined behind these proxies, for example for logs or session keys.
    pub fn client(&self) -> &ClientAddress {
        &self.client
    }

    /// Sets one action for all fields.
    #[must_use]
    pub fn all(self, action: FieldAction) -> Self {
        Self {
            x_forwarded_for: action,
            x_forwarded_proto: action,
            x_forwarded_host: action,
            x_forwarded_port: action,
            x_real_ip: action,
            forwarded: action,
            client_cert: action,
            client_cert_chain: action,
            x_forwarded_client_cert: action,
            others: action,
            ..self
        }
    }

    /// Sets the action for `X-Forwarded-For`. Default: [`FieldAction::Append`].
    #[must_use]
    pub fn x_forwarded_for(mut self, action: FieldAction) -> Self {
        self.x_forwarded_for = action;
        self
    }

    /// Sets the action for `X-Forwarded-Proto`. Default: [`FieldAction::Append`].
    #[must_use]
    pub fn x_forwarded_proto(mut self, action: FieldAction) -> Self {
        self.x_forwarded_proto = action;
        self
    }

    /// Sets the action for `X-Forwarded-Host`. Default: [`FieldAction::Append`].
    #[must_use]
    pub fn x_forwarded_host(mut self, action: FieldAction) -> Self {
        self.x_forwarded_host = action;
        self
    }

    /// Sets the action for `X-Forwarded-Port`. Default: [`FieldAction::Remove`].
    #[must_use]
    pub fn x_forwarded_port(mut self, action: FieldAction) -> Self {
        self.x_forwarded_port = action;
        self
    }

    /// Sets the action for `X-Real-IP`. With [`FieldAction::Append`], it is the client's address, which is determined
    /// from `X-Forwarded-For`. With [`FieldAction::Replace`], it is the peer's address. What the peer sent is not
    /// believed in either case. Default: [`FieldAction::Remove`].
    #[must_use]
    pub fn x_real_ip(mut self, action: FieldAction) -> Self {
        self.x_real_ip = action;
        self
    }

    /// Sets the action for `Forwarded`. Default: [`FieldAction::Remove`].
    #[must_use]
    pub fn forwarded(mut self, action: FieldAction) -> Self {
        self.forwarded = action;
        self
    }

    /// Sets the action for `Client-Cert`, which has the whole certificate. If the peer is a trusted proxy that
    /// [writes it](ReportedField::ClientCert), [`FieldAction::Append`] leaves the request as it is, also without this
    /// field: the certificate of the connection is that of the proxy. Default: [`FieldAction::Append`].
    ///
    /// The field is removed if its value had more than 8000 bytes, which is a certificate of some 6000 bytes. The endpoint
    /// then sees a request without a certificate, and an event of the level `debug` has the size.
    #[must_use]
    pub fn client_cert(mut self, action: FieldAction) -> Self {
        self.client_cert = action;
        self
    }

    /// Sets the action for `Client-Cert-Chain`, which has the other certificates that the client has sent. Proxies in
    /// front and a large value are treated as with [`client_cert`](Self::client_cert). Default: [`FieldAction::Remove`].
    #[must_use]
    pub fn client_cert_chain(mut self, action: FieldAction) -> Self {
        self.client_cert_chain = action;
        self
    }

    /// Sets the action for `X-Forwarded-Client-Cert`, which is a list in the format of Envoy: each proxy adds an element
    /// about the certificate of its peer, if there is one. An element of more than 8000 bytes is left out. Default:
    /// [`FieldAction::Remove`].
    #[must_use]
    pub fn x_forwarded_client_cert(mut self, action: FieldAction) -> Self {
        self.x_forwarded_client_cert = action;
        self
    }

    /// Sets the action for all other fields that begin with `X-Forwarded-`, such as `X-Forwarded-Prefix`,
    /// `X-Forwarded-Ssl` and `X-Forwarded-Server`. Applications act on some of them. With [`FieldAction::Append`], a
    /// field stays if the peer is a trusted proxy that [writes it](Self::others_written_by_proxies), and is removed
    /// otherwise. With [`FieldAction::Replace`] and [`FieldAction::Remove`], they are always removed. Default:
    /// [`FieldAction::Append`].
    #[must_use]
    pub fn other_x_forwarded(mut self, action: FieldAction) -> Self {
        self.others = action;
        self
    }

    /// Changes the fields of a request. `Host` must still be the one that the client sent.
    pub fn apply<B>(&self, request: &mut Request<B>) {
        self.apply_to(request, true);
    }

    /// Changes the fields of a request. `has_any` is false if it is known that the request has none of them.
    pub(crate) fn apply_to<B>(&self, request: &mut Request<B>, has_any: bool) {
        let connection = Connection::of(request, &self.trusted);
        // Before `X-Forwarded-For` is changed, because the address is found in it.
        let client = match self.x_real_ip {
            FieldAction::Append => self.client.of(RequestHead::of(request)),
            _ => connection.peer,
        };
        let headers = request.headers_mut();
        let is_written = |action| matches!(action, FieldAction::Append | FieldAction::Replace);
        let needs_host = [self.x_forwarded_host, self.forwarded].into_iter().any(is_written);
        let host = if needs_host { headers.get(HOST).cloned() } else { None };
        let is_believed = |field| connection.is_trusted && self.written.contains(&field);
        let reported = if has_any && is_believed(ReportedField::XForwardedProto) {
            headers.get_all(&X_FORWARDED_PROTO).iter().next_back().and_then(ReportedScheme::parse)
        } else {
            None
        };
        let is_touched = |action| has_any || is_written(action);
        if is_touched(self.x_real_ip) {
            set(headers, &X_REAL_IP, self.x_real_ip, false, || client.map(text));
        }
        let mut change = |field: ReportedField, action, value: &dyn Fn() -> Option<HeaderValue>| {
            if is_touched(action) {
                set(headers, &field.name(), action, is_believed(field), value);
            }
        };
        let scheme = || Some(HeaderValue::from_static(connection.scheme()));
        change(ReportedField::XForwardedProto, self.x_forwarded_proto, &scheme);
        let port = || connection.info.local_addr().map(|local| local.port().into());
        change(ReportedField::XForwardedPort, self.x_forwarded_port, &port);
        change(ReportedField::XForwardedHost, self.x_forwarded_host, &|| host.clone());
        let mut change = |field: ReportedField, action, element: &dyn Fn() -> Option<HeaderValue>| {
            if is_touched(action) {
                list(headers, &field.name(), action, is_believed(field), element);
            }
        };
        change(ReportedField::XForwardedFor, self.x_forwarded_for, &|| connection.peer.map(text));
        change(ReportedField::Forwarded, self.forwarded, &|| connection.forwarded(host.as_ref()));
        let is_touched = |action| has_any || is_written(action) && connection.has_certificate();
        if is_touched(self.x_forwarded_client_cert) {
            let (field, action) = (ReportedField::XForwardedClientCert, self.x_forwarded_client_cert);
            list(headers, &field.name(), action, is_believed(field), || connection.x_forwarded_client_cert());
        }
        // The certificate of a proxy is not that of its client.
        let is_reported = is_believed(ReportedField::ClientCert);
        let mut change = |name, action, value: &dyn Fn() -> Option<HeaderValue>| {
            let is_believed = is_reported && action == FieldAction::Append;
            if is_touched(action) {
                set(headers, &name, action, is_believed, || if is_believed { None } else { value() });
            }
        };
        change(CLIENT_CERT, self.client_cert, &|| connection.client_cert());
        change(CLIENT_CERT_CHAIN, self.client_cert_chain, &|| connection.client_cert_chain());
        if has_any && self.others != FieldAction::Keep {
            for name in others(headers) {
                let is_believed = connection.is_trusted && self.others_written.contains(&name);
                set(headers, &name, self.others, is_believed, || None);
            }
        }
        if let Some(scheme) = reported {
            request.extensions_mut().insert(scheme);
        }
    }
}

impl Default for ForwardingFields {
    fn default() -> Self {
        Self::new()
    }
}

/// The connection on which a request came.
struct Connection {
    peer: Option<IpAddr>,
    is_trusted: bool,
    info: ConnectionInfo,
}

impl Connection {
    fn of<B>(request: &Request<B>, trusted: &TrustedProxies) -> Self {
        let extensions = request.extensions();
        let mut peer = extensions.get::<PeerAddr>().map(|peer| peer.0.ip().to_canonical());
        let mut is_trusted = peer.is_some_and(|peer| trusted.contains(peer));
        if is_trusted && let Some(ProxiedAddr(source)) = extensions.get() {
            let source = source.ip().to_canonical();
            is_trusted = trusted.contains(source);
            peer = Some(source);
        }
        Self { peer, is_trusted, info: extensions.get().cloned().unwrap_or_default() }
    }

    fn scheme(&self) -> &'static str {
        if self.info.is_tls() { "https" } else { "http" }
    }

    /// Returns the element for `Forwarded`.
    fn forwarded(&self, host: Option<&HeaderValue>) -> Option<HeaderValue> {
        let mut element = String::with_capacity(64);
        match self.peer? {
            IpAddr::V4(peer) => write!(element, "for={peer}").ok()?,
            IpAddr::V6(peer) => write!(element, "for=\"[{peer}]\"").ok()?,
        }
        // A valid host contains no character that a quoted string must escape. Another one is left out.
        let valid = host.filter(|host| host_and_port(host.as_bytes()).is_some());
        if let Some(host) = valid.and_then(|host| host.to_str().ok()) {
            let quote = if host.contains([':', '[']) { "\"" } else { "" };
            write!(element, ";host={quote}{host}{quote}").ok()?;
        }
        write!(element, ";proto={}", self.scheme()).ok()?;
        HeaderValue::try_from(element).ok()
    }
}

/// What is told about the certificate of the peer.
#[cfg(feature = "tls")]
impl Connection {
    fn certificate(&self) -> Option<&ClientCertificate> {
        self.info.tls_session()?.client_certificate()
    }

    fn has_certificate(&self) -> bool {
        self.certificate().is_some()
    }

    fn client_cert(&self) -> Option<HeaderValue> {
        client_certificate::client_cert(self.certificate()?)
    }

    fn client_cert_chain(&self) -> Option<HeaderValue> {
        client_certificate::client_cert_chain(self.certificate()?)
    }

    fn x_forwarded_client_cert(&self) -> Option<HeaderValue> {
        client_certificate::x_forwarded_client_cert(self.certificate()?)
    }
}

#[cfg(not(feature = "tls"))]
impl Connection {
    fn has_certificate(&self) -> bool {
        false
    }

    fn client_cert(&self) -> Option<HeaderValue> {
        None
    }

    fn client_cert_chain(&self) -> Option<HeaderValue> {
        None
    }

    fn x_forwarded_client_cert(&self) -> Option<HeaderValue> {
        None
    }
}

/// Converts an address to the text of `X-Forwarded-For`.
fn text(address: IpAddr) -> HeaderValue {
    let text = match address {
        // Formatting takes three times as long, and every request has an address.
        IpAddr::V4(address) => {
            let mut text = Vec::with_capacity(16);
            for octet in address.octets() {
                let digits = [octet / 100, octet / 10 % 10, octet % 10];
                let leading = if octet >= 100 { 0 } else { 1 + usize::from(octet < 10) };
                text.extend(digits.into_iter().skip(leading).map(|digit| b'0' + digit));
                text.push(b'.');
            }
            text.pop();
            HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
        }
        IpAddr::V6(address) => HeaderValue::from_str(&address.to_string()),
    };
    text.unwrap_or(HeaderValue::from_static("unknown"))
}

/// Returns the names of all fields that begin with `X-Forwarded-` and have no action of their own.
fn others(headers: &HeaderMap) -> Vec<HeaderName> {
    let is_other = |name: &&HeaderName| {
        name.as_str().starts_with(X_FORWARDED_PREFIX) && !ReportedField::ALL.iter().any(|field| field.name() == **name)
    };
    headers.keys().filter(is_other).cloned().collect()
}

/// Changes a field with one value. `is_believed` tells whether a trusted proxy wrote the field.
fn set(
    headers: &mut HeaderMap,
    name: &HeaderName,
    action: FieldAction,
    is_believed: bool,
    value: impl FnOnce() -> Option<HeaderValue>,
) {
    match action {
        FieldAction::Keep => return,
        FieldAction::Append if is_believed && headers.contains_key(name) => {
            // A proxy that adds a line instead of replacing the client's has written the last one.
            if let Some(last) = headers.get_all(name).iter().skip(1).last().cloned() {
                headers.insert(name, last);
            }
            return;
        }
        FieldAction::Append | FieldAction::Replace => {
            if let Some(value) = value() {
                headers.insert(name, value);
                return;
            }
        }
        FieldAction::Remove => {}
    }
    headers.remove(name);
}

/// Changes a field with a list. A list in several lines becomes one line, because some servers read only the first. A
/// list with an open quote is replaced: the new element would be a part of the quoted text. `X-Forwarded-For` has no
/// quotes.
fn list(
    headers: &mut HeaderMap,
    name: &HeaderName,
    action: FieldAction,
    is_believed: bool,
    element: impl FnOnce() -> Option<HeaderValue>,
) {
    if action != FieldAction::Append || !is_believed {
        return set(headers, name, action, false, element);
    }
    let Some(element) = element() else { return };
    match headers.entry(name) {
        Entry::Vacant(entry) => drop(entry.insert(element)),
        Entry::Occupied(mut entry)
            if [FORWARDED, X_FORWARDED_CLIENT_CERT].contains(name) && entry.iter().any(has_open_quote) =>
        {
            entry.insert(element);
        }
        Entry::Occupied(mut entry) => {
            let mut list = Vec::with_capacity(64);
            for line in entry.iter().map(HeaderValue::as_bytes).chain([element.as_bytes()]) {
                let line = line.trim_ascii();
                if !line.is_empty() {
                    if !list.is_empty() {
                        list.extend_from_slice(b", ");
                    }
                    list.extend_from_slice(line);
                }
            }
            if let Ok(list) = HeaderValue::from_bytes(&list) {
                entry.insert(list);
            }
        }
    }
}

/// Returns whether a quoted string (RFC 9110, section 5.6.4) has no end in this line.
fn has_open_quote(line: &HeaderValue) -> bool {
    let (mut is_open, mut is_escaped) = (false, false);
    for byte in line.as_bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_open,
            b'"' => is_open = !is_open,
            _ => {}
        }
    }
    is_open
}

#[cfg(test)]
mod tests;
