//! Rules for header fields: which fields of a message a proxy forwards, and which it adds.
//!
//! [`ReverseProxy`](crate::ReverseProxy) applies all of them. Each can also be used by itself:
//!
//! | rule | requests | responses |
//! | --- | --- | --- |
//! | fields of one connection (RFC 9110, section 7.6.1) | [`remove_hop_by_hop`] | [`remove_hop_by_hop`] |
//! | `Host` and request target | [`HostRule`] | |
//! | the client's address, scheme and host | [`ForwardingFields`] | |
//! | `Via`, with loop detection | [`Via`] | [`Via`] |
//!
//! Trailers lose the fields that must not be there (RFC 9110, section 6.5.1): those for framing, routing,
//! authentication, conditions, caching and the format of the body, and those of this module. Those of requests also
//! lose fields with [unusual names](crate::check::UnusualNames).

#[cfg(feature = "tls")]
mod client_certificate;
mod connection;
mod field;
mod forwarding;
mod framing;
mod hop_by_hop;
mod host;
mod known;
mod via;

pub use self::{
    connection::ConnectionInfo,
    field::{FieldAction, ReportedField},
    forwarding::ForwardingFields,
    hop_by_hop::{remove_hop_by_hop, remove_named_fields},
    host::HostRule,
    via::{InvalidPseudonym, Via},
};
pub(crate) use self::{
    connection::client_scheme,
    framing::{
        is_contradicted, join_cookies, normalize_request, normalize_response, remove_unusual_names, remove_where,
        strip_trailers,
    },
    hop_by_hop::{requested_upgrade, te_trailers},
    host::OriginalHost,
    known::{X_FORWARDED_PREFIX, has_http1_only, is_unusual},
};
