//! Measures a request with a JSON Web Token through the layer of authentication, for each algorithm.
//!
//! A request is a call of the layer's service around a backend that answers at once. Each of them verifies the
//! signature, except those of `remembered`, whose token was verified before. `forged` is a token whose signature is not
//! valid.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime},
};

use criterion::Criterion;
use equipoise_benches::gateway::{Backend, send};
use equipoise_gateway::auth::{
    AuthLayer,
    jwt::{Algorithm, Jwt, KeySet, Keys, VerifyingKey},
};
use http::{Request, Response, StatusCode, header::AUTHORIZATION};
use serde_json::Value;
use tower::{Layer, Service};

/// Keys, and tokens that another library has signed with them. The key of RSA has 2048 bits.
const RECORDED: &str = include_str!("../crates/equipoise-gateway/src/auth/jwt/tests/pyjwt.json");
/// When the tokens were issued, in seconds since 1970.
const ISSUED: u64 = 1_800_000_000;

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20)
        .configure_from_args();
    let recorded: Value = serde_json::from_str(RECORDED).expect("JSON");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let set = || KeySet::read(&recorded["jwks"].to_string()).expect("keys");
    let token = |algorithm: Algorithm| text(&recorded["tokens"][algorithm.as_str()]);
    let mut group = criterion.benchmark_group("jwt");
    let mut run = |name: &str, keys: Keys, remembered: usize, token: &str, status: StatusCode| {
        let jwt = Jwt::builder(keys)
            .issuer("https://issuer.test")
            .audience("api")
            .remembered(remembered)
            .wall_clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(ISSUED));
        let mut service = AuthLayer::new(jwt.build().expect("a scheme")).layer(Backend);
        let bearer = format!("Bearer {token}");
        group.bench_function(name, |b| b.iter(|| request(&mut service, &bearer, status)));
    };
    for algorithm in Algorithm::ASYMMETRIC {
        run(algorithm.as_str(), set().into(), 0, &token(algorithm), StatusCode::OK);
    }
    let secret = VerifyingKey::secret(Algorithm::Hs256, text(&recorded["secrets"]["HS256"])).expect("a secret");
    run("HS256", secret.into(), 0, &token(Algorithm::Hs256), StatusCode::OK);
    let good = token(Algorithm::Es256);
    run("remembered", set().into(), 1, &good, StatusCode::OK);
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    run("forged/ES256", set().into(), 1, &forged, StatusCode::UNAUTHORIZED);
    group.finish();
    criterion.final_summary();
}

/// Sends one request, and checks the status of the response.
fn request<S, R>(service: &mut S, bearer: &str, status: StatusCode)
where
    S: Service<Request<()>, Response = Response<R>, Error = Infallible>,
{
    let request = Request::get("/").header(AUTHORIZATION, bearer).body(()).expect("a request");
    send(service, request, status);
}
