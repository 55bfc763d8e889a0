//! Whatever a configuration file contains, the gateway accepts it, or refuses it with the file and a line of it.

#![no_main]
#![allow(dead_code, reason = "the gateway uses more of it")]

#[path = "../../examples/gateway/admin/mod.rs"]
mod admin;
#[path = "../../examples/gateway/affinity.rs"]
mod affinity;
#[path = "../../examples/gateway/attempts.rs"]
mod attempts;
#[path = "../../examples/gateway/backend.rs"]
mod backend;
#[path = "../../examples/gateway/client.rs"]
mod client;
#[path = "../../examples/gateway/conditions.rs"]
mod conditions;
#[path = "../../examples/gateway/config/mod.rs"]
mod config;
#[path = "../../examples/gateway/connections.rs"]
mod connections;
#[path = "../../examples/gateway/context.rs"]
mod context;
#[path = "../../examples/gateway/forward.rs"]
mod forward;
#[path = "../../examples/gateway/front.rs"]
mod front;
#[path = "../../examples/gateway/functions/mod.rs"]
mod functions;
#[path = "../../examples/gateway/gateway.rs"]
mod gateway;
#[path = "../../examples/gateway/limits.rs"]
mod limits;
#[path = "../../examples/gateway/listening.rs"]
mod listening;
#[path = "../../examples/gateway/log.rs"]
mod log;
#[path = "../../examples/gateway/plan.rs"]
mod plan;
#[path = "../../examples/gateway/proxies.rs"]
mod proxies;
#[path = "../../examples/gateway/routes.rs"]
mod routes;
#[path = "../../examples/gateway/secrets.rs"]
mod secrets;
#[path = "../../examples/gateway/serving.rs"]
mod serving;
#[path = "../../examples/gateway/site.rs"]
mod site;
#[path = "../../examples/gateway/sni.rs"]
mod sni;
#[path = "../../examples/gateway/source.rs"]
mod source;
#[path = "../../examples/gateway/tcp.rs"]
mod tcp;
#[path = "../../examples/gateway/tls.rs"]
mod tls;
#[path = "../../examples/gateway/udp.rs"]
mod udp;
#[path = "../../examples/gateway/users.rs"]
mod users;

use std::{fs, process};

use libfuzzer_sys::fuzz_target;
use tokio::runtime::Builder;

use crate::gateway::{Checked, Gateway};

fuzz_target!(|text: &str| {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let file = std::env::temp_dir().join(format!("equipoise-fuzz-{}.toml", process::id()));
    fs::write(&file, text).unwrap();
    let Err(error) = Checked::read(&file, &Gateway::new(false)) else { return };
    let message = error.to_string();
    let place = message.strip_prefix(&format!("{}:", file.display())).expect("the file");
    let (line, what) = place.split_once(": ").expect("a line and a message");
    let lines = text.split('\n').count();
    assert!((1..=lines).contains(&line.parse().expect("a number")) && !what.is_empty(), "{message}");
});
