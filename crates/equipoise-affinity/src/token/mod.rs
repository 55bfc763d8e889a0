//! The value of the balancer's session cookie: an authenticated token that names an endpoint.
//!
//! A token holds no address and no [`EndpointId`]. The endpoint is a tag, a keyed hash of its id, which only a balancer
//! with the key and the pool can map back. All tokens of one endpoint under one key and cookie have the same tag. So a
//! client with many sessions can see which of them share an endpoint, but not which endpoint that is.
//!
//! # Format
//!
//! 42 bytes, as 56 characters of base64 (URL-safe alphabet of RFC 4648 §5, no padding). Numbers are big-endian. The
//! format is stable: balancers of different versions read each other's tokens.
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
//! K₁ and K₂ are HMAC-SHA-256(secret, label ‖ 0 ‖ context) with the labels `equipoise token 1 mac` and `equipoise token
//! 1 endpoint`. The context is the cookie's name, or whatever else a token is to be valid for. Under another context, a
//! token is [`Forged`](InvalidToken::Forged). Truncation to the left half follows RFC 2104 §5.
//!
//! # Changing keys
//!
//! [`Tokens::rotate`] replaces the [`KeyRing`] at run time. With several balancers it takes three steps. First all
//! accept the new key. Then all sign with it and still accept the old one, up to a [`not_after`](TokenKey::not_after). Then
//! all drop the old one. No session is lost: a token whose key no longer signs is [due](Token::is_due) for a new one.

mod format;
mod key;
#[cfg(test)]
mod tests;
mod tokens;

#[cfg(doc)]
use equipoise_core::EndpointId;

pub use self::{
    format::{InvalidToken, TokenSession},
    key::{KeyError, KeyRing, TokenKey},
    tokens::{Token, Tokens},
};
