//! Panics in code of the application harm neither requests nor counts. (With `panic = "abort"`, these tests do not
//! apply.)

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use equipoise_core::{
    BuildError, EndpointSpec, Needs, PickCx, PickError, Picker, Pool, Slot, Strategy, Timestamp, Verdict, View,
};
use equipoise_tower::{Balance, Classify, Error, HttpProtocol, ResponseHead, ServedBy};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;

use crate::common::{Frames, answering, echo, failing, get, in_flight, pool, post};

#[tokio::test]
async fn in_a_classifier_says_nothing_about_the_endpoint() {
    let (pool, recorder) = pool(&[("a", echo())]);
    let http = HttpProtocol::new().classify(|_: ResponseHead<'_>| -> Verdict { panic!("a user's mistake") });
    let response = Balance::with_protocol(pool.clone(), http).oneshot(post("order")).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&ServedBy("a".into())));
    assert_eq!(response.collect().await.unwrap().to_bytes(), "order");
    assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Neutral)]);
    assert_eq!(in_flight(&pool), [0]);
}

#[tokio::test]
async fn in_a_classifier_of_trailers_says_nothing_about_the_endpoint() {
    struct AtTheEnd;
    impl Classify for AtTheEnd {
        fn response(&self, _: ResponseHead<'_>) -> Option<Verdict> {
            None
        }

        fn trailers(&self, _: Option<&HeaderMap>) -> Verdict {
            panic!("a user's mistake")
        }
    }
    for body in [Frames::default(), Frames::default().data("a"), Frames::default().data("a").trailer("status", "0")] {
        let (pool, recorder) = pool(&[("a", answering(Response::new(body)))]);
        let balance = Balance::with_protocol(pool.clone(), HttpProtocol::new().classify(AtTheEnd));
        balance.oneshot(get()).await.unwrap().collect().await.unwrap();
        assert_eq!(recorder.verdicts(), [("a".into(), Verdict::Neutral)]);
        assert_eq!(in_flight(&pool), [0]);
    }
}

#[tokio::test]
async fn in_the_key_means_no_key() {
    let (pool, _) = pool(&[("a", echo()), ("b", echo())]);
    let balance = Balance::with_protocol(pool.clone(), HttpProtocol::new().key(|_| panic!("a user's mistake")));
    let response = balance.oneshot(get()).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&ServedBy("a".into())));
    drop(response);
    assert_eq!(in_flight(&pool), [0, 0]);
}

#[tokio::test]
async fn in_idempotent_means_no() {
    let (pool, _) = pool(&[("a", failing(std::io::ErrorKind::ConnectionReset)), ("b", echo())]);
    let balance = Balance::with_protocol(pool.clone(), HttpProtocol::new().idempotent(|_| panic!("a user's mistake")));
    let error = balance.clone().oneshot(post("order")).await.unwrap_err();
    assert_eq!(error.endpoint(), Some(&"a".into()));
    balance.oneshot(get()).await.unwrap();
    assert_eq!(in_flight(&pool), [0, 0]);
}

/// A strategy that picks the first endpoint. It panics in the pick or in the hooks while the flag is set.
#[derive(Clone, Default)]
struct Fragile {
    pick: Arc<AtomicBool>,
    hooks: Arc<AtomicBool>,
}

struct FragilePicker(Option<Slot>, Arc<AtomicBool>);

fn panic_if(flag: &AtomicBool) {
    assert!(!flag.load(Ordering::SeqCst), "a user's mistake");
}

impl Strategy for Fragile {
    type State = ();
    type Picker = FragilePicker;

    fn state(&self, _: &EndpointSpec) {}

    fn build(&self, view: &View, _: Option<&FragilePicker>) -> Result<FragilePicker, BuildError> {
        Ok(FragilePicker(view.eligible().first().copied(), Arc::clone(&self.pick)))
    }

    fn needs(&self) -> Needs {
        Needs::new().leases().outcomes()
    }

    fn admit(&self, (): &(), _: &equipoise_core::Endpoint, _: &equipoise_core::PickRequest<'_>) -> bool {
        panic_if(&self.hooks);
        true
    }

    fn on_release(&self, (): &(), _: &equipoise_core::Endpoint) {
        panic_if(&self.hooks);
    }

    fn on_outcome(&self, (): &(), _: Verdict, _: Timestamp) {
        panic_if(&self.hooks);
    }
}

impl Picker for FragilePicker {
    fn pick(&self, _: &mut PickCx<'_>) -> Option<Slot> {
        panic_if(&self.1);
        self.0
    }
}

#[tokio::test]
async fn in_a_picker_is_a_typed_error_and_over_with_the_request() {
    let strategy = Fragile::default();
    let pool = Pool::new(strategy.clone());
    pool.add(EndpointSpec::new("a").max_in_flight(1), echo()).unwrap();
    let balance = Balance::new(pool.clone()).queue_timeout(std::time::Duration::from_secs(3600));
    strategy.pick.store(true, Ordering::SeqCst);
    let error = balance.clone().oneshot(get()).await.unwrap_err();
    assert!(matches!(error, Error::Pick(PickError::Panicked)), "{error:?}");
    assert_eq!(in_flight(&pool), [0]);
    strategy.pick.store(false, Ordering::SeqCst);
    balance.oneshot(get()).await.unwrap();
    assert_eq!(in_flight(&pool), [0]);
}

#[tokio::test]
async fn in_a_strategys_hooks_goes_unnoticed() {
    let strategy = Fragile::default();
    let pool = Pool::new(strategy.clone());
    pool.add(EndpointSpec::new("a").max_in_flight(1), echo()).unwrap();
    strategy.hooks.store(true, Ordering::SeqCst);
    for _ in 0..3 {
        let response = Balance::new(pool.clone()).oneshot(post("order")).await.unwrap();
        assert_eq!(in_flight(&pool), [1]);
        assert_eq!(response.collect().await.unwrap().to_bytes(), "order");
        assert_eq!(in_flight(&pool), [0]);
    }
}
