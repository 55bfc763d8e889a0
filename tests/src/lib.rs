//! Real backends for the tests.
