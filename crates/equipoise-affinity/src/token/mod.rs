//! The value of the balancer's own session cookie: an authenticated token that says where a session lives, to who has
//! the key and to nobody else.
//!
//! A token holds no address and no [`EndpointId`]: the endpoint is a tag, a keyed hash of its id, which only a balancer
//! that knows both key and pool maps back. Tokens of one endpoint under one key and cookie have one tag, so a client
//! with many sessions can tell which of them live together; it cannot tell where.
//!
//! # Format
//!
//! 42 bytes, as 56 characters of base64 (URL-safe alphabet of RFC 4648 §5, no padding). Numbers are big-endian. It is
//! stable: balancers of different versions read each other's tokens.
//!
//! | bytes | what |
//! |------:|------|
//! |  0    | version, 1 |
//! |  1    | key id |
//! |  2–5  | when the session began, seconds since 1970 |
//! |  6–9  | when the token was issued, seconds since 1970 |
//! | 10–17 | the session's random number |
//! | 18–25 | tag: the first 8 bytes of HMAC-SHA-256(K₂, endpoint id) |
//! | 26–41 | MAC: the first 16 bytes of HMAC-SHA-256(K₁, bytes 0–25) |
//!
//! K₁ and K₂ are HMAC-SHA-256(secret, label ‖ 0 ‖ context) with the labels `equipoise token 1 mac` and
//! `equipoise token 1 endpoint`. The context is the cookie's name, or whatever else a token shall be bound to: under
//! another context, a token is [`Forged`](Refused::Forged). Truncation to the left half is RFC 2104 §5.
//!
//! # Changing keys
//!
//! [`Tokens::rotate`] takes a new [`KeyRing`] while requests are under way. With several balancers: first all accept the
//! new key, then all sign with it and accept the old one (up to a [`not_after`](Key::not_after)), then all drop the old
//! one. No session is lost on the way: tokens of a key that no longer signs are [due](Token::is_due) for a new one.

mod directory;
mod key;
mod refused;
mod session;
#[cfg(test)]
mod tests;
mod tokens;
mod wire;

#[cfg(doc)]
use equipoise_core::EndpointId;

pub use self::{
    key::{Key, KeyError, KeyRing},
    refused::Refused,
    session::Session,
    tokens::{Token, Tokens},
};
