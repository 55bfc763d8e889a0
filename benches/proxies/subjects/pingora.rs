//! pingora on one thread, with round robin and health checks.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use pingora::{
    apps::HttpServerOptions,
    http::RequestHeader,
    lb::{LoadBalancer, health_check::TcpHealthCheck, selection::RoundRobin},
    prelude::{HttpPeer, background_service},
    proxy::{ProxyHttp, Session, http_proxy_service},
    server::{Server, configuration::ServerConf},
};

#[path = "arguments.rs"]
mod arguments;

/// The number of idle connections that are kept, as in the configuration of nginx.
const MAX_IDLE: usize = 512;

struct Balanced {
    backends: Arc<LoadBalancer<RoundRobin>>,
    to_http2: bool,
}

#[async_trait]
impl ProxyHttp for Balanced {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> pingora::Result<Box<HttpPeer>> {
        let backend = self.backends.select(b"", 8).ok_or_else(|| pingora::Error::new_str("no backend is up"))?;
        let mut peer = HttpPeer::new(backend, false, String::new());
        if self.to_http2 {
            peer.options.set_http_version(2, 2);
        }
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        (): &mut (),
    ) -> pingora::Result<()> {
        if let Some(client) = session.client_addr().and_then(|client| client.as_inet()) {
            request.insert_header("x-forwarded-for", client.ip().to_string())?;
        }
        request.insert_header("x-forwarded-proto", "http")?;
        if let Some(host) = request.headers.get("host").cloned() {
            request.insert_header("x-forwarded-host", host)?;
        }
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = arguments::Arguments::parse()?;
    let settings = ServerConf { threads: 1, upstream_keepalive_pool_size: MAX_IDLE, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, settings);
    server.bootstrap();
    let mut backends = LoadBalancer::try_from_iter(&arguments.backends)?;
    backends.set_health_check(TcpHealthCheck::new());
    backends.health_check_frequency = Some(Duration::from_secs(1));
    let checking = background_service("health checks", backends);
    let balanced = Balanced { backends: checking.task(), to_http2: arguments.to_http2 };
    let mut proxy = http_proxy_service(&server.configuration, balanced);
    if let Some(proxy) = proxy.app_logic_mut() {
        let mut options = HttpServerOptions::default();
        options.h2c = arguments.from_http2;
        proxy.server_options = Some(options);
    }
    proxy.add_tcp(&arguments.listen);
    server.add_service(proxy);
    server.add_service(checking);
    server.run_forever()
}
