//! Replies and sequences of replies as real HAProxy treats them; tests/golden/README.md says how they were recorded.

use equipoise_health::agent::{AgentAdmin, AgentHealth, AgentReply, AgentState, IncompleteLine};
use serde::Deserialize;

/// The recorded server has weight 10 and at most 100 connections.
const WEIGHT: u32 = 10;
const LIMIT: Option<u32> = Some(100);

#[derive(Deserialize)]
struct Golden {
    words: Vec<Recorded>,
    sequences: Vec<Vec<Recorded>>,
    without_health_check: Vec<Recorded>,
}

/// Recorded later, for cases that the first recording lacks.
#[derive(Deserialize)]
struct More {
    sequences: Vec<Vec<Recorded>>,
}

#[derive(Deserialize)]
struct Recorded {
    reply: String,
    reply_len: Option<usize>,
    status: String,
    weight: String,
    slim: String,
    agent_status: String,
    last_agt: Option<String>,
    agent_health: Option<String>,
    op_state: String,
    admin_state: Vec<String>,
    uweight: Option<u32>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("golden/agent_check.json")).expect("the recording is readable")
}

impl Recorded {
    /// The line that the agent sent. `None` if the case is about the connection.
    fn bytes(&self) -> Option<Vec<u8>> {
        let script = self.reply.starts_with('#') && !self.reply.ends_with('\n');
        let text = match &*self.reply {
            "#split" => "up 60%\n".to_owned(),
            "#hold-up-no-newline" => "up 60%".to_owned(),
            _ if script => return None,
            reply => filled(reply),
        };
        let bytes: Vec<u8> = text.chars().map(|byte| byte as u32 as u8).collect();
        if let (Some(length), false) = (self.reply_len, script) {
            assert_eq!(bytes.len(), length, "{:?}", self.reply);
        }
        Some(bytes)
    }

    fn parse(&self) -> Option<Result<AgentReply, IncompleteLine>> {
        self.bytes().map(|bytes| AgentReply::parse(&bytes))
    }

    fn check_state(&self, state: &AgentState, up: &str) {
        let reply = &self.reply;
        let (status, flags, running) = match (state.admin, state.health) {
            (AgentAdmin::Maintenance, _) => ("MAINT", vec!["FORCED_MAINT"], false),
            (AgentAdmin::Drain, AgentHealth::Down) => ("DOWN (agent)", vec!["FORCED_DRAIN"], false),
            (AgentAdmin::Ready, AgentHealth::Down) => ("DOWN (agent)", vec![], false),
            (AgentAdmin::Drain, AgentHealth::Up) => ("DRAIN (agent)", vec!["FORCED_DRAIN"], true),
            (AgentAdmin::Ready, AgentHealth::Up) => (up, vec![], true),
            other => panic!("{other:?} after {reply:?} is not in the recording"),
        };
        assert_eq!(self.status, status, "status after {reply:?}");
        assert_eq!(self.admin_state, flags, "flags after {reply:?}");
        assert_eq!(self.op_state, if running { "RUNNING" } else { "STOPPED" }, "state after {reply:?}");
        let slim = state.max_in_flight(LIMIT).map(|limit| limit.to_string()).unwrap_or_default();
        assert_eq!(self.slim, slim, "limit after {reply:?}");
        if let Some(weight) = self.uweight {
            assert_eq!(weight, state.weight(WEIGHT), "weight after {reply:?}");
        } else if state.admin != AgentAdmin::Maintenance {
            assert_eq!(self.weight, state.weight(WEIGHT).to_string(), "weight after {reply:?}");
        }
        if let Some(health) = &self.agent_health {
            assert_eq!(health, if state.health == AgentHealth::Up { "1" } else { "0" }, "health after {reply:?}");
        }
    }

    fn check_reply(&self, parsed: &Option<Result<AgentReply, IncompleteLine>>) {
        let Some(Ok(reply)) = parsed else {
            assert!(!["L7OK", "L7STS", "CHECKED"].contains(&&*self.agent_status), "{:?} is no reply", self.reply);
            return;
        };
        let status = match reply.health {
            Some(AgentHealth::Up) => "L7OK",
            Some(AgentHealth::Down) => "L7STS",
            Some(other) => panic!("{other:?} after {:?} is not in the recording", self.reply),
            None => "CHECKED",
        };
        assert_eq!(self.agent_status, status, "{:?}", self.reply);
        if let Some(text) = &self.last_agt {
            // Some of HAProxy's warnings end with a line end, which is dropped here.
            assert_eq!(text.replace('\n', ""), reply.text, "{:?}", self.reply);
        }
    }
}

/// `aaa<1941 bytes left out>a`, with what was left out.
fn filled(reply: &str) -> String {
    const NOTE: &str = " bytes left out>";
    let Some((before, rest)) = reply.split_once('<').filter(|(_, rest)| rest.contains(NOTE)) else {
        return reply.to_owned();
    };
    let (count, after) = rest.split_once(NOTE).expect("looked for above");
    let byte = before.chars().last().expect("a run before the note").to_string();
    [before, &byte.repeat(count.parse().expect("a number")), after].concat()
}

fn follow(recorded: &[Recorded], up: &str) {
    let mut state = AgentState::default();
    for step in recorded {
        let parsed = step.parse();
        step.check_reply(&parsed);
        if let Some(Ok(reply)) = &parsed {
            state.apply(reply);
        }
        step.check_state(&state, up);
    }
}

#[test]
fn every_recorded_reply_leaves_what_it_left_in_haproxy() {
    for recorded in golden().words {
        follow(&[recorded], "UP");
    }
}

#[test]
fn every_recorded_sequence_goes_as_it_went_in_haproxy() {
    for sequence in golden().sequences {
        follow(&sequence, "UP");
    }
}

#[test]
fn what_was_recorded_later_goes_as_it_went_in_haproxy() {
    let more: More = serde_json::from_str(include_str!("golden/agent_more.json")).expect("the recording is readable");
    for sequence in more.sequences {
        follow(&sequence, "UP");
    }
}

#[test]
fn without_a_health_check_the_agent_decides_alone() {
    for recorded in golden().without_health_check {
        follow(&[recorded], "no check");
    }
}
