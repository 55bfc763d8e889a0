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

use super::{script::Script, wire::Wire};

/// What moves its bytes.
pub(super) type Driver = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A connection that has shown that it works.
pub(super) struct Live {
    /// Which it is: the first is 1.
    pub(super) epoch: u64,
    pub(super) touch: Script,
    pub(super) claim: Script,
    connection: MultiplexedConnection,
    wire: Arc<Wire>,
    stalled: AtomicBool,
    /// How many answers there were when it stalled.
    stalled_at: AtomicU64,
    suspected: Notify,
    refused: Notify,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("epoch", &self.epoch).field("wire", &self.wire).finish_non_exhaustive()
    }
}

impl Live {
    pub(super) fn new(
        epoch: u64,
        touch: Script,
        claim: Script,
        connection: MultiplexedConnection,
        wire: Arc<Wire>,
    ) -> Self {
        Self {
            epoch,
            touch,
            claim,
            connection,
            wire,
            stalled: AtomicBool::new(false),
            stalled_at: AtomicU64::new(0),
            suspected: Notify::new(),
            refused: Notify::new(),
        }
    }

    /// Asks one thing. Ends when the answer is there or the connection is not.
    pub(super) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        self.wire.due(1);
        let answer = self.connection.clone().send_packed_command(command).await?;
        self.look_at(&answer);
        Ok(answer)
    }

    /// Asks several things in one round trip.
    pub(super) async fn ask_all(&self, commands: Vec<Cmd>) -> RedisResult<Vec<Value>> {
        self.wire.due(commands.len() as u64);
        let mut pipeline = Pipeline::with_capacity(commands.len());
        let count = commands.len();
        for command in commands {
            pipeline.add_command(command);
        }
        let answers = self.connection.clone().send_packed_commands(&pipeline, 0, count).await?;
        answers.iter().for_each(|answer| self.look_at(answer));
        Ok(answers)
    }

    /// A server that has become a replica, or wants to know who we are, will not change its mind on this connection.
    fn look_at(&self, answer: &Value) {
        if let Value::ServerError(error) = answer
            && (error.kind() == Some(ServerErrorKind::ReadOnly) || error.code() == "NOAUTH")
        {
            self.refused.notify_one();
        }
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// A mark to [suspect](Self::suspect) from.
    pub(super) fn answers(&self) -> u64 {
        self.wire.answers()
    }

    /// A question has waited too long since there were so many answers. If none has come in since, the server is taken
    /// for away until one does.
    pub(super) fn suspect(&self, answers: u64) {
        if self.wire.answers() == answers && !self.stalled.swap(true, Ordering::Relaxed) {
            self.stalled_at.store(answers, Ordering::Relaxed);
            self.suspected.notify_one();
        }
    }

    /// How the server has broken the protocol, if that is why the connection ended.
    pub(super) fn broken(&self) -> Option<&'static str> {
        self.wire.broken()
    }

    /// Drives the connection until it is over; why it is. Once a question has been waiting for `patience` in vain, there is
    /// `most` for an answer.
    pub(super) async fn hold(&self, driver: Driver, patience: Duration, most: Duration) -> String {
        let mut driver = pin!(driver);
        loop {
            tokio::select! {
                () = &mut driver => return "it closed the connection".to_owned(),
                () = self.refused.notified() => return "it refuses: a replica, or authentication is wanted".to_owned(),
                () = self.suspected.notified() => {}
            }
            // Somebody waits in vain. Until the next answer nobody else shall; if none comes, the connection is given up.
            let (answers, since) = (self.stalled_at.load(Ordering::Relaxed), Instant::now());
            while self.wire.answers() == answers {
                if since.elapsed() >= most {
                    return "it has stopped answering".to_owned();
                }
                tokio::select! {
                    () = &mut driver => return "it closed the connection".to_owned(),
                    () = sleep(patience) => {}
                }
            }
            self.stalled.store(false, Ordering::Relaxed);
        }
    }
}

pub(super) fn is_unknown_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if error.kind() == Some(ServerErrorKind::NoScript))
}
