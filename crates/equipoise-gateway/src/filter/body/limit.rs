use bytes::Bytes;
use http::StatusCode;

use super::traits::{BodyFilter, BodyOutput, BodyRejected, FilterRequest, FilterResponse, FilteredResponse};
use crate::Denial;

/// Ends messages whose body is longer than a limit, in bytes. A request gets status 413 with the code `body_too_large`.
/// The body of a response fails, so that its client sees that it is not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitSize {
    max_bytes: u64,
}

impl LimitSize {
    /// Creates a filter with a limit in bytes.
    #[must_use]
    pub const fn new(max_bytes: u64) -> Self {
        Self { max_bytes }
    }

    fn start(self) -> Option<Box<dyn BodyFilter>> {
        Some(Box::new(Counting { left: self.max_bytes }))
    }
}

impl FilterRequest for LimitSize {
    fn filter(&self, _: equipoise_tower::RequestHead<'_>) -> Option<Box<dyn BodyFilter>> {
        self.start()
    }
}

impl FilterResponse for LimitSize {
    fn filter(&self, _: &FilteredResponse<'_>) -> Option<Box<dyn BodyFilter>> {
        self.start()
    }
}

struct Counting {
    left: u64,
}

impl BodyFilter for Counting {
    fn chunk(&mut self, data: Bytes, output: &mut BodyOutput<'_>) -> Result<(), BodyRejected> {
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(length).ok_or_else(|| {
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            BodyRejected::new(Denial::new(status, "body_too_large", "the body of the request is too large"))
        })?;
        output.push(data);
        Ok(())
    }

    fn changes_body(&self) -> bool {
        false
    }

    fn reads_encoded(&self) -> bool {
        true
    }
}
