use std::sync::Arc;

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// A server that answers as it is told to. It is given the name of each command, and the number of commands with this
/// name on the connection before.
pub(crate) async fn serve(answer: impl Fn(&str, usize) -> Vec<u8> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let (mut stream, mut names) = (BufReader::new(stream), Vec::new());
                while let Some(name) = command(&mut stream).await {
                    let before = names.iter().filter(|before| **before == name).count();
                    if stream.write_all(&answer(&name, before)).await.is_err() {
                        break;
                    }
                    names.push(name);
                }
            });
        }
    });
    url
}

/// Reads a command, and returns its first word. `None` at the end of the connection.
async fn command(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let (words, mut first) = (number(stream).await?, None);
    for _ in 0..words {
        let mut word = vec![0; number(stream).await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        first.get_or_insert_with(|| String::from_utf8_lossy(&word).trim().to_uppercase());
    }
    first
}

async fn number(stream: &mut BufReader<TcpStream>) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim().parse().ok()
}

/// Answers as a server does until limits and stores are connected, and then with `broken`.
pub(crate) async fn broken(broken: &'static [u8]) -> String {
    serve(move |name, before| match (name, before) {
        ("CLIENT" | "SCRIPT", _) => b"+OK\r\n".to_vec(),
        ("DEL", _) => b":0\r\n".to_vec(),
        // Limits load their script so.
        ("EVAL", 0) => b"*2\r\n:1\r\n:0\r\n".to_vec(),
        _ => broken.to_vec(),
    })
    .await
}
