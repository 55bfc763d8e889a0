//! Counts of requests that wait for their response.

use equipoise_core::{
    BuildError, EndpointSpec, Needs, PickCx, PickRequest, Picker, Pool, Slot, Strategy, Verdict, View,
};

/// Picks the only endpoint, and scores it by the number of requests that wait for their response.
struct ByWaiting(Needs);

struct First;

impl Strategy for ByWaiting {
    type State = ();
    type Picker = First;

    fn state(&self, _: &EndpointSpec) {}

    fn needs(&self) -> Needs {
        self.0
    }

    fn build(&self, _: &View, _: Option<&First>) -> Result<First, BuildError> {
        Ok(First)
    }
}

impl Picker for First {
    fn pick(&self, cx: &mut PickCx<'_>) -> Option<Slot> {
        let slot = *cx.view().eligible().first()?;
        let waiting = cx.view().waiting(slot);
        cx.score(slot, f64::from(waiting));
        Some(slot)
    }
}

fn pool(needs: Needs, stripes: usize) -> Pool<()> {
    let pool = Pool::builder(ByWaiting(needs)).stripes(stripes).build();
    pool.add(EndpointSpec::new("a:80"), ()).expect("a valid endpoint");
    pool
}

fn waiting(pool: &Pool<()>) -> Option<f64> {
    pool.explain(&PickRequest::new()).candidates[0].score
}

#[test]
fn a_request_waits_until_its_first_byte_or_its_verdict() {
    for stripes in [1, 4] {
        let pool = pool(Needs::new().waiting(), stripes);
        let mut leases: Vec<_> = (0..3).map(|_| pool.pick(&PickRequest::new()).expect("it is up")).collect();
        assert_eq!(waiting(&pool), Some(3.0));
        leases[0].first_byte();
        leases[1].record(Verdict::Neutral);
        assert_eq!(waiting(&pool), Some(1.0));
        leases[0].record(Verdict::Success);
        leases[1].first_byte();
        assert_eq!(waiting(&pool), Some(1.0), "each lease counts once");
        leases.truncate(2);
        assert_eq!(waiting(&pool), Some(0.0));
    }
}

#[test]
fn a_request_of_an_earlier_target_still_waits() {
    let pool = pool(Needs::new().waiting(), 1);
    let mut body = pool.pick(&PickRequest::new()).expect("it is up");
    let request = pool.pick(&PickRequest::new()).expect("it is up");
    body.first_byte();
    pool.replace(EndpointSpec::new("a:80"), ()).expect("a member");
    assert_eq!(waiting(&pool), Some(1.0));
    request.finish(Verdict::Success);
    assert_eq!(waiting(&pool), Some(0.0));
}

#[test]
fn requests_in_flight_are_returned_if_the_strategy_does_not_ask() {
    let pool = pool(Needs::new().latency(), 1);
    let mut lease = pool.pick(&PickRequest::new()).expect("it is up");
    lease.first_byte();
    assert_eq!(waiting(&pool), Some(1.0));
}
