//! Many tasks that share one service, on a runtime with some workers.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};
use tower::buffer::Buffer;
use tower_service::Service;

use crate::call::Immediate;

/// Number of tasks that share one service.
pub const TASKS: u64 = 64;

/// Creates a runtime with this number of workers.
///
/// # Panics
///
/// The system provides no threads.
pub fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).build().expect("a runtime")
}

/// The peer: tower's `Buffer` over a service that answers at once. It makes a service shareable with a queue and a
/// worker task.
pub fn buffered(runtime: &Runtime) -> Buffer<u64, <Immediate as Service<u64>>::Future> {
    let _entered = runtime.enter();
    Buffer::new(Immediate, 1024)
}

/// Returns the time that [`TASKS`] tasks take for `calls` calls in all, each through a clone of `service`.
///
/// # Panics
///
/// The service fails.
pub fn shared<S>(runtime: &Runtime, calls: u64, service: &S) -> Duration
where
    S: Service<u64, Future: Send, Error: std::fmt::Debug> + Clone + Send + 'static,
{
    let each = calls.div_ceil(TASKS);
    let one = |mut service: S| async move {
        for n in 0..each {
            std::future::poll_fn(|cx| service.poll_ready(cx)).await.expect("it is ready");
            black_box(service.call(n).await.ok());
            // Yields, as a call that waits for the network does.
            if n % 32 == 31 {
                tokio::task::yield_now().await;
            }
        }
    };
    let start = Instant::now();
    runtime.block_on(async {
        let tasks: Vec<_> = (0..TASKS).map(|_| tokio::spawn(one(service.clone()))).collect();
        for task in tasks {
            task.await.expect("it does not panic");
        }
    });
    start.elapsed()
}
