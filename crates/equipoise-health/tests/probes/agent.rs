use equipoise_health::{
    agent::{AgentReply, AgentState},
    probe::{AgentProbe, OnTimeout, Probe, ProbeError, ProbeOutcome},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{droning, probe_once, refusing_address, reset, saying, serve, until_closed, waits_until_dropped};

async fn asked(agent: &AgentProbe, address: impl ToString) -> ProbeOutcome {
    probe_once(agent, address).await.expect("an agent never fails")
}

#[tokio::test]
async fn its_line_is_read_even_in_pieces_and_the_connection_need_not_end() {
    let address = serve(|mut stream| async move {
        let mut hello = [0; 9];
        stream.read_exact(&mut hello).await.expect("nine bytes");
        assert_eq!(&hello, b"hello s1\n");
        for piece in ["up 6", "0%", "\n"] {
            stream.write_all(piece.as_bytes()).await.expect("the probe reads on");
            tokio::task::yield_now().await;
        }
        until_closed(stream).await;
    })
    .await;
    let ProbeOutcome::Agent(reply) = asked(&AgentProbe::new().send("hello s1\n"), address).await else {
        panic!("it was silent")
    };
    assert_eq!(reply.weight_percent, Some(60));
}

#[tokio::test]
async fn what_follows_the_first_line_is_ignored() {
    let answer = asked(&AgentProbe::new(), saying("up\r\ndown\n").await).await;
    assert_eq!(answer, ProbeOutcome::Agent(AgentReply::parse(b"up\n").unwrap()));
}

#[tokio::test]
async fn an_incomplete_line_says_nothing() {
    for line in [&b"up 60%"[..], b"", b"up\0\n"] {
        let answer = asked(&AgentProbe::new(), saying(line).await).await;
        assert!(matches!(answer, ProbeOutcome::Inconclusive(ProbeError::Unexpected(_))), "{line:?}: {answer:?}");
    }
}

#[tokio::test]
async fn a_line_without_end_is_read_no_further_than_haproxy_would() {
    let answer = asked(&AgentProbe::new(), droning(b"", b"up ").await).await;
    assert!(matches!(answer, ProbeOutcome::Inconclusive(ProbeError::Unexpected(_))), "{answer:?}");
    for (blanks, fits) in [(16_380, true), (16_381, false)] {
        let line = [vec![b' '; blanks], b"20%\n".to_vec()].concat();
        let answer = asked(&AgentProbe::new(), saying(line).await).await;
        assert_eq!(matches!(answer, ProbeOutcome::Agent(_)), fits, "{answer:?}");
    }
}

#[tokio::test]
async fn garbage_is_a_reply_that_changes_nothing() {
    let ProbeOutcome::Agent(reply) = asked(&AgentProbe::new(), saying("\x16\x03\x01 what\n").await).await else {
        panic!("silent")
    };
    let mut state = AgentState::default();
    state.apply(&reply);
    assert_eq!(state, AgentState::default());
    assert!(reply.unknown_word.is_some());
}

#[tokio::test]
async fn an_agent_that_cannot_be_reached_or_is_too_slow_says_nothing() {
    assert!(matches!(
        asked(&AgentProbe::new(), refusing_address()).await,
        ProbeOutcome::Inconclusive(ProbeError::Connect(_))
    ));
    assert!(matches!(
        asked(&AgentProbe::new(), "nowhere").await,
        ProbeOutcome::Inconclusive(ProbeError::Address { .. })
    ));
    assert!(matches!(reset(&AgentProbe::new()).await, Ok(ProbeOutcome::Inconclusive(ProbeError::Failed(_)))));
    waits_until_dropped(&AgentProbe::new()).await;
    assert_eq!(AgentProbe::new().on_timeout(), OnTimeout::Ignore);
}
