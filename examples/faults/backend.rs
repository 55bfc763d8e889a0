//! A server that is controlled through its standard input, and ends with it.

use std::{future::pending, io, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, stdin},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Semaphore, watch},
    time::sleep,
};

#[derive(Clone, Copy, Debug)]
enum Mode {
    Mute,
    Reset,
    Fail,
    Lie,
    After(Duration),
}

impl Mode {
    const WELL: Self = Self::After(Duration::from_millis(5));

    fn named(name: &str) -> anyhow::Result<Self> {
        Ok(match name.split_once(' ') {
            Some(("after", millis)) => Self::After(Duration::from_millis(millis.parse()?)),
            None if name == "mute" => Self::Mute,
            None if name == "reset" => Self::Reset,
            None if name == "fail" => Self::Fail,
            None if name == "lie" => Self::Lie,
            None if name == "well" => Self::WELL,
            _ => bail!("unknown mode {name}"),
        })
    }
}

/// Number of requests in service at the same time.
pub(crate) const WORKERS: usize = 16;

pub(crate) async fn serve(port: u16) -> anyhow::Result<()> {
    let socket = TcpSocket::new_v4()?;
    // The port may still have connections of a killed server.
    socket.set_reuseaddr(cfg!(not(windows)))?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    let listener = socket.listen(1024)?;
    let mode = watch::Sender::new(Mode::WELL);
    let accepting = tokio::spawn(accept(listener, mode.subscribe()));
    let mut lines = BufReader::new(stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        mode.send_replace(Mode::named(&line).context("on standard input")?);
    }
    accepting.abort();
    Ok(())
}

async fn accept(listener: TcpListener, mode: watch::Receiver<Mode>) {
    let workers = Arc::new(Semaphore::new(WORKERS));
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(stream, mode.clone(), Arc::clone(&workers)));
    }
}

/// Serves one request after the other. Requests have no body.
async fn connection(mut stream: TcpStream, mode: watch::Receiver<Mode>, workers: Arc<Semaphore>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut unread = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut unread).await? == 0 {
                return Ok(());
            }
        };
        let is_check = unread.starts_with(b"GET /health ");
        unread.drain(..end);
        let mode = *mode.borrow();
        match mode {
            Mode::Mute => pending().await,
            Mode::Reset => {
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it").await?;
                return stream.set_zero_linger();
            }
            Mode::Fail => stream.write_all(FAILURE).await?,
            Mode::Lie if !is_check => stream.write_all(FAILURE).await?,
            Mode::Lie => stream.write_all(ANSWER).await?,
            Mode::After(time) => {
                let working = workers.acquire().await;
                sleep(time).await;
                drop(working);
                stream.write_all(ANSWER).await?;
            }
        }
    }
}

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n";
const FAILURE: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
