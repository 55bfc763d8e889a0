//! The functions of the gateway: what each does in front of a backend.

mod auth;
mod browser;
mod cache;
mod content;
mod errors;
mod external;
mod filter;
mod limit;
mod pages;
mod redis;
pub(crate) mod tokens;

use crate::{
    backend::Backend,
    process::{Folder, Gateway},
};

/// Starts a server that answers with the head of the request.
fn echo() -> Backend {
    Backend::answering(|head| async move { head })
}

/// Returns a configuration with an admin interface and a listener, to which `listener` adds keys and routes. The pool
/// `web` has the backend.
fn config(listener: &str, backend: &Backend) -> String {
    format!(
        r#"
        [admin]
        bind = "127.0.0.1:0"
        changes = true
        [pool.web]
        endpoints = [{{ id = "a", address = "{}" }}]
        [[listener]]
        bind = "127.0.0.1:0"
        {listener}
        "#,
        backend.address(),
    )
}

/// Returns what the admin interface tells of a function.
async fn report(gateway: &Gateway, place: &str) -> serde_json::Value {
    let all = gateway.connect(1).await.get("/functions").await.body;
    let all: serde_json::Value = serde_json::from_str(&all).unwrap();
    all[place].clone()
}

/// Starts a gateway with the listener.
async fn start(folder: &Folder, listener: &str, backend: &Backend) -> Gateway {
    Gateway::start(folder, &config(listener, backend)).await
}
