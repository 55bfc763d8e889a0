use std::{
    env, fs,
    path::PathBuf,
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element, wd::TimeoutConfiguration};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::{Semaphore, SemaphorePermit},
};

use crate::{program, soon};

/// Browsers need much memory and time, so that few of them run at the same time.
static BROWSERS: Semaphore = Semaphore::const_new(2);

/// A Chromium without a window, with a profile of its own. It ends when the value is dropped.
pub struct Browser {
    client: Client,
    /// What the scripts of a test can use.
    functions: &'static str,
    /// The session's URL in chromedriver.
    session: String,
    driver: Child,
    profile: PathBuf,
    _permit: SemaphorePermit<'static>,
}

#[expect(clippy::missing_panics_doc, reason = "a browser that does not do what it is told fails the test")]
impl Browser {
    /// Starts Chromium. Each script begins with `functions`. `None` if it or chromedriver is not installed.
    pub async fn start(functions: &'static str) -> Option<Self> {
        let chromedriver = program("chromedriver", "chromium-driver")?;
        let chromium = program("chromium", "chromium")?;
        let permit = BROWSERS.acquire().await.expect("it is never closed");
        let mut driver = Command::new(chromedriver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a program that can be started");
        let url = format!("http://127.0.0.1:{}", port(&mut driver).await);
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("equipoise-browser-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let profile = env::temp_dir().join(name);
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--hide-scrollbars",
            "--window-size=1500,1000",
            // No other name can be resolved. The browser itself looks for updates otherwise.
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
            &format!("--user-data-dir={}", profile.display()),
        ];
        let capabilities = json!({
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "goog:chromeOptions": { "binary": chromium, "args": arguments },
        });
        let Value::Object(capabilities) = capabilities else { unreachable!("an object") };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = soon(builder.capabilities(capabilities).connect(&url)).await.expect("a session");
        let timeouts = TimeoutConfiguration::new(Some(Duration::from_secs(60)), None, None);
        client.update_timeouts(timeouts).await.expect("timeouts");
        let id = client.session_id().await.expect("a session").expect("an id");
        Some(Self { client, functions, session: format!("{url}/session/{id}"), driver, profile, _permit: permit })
    }

    /// Opens a page.
    pub async fn go(&self, url: &str) {
        self.client.goto(url).await.expect("the page");
    }

    /// Runs the body of a function in the page, and returns its result.
    pub async fn run(&self, script: &str) -> Value {
        let script = format!("{} {script}", self.functions);
        self.client.execute(&script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Runs the body of an asynchronous function in the page, and returns its result.
    pub async fn run_async(&self, script: &str) -> Value {
        let script = format!(
            "{} const done = arguments[arguments.length - 1];
             (async () => {{ {script} }})().then(done, (error) => done(String(error)));",
            self.functions
        );
        self.client.execute_async(&script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until an expression is true. It is looked at after each change of the document.
    pub async fn until(&self, condition: &str) -> Value {
        let script = format!(
            "return new Promise((resolve) => {{
                 const check = () => ({condition});
                 const first = check();
                 if (first) return resolve(first);
                 const observer = new MutationObserver(() => {{
                     const value = check();
                     if (value) {{ observer.disconnect(); resolve(value); }}
                 }});
                 const all = {{ subtree: true, childList: true, attributes: true, characterData: true }};
                 observer.observe(document, all);
             }});"
        );
        self.run_async(&script).await
    }

    /// Returns the first element that a CSS selector matches.
    pub async fn find(&self, selector: &str) -> Element {
        let found = self.client.find(Locator::Css(selector)).await;
        found.unwrap_or_else(|error| panic!("{selector}: {error}"))
    }

    /// Clicks the first element that a CSS selector matches. If this opens another page, waits for it.
    pub async fn click(&self, selector: &str) {
        let clicked = self.find(selector).await.click().await;
        clicked.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Presses keys, in whatever has the focus.
    pub async fn press(&self, keys: &str) {
        let focused = self.client.active_element().await.expect("an element");
        focused.send_keys(keys).await.expect("keys");
    }

    /// Presses keys in an element.
    pub async fn enter(&self, selector: &str, keys: &str) {
        self.find(selector).await.send_keys(keys).await.expect("keys");
    }

    /// Sends a command of the protocol of Chromium's developer tools.
    pub async fn devtools(&self, command: &str, parameters: Value) -> Value {
        self.command("goog/cdp/execute", json!({ "cmd": command, "params": parameters })).await
    }

    /// Shows the page in a window of this size, with a colour scheme.
    pub async fn look(&self, (width, height): (u32, u32), scale: u32, scheme: &str) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": scale, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Returns a picture of the page, as PNG.
    pub async fn screenshot(&self) -> Vec<u8> {
        self.client.screenshot().await.expect("a picture")
    }

    /// Returns the messages in the console since the last call: errors of scripts, and what the content security policy
    /// has refused.
    pub async fn console(&self) -> Vec<String> {
        let log = self.command("se/log", json!({ "type": "browser" })).await;
        let entries = log.as_array().expect("entries").iter();
        entries.map(|entry| entry["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Returns the URLs that the pages have requested since the last call.
    pub async fn requested(&self) -> Vec<String> {
        let log = self.command("se/log", json!({ "type": "performance" })).await;
        let mut urls = Vec::new();
        for entry in log.as_array().expect("entries") {
            let message: Value = serde_json::from_str(entry["message"].as_str().expect("text")).expect("JSON");
            let message = &message["message"];
            let url = match message["method"].as_str() {
                Some("Network.requestWillBeSent") => &message["params"]["request"]["url"],
                Some("Network.webSocketCreated") => &message["params"]["url"],
                _ => continue,
            };
            urls.push(url.as_str().expect("a URL").to_owned());
        }
        urls
    }

    /// Ends the browser. Fails if the page has written to the console, or has requested anything of another origin.
    pub async fn close(self, origin: &str) {
        assert_eq!(self.console().await, [""; 0], "the console");
        let requested = self.requested().await;
        assert!(requested.iter().any(|url| url.starts_with(origin)), "{requested:?}");
        // Chromium opens a page of its own at first.
        let is_own = |url: &String| url.starts_with(origin) || url.starts_with("chrome:") || url.starts_with("data:");
        let foreign: Vec<_> = requested.iter().filter(|url| !is_own(url)).collect();
        assert!(foreign.is_empty(), "requests that leave the page's origin: {foreign:?}");
        self.end().await;
    }

    /// Ends the browser without a look at what it has done.
    pub async fn end(self) {
        let _ = self.client.clone().close().await;
    }

    async fn command(&self, command: &str, body: Value) -> Value {
        let request = reqwest::Client::new().post(format!("{}/{command}", self.session)).body(body.to_string());
        let text = soon(async { request.send().await?.text().await }).await.expect("an answer");
        let mut answer: Value = serde_json::from_str(&text).expect("JSON");
        assert!(answer["value"]["error"].is_null(), "{command}: {answer}");
        answer["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium is in the process group of its driver. It would live on without it.
        if let Some(group) = self.driver.id() {
            let _ = std::process::Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
        }
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// Reads the port that chromedriver has chosen.
async fn port(driver: &mut Child) -> String {
    let mut lines = BufReader::new(driver.stdout.take().expect("a pipe")).lines();
    let port = soon(async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if let Some((_, port)) = line.split_once("successfully on port ") {
                return port.trim_end_matches('.').to_owned();
            }
        }
        panic!("chromedriver has ended without a port");
    })
    .await;
    // Chromedriver fails if it cannot write what it prints.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    port
}
