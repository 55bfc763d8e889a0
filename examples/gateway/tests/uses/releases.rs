//! Releases: a canary, and blue and green.

use std::{fs, process::Command};

use tokio::sync::Notify;

use super::{start, with};
use crate::{backend::Backend, client::soon, process::Folder};

#[tokio::test]
async fn a_canary_gets_its_part_of_the_requests_and_those_of_testers() {
    let backends = ["stable", "stable", "canary"].map(Backend::start);
    let addresses = backends.each_ref().map(Backend::address);
    let (folder, config) = (Folder::new(), include_str!("../../uses/canary.toml"));
    let mut gateway = start(&folder, config, &addresses).await;
    let mut client = gateway.connect(0).await;
    for _ in 0..20 {
        assert_eq!(client.request("GET /", "x-canary: always\r\n").await.unwrap().body, "canary");
        assert_eq!(client.request("GET /", "x-canary: never\r\n").await.unwrap().body, "stable");
    }
    // Of 2 000 requests, about 100 are for the canary. 40 and 160 are more than six standard deviations away.
    let mut canary = 0;
    for _ in 0..2000 {
        let answer = client.get("/").await;
        canary += usize::from(answer.body == "canary");
        assert!(answer.header("x-served-by").unwrap().starts_with(&answer.body));
    }
    assert!((40..=160).contains(&canary), "{canary}");
    // All requests, on the same connection.
    let all = config.replace("weight = 95", "weight = 0").replace("weight = 5\n", "weight = 100\n");
    gateway.reload(&folder, &with(&all, &addresses)).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.body, "canary");
    }
}

/// Runs the command that the file says on the file itself.
fn switched_by_its_command(folder: &Folder, config: &str) -> String {
    let line = config.lines().find_map(|line| line.strip_prefix("#   sed ")).unwrap();
    let (options, _) = line.rsplit_once(' ').unwrap();
    let file = folder.path().join("switched.toml");
    fs::write(&file, config).unwrap();
    let script = format!("sed {options} \"$1\"");
    assert!(Command::new("sh").args(["-c", &script, "sh"]).arg(&file).status().unwrap().success());
    fs::read_to_string(file).unwrap()
}

#[tokio::test]
async fn a_switch_from_blue_to_green_finishes_what_has_begun() {
    static GO: Notify = Notify::const_new();
    let blue = [(); 2].map(|()| {
        Backend::answering(|head| async move {
            if head.starts_with("GET /slow") {
                GO.notified().await;
            }
            "blue".to_owned()
        })
    });
    let green = ["green", "green"].map(Backend::start);
    let addresses = [blue[0].address(), blue[1].address(), green[0].address(), green[1].address()];
    let (folder, config) = (Folder::new(), include_str!("../../uses/blue-green.toml"));
    let mut gateway = start(&folder, config, &addresses).await;
    let (mut client, mut slow) = (gateway.connect(0).await, gateway.connect(0).await);
    assert_eq!(client.get("/").await.body, "blue");
    assert_eq!(client.request("GET /", "x-try: green\r\n").await.unwrap().body, "green");
    // The checks of the pools are requests, too.
    let served = || blue.iter().map(Backend::served).sum::<usize>();
    let before = served();
    slow.send("GET /slow", "").await.unwrap();
    soon(async {
        while served() == before {
            tokio::task::yield_now().await;
        }
    })
    .await;
    gateway.reload(&folder, &with(&switched_by_its_command(&folder, config), &addresses)).await;
    for _ in 0..10 {
        assert_eq!(client.get("/").await.body, "green");
    }
    assert_eq!(client.request("GET /", "x-try: blue\r\n").await.unwrap().body, "blue");
    GO.notify_one();
    assert_eq!(slow.answer().await.unwrap().body, "blue");
    assert_eq!(slow.get("/").await.body, "green");
}
