use bytes::Bytes;
use http::StatusCode;

use super::{
    replace::folded,
    search::{Found, InvalidTexts, Search, Texts},
    traits::{BodyFilter, BodyOutput, BodyRejected, FilterRequest},
};
use crate::Denial;

/// Rejects requests whose body contains one of several texts, with status 403 and the code `body_rejected`.
///
/// The bytes before a text are forwarded when it is found, because the body is not kept. The text itself is not
/// forwarded: the filter keeps what may be the start of one. The request then fails at the endpoint before it is
/// complete.
///
/// Requests with an encoded body (`Content-Encoding`) are refused, because the text could hide in it: see
/// [`RequestBodyFilterLayer`](super::RequestBodyFilterLayer). Other encodings of the text, such as `%3C` for `<`, are not
/// decoded. It is a guard against known requests, not a firewall for applications.
///
/// ```
/// use equipoise_gateway::filter::{RejectText, RequestBodyFilterLayer};
///
/// let layer = RequestBodyFilterLayer::new(RejectText::new(["${jndi:"])?);
/// # drop(layer);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RejectText(Texts);

impl RejectText {
    /// Creates a filter for texts, of at most 4096 bytes together. Upper and lower case of ASCII are the same.
    ///
    /// # Errors
    ///
    /// [`InvalidTexts`] if there is no text, one is empty, one contains another one, or they are too long.
    pub fn new<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Result<Self, InvalidTexts> {
        let texts: Vec<Vec<u8>> = texts.into_iter().map(|text| folded(text.as_ref(), true)).collect();
        Ok(Self(Texts::new(&texts, true)?))
    }
}

impl FilterRequest for RejectText {
    fn filter(&self, _: equipoise_tower::RequestHead<'_>) -> Option<Box<dyn BodyFilter>> {
        Some(Box::new(Rejecting(Search::new(self.0.clone()))))
    }
}

struct Rejecting(Search);

impl BodyFilter for Rejecting {
    fn chunk(&mut self, data: Bytes, output: &mut BodyOutput<'_>) -> Result<(), BodyRejected> {
        let mut is_found = false;
        self.0.chunk(&data, |found| {
            match found {
                Found::Other(bytes) if !is_found => output.push(bytes),
                Found::Other(_) => {}
                Found::Text(_) => is_found = true,
            }
            !is_found
        });
        if is_found {
            return Err(BodyRejected::new(Denial::new(
                StatusCode::FORBIDDEN,
                "body_rejected",
                "the body of the request is not allowed",
            )));
        }
        Ok(())
    }

    fn end(&mut self, output: &mut BodyOutput<'_>) -> Result<(), BodyRejected> {
        output.push(self.0.end());
        Ok(())
    }

    fn changes_body(&self) -> bool {
        false
    }
}
