//! The traits that public types implement, checked at compile time.

use std::any::Any;

use equipoise_core::{AnyStrategy, EndpointStatus, Explanation, Lease, PickError, PickRequest, Pool, UpdateError};

fn is_shared<T: Clone + Send + Sync + 'static>() {}

fn is_mobile<T: Send + Sync + 'static>(_: &T) {}

fn is_error<E: std::error::Error + Send + Sync + Clone + 'static>() {}

struct NotClone;

#[test]
fn pools_are_shared_whatever_their_target() {
    is_shared::<Pool<()>>();
    is_shared::<Pool<NotClone>>();
    is_shared::<Pool<Box<dyn Any + Send + Sync>>>();
    is_shared::<AnyStrategy>();
}

#[test]
fn leases_move_between_threads() {
    let pool: Pool<NotClone> = Pool::default();
    pool.add(crate::common::spec(0), NotClone).unwrap();
    let lease: Lease<NotClone> = crate::common::pick(&pool);
    is_mobile(&lease);
}

#[test]
fn requests_and_answers_are_plain_values() {
    is_shared::<PickRequest<'static>>();
    is_shared::<EndpointStatus>();
    is_shared::<Explanation>();
    is_error::<PickError>();
    is_error::<UpdateError>();
}

#[test]
fn futures_move_between_threads() {
    let pool: Pool<NotClone> = Pool::default();
    is_mobile(&pool.changed(pool.revision()));
    is_mobile(&pool.acquire(&PickRequest::new()));
}
