//! Filters: which requests are let through, and what is changed in messages.
