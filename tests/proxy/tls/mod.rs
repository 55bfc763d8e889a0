//! TLS of the server, with openssl and curl as clients.

mod certificates;
mod curl;
mod openssl;
mod sessions;
mod setup;
