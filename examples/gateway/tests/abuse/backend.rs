use std::{io, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

use crate::{backend::head, client::soon};

/// A backend that answers `GET /endless` with a body without an end, never answers a POST, and answers all else with
/// "ok".
pub(crate) struct Hostile {
    pub(crate) address: String,
    counts: Arc<watch::Sender<Counts>>,
    task: JoinHandle<()>,
}

/// Requests for bodies without an end, and POSTs.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) begun: usize,
    /// Those whose connection the gateway has closed.
    pub(crate) closed: usize,
}

impl Hostile {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let counts = Arc::new(watch::Sender::new(Counts::default()));
        let all = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&all)));
            }
        });
        Self { address, counts, task }
    }

    /// Waits for a state of the requests that the backend does not answer in order.
    pub(crate) async fn until(&self, wanted: impl FnMut(&Counts) -> bool) -> Counts {
        *soon(self.counts.subscribe().wait_for(wanted)).await.unwrap()
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, counts: Arc<watch::Sender<Counts>>) -> io::Result<()> {
    let frame = [b"4000\r\n", &[b'.'; 0x4000][..], b"\r\n"].concat();
    loop {
        let head = head(&mut stream).await?;
        let (is_endless, is_post) = (head.starts_with("GET /endless "), head.starts_with("POST "));
        if !is_endless && !is_post {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await?;
            continue;
        }
        counts.send_modify(|counts| counts.begun += 1);
        if is_endless {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            while stream.write_all(&frame).await.is_ok() {}
        } else {
            let mut body = vec![0; 0x4000];
            while stream.read(&mut body).await.is_ok_and(|read| read > 0) {}
        }
        counts.send_modify(|counts| counts.closed += 1);
        return Ok(());
    }
}
