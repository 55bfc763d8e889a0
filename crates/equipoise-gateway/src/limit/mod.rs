//! Rate limits and concurrency limits.
