//! Functions for browsers: CORS, protection against cross-site requests, and request ids.
