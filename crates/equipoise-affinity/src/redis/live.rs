//! One connection to the Redis server, from the moment it is ready until it ends.

use std::{
    fmt,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use redis::{Cmd, Pipeline, RedisResult, ServerErrorKind, Value, aio::MultiplexedConnection};
use tokio::{
    sync::Notify,
    time::{Instant, sleep},
};

use super::{script::Script, wire::Replies};

/// The future that does the I/O of a connection.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection to a server that was checked: the server can be used.
pub(super) struct Live {
    /// The number of this connection. The first connection has number 1.
    pub(super) epoch: u64,
    pub(super) touch: Script,
    pub(super) bind: Script,
    connection: MultiplexedConnection,
    replies: Arc<Replies>,
    stalled: AtomicBool,
    /// The number of replies that had been received when the server stopped answering.
    stalled_at: AtomicU64,
    timed_out: Notify,
    refused: Notify,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("epoch", &self.epoch).field("replies", &self.replies).finish_non_exhaustive()
    }
}

impl Live {
    pub(super) fn new(
        epoch: u64,
        touch: Script,
        bind: Script,
        connection: MultiplexedConnection,
        replies: Arc<Replies>,
    ) -> Self {
        Self {
            epoch,
            touch,
            bind,
            connection,
            replies,
            stalled: AtomicBool::new(false),
            stalled_at: AtomicU64::new(0),
            timed_out: Notify::new(),
            refused: Notify::new(),
        }
    }

    /// Sends one command. Returns when its reply has arrived or the connection has ended.
    pub(super) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        self.replies.expected.fetch_add(1, Ordering::Relaxed);
        let answer = self.connection.clone().send_packed_command(command).await?;
        self.check_reply(&answer);
        Ok(answer)
    }

    /// Sends several commands in one round trip. Returns their replies in order.
    pub(super) async fn ask_all(&self, commands: Vec<Cmd>) -> RedisResult<Vec<Value>> {
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

    /// Ends the connection if the reply shows that the server has become a replica or requires authentication.
    fn check_reply(&self, answer: &Value) {
        if let Value::ServerError(error) = answer
            && (error.kind() == Some(ServerErrorKind::ReadOnly) || error.code() == "NOAUTH")
        {
            self.refused.notify_one();
        }
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Returns the number of replies that have been received, as an argument for
    /// [`report_timeout`](Self::report_timeout).
    pub(super) fn answers(&self) -> u64 {
        self.replies.received.load(Ordering::Relaxed)
    }

    /// Reports that a command has timed out. `answers` is the number of replies that had been received when the command
    /// was sent. If no reply has arrived since, the server counts as unavailable until its next reply.
    pub(super) fn report_timeout(&self, answers: u64) {
        if self.answers() == answers && !self.stalled.swap(true, Ordering::Relaxed) {
            self.stalled_at.store(answers, Ordering::Relaxed);
            self.timed_out.notify_one();
        }
    }

    /// Returns how the server has violated the protocol; `None` if it has not.
    pub(super) fn violation(&self) -> Option<&'static str> {
        self.replies.violation.get().copied()
    }

    /// Drives the connection until it ends, and returns why it has ended. After a command has timed out, the connection
    /// ends if the server sends no reply for `max`. `interval` is the time between two checks.
    pub(super) async fn drive(&self, driver: Driver, interval: Duration, max: Duration) -> String {
        let mut driver = pin!(driver);
        loop {
            tokio::select! {
                () = &mut driver => return "it closed the connection".to_owned(),
                () = self.refused.notified() => return "it refuses: a replica, or authentication is wanted".to_owned(),
                () = self.timed_out.notified() => {}
            }
            // A command has timed out. No lookups are sent until the next reply. If no reply comes, the connection ends.
            let (answers, since) = (self.stalled_at.load(Ordering::Relaxed), Instant::now());
            while self.answers() == answers {
                if since.elapsed() >= max {
                    return "it has stopped answering".to_owned();
                }
                tokio::select! {
                    () = &mut driver => return "it closed the connection".to_owned(),
                    () = sleep(interval) => {}
                }
            }
            self.stalled.store(false, Ordering::Relaxed);
        }
    }
}

pub(super) fn is_unknown_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}
