//! A real Prometheus that scrapes the exporter, and the documents for people who use it.

mod documents;
mod harmless;
mod numbers;
mod server;
