//! A server of HTTP/1.1 for tests.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::client::{header, soon};

/// A server that runs until it is dropped.
pub(crate) struct Backend {
    address: String,
    served: Arc<AtomicUsize>,
    /// Serves on a listener.
    serve: Box<dyn Fn(TcpListener) -> JoinHandle<()> + Send>,
    task: JoinHandle<()>,
}

impl Backend {
    /// Starts a server that answers each request with a text.
    pub(crate) fn start(text: &'static str) -> Self {
        Self::answering(move |_| async move { text.to_owned() })
    }

    /// Starts a server that answers each request with what `answer` makes of its head.
    pub(crate) fn answering<F>(answer: impl Fn(String) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = String> + Send + 'static,
    {
        Self::responding(move |head, _| {
            let answer = answer(head);
            async move { response("", &answer.await) }
        })
    }

    /// Starts a server that sends what `answer` makes of the head and the body of each request, from the status line on.
    pub(crate) fn responding<F>(answer: impl Fn(String, Vec<u8>) -> F + Clone + Send + 'static) -> Self
    where
        F: Future<Output = String> + Send + 'static,
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let listener = TcpListener::from_std(listener).unwrap();
        let served = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&served);
        let serve = move |listener: TcpListener| {
            let (answer, count) = (answer.clone(), Arc::clone(&count));
            tokio::spawn(async move {
                // Dropped with this task, which ends the connections.
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    connections.spawn(serve(stream, answer.clone(), Arc::clone(&count)));
                }
            })
        };
        let task = serve(listener);
        Self { address, served, serve: Box::new(serve), task }
    }

    /// Closes the listener and all connections, as a process that is killed.
    pub(crate) async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Listens again after `stop`.
    pub(crate) fn restart(&mut self) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(self.address.parse().unwrap()).unwrap();
        self.task = (self.serve)(socket.listen(1024).unwrap());
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until a number of requests have arrived.
    pub(crate) async fn until_served(&self, count: usize) {
        soon(async {
            while self.served() < count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Returns the number of requests that have arrived.
    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns a response with status 200, with header lines and a body.
pub(crate) fn response(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

/// Answers the requests of a connection.
async fn serve<F>(
    mut stream: TcpStream,
    answer: impl Fn(String, Vec<u8>) -> F,
    served: Arc<AtomicUsize>,
) -> io::Result<()>
where
    F: Future<Output = String>,
{
    loop {
        let head = head(&mut stream).await?;
        served.fetch_add(1, Ordering::SeqCst);
        let body = body(&mut stream, &head).await?;
        stream.write_all(answer(head, body).await.as_bytes()).await?;
    }
}

/// Reads the body of a message.
async fn body(stream: &mut TcpStream, head: &str) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if header(head, "transfer-encoding").is_some() {
        while let Some(chunk) = chunk(stream).await? {
            body.extend(chunk);
        }
    } else {
        body.resize(header(head, "content-length").map_or(0, |length| length.parse().unwrap()), 0);
        stream.read_exact(&mut body).await?;
    }
    Ok(body)
}

/// Reads a chunk of a body. `None` is its end.
pub(crate) async fn chunk(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.push(stream.read_u8().await?);
    }
    let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim_end(), 16).unwrap();
    let mut chunk = vec![0; size + 2];
    stream.read_exact(&mut chunk).await?;
    chunk.truncate(size);
    Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
}

/// Reads the head of a message.
pub(crate) async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8(head).unwrap())
}
