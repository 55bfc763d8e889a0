//! A server that costs little: it answers every request head with the same bytes.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// The server in a process of its own. It ends with this value.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: String,
}

impl Process {
    pub(crate) fn start() -> Self {
        let own = std::env::current_exe().expect("the path of this program");
        let mut child = Command::new(own).arg("serve").stdout(Stdio::piped()).spawn().expect("a process");
        let mut address = String::new();
        let output = child.stdout.take().expect("a pipe");
        BufReader::new(output).read_line(&mut address).expect("its address");
        Self { child, address: address.trim().to_owned() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves on one thread until the process is killed. The path of a request is the number of bytes in the response.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        println!("{}", listener.local_addr().expect("an address"));
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
}

async fn answer(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let mut read = Vec::with_capacity(4_096);
    let mut response = Vec::new();
    while stream.read_buf(&mut read).await.is_ok_and(|bytes| bytes > 0) {
        if !read.ends_with(b"\r\n\r\n") {
            continue;
        }
        if response.is_empty() {
            let head = String::from_utf8_lossy(&read);
            let bytes = head.split(' ').nth(1).and_then(|path| path.get(1..)?.parse().ok()).unwrap_or(0);
            response = format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n").into_bytes();
            response.resize(response.len() + bytes, b'x');
        }
        read.clear();
        if stream.write_all(&response).await.is_err() {
            return;
        }
    }
}
