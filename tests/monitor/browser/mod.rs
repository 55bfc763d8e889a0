//! The status page in a real Chromium, with real pools, health checks and requests.

mod access;
mod chromium;
mod commands;
mod connection;
mod counters;
mod explain;
mod functions;
mod hostile;
mod live;
mod many;
mod requests;
mod screenshots;
mod site;
