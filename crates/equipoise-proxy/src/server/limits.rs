use std::time::Duration;

/// hyper refuses smaller buffers.
const MIN_BUFFER_BYTES: usize = 8 * 1024;

/// The window with which each HTTP/2 connection begins, and the maximum (RFC 9113, section 6.9). Also the window with
/// which streams begin by default.
const MIN_WINDOW: u32 = 65_535;
const MAX_WINDOW: u32 = (1 << 31) - 1;

/// hyper adds these times to the current one, and panics if the clock cannot represent the sum.
const MAX_PING: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The limits of a [`Server`](super::Server). Each method names its default.
///
/// ```
/// use std::time::Duration;
/// use equipoise_proxy::server::ServerLimits;
///
/// let limits = ServerLimits::new().max_connections(1_000).keep_alive_timeout(Duration::from_secs(15));
/// # drop(limits);
/// ```
///
/// Timeouts need a tokio runtime with its timer turned on. Without this timer, no time is limited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    pub(super) max_connections: usize,
    pub(super) max_in_flight: usize,
    pub(super) max_header_bytes: u32,
    pub(super) head_timeout: Duration,
    pub(super) body_timeout: Duration,
    pub(super) keep_alive_timeout: Duration,
    pub(super) write_timeout: Duration,
    pub(super) max_requests: u64,
    pub(super) max_buffer_bytes: u32,
    pub(super) max_concurrent_streams: u32,
    pub(super) max_reset_streams: u32,
    pub(super) extended_connect: bool,
    pub(super) any_authority: bool,
    pub(super) interim_responses: bool,
    pub(super) ping_interval: Duration,
    pub(super) ping_timeout: Duration,
    pub(super) connection_window: u32,
    pub(super) stream_window: u32,
}

