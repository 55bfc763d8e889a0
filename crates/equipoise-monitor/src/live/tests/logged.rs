//! The lines of events in the log.

use std::io::Write;

use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// The lines that `f` writes to the log, as text.
fn lines(f: impl FnOnce()) -> Vec<String> {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).without_time().with_writer(lines.clone()).finish();
    tracing::subscriber::with_default(subscriber, f);
    let text = String::from_utf8(lines.0.lock().clone()).unwrap();
    text.lines().map(ToOwned::to_owned).collect()
}

#[test]
fn each_event_is_one_line_and_texts_from_outside_are_escaped() {
    let monitor = Monitor::new();
    let hostile = "a\n\u{1b}[31mERROR {x} \"";
    let pool = || Arc::<str>::from(hostile);
    let endpoint = || EndpointId::from(hostile);
    let text = || hostile.to_owned();
    let events = [
        membership(hostile, &[hostile], &[]),
        MonitorEventKind::LimitChanged { pool: pool(), endpoint: endpoint(), from: None, to: Some(3) },
        MonitorEventKind::WeightChanged { pool: pool(), endpoint: endpoint(), from: 1, to: 3 },
        MonitorEventKind::PoolAdded { pool: pool() },
        MonitorEventKind::PoolRemoved { pool: pool() },
        MonitorEventKind::PoolReplaced { pool: pool() },
        MonitorEventKind::Reloaded { result: "ok", detail: text() },
        MonitorEventKind::Reloaded { result: "failed", detail: text() },
        MonitorEventKind::Command { pool: pool(), endpoint: endpoint(), state: "drain", by: text() },
        MonitorEventKind::CertificateExpiring {
            listener: text(),
            source: text(),
            names: vec![text()],
            expires_in: Duration::ZERO,
        },
        MonitorEventKind::ChangesMissed { pool: pool(), changes: 3 },
        MonitorEventKind::Health {
            pool: pool(),
            endpoint: endpoint(),
            from: "up",
            to: "draining",
            source: "pool",
            reason: String::new(),
        },
    ];
    for event in events {
        let lines = lines(|| monitor.record(event.clone()));
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert!(line.contains("equipoise::event: "), "{line}");
        let level = match &event {
            MonitorEventKind::Reloaded { result: "failed", .. } => "ERROR",
            MonitorEventKind::ChangesMissed { .. } => " WARN",
            _ => " INFO",
        };
        assert!(line.contains(&format!("{level} equipoise::event: ")), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
    }
}

#[test]
fn a_change_by_health_is_not_logged_again() {
    let event = MonitorEventKind::Health {
        pool: "web".into(),
        endpoint: "a:80".into(),
        from: "up",
        to: "unhealthy",
        source: "checks",
        reason: "refused".to_owned(),
    };
    assert!(lines(|| Monitor::new().record(event)).is_empty());
}

#[test]
fn a_long_list_is_cut_in_the_log() {
    let ids: Vec<String> = (0..30).map(|n| format!("{n}:80")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let lines = lines(|| Monitor::new().record(membership("web", &ids, &[])));
    assert!(lines[0].contains("\"19:80\", and 10 more]"), "{lines:?}");
}
