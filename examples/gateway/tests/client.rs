//! A client with one connection, which shows when a connection was closed.

use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::backend::{chunk, head};

/// Waits for an event that must happen. The timeout only turns a hang into a failure.
pub(crate) async fn soon<F: Future>(event: F) -> F::Output {
    timeout(Duration::from_secs(60), event).await.expect("it happens within a minute")
}

/// Returns the value of a field in the head of a message.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

pub(crate) struct Client(TcpStream);

pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Self {
        Self(soon(TcpStream::connect(address)).await.unwrap())
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.request(&format!("GET {path}"), "").await.unwrap()
    }

    pub(crate) async fn post(&mut self, path: &str) -> Answer {
        self.request(&format!("POST {path}"), "content-length: 0\r\n").await.unwrap()
    }

    /// Sends a request with header lines, and reads the response.
    pub(crate) async fn request(&mut self, line: &str, headers: &str) -> io::Result<Answer> {
        self.send(line, headers).await?;
        self.answer().await
    }

    /// Sends a request with a body and header lines, and reads the response.
    pub(crate) async fn request_with_body(&mut self, line: &str, headers: &str, body: impl AsRef<[u8]>) -> Answer {
        let headers = format!("{headers}content-length: {}\r\n", body.as_ref().len());
        self.send_with_body(line, &headers, body).await.unwrap();
        self.answer().await.unwrap()
    }

    pub(crate) async fn send(&mut self, line: &str, headers: &str) -> io::Result<()> {
        self.send_with_body(line, headers, "").await
    }

    pub(crate) async fn send_with_body(&mut self, line: &str, headers: &str, body: impl AsRef<[u8]>) -> io::Result<()> {
        let host = if headers.starts_with("host:") { "" } else { "host: localhost\r\n" };
        let head = format!("{line} HTTP/1.1\r\n{host}{headers}\r\n");
        self.send_more([head.as_bytes(), body.as_ref()].concat()).await
    }

    /// Sends more of a request that has begun.
    pub(crate) async fn send_more(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.write_all(bytes.as_ref()).await
    }

    pub(crate) async fn answer(&mut self) -> io::Result<Answer> {
        let head = soon(head(&mut self.0)).await?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").filter(|_| !matches!(status, 204 | 304));
        let length = length.map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        soon(self.0.read_exact(&mut body)).await?;
        if answer.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk().await? {
                body.extend(chunk);
            }
        }
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Ok(answer)
    }

    /// Reads the head of a response whose body has no end.
    pub(crate) async fn head(&mut self) -> String {
        soon(head(&mut self.0)).await.unwrap()
    }

    /// Reads a chunk of a body. `None` is its end.
    pub(crate) async fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        soon(chunk(&mut self.0)).await
    }
}
