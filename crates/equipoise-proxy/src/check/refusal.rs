use http::StatusCode;

/// Why a request is not forwarded. Nothing of the request has been sent to an endpoint.
///
/// The message (`Display`) contains nothing of the request, so it can be sent to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The method contains a character other than upper-case letters, `-` and `_`. Methods are case-sensitive, but some
    /// servers accept `get` as `GET`. Status 400.
    #[error("the method must consist of upper-case letters")]
    Method,
    /// The method is `CONNECT`, and the proxy forwards requests to endpoints of its own choice only. Status 501.
    #[error("this server does not open tunnels with CONNECT")]
    Connect,
    /// The method is `TRACE`. Its response would contain fields that only endpoints should see. Status 405.
    #[error("the method TRACE is not allowed")]
    Trace,
    /// The request target is not a path, or the path contains an invalid percent-encoding, an encoded NUL, or a
    /// character outside ASCII. Status 400.
    #[error("the request target is not valid")]
    Target,
    /// Servers disagree about the segments of the path, and the routes depend on the path: see
    /// [`Routes::with_ambiguous_paths`](crate::route::Routes::with_ambiguous_paths). Status 400.
    #[error("the path contains an encoded slash, a backslash, or a parameter that hides a segment")]
    AmbiguousPath,
    /// The request target is a URI whose scheme is neither `http` nor `https`. Status 400.
    #[error("the scheme of the request target must be http or https")]
    Scheme,
    /// The path and the query together are longer than [`RequestChecks::max_uri_bytes`](super::RequestChecks). Status
    /// 414.
    #[error("the request target is too long")]
    UriTooLong,
    /// The request has more fields than [`RequestChecks::max_fields`](super::RequestChecks). Status 431.
    #[error("the request has too many header fields")]
    TooManyFields,
    /// The fields are longer in total than [`RequestChecks::max_head_bytes`](super::RequestChecks). Status 431.
    #[error("the header fields of the request are too large")]
    FieldsTooLarge,
    /// An HTTP/1.1 request has no `Host`, or an HTTP/2 request has neither `:authority` nor `Host`. Status 400.
    #[error("the request has no Host")]
    HostMissing,
    /// The request has more than one `Host` field. Status 400.
    #[error("the request has more than one Host field")]
    HostRepeated,
    /// The host is not a name or an address with an optional port. User information, such as `user@host`, is refused
    /// too. Status 400.
    #[error("the host of the request is not valid")]
    HostInvalid,
    /// The authority of the request target is not the one in `Host`. Status 400.
    #[error("the request target and the Host field name different hosts")]
    HostConflict,
    /// `Content-Length` is repeated, or is not a decimal number below 2^63. Status 400.
    #[error("the Content-Length is not one decimal number")]
    ContentLength,
    /// The `Content-Length` is not the length of the body. A layer between the server and the proxy may have changed
    /// the body without the field. Status 400.
    #[error("the Content-Length is not the length of the body")]
    BodyLength,
    /// The request has both `Content-Length` and `Transfer-Encoding`. Status 400.
    #[error("the request has both Content-Length and Transfer-Encoding")]
    TwoLengths,
    /// `Transfer-Encoding` is repeated, is in an HTTP/1.0 request, or is in an HTTP/2 request. Status 400.
    #[error("the Transfer-Encoding is not valid here")]
    TransferEncoding,
    /// `Transfer-Encoding` has another value than `chunked`. Status 501.
    #[error("the only Transfer-Encoding that this server supports is chunked")]
    TransferCoding,
    /// An HTTP/2 request has a field that belongs to one HTTP/1.1 connection, such as `Connection` or `Upgrade`, or a
    /// `TE` other than `trailers` (RFC 9113, section 8.2.2). Status 400.
    #[error("the request has a header field that HTTP/2 does not allow")]
    ConnectionField,
    /// The value of a field of an HTTP/2 request begins or ends with white space (RFC 9113, section 8.2.1). Status 400.
    #[error("the value of a header field begins or ends with white space")]
    FieldValue,
    /// A field name contains a character other than a letter, a digit or `-`, and
    /// [`UnusualNames::Refuse`](super::UnusualNames::Refuse) is set. Status 400.
    #[error("the name of a header field contains a character other than a letter, a digit or -")]
    FieldName,
    /// `Expect` asks for something other than `100-continue`. Status 417.
    #[error("the only expectation that this server supports is 100-continue")]
    Expectation,
    /// `Max-Forwards` of an `OPTIONS` request is not one decimal number. Status 400.
    #[error("the Max-Forwards is not a decimal number")]
    MaxForwards,
    /// The `Via` field shows that the request has passed through this proxy before. Status 508.
    #[error("the request has come back to this server")]
    Loop,
    /// The body is longer than the maximum. Status 413.
    #[error("the body of the request is too large")]
    BodyTooLarge,
}

impl Refusal {
    /// Returns the status of the response that the client should get.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Trace => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::TooManyFields | Self::FieldsTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Connect | Self::TransferCoding => StatusCode::NOT_IMPLEMENTED,
            Self::Loop => StatusCode::LOOP_DETECTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// Returns this refusal as a stable label for metrics and logs, such as `host_missing`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Method => "method",
            Self::Connect => "connect",
            Self::Trace => "trace",
            Self::Target => "target",
            Self::AmbiguousPath => "ambiguous_path",
            Self::Scheme => "scheme",
            Self::UriTooLong => "uri_too_long",
            Self::TooManyFields => "too_many_fields",
            Self::FieldsTooLarge => "fields_too_large",
            Self::HostMissing => "host_missing",
            Self::HostRepeated => "host_repeated",
            Self::HostInvalid => "host_invalid",
            Self::HostConflict => "host_conflict",
            Self::ContentLength => "content_length",
            Self::BodyLength => "body_length",
            Self::TwoLengths => "two_lengths",
            Self::TransferEncoding => "transfer_encoding",
            Self::TransferCoding => "transfer_coding",
            Self::ConnectionField => "connection_field",
            Self::FieldValue => "field_value",
            Self::FieldName => "field_name",
            Self::Expectation => "expectation",
            Self::MaxForwards => "max_forwards",
            Self::Loop => "loop",
            Self::BodyTooLarge => "body_too_large",
        }
    }
}
