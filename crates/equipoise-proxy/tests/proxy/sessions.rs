use std::sync::Arc;

use equipoise_affinity::{Affinity, AffinityLayer, Mode, key::SessionKey, table::SessionTable};
use equipoise_core::{EndpointSpec, Pool};
use equipoise_proxy::{
    ReverseProxy,
    route::{Route, Router, Routes},
};
use equipoise_tower::{BalanceLayer, ServedBy};
use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};

use crate::{full, get};

#[tokio::test]
async fn sessions_stay_at_their_endpoints_behind_a_router() {
    let pool: Pool<()> = Pool::default();
    pool.update(["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"].map(EndpointSpec::new), |_| ()).expect("endpoints");
    let table = Arc::new(SessionTable::builder().build().expect("a table"));
    let key = SessionKey::header("x-user").expect("a name");
    let affinity = Affinity::new(&pool, Mode::table(key, table)).expect("a mode");
    let client = service_fn(async |_: Request<_>| Ok::<_, std::io::Error>(Response::new(full("ok"))));
    let balanced = BalanceLayer::new(pool).incoming().layer(client);
    let service = AffinityLayer::new(affinity).layer(balanced);
    let proxy = ReverseProxy::new(Router::new(Routes::new([Route::to("web", service)]).expect("valid routes")));
    for user in ["a", "b", "c", "d"] {
        let served_by = async || {
            let request = get("/").header("x-user", user).body(full("")).expect("a request");
            let response = proxy.clone().oneshot(request).await.unwrap_or_else(|never| match never {});
            response.extensions().get::<ServedBy>().cloned().expect("an endpoint")
        };
        let first = served_by().await;
        for _ in 0..5 {
            assert_eq!(served_by().await, first);
        }
    }
}
