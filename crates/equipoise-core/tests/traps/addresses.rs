//! Invalid addresses are refused when they are added, not at the first request.

use equipoise_core::{Address, EndpointId, EndpointSpec, InvalidAddress, InvalidSpec, Pool, RoundRobin, UpdateError};

fn refused(error: &UpdateError) -> Option<(&str, &str)> {
    match error {
        UpdateError::Invalid(InvalidSpec::Address { id, source }) => Some((id.as_str(), source.address())),
        _ => None,
    }
}

#[test]
fn an_address_that_no_transport_can_use_is_refused_when_it_is_added() {
    let pool: Pool<()> = Pool::default();
    pool.add(EndpointSpec::new("a:80"), ()).unwrap();
    let addresses =
        ["", "a b", "http://a b c/", "http://", "https://:80", ":80", "a:0", "a:99999", "HTTP://a:x", "a\t:80"];
    for address in addresses {
        let spec = EndpointSpec::new(address).with_id("b");
        for error in [pool.add(spec.clone(), ()), pool.update([spec.clone()], |_| ())].map(Result::unwrap_err) {
            assert_eq!(refused(&error), Some(("b", address)), "{error:?}");
        }
    }
    assert_eq!(pool.endpoints().len(), 1);
}

#[test]
fn a_text_that_only_the_target_understands_is_an_address() {
    let pool: Pool<()> = Pool::default();
    let addresses = ["a", "shard-7", "redis:main", "unix:/run/my app.sock", "memory://x", "10.0.0.1", "::1"];
    pool.update(addresses.map(EndpointSpec::new), |_| ()).unwrap();
}

#[test]
fn a_demand_holds_for_endpoints_that_join() {
    fn ports(address: &str) -> Result<(), InvalidAddress> {
        let known = Address::parse(address)?.known_port();
        known.map(drop).ok_or_else(|| InvalidAddress::new(address).because("it has no port"))
    }
    let pool = Pool::builder(RoundRobin::new()).build();
    pool.add(EndpointSpec::new("a"), ()).unwrap();
    let error = pool.demand_addresses(ports).unwrap_err();
    assert_eq!(refused(&error.into()), Some(("a", "a")));
    assert_eq!(refused(&pool.add(EndpointSpec::new("b"), ()).unwrap_err()), Some(("b", "b")));
    pool.add(EndpointSpec::new("b:80"), ()).unwrap();
    pool.set_weight("a", 2).unwrap();
    pool.remove("a").unwrap();
    assert!(pool.add(EndpointSpec::new("a"), ()).is_err());
    assert_eq!(pool.demand_addresses(ports), Ok(()));

    let built = Pool::builder(RoundRobin::new()).addresses(ports).build();
    assert!(built.add(EndpointSpec::new("a"), "target").is_err());
}

#[test]
fn every_method_takes_ids_of_every_kind() {
    let pool: Pool<()> = Pool::default();
    pool.add(EndpointSpec::new("a:80"), ()).unwrap();
    let id = EndpointId::from("a:80");
    assert_eq!(AsRef::<str>::as_ref(&id), "a:80");
    for known in [
        pool.availability("a:80"),
        pool.availability(String::from("a:80")),
        pool.availability(&id),
        pool.availability(id.clone()),
    ] {
        assert!(known.is_some());
    }
    pool.set_weight("a:80", 2).unwrap();
    pool.set_weight("a:80".to_owned(), 3).unwrap();
    pool.set_weight(&id, 4).unwrap();
    pool.set_weight(id.clone(), 5).unwrap();
    pool.set_availabilities([(&id, equipoise_core::Availability::Maintenance)]).unwrap();
    drop(pool.idle(&id));
    pool.remove(&id).unwrap();
}
