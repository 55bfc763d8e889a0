//! Session tokens: cookie values that name an endpoint and that clients cannot forge. [`Tokens`] issues and reads them
//! with the secret keys of a [`KeyRing`].
//!
//! A token contains neither the endpoint's address nor its [`EndpointId`]. Instead it contains a tag: a keyed hash of
//! the endpoint's id. To find the endpoint of a tag, a balancer needs the same key and the ids of all endpoints. All
//! tokens of one endpoint with the same key and cookie name have the same tag. A client with many sessions can
//! therefore see which of its sessions share an endpoint, but not which endpoint that is.
//!
//! # Format
//!
//! A token has 42 bytes. As text, it has 56 characters of base64 (URL-safe alphabet of RFC 4648 §5, no padding).
//! Numbers are big-endian. The format is stable: balancers of different versions read each other's tokens.
//!
//! | bytes | content |
//! |------:|---------|
//! |  0    | version of the format: 1 |
//! |  1    | key id |
//! |  2–5  | when the session began, seconds since 1970 |
//! |  6–9  | when the token was issued, seconds since 1970 |
//! | 10–17 | the session's random number |
//! | 18–25 | tag: the first 8 bytes of HMAC-SHA-256(K₂, endpoint id) |
//! | 26–41 | MAC: the first 16 bytes of HMAC-SHA-256(K₁, bytes 0–25) |
//!
//! K₁ and K₂ are computed from the key's secret: HMAC-SHA-256(secret, label ‖ zero byte ‖ context). The label is
//! `equipoise token 1 mac` for K₁, and `equipoise token 1 endpoint` for K₂. The context is usually the name of the
//! cookie. A token is valid only in the context in which it was issued; in another context it is
//! [`Forged`](InvalidToken::Forged). HMACs are shortened to their first bytes, as RFC 2104 §5 allows.
//!
//! # Changing keys
//!
//! [`Tokens::rotate`] replaces the [`KeyRing`] at run time. Balancers that share the keys need three steps:
//!
//! 1. All balancers accept the new key. They still sign with the old key.
//! 2. All balancers sign with the new key. They still accept the old key, at most until its
//!    [`not_after`](TokenKey::not_after).
//! 3. All balancers remove the old key.
//!
//! Sessions that are used between steps 2 and 3 are not lost. If a token was signed with the old key, [`Token::is_due`]
//! is true, and the response sets a new token.

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
