//! A shared HTTP cache (RFC 9111).
