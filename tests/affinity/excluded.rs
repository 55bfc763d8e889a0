//! Sessions below a layer that retries.

use bytes::Bytes;
use equipoise::{
    EndpointSpec, Pool, RoundRobin,
    affinity::{
        Affinity, AffinityLayer, EndpointNaming, Mode,
        cookie::PersistenceCookie,
        token::{KeyRing, TokenKey},
    },
    tower::{Balance, Placement, ServedBy},
};
use http::{
    Request, Response,
    header::{COOKIE, SET_COOKIE},
};
use http_body_util::Empty;
use tower::{Layer, ServiceExt, service_fn};

#[tokio::test]
async fn a_session_does_not_go_to_an_endpoint_that_a_layer_above_excludes() {
    let pool = Pool::new(RoundRobin::new());
    let server = service_fn(|_: Request<Empty<Bytes>>| async { Ok::<_, std::io::Error>(Response::new(String::new())) });
    pool.update(["a", "b", "c"].map(EndpointSpec::new), |_| server).unwrap();
    let cookie = PersistenceCookie::insert("lb").indirect().build().unwrap();
    let values = EndpointNaming::tokens(KeyRing::new(TokenKey::generate(1)), &cookie);
    let affinity = Affinity::new(&pool, Mode::cookie(cookie, values)).unwrap();
    let service = AffinityLayer::new(affinity).layer(Balance::new(pool));

    let first = service.clone().oneshot(Request::new(Empty::new())).await.unwrap();
    let ServedBy(bound) = first.extensions().get::<ServedBy>().unwrap().clone();
    let set = first.headers()[SET_COOKIE].to_str().unwrap().split(';').next().unwrap();
    for excluded in [false, true] {
        let mut request = Request::get("/").header(COOKIE, set).body(Empty::new()).unwrap();
        if excluded {
            request.extensions_mut().insert(Placement::new().exclude([bound.clone()]));
        }
        let response = service.clone().oneshot(request).await.unwrap();
        let ServedBy(served_by) = response.extensions().get().unwrap();
        assert_eq!(*served_by == bound, !excluded);
    }
}
