//! Compression of responses and decompression of requests.
