//! The modes, and a site for each: servers, a balancer, a proxy.

use std::{ops::Range, sync::Arc, time::Duration};

use equipoise::{
    Pool, Rendezvous,
    affinity::{
        Affinity, Mode,
        learn::{Learn, Route},
        redis::RedisStore,
    },
};
use equipoise_tests::Reserved;
use http::StatusCode;

use crate::{
    clients::Browser,
    eventually,
    proxy::Proxy,
    redis_server,
    setup::{Servers, USER, affinity, in_table, redis, table, tokens, user},
};

/// How sessions are recognised, and where their bindings are stored.
pub(crate) enum Kind {
    Cookie,
    Hash,
    Table,
    Learn,
    Route,
    Redis(redis_server::Server),
}

/// One balancer.
pub(crate) struct Site {
    pub(crate) pool: Pool<()>,
    pub(crate) affinity: Affinity,
    pub(crate) proxy: Proxy,
    pub(crate) store: Option<Arc<RedisStore>>,
}

impl Kind {
    /// Starts an own Redis server; `None` if there is none to start.
    pub(crate) async fn redis() -> Option<Self> {
        redis_server::Server::start(&[]).await.map(Self::Redis)
    }

    /// Creates a balancer without any state, over all servers.
    pub(crate) async fn site(&self, servers: &Servers) -> Site {
        self.site_on(Reserved::new().unwrap(), servers).await
    }

    /// Like [`site`](Self::site), on the port of a stopped proxy.
    pub(crate) async fn site_on(&self, port: Reserved, servers: &Servers) -> Site {
        let learn = || Learn::new().cookie("JSESSIONID").unwrap();
        let (mut pool, mut store) = (servers.pool(), None);
        let mode = match self {
            Self::Cookie => tokens(),
            Self::Hash => {
                pool = servers.pool_by(Rendezvous::new());
                Mode::hash(user())
            }
            Self::Table => in_table(),
            Self::Learn => Mode::learn(learn(), table()),
            Self::Route => Mode::route(learn(), Route::default()),
            Self::Redis(server) => {
                // A long timeout, so that a busy machine does not count as an outage.
                let redis = Arc::new(redis(&server.url(), Duration::from_secs(5)).await);
                store = Some(Arc::clone(&redis));
                Mode::table(user(), redis)
            }
        };
        let affinity = affinity(&pool, mode);
        let proxy = Proxy::on(port, &pool, &affinity);
        Site { pool, affinity, proxy, store }
    }

    /// Creates a client without a session.
    pub(crate) fn visitor(&self, name: &str) -> Browser {
        match self {
            Self::Cookie | Self::Learn | Self::Route => Browser::new(),
            Self::Hash | Self::Table | Self::Redis(_) => Browser::with(USER, name),
        }
    }

    /// Begins a session of a client and returns its server.
    pub(crate) async fn begin(&self, visitor: &Browser, site: &Site) -> String {
        let path = if matches!(self, Self::Learn | Self::Route) { "/login" } else { "/" };
        let answer = visitor.ask(&site.proxy, path).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.server().to_owned()
    }

    /// Creates clients with these numbers and their sessions, each with its server.
    pub(crate) async fn visitors(&self, numbers: Range<usize>, site: &Site) -> Vec<(Browser, String)> {
        let mut visitors = Vec::new();
        for number in numbers {
            let visitor = self.visitor(&format!("visitor {number}"));
            let server = self.begin(&visitor, site).await;
            visitors.push((visitor, server));
        }
        visitors
    }
}

impl Site {
    /// Waits until the other balancers can know this number of sessions.
    pub(crate) async fn has_written(&self, sessions: u64) {
        if let Some(store) = &self.store {
            eventually("written", || store.stats().writes >= sessions).await;
        }
    }
}
