use std::{
    convert::Infallible,
    future::{Future as _, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime},
};

use equipoise_core::{EndpointSpec, PickRequest, Pool, RoundRobin, Verdict};
use http::{
    Method, Request, Response, StatusCode,
    header::{ACCEPT, ALLOW, CONTENT_TYPE},
};
use http_body::Body as _;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, text::encode},
    metrics::counter::Counter,
    registry::Registry,
};
use tower_service::Service as _;

use super::{Exemplar, Exporter, Format, MetricsBody};
use crate::{Monitor, WatchedListener, WatchedPool, report::Reading};

/// A monitor of a pool `web` whose `n` endpoints have served one request each.
fn monitor(n: usize) -> Monitor {
    let pool = Pool::<()>::builder(RoundRobin::new()).latency_histograms(true).build();
    pool.update((0..n).map(|i| EndpointSpec::new(format!("10.0.0.{i}:80"))), |_| ()).expect("valid endpoints");
    for _ in 0..n {
        let mut lease = pool.pick(&PickRequest::new()).expect("an endpoint is up");
        lease.first_byte();
        lease.finish(Verdict::Success);
    }
    let monitor = Monitor::new();
    monitor.add_pool(WatchedPool::new("web", &pool));
    monitor
}

fn lines(text: &str, start: &str) -> Vec<String> {
    text.lines().filter(|line| line.starts_with(start)).map(ToOwned::to_owned).collect()
}

fn respond(exporter: &Exporter, method: Method, accept: &'static str) -> Response<MetricsBody> {
    let request = Request::builder().method(method).uri("/metrics").header(ACCEPT, accept).body(());
    let mut future = pin!(exporter.clone().call(request.expect("a valid request")));
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(response)) => response,
        Poll::Pending => panic!("it never waits"),
    }
}

/// Reads a body to its end. Returns its text and the number of its frames.
fn read(body: MetricsBody) -> (String, usize) {
    let mut body = pin!(body);
    let (mut text, mut frames) = (String::new(), 0);
    let mut next = || loop {
        // The body wakes its task whenever it is pending.
        let mut frame = pin!(poll_fn(|cx| body.as_mut().poll_frame(cx)));
        if let Poll::Ready(frame) = frame.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return frame;
        }
    };
    while let Some(frame) = next() {
        let Ok::<_, Infallible>(frame) = frame;
        text.push_str(std::str::from_utf8(&frame.into_data().expect("data")).expect("UTF-8"));
        frames += 1;
    }
    (text, frames)
}

#[test]
fn each_format_has_its_names_and_its_end() {
    let exporter = Exporter::new(&monitor(1));
    let classic = exporter.text(Format::Prometheus).expect("text");
    let open = exporter.text(Format::OpenMetrics).expect("text");
    let type_of = |text: &str| lines(text, "# TYPE equipoise_endpoint_attempts");
    assert_eq!(type_of(&classic), ["# TYPE equipoise_endpoint_attempts_total counter"]);
    assert_eq!(type_of(&open), ["# TYPE equipoise_endpoint_attempts counter"]);
    assert_eq!(lines(&open, "# UNIT equipoise_pool_first_byte"), ["# UNIT equipoise_pool_first_byte_seconds seconds"]);
    assert!(open.ends_with("\n# EOF\n") && open.matches("# EOF").count() == 1);
    assert!(!classic.contains("# EOF") && !classic.contains("# UNIT"));
    // Apart from comments, both say the same; the order of labels and lines differs in histograms.
    let series = |text: &str| text.lines().filter(|line| !line.starts_with('#')).count();
    assert_eq!(series(&classic), series(&open));
}

