//! The connections to one endpoint: opening, reuse, limits, and the end of their life.

mod bytes;
mod clock;
mod http1;
#[cfg(feature = "http2")]
mod http2;
#[cfg(feature = "http2")]
mod http2_driver;
mod idle;
#[cfg(test)]
mod interleavings;
mod open;
mod owner;
mod pool;
mod queue;
mod slots;
mod socket;
mod status;
mod sweep;
mod wait;

use http::{Request, Response};
use hyper::{body::Incoming, client::conn::TrySendError};

#[cfg(feature = "http2")]
pub(crate) use self::http2::{OpenStream, Stream as Http2Stream};
pub use self::idle::Idle;
#[cfg(feature = "proxy-protocol")]
pub(crate) use self::owner::Client;
pub use self::status::{CloseReason, ConnectionStatus};
pub(crate) use self::{
    http1::Http1,
    pool::{Connection, Connections, Demand},
    socket::Control,
};
use crate::body::RequestBody;

/// The head of a response, or why there is none, with the request if it was not sent.
type Responded = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>;
