//! curl with a cookie file.

use std::{
    env, fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use equipoise_tests::program;
use tokio::task::spawn_blocking;

use crate::{
    modes::{Kind, Site},
    proxy::Proxy,
    setup::Servers,
};

/// curl with its own cookie file, which is deleted on drop.
struct Curl {
    program: PathBuf,
    jar: PathBuf,
}

impl Curl {
    /// Returns `None` and prints a message if curl is not installed.
    fn found() -> Option<Self> {
        let program = program("curl", "curl")?;
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let jar = format!("equipoise-jar-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Some(Self { program, jar: env::temp_dir().join(jar) })
    }

    /// Sends this number of requests. Returns servers and statuses of the responses, without consecutive duplicates.
    async fn ask(&self, proxy: &Proxy, times: usize) -> Vec<String> {
        let url = format!("{}/[1-{times}]", proxy.url());
        let mut command = Command::new(&self.program);
        command.args(["--silent", "--noproxy", "*", "--write-out", " %{http_code}\\n"]);
        command.arg("--cookie").arg(&self.jar).arg("--cookie-jar").arg(&self.jar).arg(url);
        // On another thread than the servers.
        let output = spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let mut answers: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
        assert_eq!(answers.len(), times);
        answers.dedup();
        answers
    }

    /// Begins a session that is not at the first server, where requests could arrive by chance.
    async fn begin(&self, site: &Site) -> String {
        Kind::Cookie.begin(&Kind::Cookie.visitor(""), site).await;
        let first = self.ask(&site.proxy, 1).await;
        assert_eq!(first, ["b 200"]);
        first[0].clone()
    }
}

impl Drop for Curl {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.jar);
    }
}

#[tokio::test]
async fn curl_keeps_its_server_through_a_thousand_requests_while_others_come_and_go() {
    let Some(curl) = Curl::found() else { return };
    let servers = Servers::start(["a", "b", "c", "d"]);
    let site = Kind::Cookie.site(&servers).await;
    let bound = curl.begin(&site).await;
    for members in [&["a", "b", "c", "d"][..], &["d", "c", "b"], &["b"], &["a", "b"]] {
        site.pool.update(members.iter().map(|name| servers.spec(name)), |_| ()).unwrap();
        assert_eq!(curl.ask(&site.proxy, 250).await, [bound.as_str()]);
    }
    assert_eq!(site.affinity.stats().kept, 1000);
}

#[tokio::test]
async fn curl_keeps_its_server_through_a_restart_of_the_balancer() {
    let Some(curl) = Curl::found() else { return };
    let servers = Servers::start(["a", "b", "c"]);
    let site = Kind::Cookie.site(&servers).await;
    let bound = curl.begin(&site).await;
    assert_eq!(curl.ask(&site.proxy, 100).await, [bound.as_str()]);
    let port = site.proxy.stop().await;
    let site = Kind::Cookie.site_on(port, &servers).await;
    assert_eq!(curl.ask(&site.proxy, 100).await, [bound]);
}

#[tokio::test]
async fn curl_keeps_its_server_across_two_balancers() {
    let Some(curl) = Curl::found() else { return };
    let servers = Servers::start(["a", "b", "c"]);
    let (one, other) = (Kind::Cookie.site(&servers).await, Kind::Cookie.site(&servers).await);
    let bound = curl.begin(&one).await;
    for _ in 0..3 {
        assert_eq!(curl.ask(&other.proxy, 50).await, [bound.as_str()]);
        assert_eq!(curl.ask(&one.proxy, 50).await, [bound.as_str()]);
    }
}
