//! Replays transcripts of HAProxy from the socket of a client to those of the backends. `golden/README.md` of
//! `equipoise-affinity` describes how they were recorded.

use std::{collections::HashMap, sync::Arc};

use equipoise::{
    Availability, EndpointSpec, Pool, RoundRobin,
    affinity::{Affinity, EndpointNaming, Mode, cookie::CookieValue},
};
use equipoise_tests::{Peer, Reserved, Scripted, soon};
use http::{HeaderMap, StatusCode, header};
use parking_lot::Mutex;
use serde_json::Value;

use crate::{
    clients::{get_with, send},
    proxy::Proxy,
    recorded::{backend_answer, cookie, head, lines, servers, strings, transcripts},
};

/// The port without a listener.
const NOBODY: &str = "127.0.0.1:18699";

/// The next response of the backends, and the requests that they got: the server and the raw head.
#[derive(Default)]
struct Script {
    answer: String,
    got: Vec<(String, String)>,
}

/// The proxy and the backends of a transcript.
struct World {
    proxy: Proxy,
    pool: Pool<()>,
    script: Arc<Mutex<Script>>,
    /// The recorded dynamic cookie value of each server, and the value for its port in this test.
    dynamic: HashMap<String, String>,
    _backends: Vec<Scripted>,
    _refusing: Option<Reserved>,
}

impl World {
    fn new(config: &[String]) -> Self {
        let script = Arc::<Mutex<Script>>::default();
        let values = servers(config);
        let (mut specs, mut backends, mut refusing) = (Vec::new(), Vec::new(), None);
        for (name, _) in &values {
            let line = config.iter().find(|line| line.starts_with(&format!("server {name} "))).unwrap();
            let address = if line.contains(NOBODY) {
                refusing.get_or_insert_with(|| Reserved::new().unwrap()).address()
            } else {
                backends.push(backend(name, &script));
                backends.last().unwrap().address()
            };
            specs.push((EndpointSpec::new(address).with_id(name), line.contains(NOBODY) && line.contains(" check ")));
        }
        let pool = Pool::new(RoundRobin::new());
        pool.update(specs.iter().map(|(spec, _)| spec.clone()), |_| ()).unwrap();
        for (spec, _) in specs.iter().filter(|(_, down)| *down) {
            pool.set_availability(spec.id().clone(), Availability::Unhealthy).unwrap();
        }

        let cookie = cookie(config.iter().find_map(|line| line.strip_prefix("cookie ")).unwrap());
        let key = config.iter().find_map(|line| line.strip_prefix("dynamic-cookie-key "));
        let mut dynamic = HashMap::new();
        let named = match key {
            Some(key) => {
                let here = |spec: &EndpointSpec| CookieValue::dynamic(key.as_bytes(), spec.address().parse().unwrap());
                let both = values.iter().zip(&specs);
                dynamic = both.map(|((_, value), (spec, _))| (value.clone(), here(spec).as_str().to_owned())).collect();
                EndpointNaming::dynamic(key)
            }
            None => EndpointNaming::named(&cookie, values.iter().map(|(name, value)| (name.as_str(), value))).unwrap(),
        };
        let mut affinity = Affinity::new(&pool, Mode::cookie(cookie, named)).unwrap();
        if config.iter().any(|line| line == "ignore-persist if { path_beg /static }") {
            affinity = affinity.except(|head| head.uri.path().starts_with("/static"));
        }
        let proxy = Proxy::start(&pool, &affinity);
        Self { proxy, pool, script, dynamic, _backends: backends, _refusing: refusing }
    }

    /// Runs a command of an operator.
    fn admin(&self, command: &str) {
        let words: Vec<_> = command.split(['/', ' ']).collect();
        let server = words[3];
        match words[4..] {
            ["state", "maint"] => drop(self.pool.set_availability(server, Availability::Maintenance).unwrap()),
            ["state", "ready"] => drop(self.pool.set_availability(server, Availability::Up).unwrap()),
            ["weight", weight] => drop(self.pool.set_weight(server, weight.parse().unwrap()).unwrap()),
            _ => panic!("an unknown command: {command}"),
        }
    }

    /// Returns the recorded lines with the values for the ports of this test.
    fn here(&self, lines: Vec<String>) -> Vec<String> {
        let here = |line: String| self.dynamic.iter().fold(line, |line, (from, to)| line.replace(from, to));
        lines.into_iter().map(here).collect()
    }
}