#[test]
fn no_label_value_breaks_the_text() {
    let hostile = "a\"b\\c\nd\re\u{0}f\u{1b}[31m\u{9b}g λ{}=,";
    let pool: Pool<()> = Pool::default();
    pool.add(EndpointSpec::new("a:80").with_id("\"} 1\\"), ()).expect("a valid endpoint");
    let monitor = Monitor::new();
    monitor.add_pool(WatchedPool::new(hostile, &pool));
    monitor.add_listener(WatchedListener::new(hostile, hostile).readings(|readings| {
        readings.push(Reading::gauge("open", "A help\nwith a line break.", 1));
    }));
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let text = Exporter::new(&monitor).text(format).expect("text");
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        let expected = r#"equipoise_endpoint_weight{pool="a\"b\\c\\u{a}d\\u{d}e\\u{0}f\\u{1b}[31m\\u{9b}g λ{}=,",endpoint="\"} 1\\"} 1"#;
        assert_eq!(lines(&text, "equipoise_endpoint_weight{"), [expected]);
        assert_eq!(
            lines(&text, "# HELP equipoise_listener_open"),
            ["# HELP equipoise_listener_open A help with a line break."]
        );
        assert!(text.lines().all(|line| line.starts_with("# ") || line.starts_with("equipoise_")));
    }
}

#[test]
fn buckets_are_cumulative_and_end_with_the_count() {
    let text = Exporter::new(&monitor(3)).text(Format::Prometheus).expect("text");
    let value = |line: &String| line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()).expect("a number");
    let buckets: Vec<_> = lines(&text, "equipoise_pool_first_byte_seconds_bucket{").iter().map(value).collect();
    assert_eq!(buckets.len(), 21);
    assert!(buckets.is_sorted());
    assert_eq!(buckets.last(), Some(&3));
    assert_eq!(
        lines(&text, "equipoise_pool_first_byte_seconds_count")[0],
        r#"equipoise_pool_first_byte_seconds_count{pool="web"} 3"#
    );
}

