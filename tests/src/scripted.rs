use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinHandle, JoinSet},
};

use crate::Reserved;

/// A TCP server that runs the test's script on each connection.
#[derive(Debug)]
pub struct Scripted {
    port: Reserved,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Runs `script` on each connection. When it returns, the connection is closed.
    ///
    /// # Errors
    ///
    /// There is no free port.
    pub fn start<F>(script: impl Fn(Peer) -> F + Send + 'static) -> io::Result<Self>
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let port = Reserved::new()?;
        let listener = port.listen()?;
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(script(Peer { stream, unread: Vec::new(), requests: Arc::clone(&count) }));
            }
        });
        Ok(Self { port, requests, task })
    }

    /// Returns the address of the server.
    pub fn address(&self) -> String {
        self.port.address()
    }

    /// Returns the number of requests that were read.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The server's end of a connection.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    unread: Vec<u8>,
    requests: Arc<AtomicUsize>,
}

impl Peer {
    /// Reads a request's head, and counts the request.
    ///
    /// # Errors
    ///
    /// The client has closed the connection.
    pub async fn head(&mut self) -> io::Result<String> {
        let end = loop {
            if let Some(at) = self.unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.read().await?;
        };
        self.requests.fetch_add(1, Ordering::SeqCst);
        Ok(String::from_utf8_lossy(&self.unread.drain(..end).collect::<Vec<u8>>()).into_owned())
    }

    /// Reads `length` bytes of a body.
    ///
    /// # Errors
    ///
    /// The client has closed the connection.
    pub async fn body(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.unread.len() < length {
            self.read().await?;
        }
        Ok(self.unread.drain(..length).collect())
    }

    /// Sends these bytes.
    ///
    /// # Errors
    ///
    /// The client has closed the connection.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await
    }

    /// Waits until the client has closed the connection.
    pub async fn closed(&mut self) {
        while self.read().await.is_ok() {}
    }

    /// Closes the connection with a reset.
    ///
    /// # Errors
    ///
    /// The socket refuses the setting.
    pub fn reset(self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    async fn read(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
