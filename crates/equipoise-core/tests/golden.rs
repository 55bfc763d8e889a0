//! Compares picks with picks that were recorded from other programs. See `golden/README.md`.
#![cfg(not(loom))]

use equipoise_core::{EndpointSpec, PickRequest, Pool, RoundRobin, Tier};
use serde::Deserialize;

#[derive(Deserialize)]
struct Recording {
    sets: Vec<Set>,
}

#[derive(Deserialize)]
struct Set {
    name: String,
    servers: Vec<Server>,
    picks: Vec<usize>,
}

#[derive(Deserialize)]
struct Server {
    server: String,
    weight: u32,
    flags: Option<String>,
}

impl Server {
    fn spec(&self) -> EndpointSpec {
        let spec = EndpointSpec::new(&self.server).weight(self.weight);
        match self.flags.as_deref() {
            None => spec,
            Some("backup") => spec.tier(Tier::BACKUP),
            Some(other) => panic!("unknown server state {other:?}"),
        }
    }
}

#[test]
fn round_robin_gives_the_picks_of_nginx() {
    let recording: Recording = serde_json::from_str(include_str!("golden/nginx_swrr.json")).unwrap();
    assert_eq!(recording.sets.len(), 6);
    for set in recording.sets {
        let pool: Pool<()> = Pool::new(RoundRobin::new());
        pool.update(set.servers.iter().map(Server::spec), |_| ()).unwrap();
        let next = |_: &usize| pool.pick(&PickRequest::new()).unwrap().endpoint().slot().index();
        let picks: Vec<usize> = set.picks.iter().map(next).collect();
        assert_eq!(picks, set.picks, "{}", set.name);
    }
}
