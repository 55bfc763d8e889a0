//! The task that drives a connection ends while a request is in flight on it.

use std::{error::Error, sync::Arc};

use equipoise::{Failure, Verdict, tower::BalanceLayer};
use equipoise_tests::{Backend, Peer, Scripted, soon};
use http::{Method, StatusCode};
use hyper_util::client::legacy::Client;
use parking_lot::Mutex;
use tokio::{sync::Notify, task::AbortHandle};
use tower::Layer;

use crate::setup::{in_flight, pool, request};

/// An executor whose tasks can be aborted.
#[derive(Clone, Default)]
struct Abortable(Arc<Mutex<Vec<AbortHandle>>>);

impl Abortable {
    fn abort(&self) {
        self.0.lock().drain(..).for_each(|task| task.abort());
    }
}

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Abortable {
    fn execute(&self, task: F) {
        self.0.lock().push(tokio::spawn(task).abort_handle());
    }
}

/// Returns whether hyper classifies the error as a user error.
fn is_of_hypers_user(error: &(dyn Error + 'static)) -> bool {
    let hyper = error.downcast_ref::<hyper::Error>();
    hyper.is_some_and(hyper::Error::is_user) || error.source().is_some_and(is_of_hypers_user)
}

#[tokio::test]
async fn a_connection_whose_task_has_ended_is_lost() {
    for (method, elsewhere) in [(Method::GET, true), (Method::POST, false)] {
        let taken = Arc::new(Notify::new());
        let tell = Arc::clone(&taken);
        let silent = Scripted::start(move |mut peer: Peer| {
            let tell = Arc::clone(&tell);
            async move {
                peer.head().await?;
                tell.notify_one();
                peer.closed().await;
                Ok(())
            }
        })
        .unwrap();
        let b = Backend::start("b").unwrap();
        let (pool, recorder) = pool(&[("a", silent.address()), ("b", b.address())]);
        let tasks = Abortable::default();
        let client = Client::builder(tasks.clone()).build_http();
        let response = BalanceLayer::new(pool.clone()).layer(client).oneshot(request(method, ""));
        let response = tokio::spawn(response);
        soon(taken.notified()).await;
        tasks.abort();
        match soon(response).await.unwrap() {
            Ok(response) => assert_eq!((response.status(), elsewhere), (StatusCode::OK, true)),
            Err(error) => {
                assert_eq!((error.status(), elsewhere), (StatusCode::BAD_GATEWAY, false), "{error:?}");
                assert!(is_of_hypers_user(&error), "{error:?}");
            }
        }
        assert_eq!(b.served(), usize::from(elsewhere));
        assert_eq!(recorder.verdicts()[0], ("a".into(), Verdict::Failure(Failure::Transport)));
        assert_eq!(in_flight(&pool), [0, 0]);
    }
}
