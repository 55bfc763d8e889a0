use std::sync::Arc;

use equipoise_core::{
    BoundedLoad, BuildError, Clock, EndpointSpec, InvalidHashing, Maglev, PickRequest, Pool, Ring, SourcePrefix,
    Timestamp, UpdateError, Verdict,
};

use crate::keys::{even, keys, lease, owner, placements};

#[test]
fn invalid_settings_are_refused_with_a_valid_alternative() {
    assert_eq!(
        Maglev::new().table_size(1_000).map(drop),
        Err(InvalidHashing::TableSize { size: 1_000, most: 5_000_011 })
    );
    assert!(Maglev::new().table_size(5_000_011).is_ok());
    assert!(Maglev::new().table_size(5_000_077).is_err());
    assert_eq!(Ring::new().points(0).map(drop), Err(InvalidHashing::Points));
    #[expect(clippy::reversed_empty_ranges, reason = "that is what is refused")]
    for sizes in [0..=10, 10..=9, 1..=8_388_609] {
        assert!(Ring::new().sizes(sizes).is_err());
    }
    for factor in [0.99, f64::NAN, f64::INFINITY, -1.0] {
        assert!(BoundedLoad::new(Ring::new()).factor(factor).is_err());
    }
    let error = SourcePrefix::new(33, 64).expect_err("too long");
    assert_eq!(error.to_string(), "the prefix length of an IPv4 address cannot be 33: use at most 32 bits");
}

#[test]
fn more_endpoints_than_a_table_has_entries_are_refused_and_nothing_changes() {
    let pool = even(Maglev::new().table_size(5).expect("a prime"), 5);
    let refused = pool.add(EndpointSpec::new("one-more"), ());
    assert!(matches!(refused, Err(UpdateError::Strategy(BuildError::Refused(_)))), "{refused:?}");
    assert_eq!(pool.endpoints().len(), 5);
    lease(&pool, b"still there").finish(Verdict::Success);
}

#[test]
fn an_explanation_tells_where_a_key_goes_and_takes_nothing() {
    for (name, strategy) in placements() {
        let pool = even(BoundedLoad::new(strategy), 10);
        for key in keys(50, 40) {
            let request = PickRequest::new().key(&key);
            let (first, again) = (pool.explain(&request), pool.explain(&request));
            assert_eq!(first.picked, again.picked, "{name}");
            let owner = crate::common::id(owner(&pool, &key));
            assert_eq!(first.picked, Ok(owner), "{name}");
        }
    }
}

#[test]
fn keys_need_no_clock() {
    /// An entropy source that panics when it is read.
    struct Never;
    impl Clock for Never {
        fn now(&self) -> Timestamp {
            panic!("no strategy needs the time")
        }
    }
    let pool: Pool<()> = Pool::<()>::builder(Maglev::new()).clock(Arc::new(Never)).build();
    pool.add(EndpointSpec::new("a"), ()).expect("a new id");
    lease(&pool, b"key").finish(Verdict::Success);
}
