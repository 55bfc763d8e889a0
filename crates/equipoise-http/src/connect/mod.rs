//! Opens connections: resolves names, tries all addresses, and makes the TLS handshake.

mod dial;
mod resolve;
mod stream;
#[cfg(feature = "tls")]
mod tls;

pub use self::resolve::{Resolve, ResolveFuture, SystemResolver};
#[cfg(feature = "tls")]
pub use self::tls::{InvalidTls, Tls};
pub use self::{
    dial::{Options, dial, dial_address},
    stream::Stream,
};
