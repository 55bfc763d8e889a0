//! The functions of the gateway around pools and listeners, such as authentication. `config/functions` has their tables.

mod auth;
mod body;
mod browser;
mod cache;
mod chain;
mod clients;
mod compression;
mod file;
mod filter;
mod headers;
mod jwt;
mod kept;
mod limit;
mod maintenance;
mod names;
mod open;
mod order;
mod redirect;
mod redis;
mod schemes;
mod service;
mod stores;
mod unmatched;

pub(crate) use self::{
    auth::identity_fields,
    cache::{Purged, purge},
    chain::{Chain, Shared},
    clients::PoolClients,
    kept::{CheckedFunctions, Function, Functions, NewFunctions},
    open::{check as check_open, protected_pools},
    service::Functional,
    stores::{CacheStores, store},
    unmatched::Unmatched,
};
