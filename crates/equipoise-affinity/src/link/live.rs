//! One connection to the Redis server, from the moment it is ready until it ends.

use std::{
    fmt,
    pin::{Pin, pin},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{Cmd, Pipeline, RedisResult, ServerError, ServerErrorKind, Value, aio::MultiplexedConnection};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use super::{
    reason::{code, explain},
    wire::Replies,
};

/// The future that does the I/O of a connection.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The value of `stalled_at` while the server answers.
const NEVER: u64 = u64::MAX;

/// A connection to a server that was checked: the server can be used.
pub struct Live {
    /// The number of this connection. The first connection has number 1.
    pub epoch: u64,
    connection: MultiplexedConnection,
    replies: Arc<Replies>,
    /// The number of replies that had been received when the server did not answer a command in time.
    stalled_at: AtomicU64,
    timed_out: Notify,
    refused: Notify,
    refusal: OnceLock<String>,
}

/// Why there is no answer to a command.
#[derive(Clone, Debug)]
pub enum Failure {
    /// The server has not answered in time.
    TimedOut,
    /// The connection has ended.
    Ended,
    /// The server has answered with an error.
    Refused(ServerError),
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("epoch", &self.epoch).field("replies", &self.replies).finish_non_exhaustive()
    }
}

impl Live {
    pub(super) fn new(epoch: u64, connection: MultiplexedConnection, replies: Arc<Replies>) -> Self {
        Self {
            epoch,
            connection,
            replies,
            stalled_at: AtomicU64::new(NEVER),
            timed_out: Notify::new(),
            refused: Notify::new(),
            refusal: OnceLock::new(),
        }
    }

    /// Sends one command. Returns when its reply has arrived or the connection has ended.
    async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        self.replies.expected.fetch_add(1, Ordering::Relaxed);
        let answer = self.connection.clone().send_packed_command(command).await?;
        self.check_reply(&answer);
        Ok(answer)
    }

    /// Sends several commands in one round trip. Returns their replies in order.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub async fn ask_all(&self, commands: Vec<Cmd>) -> RedisResult<Vec<Value>> {
        self.replies.expected.fetch_add(commands.len() as u64, Ordering::Relaxed);
        let mut pipeline = Pipeline::with_capacity(commands.len());
        let count = commands.len();
        for command in commands {
            pipeline.add_command(command);
        }
        let answers = self.connection.clone().send_packed_commands(&pipeline, 0, count).await?;
        answers.iter().for_each(|answer| self.check_reply(answer));
        Ok(answers)
    }

    /// Runs a command, which may be a call of a script. `command` gets whether it has to contain the text of the script:
    /// the server has forgotten scripts if it was restarted. Returns when the reply has arrived or the connection has
    /// ended.
    ///
    /// # Errors
    ///
    /// The connection has ended.
    pub async fn run(&self, command: impl Fn(bool) -> Cmd) -> RedisResult<Value> {
        let answer = self.ask(&command(false)).await?;
        if is_unknown_script(&answer) { self.ask(&command(true)).await } else { Ok(answer) }
    }

    /// Runs a command, as [`run`](Self::run) does, for at most `max`.
    ///
    /// # Errors
    ///
    /// [`Failure`] if there is no reply in time, or if it is an error.
    pub async fn run_within(&self, max: Duration, command: impl Fn(bool) -> Cmd) -> Result<Value, Failure> {
        let before = self.answers();
        match timeout(max, self.run(command)).await {
            Ok(Ok(Value::ServerError(error))) => Err(Failure::Refused(error)),
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(Failure::Ended),
            Err(_) => {
                self.report_timeout(before);
                Err(Failure::TimedOut)
            }
        }
    }

    /// Ends the connection if the reply shows that the server cannot be used: it has become a replica or a node of a
    /// cluster, loads its data or requires authentication.
    fn check_reply(&self, answer: &Value) {
        if let Value::ServerError(error) = answer
            && matches!(
                code(error),
                "READONLY" | "NOAUTH" | "LOADING" | "MASTERDOWN" | "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN"
            )
        {
            self.refuse(explain(error));
        }
    }

    /// Ends the connection, because the server cannot be used.
    pub fn refuse(&self, reason: String) {
        let _ = self.refusal.set(reason);
        self.refused.notify_one();
    }

    /// Returns why the server cannot be used now. `None` if it can.
    pub(super) fn unusable(&self) -> Option<&str> {
        let is_stalled = self.stalled_at.load(Ordering::Relaxed) == self.answers();
        self.refusal.get().map(String::as_str).or(is_stalled.then_some("it has stopped answering"))
    }

    /// Returns the number of replies that have been received, as an argument for
    /// [`report_timeout`](Self::report_timeout).
    pub fn answers(&self) -> u64 {
        self.replies.received.load(Ordering::Relaxed)
    }

    /// Reports that a command has timed out. `answers` is the number of replies that had been received when the command
    /// was sent. If no reply has arrived since, the server counts as unavailable until its next reply.
    pub fn report_timeout(&self, answers: u64) {
        if self.answers() == answers && self.stalled_at.swap(answers, Ordering::Relaxed) != answers {
            self.timed_out.notify_one();
        }
    }

    /// Returns how the server has violated the protocol; `None` if it has not.
    pub fn violation(&self) -> Option<&'static str> {
        self.replies.violation.get().copied()
    }

    /// Drives the connection until it ends, and returns why it has ended. After a command has timed out, the connection
    /// ends if the server sends no reply for `max_silence`.
    pub(super) async fn drive(&self, driver: Driver, max_silence: Duration) -> String {
        let mut driver = pin!(driver);
        let refused = async {
            self.refused.notified().await;
            self.refusal.get().cloned().unwrap_or_default()
        };
        let silent = async {
            loop {
                self.timed_out.notified().await;
                let answers = self.stalled_at.load(Ordering::Relaxed);
                sleep(max_silence).await;
                if self.answers() == answers {
                    return "it has stopped answering".to_owned();
                }
            }
        };
        tokio::select! {
            () = &mut driver => "it closed the connection".to_owned(),
            reason = refused => reason,
            reason = silent => reason,
        }
    }
}

pub(crate) fn is_unknown_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}
