//! The servers behind the balancer.

use std::{io, net::SocketAddr, time::Duration};

use axum::{
    Router,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::any,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// What a server does with a request.
#[derive(Clone, Copy)]
pub(crate) enum Behaviour {
    /// Answers with status 200 after this time.
    Answers(Duration),
    /// Answers with status 503 to all requests, as a server whose database is gone.
    Fails,
    /// Accepts connections and reads requests, but never answers, as a server that is deadlocked.
    Hangs,
}

/// A server on loopback, which ends when it is dropped.
pub(crate) struct Backend {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Backend {
    pub(crate) async fn start(name: String, behaviour: Behaviour) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().fallback(any(move || answer(behaviour)));
        let serving = tokio::spawn(async move {
            // `serve` ends only with the task.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { name, address, serving })
    }
}

async fn answer(behaviour: Behaviour) -> Response {
    match behaviour {
        Behaviour::Answers(time) => {
            tokio::time::sleep(time).await;
            "ok\n".into_response()
        }
        Behaviour::Fails => (StatusCode::SERVICE_UNAVAILABLE, "no connection to the database\n").into_response(),
        Behaviour::Hangs => std::future::pending().await,
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
