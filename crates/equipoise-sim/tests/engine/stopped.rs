use std::sync::atomic::{AtomicUsize, Ordering};

use equipoise_core::{P2c, Timestamp};
use equipoise_sim::{Comparison, Control, Feed, Report, Scenario, Server, named};

use crate::common::{secs, strategy};

fn long() -> Scenario {
    Scenario::of(5, Server::fifo(1)).load(0.5).lasting(secs(100_000)).warm_up(0.0)
}

/// A feed that stops the run.
struct Stopping<'a> {
    control: &'a Control,
    requests: u32,
}

impl Feed for Stopping<'_> {
    fn probe_targets(&mut self, _: usize, _: Timestamp, _: &mut Vec<usize>) {
        self.requests = self.requests.saturating_sub(1);
        if self.requests == 0 {
            self.control.stop();
        }
    }
}

#[test]
fn a_stopped_run_reports_the_simulated_part() {
    let control = Control::new();
    let mut impatient = Stopping { control: &control, requests: 20_000 };
    let report = long().run_fed(&strategy("p2c"), &mut impatient, &control).expect("a report");
    assert!(report.interrupted);
    // All requests that had arrived, except those in service.
    assert!((19_900..20_000).contains(&report.ends.total()), "{}", report.ends.total());
    assert!(report.measured > secs(75) && report.measured < secs(105), "{:?}", report.measured);
    assert!(report.utilisation.iter().all(|used| (used - 0.5).abs() < 0.1), "{:?}", report.utilisation);
    assert!(report.to_string().ends_with("(interrupted)"));
    assert!(control.progress() > 0.0 && control.progress() < 0.01);
}

#[test]
fn a_run_stopped_before_its_start_reports_nothing() {
    let control = Control::new();
    control.stop();
    let report = long().run_under(&strategy("p2c"), &control).expect("a report");
    assert!(report.interrupted && report.measured.is_zero() && report.ends.total() == 0);
}

#[test]
fn a_stopped_run_creates_no_more_clients() {
    let control = Control::new();
    let stops = control.clone();
    let made = AtomicUsize::new(0);
    let stopping = named("stops", |client| {
        made.fetch_add(1, Ordering::Relaxed);
        if client == 9 {
            stops.stop();
        }
        P2c::new()
    });
    let report = long().clients(1_000_000).run_under(&stopping, &control).expect("a report");
    assert!(report.interrupted && report.ends.total() == 0);
    assert_eq!(made.load(Ordering::Relaxed), 10);
}

#[test]
fn a_stopped_comparison_has_the_reports_of_finished_runs() {
    let control = Control::new();
    control.stop();
    let comparison = Comparison::run(&long(), &[&strategy("p2c")], 3, &control).expect("reports");
    assert_eq!(comparison.reports, [[]]);
    assert_eq!(comparison.errors, [None]);
    assert!(comparison.spread(0, Report::error_rate).mean.is_nan(), "no figures have no mean");
}

#[test]
fn a_run_stopped_before_measuring_does_not_count_as_zero() {
    let control = Control::new();
    let stops = control.clone();
    // Stops when its second client is created, before the first request.
    let stopping = named("stops", move |client| {
        if client == 1 {
            stops.stop();
        }
        P2c::new()
    });
    let comparison = Comparison::run(&long().clients(2).warm_up(0.9), &[&stopping], 1, &control).expect("a scenario");
    assert_eq!((&comparison.reports[..], &comparison.errors[..]), (&[vec![]][..], &[None][..]));
}

#[test]
fn a_finished_run_has_progress_1() {
    let control = Control::new();
    let report = long().lasting(secs(5)).run_under(&strategy("p2c"), &control).expect("a report");
    assert!(!report.interrupted && report.measured == secs(5));
    assert_eq!(control.progress(), 1.0);
}
