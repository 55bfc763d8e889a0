use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use equipoise::monitor::prometheus::Exporter;
use equipoise_tests::{Reserved, program, soon};
use serde_json::Value;
use tokio::{
    io::AsyncWriteExt,
    net::TcpListener,
    process::{Child, Command},
    time::interval,
};

/// The time between two scrapes.
const SCRAPE_INTERVAL: &str = "200ms";

/// The time between two questions to Prometheus.
const POLL: Duration = Duration::from_millis(50);

/// Serves the metrics at `/metrics`. Returns the address.
pub(crate) async fn serve(exporter: &Exporter) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let app = exporter.router();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// A Prometheus server with its own data. It is killed when the value is dropped.
pub(crate) struct Prometheus {
    address: String,
    client: reqwest::Client,
    _child: Child,
    _data: Data,
}

/// A series and its value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sample {
    pub(crate) labels: serde_json::Map<String, Value>,
    pub(crate) value: f64,
}

impl Sample {
    /// Returns the value of a label. Empty if the series does not have it.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

impl Prometheus {
    /// Starts Prometheus, which scrapes a target as the job `equipoise`. Returns once it has the first scrape. `None` if
    /// Prometheus is not installed.
    pub(crate) async fn scraping(target: &str) -> Option<Self> {
        let prometheus = program("prometheus", "prometheus")?;
        let (port, data) = (Reserved::new().expect("a free port"), Data::new());
        let configuration = format!(
            "global: {{ scrape_interval: {SCRAPE_INTERVAL}, scrape_timeout: {SCRAPE_INTERVAL} }}
scrape_configs: [{{ job_name: equipoise, static_configs: [{{ targets: ['{target}'] }}] }}]\n"
        );
        let file = data.0.join("prometheus.yml");
        fs::write(&file, configuration).expect("a file");
        let mut command = Command::new(prometheus);
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", data.0.join("data").display()))
            .arg(format!("--web.listen-address={}", port.address()))
            .args(["--enable-feature=exemplar-storage", "--log.level=error"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let child = command.spawn().expect("a program that can be started");
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let prometheus = Self { address: port.address(), client, _child: child, _data: data };
        prometheus.until("up{job=\"equipoise\"}", |samples| samples.iter().any(|sample| sample.value == 1.0)).await;
        Some(prometheus)
    }

    /// Asks again and again until the result of a query is as expected, and returns it.
    pub(crate) async fn until(&self, query: &str, is_expected: impl Fn(&[Sample]) -> bool) -> Vec<Sample> {
        let mut tick = interval(POLL);
        soon(async {
            loop {
                tick.tick().await;
                // Prometheus may not have started yet.
                match self.ask("query", query, None).await {
                    Ok(data) if is_expected(&samples(&data)) => return samples(&data),
                    _ => {}
                }
            }
        })
        .await
    }

    /// Returns the result of a query at a time in seconds since 1970.
    ///
    /// # Panics
    ///
    /// Prometheus refuses the query.
    pub(crate) async fn query(&self, query: &str, at: f64) -> Vec<Sample> {
        samples(&self.ask("query", query, Some(at)).await.unwrap_or_else(|error| panic!("{query}: {error}")))
    }

    /// Returns the exemplars of the series that a query selects.
    pub(crate) async fn exemplars(&self, query: &str) -> Value {
        self.ask("query_exemplars", query, None).await.unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    async fn ask(&self, api: &str, query: &str, at: Option<f64>) -> Result<Value, String> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("query", query);
        if let Some(at) = at {
            form.append_pair("time", &format!("{at:.3}"));
        }
        let request = self
            .client
            .post(format!("http://{}/api/v1/{api}", self.address))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form.finish());
        let response = request.send().await.map_err(|error| error.to_string())?;
        let text = response.text().await.map_err(|error| error.to_string())?;
        let mut answer: Value = serde_json::from_str(&text).map_err(|error| format!("{error}: {text}"))?;
        if answer["status"] == "success" { Ok(answer["data"].take()) } else { Err(answer["error"].to_string()) }
    }
}

fn samples(data: &Value) -> Vec<Sample> {
    let sample = |series: &Value| Sample {
        labels: series["metric"].as_object().cloned().unwrap_or_default(),
        value: series["value"][1].as_str().and_then(|value| value.parse().ok()).unwrap_or(f64::NAN),
    };
    data["result"].as_array().into_iter().flatten().map(sample).collect()
}

/// Runs `promtool` with arguments and a text as its input. Returns what it has printed, as an error if it complains.
/// `None` if it is not installed.
pub(crate) async fn promtool(folder: &Path, arguments: &[&str], input: &str) -> Option<Result<String, String>> {
    let mut command = Command::new(program("promtool", "prometheus")?);
    command.args(arguments).current_dir(folder).kill_on_drop(true);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a program that can be started");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    // Some commands of promtool read no input.
    let writing = tokio::spawn(async move { stdin.write_all(input.as_bytes()).await });
    let output = soon(child.wait_with_output()).await.expect("its output");
    let _ = writing.await;
    let mut text = String::new();
    for part in [&output.stdout, &output.stderr] {
        let _ = write!(text, "{}", String::from_utf8_lossy(part));
    }
    Some(if output.status.success() { Ok(text) } else { Err(text) })
}

/// A folder for the data of Prometheus, which is removed when the value is dropped.
struct Data(PathBuf);

impl Data {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("equipoise-prometheus-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = env::temp_dir().join(name);
        fs::create_dir_all(&folder).expect("a folder for temporary files");
        Self(folder)
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
