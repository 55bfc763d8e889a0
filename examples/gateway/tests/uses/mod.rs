//! The configurations in `uses`, one for each use, with real backends.

mod grpc;
mod releases;
mod sites;
mod websocket;

use crate::process::{Folder, Gateway};

/// Starts a gateway with a configuration. Its listeners get free ports, and its pools the addresses of these backends, in
/// place of the ports 8001, 8002 and so on.
async fn start(folder: &Folder, config: &str, backends: &[&str]) -> Gateway {
    Gateway::start(folder, &with(config, backends)).await
}

/// Returns a configuration with free ports and these backends.
fn with(config: &str, backends: &[&str]) -> String {
    let free = config.replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:9900", "127.0.0.1:0");
    backends.iter().zip(8001..).fold(free, |config, (address, port)| {
        let of_file = format!("127.0.0.1:{port}");
        assert!(config.contains(&of_file), "the configuration has no backend {of_file}");
        config.replace(&of_file, address)
    })
}
