//! The limits of a listener.

use std::time::Duration;

use equipoise::proxy::server::ServerLimits;

use crate::config::Limits;

/// The maximum size of the part of a request body that waits for its endpoint, in HTTP/2. `max_in_flight` limits the
/// number of bodies.
const STREAM_WINDOW: u32 = 32 * 1024;

/// The same of all bodies of a connection. 7 bodies that wait leave the window of one more.
const CONNECTION_WINDOW: u32 = 8 * STREAM_WINDOW;

/// How much longer the server waits for a request body than the proxy, which responds with the reason.
const BODY_MARGIN: Duration = Duration::from_secs(15);

impl Limits {
    /// Returns the limits of the connections. `idle` is how long the proxy waits for a part of a body.
    pub(crate) fn server(&self, idle: Duration) -> ServerLimits {
        ServerLimits::new()
            .max_connections(self.max_connections)
            .max_in_flight(self.max_in_flight)
            .max_header_bytes(self.max_header_bytes)
            .max_buffer_bytes(self.max_buffer_bytes)
            .max_concurrent_streams(self.max_concurrent_streams)
            .max_reset_streams(self.max_reset_streams)
            .max_requests_per_connection(self.max_requests_per_connection)
            .head_timeout(self.head_timeout)
            .body_timeout(idle.saturating_add(BODY_MARGIN))
            .keep_alive_timeout(self.keep_alive_timeout)
            .write_timeout(self.write_timeout)
            .http2_connection_window(CONNECTION_WINDOW)
            .http2_stream_window(STREAM_WINDOW)
    }
}