#[test]
fn an_exemplar_is_in_the_bucket_of_its_latency() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_590_000_125);
    let exporter = Exporter::new(&monitor(2)).endpoint_histograms(true).exemplars(move |pool, endpoint| {
        assert_eq!(&**pool, "web");
        let exemplar = |millis, id: &str, at| Exemplar::new(Duration::from_millis(millis), id, at);
        let later = at + Duration::from_secs(1);
        match endpoint.as_str() {
            "10.0.0.0:80" => vec![exemplar(300, "0af7651916cd43dd8448eb211c80319c", at), exemplar(3, "a\"b", at)],
            // The newest counts; an id that is empty does not.
            _ => vec![exemplar(100_000, "2", later), exemplar(99_000, "3", at), exemplar(4, "", at)],
        }
    });
    let text = exporter.text(Format::OpenMetrics).expect("text");
    let with: Vec<_> = text.lines().filter(|line| line.contains(" # {")).collect();
    let (short, long) = (
        r#"# {trace_id="0af7651916cd43dd8448eb211c80319c"} 0.3 1764590000.125"#,
        r#"# {trace_id="2"} 100 1764590001.125"#,
    );
    assert_eq!(
        with,
        [
            format!(r#"equipoise_pool_first_byte_seconds_bucket{{le="0.536870912",pool="web"}} 2 {short}"#),
            format!(r#"equipoise_pool_first_byte_seconds_bucket{{le="+Inf",pool="web"}} 2 {long}"#),
            format!(
                r#"equipoise_endpoint_first_byte_seconds_bucket{{le="0.536870912",pool="web",endpoint="10.0.0.0:80"}} 1 {short}"#
            ),
            format!(
                r#"equipoise_endpoint_first_byte_seconds_bucket{{le="+Inf",pool="web",endpoint="10.0.0.1:80"}} 1 {long}"#
            ),
        ]
    );
    let without = Exporter::new(&monitor(2)).endpoint_histograms(true).text(Format::OpenMetrics).expect("text");
    assert_eq!(text.lines().count(), without.lines().count());
    // The classic format has none.
    assert!(!exporter.text(Format::Prometheus).expect("text").contains(" # {"));
}

#[cfg(feature = "trace")]
#[test]
fn the_exemplars_of_traces_are_read_for_each_answer() {
    let exemplars = crate::trace::Exemplars::new();
    let exporter = Exporter::new(&monitor(2)).endpoint_histograms(true).traces(&exemplars);
    let with = || {
        let text = exporter.text(Format::OpenMetrics).expect("text");
        let with = text.lines().filter_map(|line| line.split_once(" # "));
        // Without the values and the times.
        let with = with.map(|(series, exemplar)| {
            let [series, id, ..] = [series, exemplar].map(|text| text.split(' ').next().unwrap_or_default());
            format!("{series} {id}")
        });
        with.collect::<Vec<_>>()
    };
    assert!(with().is_empty());
    let id = "0af7651916cd43dd8448eb211c80319c";
    for (pool, endpoint, id) in [("web", "10.0.0.1:80", id), ("other", "10.0.0.1:80", "1"), ("web", "elsewhere", "2")] {
        exemplars.record(&pool.into(), &endpoint.into(), Duration::from_millis(300), id);
    }
    let bucket = |labels: &str, of: &str| {
        format!("equipoise_{of}_first_byte_seconds_bucket{{le=\"0.536870912\",{labels}}} {{trace_id=\"{id}\"}}")
    };
    let endpoint = bucket("pool=\"web\",endpoint=\"10.0.0.1:80\"", "endpoint");
    assert_eq!(with(), [bucket("pool=\"web\"", "pool"), endpoint]);
}

#[test]
fn the_body_has_the_same_text_in_frames_of_limited_size() {
    let exporter = Exporter::new(&monitor(200));
    let response = respond(&exporter, Method::GET, "*/*");
    assert_eq!(response.headers()[CONTENT_TYPE], "text/plain; version=0.0.4; charset=utf-8");
    let (text, frames) = read(response.into_body());
    assert_eq!(text, exporter.text(Format::Prometheus).expect("text"));
    assert!(frames > 1, "{frames} frames");

    let response = respond(&exporter, Method::GET, "application/openmetrics-text; version=1.0.0");
    assert_eq!(response.headers()[CONTENT_TYPE], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert_eq!(read(response.into_body()).0, exporter.text(Format::OpenMetrics).expect("text"));
}

#[test]
fn a_head_request_gets_the_same_head_and_other_methods_405() {
    let exporter = Exporter::new(&monitor(1));
    let response = respond(&exporter, Method::HEAD, "application/openmetrics-text");
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[CONTENT_TYPE], Format::OpenMetrics.content_type());
    assert_eq!(read(response.into_body()).0, "");
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::CONNECT] {
        let response = respond(&exporter, method, "*/*");
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[ALLOW], "GET, HEAD");
        assert!(response.body().size_hint().exact().is_some_and(|length| length > 0));
    }
}

#[test]
fn an_answer_that_nobody_reads_to_its_end_harms_nothing() {
    let exporter = Exporter::new(&monitor(200));
    let before = exporter.text(Format::Prometheus).expect("text");
    let mut body = pin!(respond(&exporter, Method::GET, "*/*").into_body());
    assert!(body.as_mut().poll_frame(&mut Context::from_waker(Waker::noop())).is_ready());
    drop(respond(&exporter, Method::GET, "*/*"));
    assert_eq!(exporter.text(Format::Prometheus).expect("text"), before);
}

#[test]
fn an_answer_is_of_one_moment() {
    let pool: Pool<()> = Pool::default();
    pool.update((0..500).map(|i| EndpointSpec::new(format!("10.0.0.{i}:80"))), |_| ()).expect("valid endpoints");
    let monitor = Monitor::new();
    monitor.add_pool(WatchedPool::new("web", &pool));
    let exporter = Exporter::new(&monitor);
    let expected = exporter.text(Format::Prometheus).expect("text");
    let response = respond(&exporter, Method::GET, "*/*");
    // Everything changes while the answer is read.
    for endpoint in pool.endpoints() {
        pool.remove(&endpoint.id).expect("a known endpoint");
    }
    assert_eq!(read(response.into_body()).0, expected);
}