fn backend(name: &str, script: &Arc<Mutex<Script>>) -> Scripted {
    let (name, script) = (name.to_owned(), Arc::clone(script));
    Scripted::start(move |mut peer: Peer| {
        let (name, script) = (name.clone(), Arc::clone(&script));
        async move {
            loop {
                let raw = peer.head().await?;
                let (first, headers) = head(&raw);
                let length =
                    headers.get(header::CONTENT_LENGTH).map_or(0, |length| length.to_str().unwrap().parse().unwrap());
                let body = if first[0] == "HEAD" { "" } else { name.as_str() };
                peer.body(length).await?;
                let answer = {
                    let mut script = script.lock();
                    script.got.push((name.clone(), raw));
                    script.answer.clone() + body
                };
                peer.send(&answer).await?;
            }
        }
    })
    .unwrap()
}

/// Formats the head that a backend sends.
fn written(status: &str, headers: &HeaderMap) -> String {
    let mut head = format!("HTTP/1.1 {status} Whatever\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {}\r\n", value.to_str().unwrap());
    }
    head + "\r\n"
}

/// Replays a transcript and returns its number of steps.
async fn replay(transcript: &Value) -> usize {
    let name = transcript["name"].as_str().unwrap();
    let world = World::new(&strings(&transcript["backend_config"]));
    let mut replayed = 0;
    for (at, step) in transcript["steps"].as_array().unwrap().iter().enumerate() {
        let at = format!("{name}, step {at}");
        if let Some(command) = step["admin"].as_str() {
            world.admin(command);
            continue;
        }
        let request = step["request"].as_str().unwrap();
        let (first, expected) = head(step["response"].as_str().unwrap());
        world.script.lock().answer = written(first[1], &backend_answer(name, &expected));

        let answer = soon(send(&world.proxy.address(), request.as_bytes())).await;
        let got = std::mem::take(&mut world.script.lock().got);
        let upstream = step["upstream"].as_array().unwrap();
        let server_names = |got: &[(String, String)]| got.iter().map(|(server, _)| server.clone()).collect::<Vec<_>>();
        let asked: Vec<(String, String)> = upstream
            .iter()
            .map(|one| (one[0].as_str().unwrap().to_owned(), one[1].as_str().unwrap().to_owned()))
            .collect();
        assert_eq!(server_names(&got), server_names(&asked), "{at}");
        assert_eq!(answer.server(), asked.last().unwrap().0, "{at}");
        for ((_, got), (_, asked)) in got.iter().zip(&asked) {
            assert_eq!(head(got), head(asked), "{at}");
        }
        assert_eq!(answer.status.as_str(), first[1], "{at}");
        // The date and the header with the server are this proxy's own.
        for name in expected.keys().chain([&header::SET_COOKIE, &header::CACHE_CONTROL]) {
            assert_eq!(lines(&answer.headers, name.clone()), world.here(lines(&expected, name.clone())), "{at}");
        }
        replayed += 1;
    }
    replayed
}

#[tokio::test]
async fn every_recorded_transcript_gives_the_same_result_through_a_complete_proxy() {
    let mut replayed = 0;
    for transcript in &transcripts() {
        replayed += replay(transcript).await;
    }
    // No transcript is left out. Only the values of `dynamic` differ, because ports differ.
    assert_eq!(replayed, 76);
}

#[tokio::test]
async fn a_dynamic_value_names_its_server() {
    let transcripts = transcripts();
    let dynamic = transcripts.iter().find(|transcript| transcript["name"] == "dynamic").unwrap();
    let world = World::new(&strings(&dynamic["backend_config"]));
    world.script.lock().answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n".to_owned();
    for endpoint in world.pool.endpoints().into_iter().rev() {
        let value = CookieValue::dynamic(b"s3cr3t", endpoint.address.parse().unwrap());
        let answer = soon(get_with(&world.proxy, format!("SRV={}", value.as_str()))).await;
        assert_eq!((answer.status, answer.server(), answer.outcome()), (StatusCode::OK, endpoint.id.as_str(), "kept"));
    }
    // A value of another address.
    let answer = soon(get_with(&world.proxy, "SRV=6158df48160f17d0")).await;
    assert!(answer.outcome().starts_with("newly bound"), "{answer:?}");
}
