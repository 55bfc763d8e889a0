//! One connection, for as long as it lasts.

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

/// The future that reads and writes the connection.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection to a server that has been checked.
pub(super) struct Live {
    /// The number of the connection; the first is 1.
    pub(super) epoch: u64,
    pub(super) touch: Script,
    pub(super) bind: Script,
    connection: MultiplexedConnection,
    replies: Arc<Replies>,
    stalled: AtomicBool,
    /// How many replies had been received when it stalled.
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

    /// Sends one command. Returns when the reply is received or the connection has ended.
    pub(super) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        self.replies.expected.fetch_add(1, Ordering::Relaxed);
        let answer = self.connection.clone().send_packed_command(command).await?;
        self.check_reply(&answer);
        Ok(answer)
    }

    /// Sends several commands in one round trip.
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

    /// Ends the connection if the server has become a replica or requires authentication.
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

    /// Returns how many replies have been received, for [`report_timeout`](Self::report_timeout).
    pub(super) fn answers(&self) -> u64 {
        self.replies.received.load(Ordering::Relaxed)
    }

    /// Reports that a command has timed out. If no reply has been received since `answers`, the server counts as
    /// unavailable until it sends one.
    pub(super) fn report_timeout(&self, answers: u64) {
        if self.answers() == answers && !self.stalled.swap(true, Ordering::Relaxed) {
            self.stalled_at.store(answers, Ordering::Relaxed);
            self.timed_out.notify_one();
        }
    }

    /// How the server has broken the protocol, if that is why the connection ended.
    pub(super) fn violation(&self) -> Option<&'static str> {
        self.replies.violation.get().copied()
    }

    /// Drives the connection until it ends, and returns why. After a command has timed out, the server has `max` to send
    /// any reply. `interval` is how often that is checked.
    pub(super) async fn drive(&self, driver: Driver, interval: Duration, max: Duration) -> String {
        let mut driver = pin!(driver);
        loop {
            tokio::select! {
                () = &mut driver => return "it closed the connection".to_owned(),
                () = self.refused.notified() => return "it refuses: a replica, or authentication is wanted".to_owned(),
                () = self.timed_out.notified() => {}
            }
            // A command has timed out. Until the next reply, others do not wait; if none comes, the connection ends.
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
