//! A real Prometheus that scrapes the exporter, and the documents for people who use it.

mod documents;
mod functions;
mod harmless;
mod numbers;
mod server;
