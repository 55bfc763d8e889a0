//! Clients written in Python: requests, and websockets with its own server behind the proxy.

use equipoise_tests::{python_with, run};

use crate::{
    app,
    folder::Folder,
    process::{Process, script},
    setup::{Proxy, Version},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_of_requests_keep_connections_and_stream_in_both_directions() {
    let Some(python) = python_with("requests") else { return };
    for endpoint in [Version::Http1, Version::Http2] {
        let proxy = Proxy::start(app::start().await, endpoint).await;
        let client = [script("requests_client.py"), format!("http://{}", proxy.address).into()];
        assert_eq!(run(&python, client).await.stdout, "done\n", "{endpoint:?}");
    }
}

#[tokio::test]
async fn websockets_pass_messages_pings_and_close_codes() {
    let Some(python) = python_with("websockets") else { return };
    let script_path = script("websocket_server.py").display().to_string();
    let server = Process::python(&python, &[&script_path], Folder::new()).await;
    let proxy = Proxy::start(server.address.clone(), Version::Http1).await;
    let client = [script("websocket_client.py"), proxy.address.to_string().into()];
    assert_eq!(run(&python, client).await.stdout, "done\n");
    let (successes, failures) = proxy.counts().await;
    assert!(successes > 20 && failures == 0, "{successes} {failures}");
}
