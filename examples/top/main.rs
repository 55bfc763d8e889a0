//! A status page in a terminal: pools and endpoints with their state, rates and latencies, and what happens to them, live.
//!
//! ```text
//! cargo run --example top -- http://127.0.0.1:9900/           the page of the example `gateway`, for example
//! cargo run --example top -- http://127.0.0.1:9900/ --once    prints one table and ends, for scripts
//! ```
//!
//! The URL is that of a page of `equipoise::monitor::page`. The program reads its updates (`./updates`), and connects again
//! when the connection is lost. It changes nothing. `?` shows the keys.
//!
//! | file | content |
//! | --- | --- |
//! | `stream.rs` | reads the page over HTTP |
//! | `wire.rs`, `text.rs`, `event.rs` | the JSON of the page, its texts made harmless for a terminal, and its events |
//! | `model.rs` | what the server has told: states, updates and histories |
//! | `view.rs`, `input.rs` | what of it is shown, in which order, and the keys |
//! | `draw.rs`, `table.rs` | the picture, and the table in it |
//! | `once.rs`, `format.rs` | the plain table, and numbers and times as text |

mod draw;
mod event;
mod format;
mod input;
mod model;
mod once;
mod stream;
mod table;
#[cfg(test)]
mod tests;
mod text;
mod view;
mod wire;

use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use http::{HeaderMap, HeaderName, HeaderValue};
use ratatui::{DefaultTerminal, crossterm::event as terminal};
use tokio::{sync::mpsc, task::JoinHandle, time};

use crate::{
    draw::{Picture, draw},
    input::action,
    model::Model,
    stream::{Message, Page},
    text::Text,
    view::{Action, View},
};

#[derive(Parser)]
#[command(about = "A status page in a terminal")]
struct Args {
    /// The URL of the page, such as http://127.0.0.1:9900/.
    url: String,
    /// Prints one table and ends.
    #[arg(long)]
    once: bool,
    /// A header field of each request, such as "authorization: Basic …". Can be repeated.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = || {
        let (name, value) = text.split_once(':')?;
        let mut value = HeaderValue::from_str(value.trim()).ok()?;
        value.set_sensitive(true);
        Some((name.parse().ok()?, value))
    };
    parsed().ok_or_else(|| "write NAME: VALUE".to_owned())
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A part of it may be of the server.
            eprintln!("top: {}", Text::new(&format!("{error:#}")));
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> anyhow::Result<()> {
    let page = Page::new(&args.url, HeaderMap::from_iter(args.header))?;
    if args.once {
        let table = once::table(&Model::read(&page.state().await?)?);
        return match io::stdout().write_all(table.as_bytes()) {
            // The reader has closed the pipe, for example `head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => Ok(written?),
        };
    }
    anyhow::ensure!(io::stdout().is_terminal(), "this is not a terminal: use --once for a plain table");
    let terminal = ratatui::init();
    let ended = App::new(&args.url, page).run(terminal).await;
    ratatui::restore();
    ended
}

/// The running program.
struct App {
    url: Text,
    page: Page,
    model: Option<Model>,
    view: View,
    problem: Option<Text>,
    /// When the newest message arrived.
    heard: Instant,
}

impl App {
    fn new(url: &str, page: Page) -> Self {
        let (url, heard) = (Text::new(url), Instant::now());
        Self { url, page, model: None, view: View::default(), problem: None, heard }
    }

    async fn run(mut self, mut terminal: DefaultTerminal) -> anyhow::Result<()> {
        let mut keys = read_keys();
        let (mut following, mut messages) = self.follow(Duration::ZERO);
        // The age of the data grows without a message.
        let mut seconds = time::interval(Duration::from_secs(1));
        loop {
            let picture = Picture {
                url: self.url.as_str(),
                model: self.model.as_ref(),
                view: &self.view,
                problem: self.problem.as_ref().map(Text::as_str),
                age: self.heard.elapsed().as_secs(),
            };
            terminal.draw(|frame| draw(frame, &picture))?;
            tokio::select! {
                event = keys.recv() => {
                    let event = event.ok_or_else(|| anyhow::anyhow!("the terminal cannot be read"))??;
                    match action(&event, &self.view) {
                        Some(Action::Quit) => return Ok(()),
                        Some(action) => self.view.act(action, self.model.as_ref().unwrap_or(&Model::default())),
                        None => {}
                    }
                }
                Some(message) = messages.recv() => {
                    if !self.take(&message) {
                        following.abort();
                        (following, messages) = self.follow(stream::RETRY);
                    }
                }
                _ = seconds.tick() => {}
            }
        }
    }

    /// Connects to the page after a delay.
    fn follow(&self, delay: Duration) -> (JoinHandle<()>, mpsc::Receiver<Message>) {
        let ((sender, messages), page) = (mpsc::channel(16), self.page.clone());
        let following = async move {
            time::sleep(delay).await;
            page.follow(sender).await;
        };
        (tokio::spawn(following), messages)
    }

    /// Applies a message. Returns false if the whole state must be read again.
    fn take(&mut self, message: &Message) -> bool {
        let taken = match (message, &mut self.model) {
            (Message::State(json), _) => Model::read(json).map(|model| self.model = Some(model)),
            (Message::Update(json), Some(model)) => model.update(json),
            (Message::Update(_), None) => Ok(()),
            (Message::Lost(reason), _) => {
                self.problem = Some(Text::new(reason));
                return true;
            }
        };
        self.problem = taken.as_ref().err().map(|error| Text::new(&error.to_string()));
        if taken.is_ok() {
            self.heard = Instant::now();
        }
        taken.is_ok()
    }
}

/// Reads the terminal in a thread of its own, which lasts as long as the process.
fn read_keys() -> mpsc::Receiver<io::Result<terminal::Event>> {
    let (sender, keys) = mpsc::channel(16);
    thread::spawn(move || {
        loop {
            let event = terminal::read();
            let is_end = event.is_err();
            if sender.blocking_send(event).is_err() || is_end {
                return;
            }
        }
    });
    keys
}