impl ServerLimits {
    /// Creates the default limits.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            max_connections: 16_384,
            max_in_flight: usize::MAX,
            max_header_bytes: 32 * 1024,
            head_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(75),
            keep_alive_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
            max_requests: u64::MAX,
            max_buffer_bytes: 64 * 1024,
            max_concurrent_streams: 100,
            max_reset_streams: 200,
            extended_connect: true,
            any_authority: false,
            interim_responses: false,
            ping_interval: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(20),
            connection_window: 512 * 1024,
            stream_window: MIN_WINDOW,
        }
    }

    /// Sets the maximum number of open connections of all listeners together, at least 1. At the limit, the HTTP/1.1
    /// connection that has waited longest for a request is closed when another connection comes. If none waits, the server
    /// stops accepting: further connections wait in the operating system's queue of the listener. Default: 16 384.
    #[must_use]
    pub const fn max_connections(mut self, max: usize) -> Self {
        self.max_connections = if max == 0 { 1 } else { max };
        self
    }

    /// Sets the maximum number of requests in flight on all connections together. Default: `usize::MAX`, which is no
    /// limit. A limit costs an allocation and two atomic operations for each request, on a counter that all threads
    /// share.
    ///
    /// A request is in flight until its response is written to the client, or cannot be written any more. A further
    /// request gets status 503 with `Retry-After: 1`, and its connection stays open. The service does not get it.
    /// [`ServerStats::overloaded`](super::ServerStats::overloaded) counts these requests. A tunnel is in flight only
    /// until it is open.
    #[must_use]
    pub const fn max_in_flight(mut self, max: usize) -> Self {
        self.max_in_flight = max;
        self
    }

    /// Sets the maximum size of the head of a request, in bytes. Also the maximum size of trailers. A larger head gets
    /// status 431, or 414 if its first line alone is too large. In HTTP/2, the response has no body. Default: 32 KiB, as
    /// in nginx.
    ///
    /// With HTTP/1.1, a head of more than 100 fields gets status 431 too. With HTTP/2, this is the limit after
    /// decompression, with 32 bytes for each field added (RFC 9113, section 6.5.2). It also limits the number of
    /// `CONTINUATION` frames.
    #[must_use]
    pub const fn max_header_bytes(mut self, bytes: u32) -> Self {
        self.max_header_bytes = bytes;
        self
    }

    /// Sets the maximum time for the head of a request, from its first byte to its end. It also limits the time from
    /// the start of a connection to its first byte. Default: 30 s.
    ///
    /// An HTTP/1.1 client that has sent a part of a head gets status 408. Then the connection is closed. In HTTP/2,
    /// [`keep_alive_timeout`](Self::keep_alive_timeout) limits incomplete heads.
    #[must_use]
    pub const fn head_timeout(mut self, timeout: Duration) -> Self {
        self.head_timeout = timeout;
        self
    }

    /// Sets how long an HTTP/1.1 client may send no byte of a request's body while the service waits for one. Then it gets
    /// status 408, and the connection is closed. Default: 75 s.
    ///
    /// The time is limited until the response begins. A [`ReverseProxy`](crate::ReverseProxy) limits it for all bodies,
    /// also in HTTP/2 and during the response, by [`Timeouts::idle`](crate::Timeouts::idle), which is shorter by default.
    /// If you make that time longer, make this one longer too. Neither limits a body of which a few bytes come in each
    /// such time: [`Timeouts::total`](crate::Timeouts::total) does.
    #[must_use]
    pub const fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }

    /// Sets how long a connection stays open without a request. Default: 75 s, as in nginx.
    ///
    /// Clients that reuse a connection just when it is closed have to repeat their request. So this time should be
    /// longer than that for which clients keep connections.
    #[must_use]
    pub const fn keep_alive_timeout(mut self, timeout: Duration) -> Self {
        self.keep_alive_timeout = timeout;
        self
    }

    /// Sets how long a client may take no byte of what the server has to send. Then the connection is closed.
    /// Default: 60 s, as in nginx.
    ///
    /// In HTTP/2, it is also the maximum time for which the client's flow control lets no byte of a response pass. Then the
    /// stream is reset. The time also limits connections that have switched protocols.
    #[must_use]
    pub const fn write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// Sets the maximum number of requests of a connection, at least 1. The response to the last one closes the
    /// connection (`Connection: close`, or GOAWAY in HTTP/2, after which requests that are on their way are still
    /// served). Default: no limit.
    #[must_use]
    pub const fn max_requests_per_connection(mut self, max: u64) -> Self {
        self.max_requests = if max == 0 { 1 } else { max };
        self
    }

    /// Sets the maximum size of the buffers of a connection, in bytes: of the read buffer and of the write buffer of an
    /// HTTP/1.1 connection, and of the send buffer of each HTTP/2 stream. Default: 64 KiB. The minimum is 8 KiB. The
    /// buffers are not smaller than the [maximum head](Self::max_header_bytes).
    #[must_use]
    pub const fn max_buffer_bytes(mut self, bytes: u32) -> Self {
        self.max_buffer_bytes = bytes;
        self
    }

    /// Sets the maximum number of requests in flight on an HTTP/2 connection. Default: 100.
    #[must_use]
    pub const fn max_concurrent_streams(mut self, max: u32) -> Self {
        self.max_concurrent_streams = max;
        self
    }

    /// Sets how many bytes of request bodies an HTTP/2 client may send, over all streams of a connection, before the
    /// service has read them (the flow-control window of the connection). Default: 512 KiB. The minimum is 65 535, with
    /// which each connection begins, and the maximum is 2³¹ − 1.
    ///
    /// A body that the service does not read takes a [stream's window](Self::http2_stream_window) of this. If such bodies
    /// take all of it, no other body of the connection goes on. With the defaults, 7 of them leave the window of one more
    /// stream.
    #[must_use]
    pub const fn http2_connection_window(mut self, bytes: u32) -> Self {
        self.connection_window = bytes;
        self
    }

    /// Sets how many bytes of one request body an HTTP/2 client may send before the service has read them (the
    /// flow-control window of a stream). Default: 65 535, as HTTP/2 has it. The minimum is 1, and the maximum is 2³¹ − 1.
    ///
    /// A client sends at most so many bytes of a body in one round trip. With a smaller window, more bodies that are not
    /// read fit into the [connection's window](Self::http2_connection_window).
    #[must_use]
    pub const fn http2_stream_window(mut self, bytes: u32) -> Self {
        self.stream_window = bytes;
        self
    }

    /// Sets how many requests of an HTTP/2 connection the client may cancel before their response begins ("rapid
    /// reset", CVE-2023-44487), in addition to 10 in each second. At more, the connection is closed. Default: 200.
    #[must_use]
    pub const fn max_reset_streams(mut self, max: u32) -> Self {
        self.max_reset_streams = max;
        self
    }

    /// Sets whether HTTP/2 clients may send extended `CONNECT` requests, for WebSocket over HTTP/2 (RFC 8441).
    /// Default: true. [`ReverseProxy`](crate::ReverseProxy) supports them.
    #[must_use]
    pub const fn extended_connect(mut self, allow: bool) -> Self {
        self.extended_connect = allow;
        self
    }

    /// Sets whether requests that come with TLS may be for any host. If false, a request for a host of another certificate
    /// gets status 421, as the settings of TLS say (`TlsSettings::check_authority`). Default: false.
    ///
    /// Set it for a forward proxy: the hosts of its requests are those of destinations. Do not set it for a service that
    /// serves hosts with different demands on the certificates of clients: a client could ask for each host on a
    /// connection to any of them.
    #[must_use]
    pub const fn any_authority(mut self, any: bool) -> Self {
        self.any_authority = any;
        self
    }

    /// Sets whether HTTP/1.1 clients may get interim responses, such as `103 Early Hints` and `102 Processing`. If it is
    /// true, requests of HTTP/1.1 have the extension [`InterimSender`](equipoise_tower::InterimSender), except for `CONNECT`
    /// and requests that ask for an upgrade. The service can send interim responses with it, and the `Upstream` of
    /// `equipoise-http` passes on those of its endpoint. Default: false, because some clients take an interim response for
    /// the final one (RFC 8297, section 3).
    ///
    /// - Clients of HTTP/1.0 may not get any (RFC 9110, section 15.2). Clients of HTTP/2 get none, because hyper's server
    ///   cannot send them.
    /// - `100 Continue` is not affected: the server itself sends it when the service reads the body.
    /// - Fields of one connection, such as those that `Connection` names, are removed, and so are `Content-Length`,
    ///   `Trailer` and `Set-Cookie`.
    /// - At most 64 KiB of a connection wait until the client reads: 32 KiB that are being written, and 32 KiB behind them.
    ///   Further interim responses are discarded, and so is one of more than 32 KiB.
    /// - Interim responses do not extend any timeout.
    ///
    /// Each request costs two allocations more in the server and two more in `Upstream`, whether or not it has interim
    /// responses.
    #[must_use]
    pub const fn interim_responses(mut self, send: bool) -> Self {
        self.interim_responses = send;
        self
    }

    /// Sets when the server asks an HTTP/2 client whether it is still there (PING): after `interval` without a frame of
    /// the client. The connection is closed, and its requests are cancelled, if no answer comes within `timeout`. An
    /// `interval` of `Duration::ZERO` turns this off. A time above 365 days counts as 365 days, so an `interval` of
    /// `Duration::MAX` never passes either. Default: 60 s and 20 s.
    ///
    /// Answers do not keep an idle connection open: [`keep_alive_timeout`](Self::keep_alive_timeout) closes it.
    #[must_use]
    pub const fn http2_ping(mut self, interval: Duration, timeout: Duration) -> Self {
        self.ping_interval = interval;
        self.ping_timeout = timeout;
        self
    }

    /// Returns the interval and the timeout of PING that hyper accepts. `None` if PING is turned off.
    pub(super) fn http2_pings(&self) -> Option<(Duration, Duration)> {
        let pings = (self.ping_interval.min(MAX_PING), self.ping_timeout.min(MAX_PING));
        (!self.ping_interval.is_zero()).then_some(pings)
    }

    /// Returns the flow-control window of a connection that HTTP/2 accepts.
    pub(super) fn connection_window(&self) -> u32 {
        self.connection_window.clamp(MIN_WINDOW, MAX_WINDOW)
    }

    /// Returns the flow-control window of a stream that HTTP/2 accepts. With 0, no body could be sent.
    pub(super) fn stream_window(&self) -> u32 {
        self.stream_window.clamp(1, MAX_WINDOW)
    }

    /// Returns the size of buffers that hyper accepts.
    pub(super) fn buffer_bytes(&self) -> usize {
        let bytes = self.max_buffer_bytes.max(self.max_header_bytes);
        usize::try_from(bytes).unwrap_or(usize::MAX).max(MIN_BUFFER_BYTES)
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self::new()
    }
}
