//! A forward proxy: opens the public internet to one user, until it gets Ctrl-C. Further arguments are hosts that it
//! denies.
//!
//! ```sh
//! cargo run --example forward_proxy -- 127.0.0.1:3128 ann:secret '*.example.net'
//! curl --proxy http://ann:secret@127.0.0.1:3128 https://example.org/
//! ```

use std::time::Duration;

use anyhow::Context;
use equipoise::proxy::{
    forward::{BasicAuth, ForwardLimits, ForwardProxy, ForwardSettings, Passwords, Rule},
    server::Server,
};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: forward_proxy LISTEN USER:PASSWORD [DENIED-HOST...]";
    let (listen, login) = arguments.next().zip(arguments.next()).context(usage)?;
    let (user, password) = login.split_once(':').context(usage)?;

    let mut rules = Vec::new();
    for host in arguments {
        rules.push(Rule::deny().named(&host).host(&host)?);
    }
    // Without networks and ports: the public internet, CONNECT to port 443, and HTTP.
    rules.push(Rule::allow());
    let settings = ForwardSettings::new()
        .authentication(BasicAuth::new("forward proxy", Passwords::new().user(user, password))?)
        .limits(ForwardLimits::new().max_tunnel_time(Duration::from_secs(8 * 3600)));
    let proxy = ForwardProxy::with_settings(rules, settings);

    let listener = TcpListener::bind(&listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("listening on {listen}");
    let server = Server::new(proxy.clone());
    tokio::spawn(server.clone().serve(listener));
    tokio::signal::ctrl_c().await?;

    println!("finishing the requests in flight");
    proxy.tunnels().close();
    let (aborted, ()) = tokio::join!(server.shutdown(Duration::from_secs(10)), proxy.tunnels().closed());
    println!("{aborted} connections were aborted; {:?}", proxy.stats());
    Ok(())
}
