//! Keys that verify signatures: single keys, sets of keys, and sets that are read again while the gateway runs.

mod builder;
mod fetch;
mod file;
mod jwks;
mod key;
mod live;
mod pem;
mod refresh;
mod secret;
mod set;
mod url;

pub use self::{
    builder::{InvalidKeys, KeysBuilder},
    jwks::{IgnoredKey, IgnoredReason},
    key::{InvalidKey, VerifyingKey},
    live::{Keys, KeysStats},
    set::{InvalidKeySet, KeySet},
};
