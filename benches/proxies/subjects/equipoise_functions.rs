//! equipoise's reverse proxy on one thread, with one function of a gateway: `LISTEN FUNCTION BACKEND...`. `FUNCTION` is
//! `cache`, `gzip`, `rate-limit`, `basic-auth=USERS` (lines of `htpasswd`), `external-auth`, `in-flight`, `addresses`,
//! `fields`, `redirect` or `replace`.

use std::time::Duration;

use anyhow::{Context, bail};
use equipoise::{
    EndpointSpec, HttpClient, Pool, RoundRobin, Upstream,
    gateway::{
        auth::{AuthLayer, Basic, External, Users},
        cache::CacheLayer,
        compression::{CompressionLayer, Encoding},
        filter::{
            FieldEdits, FieldsLayer, FilterLayer, FilterRules, RedirectLayer, RedirectRule, ReplaceText,
            ResponseBodyFilterLayer, Rule,
        },
        limit::{InFlightLayer, Quota, RateLimitLayer},
        stack::Functions,
    },
    health::{Health, Schedule, probe::TcpProbe},
    proxy::{ReverseProxyLayer, server::Server},
};
use tokio::net::TcpListener;
use tower::Layer;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next().context("the arguments are: LISTEN FUNCTION BACKEND...");
    let (listen, function) = (next()?, next()?);
    let pool = Pool::new(RoundRobin::new());
    pool.try_update(arguments.map(EndpointSpec::new), |spec| Upstream::new(spec.address()))?;
    let schedule = Schedule::new().interval(Duration::from_secs(1));
    let health = Health::builder().check("tcp", schedule, TcpProbe::new()).build()?;
    let _checking = health.spawn(&pool);
    let client = HttpClient::new(pool);
    let functions = functions(&function, &client)?;
    let listener = TcpListener::bind(listen).await?;
    let proxy = ReverseProxyLayer::new().own_responses(functions.own_responses());
    Server::new(proxy.layer(functions.layer(client)?)).serve(listener).await;
    Ok(())
}

fn functions(function: &str, client: &HttpClient) -> anyhow::Result<Functions> {
    let functions = Functions::new();
    let (name, users) = function.split_once('=').unwrap_or((function, ""));
    Ok(match name {
        "cache" => functions.cache(CacheLayer::new(100_000_000)?),
        "gzip" => functions.compress(CompressionLayer::new().encodings([Encoding::Gzip])?.level(Encoding::Gzip, 6)?),
        "rate-limit" => {
            functions.rate_limit(RateLimitLayer::per_client(Quota::per_second(1_000_000).burst(1_000_000))?)
        }
        "basic-auth" => functions.authenticate(AuthLayer::new(Basic::new(users.parse::<Users>()?))),
        "external-auth" => functions.authenticate(AuthLayer::new(External::new(client.clone(), "/small")?)),
        "in-flight" => functions.limit_in_flight(InFlightLayer::per_client(10_000)?),
        "addresses" => {
            let inner = Rule::allow("inner").addresses("10.0.0.0/8, 192.168.0.0/16, 127.0.0.0/8".parse()?);
            functions.filter(FilterLayer::new(FilterRules::new([inner, Rule::deny("others")])?))
        }
        "fields" => {
            let edits = FieldEdits::new().set("x-content-type-options", "nosniff")?.set("x-frame-options", "DENY")?;
            functions.client_fields(FieldsLayer::new().response(edits))
        }
        "redirect" => functions.redirect(RedirectLayer::new([RedirectRule::prefix("/", "http://other.test/")])?),
        "replace" => {
            let replace = ReplaceText::new([("http://inner.test/", "https://www.test/")])?;
            functions.filter_response_bodies(ResponseBodyFilterLayer::new(replace))
        }
        _ => bail!(
            "{name} is not a function: use cache, gzip, rate-limit, basic-auth=USERS, external-auth, in-flight, addresses, \
             fields, redirect or replace"
        ),
    })
}
