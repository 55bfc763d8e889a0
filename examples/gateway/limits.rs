//! The limits of a listener.

use equipoise::proxy::server::ServerLimits;

use crate::config::Limits;

/// The maximum size of the bodies of an HTTP/2 connection that wait for their endpoints: the least that HTTP/2 allows.
const WINDOW: u32 = 65_535;

impl Limits {
    /// Returns the limits of the connections.
    pub(crate) fn server(&self) -> ServerLimits {
        ServerLimits::new()
            .max_connections(self.max_connections)
            .max_in_flight(self.max_in_flight)
            .max_header_bytes(self.max_header_bytes)
            .max_buffer_bytes(self.max_buffer_bytes)
            .max_concurrent_streams(self.max_concurrent_streams)
            .max_reset_streams(self.max_reset_streams)
            .max_requests_per_connection(self.max_requests_per_connection)
            .head_timeout(self.head_timeout)
            .keep_alive_timeout(self.keep_alive_timeout)
            .write_timeout(self.write_timeout)
            .http2_connection_window(WINDOW)
    }
}