#[test]
fn metrics_of_the_application_are_in_the_same_answer() {
    let mut registry = Registry::default();
    let counter = Counter::<u64>::default();
    registry.register("orders", "Orders", counter.clone());
    counter.inc();
    let exporter = Exporter::new(&monitor(1)).registry(registry);
    counter.inc();
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let text = exporter.text(format).expect("text");
        assert_eq!(lines(&text, "orders"), ["orders_total 2"]);
        assert_eq!(lines(&text, "equipoise_pool_in_flight"), [r#"equipoise_pool_in_flight{pool="web"} 0"#]);
    }
}

#[test]
fn metrics_of_the_application_that_fail_are_a_server_error() {
    #[derive(Debug)]
    struct Failing(bool);

    impl Collector for Failing {
        fn encode(&self, _: DescriptorEncoder<'_>) -> std::fmt::Result {
            assert!(!self.0, "it panics");
            Err(std::fmt::Error)
        }
    }

    for panics in [false, true] {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Failing(panics)));
        let exporter = Exporter::new(&monitor(1)).registry(registry);
        assert_eq!(respond(&exporter, Method::GET, "*/*").status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(exporter.text(Format::Prometheus).is_err());
    }
}

#[test]
fn a_registry_of_the_application_can_contain_the_metrics() {
    let mut registry = Registry::default();
    let exporter = Exporter::new(&monitor(2));
    registry.register_collector(Box::new(exporter.collector()));
    let mut text = String::new();
    encode(&mut text, &registry).expect("text");
    assert_eq!(text, exporter.text(Format::OpenMetrics).expect("text"));
}

#[test]
fn a_family_in_several_parts_is_the_same_text() {
    let exporter = Exporter::new(&monitor(1_000)).endpoint_histograms(true);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(exporter.collector()));
    let mut whole = String::new();
    encode(&mut whole, &registry).expect("text");
    assert!(lines(&whole, "equipoise_endpoint_attempts_total{").len() > 8_192);
    assert!(exporter.text(Format::OpenMetrics).expect("text") == whole);
    // In each part, exemplars are found.
    let at = SystemTime::UNIX_EPOCH;
    let trace_id = |id: &str| id.replace(['.', ':'], "");
    let exporter =
        exporter.exemplars(move |_, id| vec![Exemplar::new(Duration::from_millis(3), trace_id(id.as_str()), at)]);
    let text = exporter.text(Format::OpenMetrics).expect("text");
    let with: Vec<_> =
        text.lines().filter(|line| line.starts_with("equipoise_endpoint_") && line.contains(" # {")).collect();
    assert_eq!(with.len(), 1_000);
    for line in with {
        let quoted: Vec<_> = line.split('"').collect();
        let [_, _, _, "web", _, endpoint, _, found, _] = quoted[..] else { panic!("{line}") };
        assert_eq!(found, trace_id(endpoint));
    }
}

#[test]
fn series_of_endpoints_can_be_left_out() {
    let text = Exporter::new(&monitor(2)).endpoints(false).text(Format::Prometheus).expect("text");
    assert!(!text.contains("equipoise_endpoint_") && text.contains("equipoise_pool_attempts_total"));
}

#[cfg(feature = "process")]
#[test]
fn metrics_of_the_process_are_exported_if_they_are_wanted() {
    let cpu =
        |exporter: Exporter| lines(&exporter.text(Format::Prometheus).expect("text"), "process_cpu_seconds_total ");
    let exporter = Exporter::new(&monitor(1));
    assert!(cpu(exporter.clone()).is_empty());
    assert_eq!(cpu(exporter.process(true)).len(), 1);
}
