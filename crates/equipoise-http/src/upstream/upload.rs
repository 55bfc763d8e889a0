//! Sends the rest of a request while its response is read.

use std::sync::Arc;

use tokio::task::AbortHandle;

use crate::connections::{CloseReason, Connections, Control, Http1};

/// An HTTP/1.1 connection whose response has begun before its request was sent. A task drives it, so that the request
/// is sent on also while nobody reads the response. If this is dropped before the end of the response, the connection
/// is closed.
pub(super) struct Upload {
    control: Arc<Control>,
    task: AbortHandle,
    /// Whether the rest of the request is sent also after the end of the response.
    outlives_response: bool,
    has_response_ended: bool,
}

impl Upload {
    /// Starts the task. When the request and the response are complete, the connection can be used for other requests.
    pub(super) fn start(connections: &Arc<Connections>, mut connection: Http1, outlives_response: bool) -> Self {
        let control = connection.control();
        let connections = Arc::clone(connections);
        let task = tokio::spawn(async move {
            connection.finish().await;
            if connection.is_sending() {
                connection.close_because(CloseReason::Failed);
            }
            connections.after_response(connection);
        });
        Self { control, task: task.abort_handle(), outlives_response, has_response_ended: false }
    }

    /// Called when the response has failed.
    pub(super) fn fail(&self) {
        self.control.close_because(CloseReason::Failed);
    }

    /// Called at the end of the response.
    pub(super) fn end_response(mut self) {
        self.has_response_ended = true;
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !(self.has_response_ended && self.outlives_response) {
            self.task.abort();
        }
    }
}
