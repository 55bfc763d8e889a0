//! The faults of servers.

use std::time::Duration;

use tokio::time::sleep;

use crate::process::Backend;

/// Duration of a fault.
pub(crate) const LASTS: Duration = Duration::from_secs(7);

#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) load: Load,
    script: Script,
}

/// The load during a fault.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// An open-loop load at the rate of the option `--rate`.
    Asked,
    /// An open-loop load of this number of requests per second.
    Rate(u32),
    /// A closed-loop load from more clients than there are workers, so that the servers are always busy.
    Saturating {
        /// Whether the balancer limits the requests in flight to the workers of a server.
        limited: bool,
    },
}

#[derive(Clone, Copy, Debug)]
enum Script {
    Kill,
    Stop,
    Turn(&'static str),
    Flap,
    Roll,
}

const fn fault(name: &'static str, about: &'static str, script: Script) -> Fault {
    Fault { name, about, load: Load::Asked, script }
}

pub(crate) const ALL: &[Fault] = &[
    fault("kill", "killed (`kill -9`)", Script::Kill),
    fault("stop", "stopped (`kill -STOP`)", Script::Stop),
    fault("mute", "accepts and never answers", Script::Turn("mute")),
    fault("reset", "resets in the middle of the response", Script::Turn("reset")),
    fault("sinkhole", "answers 500 at once, to checks too", Script::Turn("fail")),
    fault("liar", "answers 500 at once, but not to checks", Script::Turn("lie")),
    fault("slow", "answers after 200 ms instead of 5 ms", Script::Turn("after 200")),
    fault("flap", "killed and started again, every second", Script::Flap),
    fault("rolling", "rolling restart of all three, by `kill -9`", Script::Roll),
    Fault {
        name: "kill-2000",
        about: "killed, at 2 000 requests per second",
        load: Load::Rate(2_000),
        script: Script::Kill,
    },
    Fault {
        name: "saturated",
        about: "killed, with the other two at full capacity",
        load: Load::Saturating { limited: false },
        script: Script::Kill,
    },
    Fault {
        name: "limited",
        about: "the same, with at most 16 requests in flight per server (nginx: no limit)",
        load: Load::Saturating { limited: true },
        script: Script::Kill,
    },
];

impl Fault {
    /// Returns whether the fault affects one server all the time, so that the balancer can stop sending to it.
    pub(crate) fn has_an_end(&self) -> bool {
        !matches!(self.script, Script::Flap | Script::Roll)
    }

    /// Runs the fault for [`LASTS`], at the second server.
    pub(crate) async fn happen(&self, servers: &mut [Backend; 3]) -> anyhow::Result<()> {
        let second = Duration::from_secs(1);
        match self.script {
            Script::Kill => {
                servers[1].kill()?;
                sleep(LASTS).await;
                servers[1].start().await
            }
            Script::Stop => {
                servers[1].signal("STOP")?;
                sleep(LASTS).await;
                servers[1].signal("CONT")
            }
            Script::Turn(mode) => {
                servers[1].turn(mode)?;
                sleep(LASTS).await;
                servers[1].turn("well")
            }
            Script::Flap => {
                for _ in 0..LASTS.as_secs().div_ceil(2) {
                    servers[1].kill()?;
                    sleep(second).await;
                    servers[1].start().await?;
                    sleep(second).await;
                }
                Ok(())
            }
            Script::Roll => {
                for server in servers {
                    server.kill()?;
                    sleep(second / 2).await;
                    server.start().await?;
                    sleep(2 * second).await;
                }
                Ok(())
            }
        }
    }
}
